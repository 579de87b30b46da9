package control

import (
	"testing"

	"synscope/event"
	"synscope/internal/pack"
)

// packed packs the events from one ordinal to another.
func (h *history) packed(conn, from, to uint64) *pack.Packed {
	var es []*event.Event
	past, _ := h.connection(conn)
	past.each(func(e *event.Event) {
		if from <= e.N && e.N <= to {
			es = append(es, e)
		}
	})
	return new(pack.Packer).Pack(es)
}

// Packed events take the place of the same events, take less, and are told as
// before.
func TestHistoryPacks(t *testing.T) {
	h := newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(h)
	f.open(1)
	f.segments(1, 99)
	before := h.snapshot()
	h.pack(1, h.packed(1, 1, 80))
	s := h.snapshot()
	if s.Bytes >= before.Bytes/2 || s.Events != before.Events {
		t.Errorf("%+v, before %+v", s, before)
	}
	h.mustHave(t, 1, "1: 1-100")
	f.segments(1, 20)
	h.pack(1, h.packed(1, 81, 120))
	h.mustHave(t, 1, "1: 1-120")
	if r := h.records[1]; len(r.packed) != 2 || len(r.first) != 0 {
		t.Errorf("%d packed, %d events", len(r.packed), len(r.first))
	}

	f.segments(1, 2*keptOf)
	f.close(1)
	h.mustHave(t, 1, "1: 1-1024 lost 121 1146-2169")
	f.whole(2)
	f.whole(3) // connection 1 gives way
	if s := h.snapshot(); s.Events != 6 || s.DroppedEvents != 121+2*keptOf {
		t.Errorf("%d events kept and %d dropped", s.Events, s.DroppedEvents)
	}
	f.whole(4)
	f.whole(5)
	fresh := newHistory(Limits{Ended: 2, Bytes: roomy})
	f = newFeed(fresh)
	f.whole(1)
	f.whole(2)
	if got, want := h.snapshot().Bytes, fresh.snapshot().Bytes; got != want {
		t.Errorf("%d bytes are kept, want %d as if nothing had been packed", got, want)
	}
}

// The tracer's history may have holes where this one has none.
func TestHistoryPacksNoHole(t *testing.T) {
	holed, h := newHistory(Limits{Ended: 2, Bytes: roomy}), newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(holed)
	f.open(1)
	f.skip(1)
	f.segments(1, 8)
	f = newFeed(h)
	f.open(1)
	f.segments(1, 9)
	past, _ := holed.connection(1)
	h.pack(1, new(pack.Packer).Pack(past.events))
	h.mustHave(t, 1, "1: 1-10")
	if r := h.records[1]; len(r.packed) > 0 {
		t.Error("events that are not the same were packed")
	}
}

// What the history has not got, or not yet, is not packed in it.
func TestHistoryPacksOnlyWhatItHas(t *testing.T) {
	whole := newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(whole)
	f.open(1)
	f.segments(1, 9)
	for name, tell := range map[string]func(*feed){
		"unknown": func(*feed) {},
		"late":    func(f *feed) { f.open(1); f.segments(1, 3) },
		"a hole":  func(f *feed) { f.open(1); f.skip(1); f.segments(1, 10) },
		"no open": func(f *feed) { f.skip(1); f.segments(1, 11) },
	} {
		h := newHistory(Limits{Ended: 2, Bytes: roomy})
		tell(newFeed(h))
		before := h.snapshot()
		h.pack(1, whole.packed(1, 1, 10))
		if s := h.snapshot(); s != before {
			t.Errorf("%s: %+v, before %+v", name, s, before)
		}
	}
}

package control

import (
	"math/rand/v2"
	"slices"
	"testing"

	"synscope/event"
)

const roomy = 1 << 30

func (h *history) mustHave(t *testing.T, conn uint64, want string) {
	t.Helper()
	past, ok := h.connection(conn)
	var es []*event.Event
	past.each(func(e *event.Event) { es = append(es, e) })
	got := story(es)
	if !ok {
		got = "unknown"
	}
	if got != want {
		t.Errorf("kept of connection %d: %s, want %s", conn, got, want)
	}
}

// Open connections stay, of those that ended the newest, in the order in which
// they ended.
func TestHistoryKeepsTheNewestEnded(t *testing.T) {
	h := newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(h)
	f.open(1)
	f.open(2)
	f.open(3)
	f.whole(4)
	f.whole(5)
	f.close(2)
	h.mustHave(t, 1, "1: 1")
	h.mustHave(t, 2, "2: 1-2")
	h.mustHave(t, 3, "3: 1")
	h.mustHave(t, 4, "unknown")
	h.mustHave(t, 5, "5: 1-3")
	f.tell(4, &event.TCPState{Side: event.Server, Old: event.StateTimeWait, New: event.StateClosed})
	h.mustHave(t, 4, "unknown")

	s := h.snapshot()
	s.Bytes = 0
	if want := (HistoryStatus{Open: 2, Ended: 2, Events: 7, DroppedConnections: 1, DroppedEvents: 4}); s != want {
		t.Errorf("status %+v, want %+v", s, want)
	}
	for id, want := range map[uint64]string{
		4: "connection 4 is no longer kept", 6: "there is no connection 6", 0: "there is no connection 0",
	} {
		if got := h.missing(id).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What comes after conn.close still belongs to the connection.
func TestHistoryKeepsLateEvents(t *testing.T) {
	h := newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(h)
	f.whole(1)
	f.segments(1, 1)
	f.close(1) // nobody says it twice; it must not count twice either
	h.mustHave(t, 1, "1: 1-5")
	if s := h.snapshot(); s.Ended != 1 || s.Open != 0 {
		t.Errorf("%d ended, %d open", s.Ended, s.Open)
	}
}

// Of a long connection the first and the last events are kept, and what is
// between is counted in its place.
func TestHistoryOfLongConnection(t *testing.T) {
	h := newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(h)
	f.open(1)
	f.segments(1, 2*keptOf-1)
	h.mustHave(t, 1, "1: 1-2048")
	f.segments(1, 1)
	h.mustHave(t, 1, "1: 1-1024 lost 1 1026-2049")
	f.segments(1, 10_000)
	f.close(1)
	h.mustHave(t, 1, "1: 1-1024 lost 10002 11027-12050")
	if s := h.snapshot(); s.Events != 2*keptOf || s.DroppedEvents != 10_002 {
		t.Errorf("%d events kept and %d dropped, want %d and 10002", s.Events, s.DroppedEvents, 2*keptOf)
	}
}

// What did not reach the history is counted in its place, and in the summary.
func TestHistoryTellsHoles(t *testing.T) {
	h := newHistory(Limits{Ended: 2, Bytes: roomy})
	f := newFeed(h)
	f.skip(1)
	f.segments(1, 2)
	f.skip(1)
	f.skip(1)
	f.close(1)
	h.mustHave(t, 1, "1: lost 1 2-3 lost 2 6")
	h.Event(&event.Event{View: event.Wire, Body: &event.Gap{Lost: 3, What: "events", Reason: "the sink was too slow"}})
	if s := h.snapshot(); s.LostEvents != 3 {
		t.Errorf("%d events lost, want 3", s.LostEvents)
	}
	if c := h.connections(1, func(*record) bool { return true }); c.Connections[0].Lost != 3 {
		t.Errorf("the summary says %d lost, want 3", c.Connections[0].Lost)
	}
}

// When the bytes are used up connections that ended give way, and open ones only
// where there are no others.
func TestHistoryIsBoundedByBytes(t *testing.T) {
	const bytes = 200_000
	h := newHistory(Limits{Ended: 1000, Bytes: bytes})
	f := newFeed(h)
	f.open(1)
	for conn := uint64(2); conn < 500; conn++ {
		f.whole(conn)
	}
	h.mustHave(t, 1, "1: 1")
	h.mustHave(t, 2, "unknown")
	h.mustHave(t, 499, "499: 1-3")
	for conn := uint64(500); conn < 2000; conn++ {
		f.open(conn)
		if s := h.snapshot(); s.Bytes > bytes {
			t.Fatalf("%d bytes are kept, and the bound is %d", s.Bytes, bytes)
		}
	}
	h.mustHave(t, 1, "unknown")
	h.mustHave(t, 499, "unknown")
	h.mustHave(t, 1999, "1999: 1")
}

// Whatever comes, the counts are those of what is there.
func TestHistoryCounts(t *testing.T) {
	h := newHistory(Limits{Ended: 10, Bytes: 400_000})
	f := newFeed(h)
	rng := rand.New(rand.NewPCG(1, 2))
	newest := uint64(1)
	f.open(1)
	for range 30_000 {
		conn := newest - uint64(rng.IntN(int(min(newest, 20))))
		switch rng.IntN(20) {
		case 0:
			newest++
			f.open(newest)
		case 1:
			f.close(conn)
		default:
			f.segments(conn, 1+rng.IntN(5))
		}
	}
	events, bytes, records := 0, 0, 0
	for id, r := range h.records {
		kept := slices.Concat(r.first, r.last)
		for _, e := range kept {
			bytes += e.Size()
			if e.Conn != id {
				t.Fatalf("an event of connection %d is kept for %d", e.Conn, id)
			}
		}
		events += len(kept)
		records++
	}
	s := h.snapshot()
	if s.Events != events || s.Bytes != bytes || s.Open+s.Ended != records || uint64(events)+s.DroppedEvents != uint64(f.told) {
		t.Errorf("%+v, but there are %d events of %d bytes in %d connections, and %d were told", s, events, bytes, records, f.told)
	}
	if s.DroppedConnections == 0 || s.DroppedEvents == 0 {
		t.Errorf("nothing was dropped: %+v", s)
	}
}

func BenchmarkHistory(b *testing.B) {
	h := newHistory(Limits{Ended: 1000, Bytes: 64 << 20})
	f := newFeed(h)
	b.ReportAllocs()
	conn := uint64(0)
	for b.Loop() {
		conn++
		f.open(conn)
		f.segments(conn, 20)
		f.close(conn)
	}
}

package trace

import (
	"slices"
	"sync"

	"synscope/event"
	"synscope/internal/pack"
)

// A history is the events of one connection so far. It is written by the
// tracer's goroutine and may be read by any.
type history struct {
	mu     sync.Mutex
	packed []*pack.Packed // the first events
	events []*event.Event // those after them
	n      int            // events in both
	size   int            // of their memory, estimated
	more   uint64         // events that found no room
}

// snapshot returns the events so far. Where some are missing, the last one
// counts them.
func (h *history) snapshot() []*event.Event {
	h.mu.Lock()
	packed, events, more := slices.Clone(h.packed), slices.Clone(h.events), h.more
	h.mu.Unlock()
	var es []*event.Event
	for _, p := range packed {
		es = append(es, p.Events()...)
	}
	es = append(es, events...)
	if more > 0 && len(es) > 0 {
		last := *es[len(es)-1]
		last.N += more
		last.View = event.Wire
		last.From = event.NoSide
		last.Body = &event.Gap{Lost: more, What: "events", Reason: "the connection's history was full"}
		es = append(es, &last)
	}
	return es
}

// histories finds the history of the newest connection of a flow.
type histories struct {
	limits *limits
	total  int // sizes of all of them; owned by the tracer's goroutine
	packer pack.Packer

	mu     sync.RWMutex
	byFlow map[event.Flow]*history
}

const (
	// usualEvents is room for those of a handshake.
	usualEvents = 48
	// usualSize is what an event takes, about.
	usualSize = 256
	// fewEvents are so few that they are not packed.
	fewEvents = 24
)

// begin makes the history of a new connection.
func (hs *histories) begin(flow event.Flow) *history {
	h := &history{events: make([]*event.Event, 0, usualEvents)}
	hs.mu.Lock()
	hs.byFlow[flow] = h
	hs.mu.Unlock()
	return h
}

// add appends an event. The first one always finds room.
func (hs *histories) add(h *history, e *event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n > 0 && (h.n >= hs.limits.history || hs.total >= hs.limits.histories) {
		h.more++
		return
	}
	h.events = append(h.events, e)
	h.n++
	hs.resize(h, usualSize)
}

// resize notes that the memory of a history has changed by n bytes.
func (hs *histories) resize(h *history, n int) {
	h.size += n
	hs.total += n
}

// pack packs the events of a history that are not packed. It returns nil if they
// are few, or cannot be.
func (hs *histories) pack(h *history) *pack.Packed {
	events := h.events // nobody else changes it
	if len(events) < fewEvents {
		return nil
	}
	p := hs.packer.Pack(events)
	if p == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.packed, h.events = append(h.packed, p), nil
	hs.resize(h, p.Size()-len(events)*usualSize)
	return p
}

// remove forgets the history of a connection.
func (hs *histories) remove(flow event.Flow, h *history) {
	hs.total -= h.size // nobody else changes it
	hs.mu.Lock()
	if hs.byFlow[flow] == h {
		delete(hs.byFlow, flow)
	}
	hs.mu.Unlock()
}

func (hs *histories) find(flow event.Flow) *history {
	hs.mu.RLock()
	defer hs.mu.RUnlock()
	return hs.byFlow[flow]
}

// Events returns the events so far of the newest connection of a flow, or nil
// if it is not known, as one that has ended is not. It
// may be called from any goroutine; Sync first for all that was observed.
func (t *Tracer) Events(flow event.Flow) []*event.Event {
	h := t.histories.find(flow)
	if h == nil {
		return nil
	}
	return h.snapshot()
}

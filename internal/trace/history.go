package trace

import (
	"sync"

	"synscope/event"
)

// A history is the events of one connection so far. It is written by the
// tracer's goroutine and may be read by any.
type history struct {
	mu     sync.Mutex
	events []*event.Event
	more   uint64 // events that found no room
}

// snapshot returns the events so far. Where some are missing, the last one
// counts them.
func (h *history) snapshot() []*event.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	es := append([]*event.Event(nil), h.events...)
	if h.more > 0 && len(es) > 0 {
		last := *es[len(es)-1]
		last.N += h.more
		last.View = event.Wire
		last.From = event.NoSide
		last.Body = &event.Gap{Lost: h.more, What: "events", Reason: "the connection's history was full"}
		es = append(es, &last)
	}
	return es
}

// histories finds the history of the newest connection of a flow.
type histories struct {
	limits *limits
	total  int // events in all of them; owned by the tracer's goroutine

	mu     sync.RWMutex
	byFlow map[event.Flow]*history
}

// usualEvents is room for those of a handshake.
const usualEvents = 48

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
	if n := len(h.events); n > 0 && (n >= hs.limits.history || hs.total >= hs.limits.histories) {
		h.more++
		return
	}
	h.events = append(h.events, e)
	hs.total++
}

// remove forgets the history of a connection.
func (hs *histories) remove(flow event.Flow, h *history) {
	hs.total -= len(h.events) // nobody else changes it
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

package trace

import (
	"sync"

	"synscope/event"
)

// maxHistory bounds the events that are kept of an open connection. What comes
// beyond still goes to the sinks; the history says how many it lacks.
const maxHistory = 1024

// A history is the events of one connection so far. It is written by the
// tracer's goroutine and may be read by any.
type history struct {
	id uint64

	mu     sync.Mutex
	events []*event.Event
	more   uint64 // events that found no room
}

func (h *history) add(e *event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) >= maxHistory {
		h.more++
		return
	}
	h.events = append(h.events, e)
}

// snapshot returns the events so far. Where some are missing, the last one
// counts them.
func (h *history) snapshot() []*event.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	es := append([]*event.Event(nil), h.events...)
	if h.more > 0 {
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
	histMu sync.RWMutex
	byFlow map[event.Flow]*history
}

func (hs *histories) init() { hs.byFlow = make(map[event.Flow]*history) }

func (hs *histories) add(flow event.Flow, id uint64) *history {
	h := &history{id: id}
	hs.histMu.Lock()
	hs.byFlow[flow] = h
	hs.histMu.Unlock()
	return h
}

func (hs *histories) remove(flow event.Flow, id uint64) {
	hs.histMu.Lock()
	if h := hs.byFlow[flow]; h != nil && h.id == id {
		delete(hs.byFlow, flow)
	}
	hs.histMu.Unlock()
}

// Events returns the events so far of the newest connection of a flow, or nil
// if it is not known. It may be called from any goroutine; Sync first for all
// that was observed.
func (t *Tracer) Events(flow event.Flow) []*event.Event {
	t.histMu.RLock()
	h := t.byFlow[flow]
	t.histMu.RUnlock()
	if h == nil {
		return nil
	}
	return h.snapshot()
}

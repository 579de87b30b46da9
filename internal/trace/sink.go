package trace

import (
	"sync"

	"synscope/event"
)

// A Queue stands between the tracer and a sink that may be slow: a file, a
// terminal, a peer. It is bounded; events that find no room are counted, and a
// trace.gap tells of them where they would have been.
type Queue struct {
	sink  Sink
	flush func() error
	max   int
	wake  chan struct{} // capacity 1
	done  chan struct{}

	mu     sync.Mutex
	events []*event.Event
	lost   uint64
	closed bool
}

// DefaultQueue is the bound on the events of a Queue, about 64 MB of them.
const DefaultQueue = 1 << 17

// NewQueue starts a goroutine that hands events on to sink. Flush, if it is not
// nil, is called whenever the queue has run empty, and before Close returns.
// The queue holds at most max events.
func NewQueue(sink Sink, flush func() error, max int) *Queue {
	q := &Queue{sink: sink, flush: flush, max: max, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Event queues e. It never blocks.
func (q *Queue) Event(e *event.Event) {
	q.mu.Lock()
	if q.closed || len(q.events) >= q.max {
		q.lost++
		q.mu.Unlock()
		return
	}
	if q.lost > 0 {
		q.events = append(q.events, q.gap(e))
		q.lost = 0
	}
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// gap tells of the lost events before e. The lock is held.
func (q *Queue) gap(e *event.Event) *event.Event {
	return &event.Event{Time: e.Time, T: e.T, View: event.Wire, Body: &event.Gap{
		Lost: q.lost, What: "events", Reason: "the sink was too slow",
	}}
}

func (q *Queue) run() {
	defer close(q.done)
	var spare []*event.Event
	for range q.wake {
		q.mu.Lock()
		events := q.events
		q.events = spare
		closed := q.closed
		if closed && q.lost > 0 && len(events) > 0 {
			events = append(events, q.gap(events[len(events)-1]))
		}
		q.mu.Unlock()
		for _, e := range events {
			q.sink.Event(e)
		}
		clear(events)
		spare = events[:0]
		if q.flush != nil {
			q.flush() // the sink reports its own errors
		}
		if closed {
			return
		}
	}
}

// Close hands on what is queued and waits for the goroutine. It must not be
// called before the last call of Event has returned.
func (q *Queue) Close() error {
	q.mu.Lock()
	closed := q.closed
	q.closed = true
	q.mu.Unlock()
	if !closed {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	<-q.done
	return nil
}

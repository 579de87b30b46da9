package trace

import (
	"sync"
	"time"

	"synscope/event"
)

// A Queue stands between the tracer and a sink that may be slow: a file, a
// terminal, a peer. It is bounded; events that find no room are counted, and a
// trace.gap tells of them where they would have been. It belongs to no
// connection and has no ordinal: other sinks may have missed nothing.
type Queue struct {
	sink  Sink
	flush func() error
	max   int
	start time.Time
	*waker
	done chan struct{}

	mu     sync.Mutex
	events []*event.Event
	lost   uint64
	since  time.Time // of the first one lost
	closed bool
}

// DefaultQueue is the bound on the events of a Queue, about 32 MB of them.
const DefaultQueue = 1 << 17

// NewQueue starts a goroutine that hands events on to sink. Flush, if it is not
// nil, is called whenever the queue has run empty, and before Close returns.
// At most max events wait, besides those that are being handed on.
func NewQueue(sink Sink, flush func() error, max int) *Queue {
	q := &Queue{sink: sink, flush: flush, max: max, start: time.Now(), waker: newWaker(), done: make(chan struct{})}
	go q.run()
	return q
}

// Event queues e. It never blocks.
func (q *Queue) Event(e *event.Event) { q.Events([]*event.Event{e}) }

// Events queues several events. It implements BatchSink, and never blocks.
func (q *Queue) Events(es []*event.Event) {
	q.mu.Lock()
	before, taken := len(q.events), 0
	if !q.closed && before < q.max {
		q.tellLost()
		taken = min(max(q.max-len(q.events), 1), len(es)) // one beside the gap
		q.events = append(q.events, es[:taken]...)
	}
	if lost := es[taken:]; len(lost) > 0 {
		if q.lost == 0 {
			q.since = lost[0].Time
		}
		q.lost += uint64(len(lost))
	}
	now := len(q.events)
	q.mu.Unlock()
	switch {
	case before < manyEvents && now >= manyEvents:
		q.hurry()
	case taken > 0:
		q.wake()
	}
}

// tellLost queues a trace.gap if events were lost. The lock is held.
func (q *Queue) tellLost() {
	if q.lost == 0 {
		return
	}
	q.events = append(q.events, &event.Event{
		Time: q.since, T: q.since.Sub(q.start), View: event.Wire,
		Body: &event.Gap{Lost: q.lost, What: "events", Reason: "the sink was too slow"},
	})
	q.lost = 0
}

func (q *Queue) run() {
	defer close(q.done)
	var spare []*event.Event
	for range q.some {
		q.gather()
		q.mu.Lock()
		closed := q.closed
		if closed {
			q.tellLost()
		}
		events := q.events
		q.events = spare
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
		q.hurry()
	}
	<-q.done
	return nil
}

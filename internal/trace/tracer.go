package trace

import (
	"sync"
	"time"

	"synscope/event"
)

// A Tracer makes events of what is observed while it happens. Its exported
// methods may be called from any goroutine.
type Tracer struct {
	q    queue
	quit chan struct{}
	done chan struct{}
	once sync.Once

	*engine             // owned by the run goroutine
	histories histories // for readers on other goroutines
}

// New starts a Tracer.
func New(cfg Config) *Tracer { return newTracer(cfg, defaultLimits) }

func newTracer(cfg Config, l limits) *Tracer {
	t := unstarted(cfg, l)
	go t.run()
	return t
}

// unstarted returns a Tracer whose goroutine does not run.
func unstarted(cfg Config, l limits) *Tracer {
	t := &Tracer{
		quit:   make(chan struct{}),
		done:   make(chan struct{}),
		engine: newEngine(cfg, l, time.Now()),
	}
	t.q.limits, t.q.waker = &t.limits, newWaker()
	t.histories.limits, t.histories.byFlow = &t.limits, make(map[event.Flow]*history)
	t.engine.histories = &t.histories
	return t
}

// Close tells what is queued, ends the connections that are still open with a
// conn.close each, and waits for the tracer's goroutine. Sinks get no event
// after it returns. It is idempotent.
func (t *Tracer) Close() error {
	t.once.Do(func() {
		t.q.close()
		close(t.quit)
	})
	<-t.done
	return nil
}

func (t *Tracer) run() {
	defer close(t.done)
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	var spare []observation
	var more <-chan struct{} // not nil: not all that rest were seen to
	for {
		quit := false
		select {
		case <-t.quit:
			quit = true
		case <-t.q.some:
			t.q.gather()
		case <-tick.C:
			t.now = time.Now()
			t.housekeep()
			more = t.packResting()
		case <-more:
			more = t.packResting()
		}
		t.now = time.Now()
		items, lost := t.q.take(spare)
		for i := range items {
			t.observe(&items[i])
		}
		t.tellLost("packets", lost.packets)
		t.tellLost("observations", lost.observations)
		t.flush()
		clear(items)
		spare = items[:0]
		if quit {
			t.closeAll("shutdown")
			t.flush()
			return
		}
	}
}

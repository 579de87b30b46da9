package trace

import "time"

// gather is how long what was queued waits for more. To wake a goroutine for
// each of the forty things of a handshake costs more than to do them.
const gather = 5 * time.Millisecond

// A waker wakes one goroutine when there is something to do for it, and lets a
// little of it come together first.
type waker struct {
	some chan struct{} // capacity 1: there is something
	now  chan struct{} // capacity 1: it is not to wait

	timer *time.Timer // owned by the goroutine that is woken
}

func newWaker() *waker {
	w := &waker{some: make(chan struct{}, 1), now: make(chan struct{}, 1), timer: time.NewTimer(gather)}
	w.timer.Stop()
	return w
}

// wake says that there is something to do.
func (w *waker) wake() { notify(w.some) }

// hurry is wake for what somebody waits for, or if there is much to do.
func (w *waker) hurry() {
	notify(w.now)
	notify(w.some)
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// gather is to be called after something was received from some.
func (w *waker) gather() {
	w.timer.Reset(gather)
	select {
	case <-w.now:
		w.timer.Stop()
	case <-w.timer.C:
	}
	select { // what says so is gathered
	case <-w.some:
	default:
	}
}

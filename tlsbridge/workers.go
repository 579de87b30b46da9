package tlsbridge

import "sync"

// maxIdleWorkers bounds the goroutines that wait for something to do.
const maxIdleWorkers = 256

// workers are goroutines that serve one connection after the other. A handshake,
// or what is passed on, needs a deep stack, and to grow a new goroutine's costs
// more than to keep one.
type workers struct {
	mu     sync.Mutex
	idle   []chan func() // of those that wait, the last to have worked last
	closed bool

	running sync.WaitGroup
}

// do has a goroutine call f.
func (w *workers) do(f func()) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		next := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		next <- f
		return
	}
	w.mu.Unlock()
	w.running.Go(func() { w.work(f) })
}

func (w *workers) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		f()
		w.mu.Lock()
		if w.closed || len(w.idle) == maxIdleWorkers {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, next)
		w.mu.Unlock()
		f = <-next
	}
}

// close ends the goroutines when they have nothing to do, and waits for that.
// What do is given after it is done too.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	idle := w.idle
	w.idle = nil
	w.mu.Unlock()
	for _, next := range idle {
		next <- nil
	}
	w.running.Wait()
}

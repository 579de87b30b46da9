package stack

import (
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	// sweepInterval is how often the endpoints that are not accepted yet are
	// looked at.
	sweepInterval = 250 * time.Millisecond
	// sweepSoon is how long after a RST a half-open endpoint is looked at:
	// netstack handles the segment on a goroutine of its own.
	sweepSoon = 2 * time.Millisecond
	// maxTimeWait bounds the endpoints in TIME-WAIT, which cost about 5 KB
	// each. The oldest are ended early, as Linux does (tcp_max_tw_buckets).
	maxTimeWait = 16384
)

// A sweeper polls the endpoints whose end netstack does not notify, ends
// half-open ones at their deadline and surplus ones in TIME-WAIT, and closes
// idle listeners. Its goroutine runs until stop.
type sweeper struct {
	stack       *Stack
	maxTimeWait atomic.Int64
	wake        chan struct{} // capacity 1
	quit        chan struct{}
	done        chan struct{}
}

// init makes w ready for soon, which the read loop may call before start.
func (w *sweeper) init(s *Stack) {
	w.stack = s
	w.wake = make(chan struct{}, 1)
	w.quit = make(chan struct{})
	w.done = make(chan struct{})
}

func (w *sweeper) start() { go w.run() }

// soon has the sweeper look again shortly.
func (w *sweeper) soon() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *sweeper) stop() {
	close(w.quit)
	<-w.done
}

func (w *sweeper) run() {
	defer close(w.done)
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	var flows []*flow
	for {
		select {
		case <-w.quit:
			return
		case <-w.wake:
			time.Sleep(sweepSoon)
			flows = w.resets(flows[:0])
		case now := <-tick.C:
			flows = w.all(now, flows[:0])
		}
		clear(flows)
	}
}

// resets polls the half-open endpoints that a RST came for.
func (w *sweeper) resets(buf []*flow) []*flow {
	buf = w.stack.flows.unaccepted(buf)
	for _, f := range buf {
		if f.reset.Load() {
			w.stack.flows.poll(f)
		}
	}
	return buf
}

func (w *sweeper) all(now time.Time, buf []*flow) []*flow {
	s := w.stack
	buf = s.flows.unaccepted(buf)
	halfOpen := make(map[listenerKey]bool)
	for _, f := range buf {
		if f.ep.EndpointState() == tcp.StateSynRecv {
			if now.Sub(f.since) >= s.cfg.HalfOpenTimeout {
				f.explain("half-open deadline", true)
				f.ep.Abort()
			} else {
				halfOpen[listenerKeyOf(f.ev.Server)] = true
			}
		}
		s.flows.poll(f)
	}
	for _, f := range s.flows.surplus(int(w.maxTimeWait.Load())) {
		f.explain("time-wait limit", true)
		f.ep.Abort()
		s.flows.poll(f)
	}
	s.listeners.closeIdle(now.Add(-s.cfg.ListenerIdle), halfOpen)
	return buf
}

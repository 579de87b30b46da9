package trace

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"synscope/event"
)

// lowered returns the default limits, changed.
func lowered(f func(*limits)) limits {
	l := defaultLimits
	f(&l)
	return l
}

// closes returns how the connections ended, by connection.
func (r *recorder) closes() map[uint64]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	how := make(map[uint64]string)
	for _, e := range r.events {
		if c, ok := e.Body.(*event.Close); ok {
			how[e.Conn] += c.How
		}
	}
	return how
}

// size returns what the tracer keeps. It has closed before.
func size(tr *Tracer) int {
	return len(tr.conns) + len(tr.byEndpoint) + len(tr.waiting) + len(tr.histories.byFlow) +
		tr.all.Len() + tr.awake.Len() + tr.embryonic.Len() + tr.halfOpen.Len() + tr.ended.Len() + tr.heldBytes + tr.histories.total
}

// When there are more connections than are followed, the one that was silent
// for longest gives way, with a conn.close that says so.
func TestConnectionLimit(t *testing.T) {
	tr, events := newTestTracer(t, lowered(func(l *limits) { l.conns = 3 }))
	w := newWire(t, tr)
	wires := []*wire{w, w.another(1), w.another(2), w.another(3)}
	for _, w := range wires[:3] {
		w.connect()
	}
	wires[0].client(event.ACK, "") // so the second was silent for longest
	wires[3].connect()
	w.sync()
	if how := events.closes(); len(how) != 1 || how[2] != "evicted" {
		t.Errorf("closed: %v, want the second alone, evicted", how)
	}
	if tr.Events(wires[1].flow) != nil {
		t.Error("the history of an evicted connection is kept")
	}
	tr.Close()
	if n := size(tr); n != 0 {
		t.Errorf("%d things left after Close", n)
	}
}

// In a SYN flood the oldest handshakes give way, those without an endpoint
// before those that have one; complete ones do not.
func TestHandshakeLimits(t *testing.T) {
	tr, events := newTestTracer(t, lowered(func(l *limits) { l.embryonic, l.halfOpen = 2, 3 }))
	w := newWire(t, tr)
	w.connect()               // 1
	for i := 1; i <= 4; i++ { // 2 to 5
		w := w.another(i)
		w.client(event.SYN, "")
		w.server(event.SYN|event.ACK, "")
		w.becomes(event.StateSynReceived, "")
	}
	for i := 5; i <= 7; i++ { // 6 to 8
		w.another(i).client(event.SYN, "")
	}
	w.sync()
	how := events.closes()
	if len(how) != 2 || how[2] != "evicted" || how[6] != "evicted" {
		t.Errorf("closed: %v, want 2 and 6, evicted", how)
	}
}

// The histories are bounded, each and together. What they lack is counted.
func TestHistoryLimits(t *testing.T) {
	tr, events := newTestTracer(t, lowered(func(l *limits) { l.history, l.histories = 10, 12*usualSize }))
	w := newWire(t, tr)
	w.connect() // 8 events
	for range 5 {
		w.client(event.ACK, "")
	}
	second := w.another(1)
	second.connect()
	w.sync()
	for _, tt := range []struct {
		w          *wire
		kept, lost int
	}{{w, 10, 3}, {second, 2, 6}} {
		es := tr.Events(tt.w.flow)
		if len(es) != tt.kept+1 {
			t.Fatalf("%d events, want %d and a gap", len(es), tt.kept)
		}
		last := es[tt.kept]
		gap, ok := last.Body.(*event.Gap)
		if !ok || gap.Lost != uint64(tt.lost) || gap.What != "events" || last.N != uint64(tt.kept+tt.lost) {
			t.Errorf("last event %+v %+v, want a gap of %d", last, last.Body, tt.lost)
		}
	}
	if n := len(events.of(1)); n != 13 {
		t.Errorf("the sink got %d events, want all 13", n)
	}
}

// A gate is a sink that stops the tracer's goroutine.
type gate struct{ reached, open chan struct{} }

func (g gate) Event(*event.Event) {
	select {
	case g.reached <- struct{}{}:
	case <-g.open:
	}
	<-g.open
}

// What finds no room in the queue is counted, by what it was.
func TestQueueLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits limits
	}{
		{"number", lowered(func(l *limits) { l.queuedPackets, l.queuedOthers = 2, 3 })},
		{"bytes", lowered(func(l *limits) { l.queuedBytes, l.queuedOthers = 2*bufferSizes[0], 3 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, g := newRecorder(t), gate{make(chan struct{}), make(chan struct{})}
			tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r, g}}, tt.limits)
			defer tr.Close()
			w := newWire(t, tr)
			tr.Tell(&event.Device{Name: "test0", Change: "up"})
			<-g.reached // now the tracer's goroutine waits in the sink
			for range 5 {
				w.client(event.ACK, "")
			}
			for range 7 {
				tr.Tell(&event.Device{Name: "test0", Change: "down"})
			}
			if w.frame != 5 {
				t.Errorf("frame %d, want 5: also those that were lost count", w.frame)
			}
			// A barrier still finds room, and the tracer goes on.
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := tr.Sync(ctx); err != context.Canceled {
				t.Errorf("Sync: %v", err)
			}
			close(g.open)
			w.sync() // the gaps are told after what was queued
			w.sync()
			r.want(0, `
				device test0 up
				device test0 down
				device test0 down
				device test0 down
				gap 3 packets: the tracer's queue was full
				gap 4 observations: the tracer's queue was full`)
			if n := len(r.of(1)); n != 3 {
				t.Errorf("%d events of the two packets that found room", n)
			}
		})
	}
}

// Long packets count with their whole buffer.
func TestBufferSizes(t *testing.T) {
	for _, n := range []int{1, 40, 256, 257, 1500, 9000, 65535} {
		p := copyPacket(&event.Packet{Views: [][]byte{make([]byte, n/2), make([]byte, n-n/2)}, Len: n})
		if len(p.buf) != n || cap(p.buf) < n {
			t.Errorf("%d bytes copied as %d of %d", n, len(p.buf), cap(p.buf))
		}
		p.release()
	}
}

// A packet is held if it is long, and not much shorter than the memory it is in.
func TestWorthHolding(t *testing.T) {
	for _, tt := range []struct {
		length, memory int
		held           bool
	}{{2048, 2048, false}, {2049, 2049, true}, {10_000, 20_000, true}, {10_000, 20_001, false}, {65535, 65535, true}} {
		m := &testMemory{t: t}
		p := keepPacket(&event.Packet{Views: [][]byte{make([]byte, tt.length, tt.memory)}, Len: tt.length, Memory: m})
		if held := m.refs.Load() == 1; held != tt.held || len(p.rest) > 0 != tt.held {
			t.Errorf("%d bytes in %d: held %t, want %t", tt.length, tt.memory, held, tt.held)
		}
		p.release()
		if m.refs.Load() != 0 {
			t.Errorf("%d bytes in %d are still held", tt.length, tt.memory)
		}
	}
}

// housekept runs f in a bubble of time, with a tracer that is closed at its end.
func housekept(t *testing.T, f func(t *testing.T, w *wire, events *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t)
		tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r}}, defaultLimits)
		w := newWire(t, tr)
		w.forgotten = new(atomic.Int32)
		tr.engine.forgotten = func(uint64) { w.forgotten.Add(1) }
		f(t, w, r)
		tr.Close()
		if n := size(tr); n != 0 {
			t.Errorf("%d things left after Close", n)
		}
	})
}

// sleep lets time pass, and the tracer see to it.
func sleep(d time.Duration) {
	time.Sleep(d + housekeeping)
	synctest.Wait()
}

// known reports whether the one connection that there was is followed still.
func (w *wire) known() bool { return w.forgotten.Load() == 0 }

// A connection that ended is known for a short while, for stray segments.
func TestLinger(t *testing.T) {
	housekept(t, func(t *testing.T, w *wire, events *recorder) {
		w.connect()
		w.reset()
		w.client(event.RST, "")
		sleep(0)
		if !w.known() {
			t.Fatal("forgotten at once")
		}
		if w.Events(w.flow) != nil {
			t.Error("its events are kept")
		}
		es := events.of(1)
		if got := line(es[len(es)-1]); got != "client RST" {
			t.Errorf("last event: %s, want the stray segment", got)
		}
		sleep(defaultLimits.linger)
		if w.known() {
			t.Error("still known")
		}
	})
}

// A connection in TIME-WAIT is known until that ends, but not for ever, should
// the word of it have been lost.
func TestTimeWait(t *testing.T) {
	timeWait := func(w *wire) {
		w.connect()
		w.server(event.ACK|event.FIN, "")
		w.becomes(event.StateFinWait1, "close")
		w.client(event.ACK|event.FIN, "")
		w.server(event.ACK, "")
		w.becomes(event.StateTimeWait, "")
	}
	housekept(t, func(t *testing.T, w *wire, events *recorder) {
		timeWait(w)
		sleep(time.Minute)
		w.becomes(event.StateClosed, "")
		sleep(0)
		es := events.of(1)
		if got := line(es[len(es)-1]); got != "endpoint server TIME-WAIT > CLOSED: timer TIME-WAIT" {
			t.Errorf("last event: %s", got)
		}
		if w.known() {
			t.Error("still known after TIME-WAIT")
		}
	})
	housekept(t, func(t *testing.T, w *wire, events *recorder) {
		timeWait(w)
		sleep(maxTimeWait - time.Second)
		if !w.known() {
			t.Error("forgotten in TIME-WAIT")
		}
		sleep(time.Second)
		if w.known() {
			t.Error("still known")
		}
	})
}

// A SYN that nothing came of, and a connection that fell silent for good.
func TestSilentConnections(t *testing.T) {
	housekept(t, func(t *testing.T, w *wire, events *recorder) {
		w.client(event.SYN, "")
		w.another(1).connect()
		w.another(2).client(event.ACK, "") // of a connection that is not known
		half := w.another(3)
		half.client(event.SYN, "")
		half.becomes(event.StateSynReceived, "") // its end is netstack's affair
		sleep(embryonicTimeout - time.Second)
		if how := events.closes(); len(how) != 0 {
			t.Errorf("closed: %v, want none", how)
		}
		sleep(time.Second)
		if how := events.closes(); len(how) != 2 || how[1] != "timeout" || how[3] != "timeout" {
			t.Errorf("closed: %v, want 1 and 3, by timeout", how)
		}
		sleep(idleTimeout)
		if how := events.closes(); len(how) != 4 || how[2] != "evicted" || how[4] != "evicted" {
			t.Errorf("closed: %v, want also 2 and 4, evicted", how)
		}
	})
}

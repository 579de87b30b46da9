package trace

import (
	"context"
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// A testMemory is memory that is overwritten when nobody holds it any more.
type testMemory struct {
	t     *testing.T
	refs  atomic.Int32
	bytes []byte
}

func (m *testMemory) Hold() { m.refs.Add(1) }

func (m *testMemory) Release() {
	switch n := m.refs.Add(-1); {
	case n == 0:
		for i := range m.bytes {
			m.bytes[i] = 0xaa
		}
	case n < 0:
		m.t.Error("memory is released more often than it was held")
	}
}

// A superWire tells of super-packets, in views of netstack's sizes.
type superWire struct {
	*wire
	hold     bool // or the tracer has to copy
	memories []*testMemory
}

// super returns the next packet of a side, with up to 60,000 bytes that it takes
// from payload.
func (w *superWire) super(from event.Side, flags event.Flags, payload *string) []byte {
	n := min(len(*payload), 60_000)
	b := w.packet(from, flags, (*payload)[:n])
	*payload = (*payload)[n:]
	w.seq[from] += uint32(n)
	if flags.Has(event.FIN) {
		w.seq[from]++
	}
	return b
}

func (w *superWire) tell(from event.Side, b []byte) {
	w.now = w.now.Add(time.Millisecond)
	p := &event.Packet{Time: w.now, From: from, Len: len(b), SegmentSize: 1448, PartialChecksum: true}
	size := 2048
	if from == event.Server {
		size = 40
	}
	for rest := b; len(rest) > 0; size = 16 << 10 {
		size = min(size, len(rest))
		p.Views = append(p.Views, rest[:size:size])
		rest = rest[size:]
	}
	m := &testMemory{t: w.t.(*testing.T), bytes: b}
	m.Hold()
	if w.hold {
		p.Memory = m
	}
	w.frame = w.Packet(p)
	m.Release()
	w.memories = append(w.memories, m)
}

// flight tells of all that a side says, each packet of which is acknowledged.
func (w *superWire) flight(from event.Side, payload string) {
	for len(payload) > 0 {
		w.tell(from, w.super(from, event.ACK|event.PSH, &payload))
		w.send(from.Peer(), event.ACK, "")
	}
}

// released checks that nothing is held any more.
func (w *superWire) released() {
	w.t.Helper()
	for i, m := range w.memories {
		if n := m.refs.Load(); n != 0 {
			w.t.Errorf("packet %d of %d bytes is held %d times", i, len(m.bytes), n)
		}
	}
}

// A captured keeps what a capture is given.
type captured struct{ packets []string }

func (c *captured) Packet(frame, conn uint64, p event.Packet) {
	var b strings.Builder
	for _, v := range p.Views {
		b.Write(v)
	}
	if b.Len() != p.Len {
		b.WriteString("of another length")
	}
	c.packets = append(c.packets, b.String())
}

func (*captured) Secret(uint64, tlswire.Secret) {}
func (*captured) Ready(uint64)                  {}

// What is told of packets that are held is what is told of their copies, and each
// is let go of: whether they come in order or not, wait for a key, are the first
// that a side says, or are of no connection.
func TestHeldPackets(t *testing.T) {
	long := strings.Repeat("It is only a lot of text. ", 8000)
	session12, session13 := recordAnswer(t, tls.VersionTLS12, 300_000), recordAnswer(t, tls.VersionTLS13, 300_000)
	session := func(s *session, late bool) func(*superWire) {
		return func(w *superWire) {
			w.connect()
			w.TLSStart(w.flow)
			last := len(s.flights) - 1
			for i, f := range s.flights {
				if i == last && !late || i == last+1 {
					s.tellKeys(t, w.wire)
				}
				w.flight(f.from, f.data)
			}
			if late {
				s.tellKeys(t, w.wire)
			}
			w.TLSEnd(w.flow, nil)
			w.reset()
		}
	}
	for name, f := range map[string]func(*superWire){
		"TLS 1.3":                session(session13, false),
		"TLS 1.3, the keys late": session(session13, true),
		"TLS 1.2":                session(session12, false),
		"TLS 1.2, the keys late": session(session12, true),
		"text": func(w *superWire) {
			w.connect()
			w.flight(event.Client, long)
			w.flight(event.Server, "HTTP/1.0 400 Bad Request\r\n\r\n"+long+"The plain HTTP request was sent to HTTPS port")
			rest := long
			for len(rest) > 60_000 {
				w.tell(event.Server, w.super(event.Server, event.ACK, &rest))
			}
			w.tell(event.Server, w.super(event.Server, event.ACK|event.FIN, &rest))
			w.reset()
		},
		"lost and sent again": func(w *superWire) {
			w.connect()
			w.client(event.ACK|event.PSH, "get")
			w.server(event.ACK|event.PSH, "ok")
			rest := long
			var packets [][]byte
			for len(rest) > 0 {
				packets = append(packets, w.super(event.Server, event.ACK, &rest))
			}
			for _, i := range []int{1, 0, 0, 3, 2, 1} {
				w.tell(event.Server, append([]byte(nil), packets[i]...))
			}
			w.reset()
		},
		"of no connection": func(w *superWire) {
			payload := long
			b := w.super(event.Client, event.ACK, &payload)
			b[9] = 17 // UDP
			w.tell(event.Client, b)
		},
		"left open": func(w *superWire) {
			w.connect()
			w.TLSStart(w.flow)
			for _, f := range session13.flights {
				w.flight(f.from, f.data)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1_800_000_000, 0)
			told := func(hold bool) (events, packets []string) {
				r, c := newRecorder(t), new(captured)
				tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r}, Capture: c}, defaultLimits)
				tr.start = start
				w := &superWire{wire: newWire(t, tr), hold: hold}
				w.now = start
				f(w)
				tr.Close()
				w.released()
				for _, e := range r.json {
					_, e, _ = strings.Cut(e, ",") // without the time, which is that of the clock at the end
					events = append(events, e)
				}
				return events, c.packets
			}
			events, packets := told(false)
			heldEvents, heldPackets := told(true)
			if diff := cmp.Diff(events, heldEvents); diff != "" {
				t.Errorf("events (-copied +held):\n%s", diff)
			}
			if diff := cmp.Diff(packets, heldPackets); diff != "" {
				t.Error("the capture is given other packets")
			}
		})
	}
}

// Long packets are held, and those for which there is no room are let go.
func TestQueueHolds(t *testing.T) {
	r, g := newRecorder(t), gate{make(chan struct{}), make(chan struct{})}
	tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r, g}}, lowered(func(l *limits) { l.queuedBytes = 150_000 }))
	defer tr.Close()
	w := &superWire{wire: newWire(t, tr), hold: true}
	tr.Tell(&event.Device{Name: "test0", Change: "up"})
	<-g.reached
	payload := strings.Repeat("x", 300_000)
	for len(payload) > 0 {
		w.tell(event.Server, w.super(event.Server, event.ACK, &payload))
	}
	var held []bool
	for _, m := range w.memories {
		held = append(held, m.refs.Load() == 1)
	}
	if diff := cmp.Diff([]bool{true, true, false, false, false}, held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	close(g.open)
	w.sync()
	w.released()
	if err := tr.Sync(context.Background()); err != nil {
		t.Error(err)
	}
	r.want(0, `
		device test0 up
		gap 3 packets: the tracer's queue was full`)
}

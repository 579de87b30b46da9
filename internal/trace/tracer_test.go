package trace

import (
	"testing"
	"time"

	"synscope/event"
)

// A connection is told from the SYN to the end of TIME-WAIT. Our endpoint's
// states are its own, the client's are inferred.
func TestConnection(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	w.client(event.ACK|event.PSH, "hello")
	w.server(event.ACK|event.FIN, "")
	w.becomes(event.StateFinWait1, "shutdown")
	w.client(event.ACK, "")
	w.becomes(event.StateFinWait2, "")
	w.client(event.ACK|event.FIN, "")
	w.server(event.ACK, "")
	w.becomes(event.StateTimeWait, "")
	w.becomes(event.StateClosed, "")
	w.sync()
	events.want(1, connected+`
		client PSH ACK 5 bytes
		client tls undecoded: not tls
		server FIN ACK
		endpoint server ESTABLISHED > FIN-WAIT-1: call shutdown
		client ACK
		wire client ESTABLISHED > CLOSE-WAIT: segment 11
		endpoint server FIN-WAIT-1 > FIN-WAIT-2: segment 13
		client FIN ACK
		wire client CLOSE-WAIT > LAST-ACK: call close
		server ACK
		wire client LAST-ACK > CLOSED: segment 18
		endpoint server FIN-WAIT-2 > TIME-WAIT: segment 16
		close fin server
		endpoint server TIME-WAIT > CLOSED: timer TIME-WAIT`)
	es := events.of(1)
	open := es[0].Body.(*event.Open)
	if open.Client != testFlow.Client || open.Server != testFlow.Server || open.Device != "test0" {
		t.Errorf("conn.open: %+v", open)
	}
	c := es[len(es)-2].Body.(*event.Close)
	if c.BytesClient != 5 || c.BytesServer != 0 || c.SegmentsSeen != 8 || !c.HandshakeDone || c.TCPHandshake <= 0 {
		t.Errorf("conn.close: %+v", c)
	}
}

// What our endpoint went through between two looks at it is told as well, where
// RFC 9293 leaves only one way.
func TestUnseenStates(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.client(event.SYN, "")
	w.server(event.SYN|event.ACK, "")
	w.client(event.ACK, "")
	w.client(event.ACK|event.FIN, "")
	w.server(event.ACK|event.FIN, "")
	w.becomes(event.StateSynReceived, "")
	w.becomes(event.StateLastAck, "")
	w.client(event.ACK, "")
	w.becomes(event.StateClosed, "")
	w.sync()
	events.want(1, `
		open
		client SYN
		wire client CLOSED > SYN-SENT: call connect
		server SYN ACK
		client ACK
		wire client SYN-SENT > ESTABLISHED: segment 4
		client FIN ACK
		wire client ESTABLISHED > FIN-WAIT-1: call close
		server FIN ACK
		wire client FIN-WAIT-1 > FIN-WAIT-2: segment 9
		endpoint server LISTEN > SYN-RECEIVED: segment 2
		endpoint server SYN-RECEIVED > ESTABLISHED: segment 5
		endpoint server ESTABLISHED > CLOSE-WAIT: segment 7
		endpoint server CLOSE-WAIT > LAST-ACK: call close
		client ACK
		wire client FIN-WAIT-2 > TIME-WAIT: segment 9
		endpoint server LAST-ACK > CLOSED: segment 15
		close fin client`)
}

// With a SYN cookie there is no SYN-RECEIVED to be told.
func TestSYNCookie(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.client(event.SYN, "")
	b := w.packet(event.Server, event.SYN|event.ACK, "")
	w.frame = tr.Packet(&event.Packet{Time: w.now, From: event.Server, Views: [][]byte{b}, Len: len(b), SYNCookie: true})
	w.seq[event.Server]++
	w.client(event.ACK, "")
	w.becomes(event.StateEstablished, "")
	w.reset()
	w.sync()
	events.want(1, `
		open
		client SYN
		wire client CLOSED > SYN-SENT: call connect
		server SYN ACK, cookie
		client ACK
		wire client SYN-SENT > ESTABLISHED: segment 4
		endpoint server LISTEN > ESTABLISHED: segment 5
		client RST
		wire client ESTABLISHED > CLOSED: segment 8
		endpoint server ESTABLISHED > CLOSED: segment 8
		close rst client`)
}

// Each end of our endpoint has its cause: a segment, a call, a deadline, or,
// where nothing else explains it, the retransmission timer.
func TestCauseOfEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(w *wire)
		cause string // of the last state
		close string
	}{
		{"reset", func(w *wire) { w.connect(); w.reset() }, "segment 9", "close rst client"},
		{"abort", func(w *wire) {
			w.connect()
			w.server(event.RST|event.ACK, "")
			w.becomes(event.StateClosed, "abort: idle")
		}, "call abort: idle", "close rst server"},
		{"half-open deadline", func(w *wire) {
			w.client(event.SYN, "")
			w.server(event.SYN|event.ACK, "")
			w.becomes(event.StateSynReceived, "")
			w.becomes(event.StateClosed, "half-open deadline")
		}, "timer half-open deadline", "close timeout"},
		{"no acknowledgement", func(w *wire) { w.connect(); w.becomes(event.StateClosed, "") }, "timer retransmission", "close timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, events := newTestTracer(t, defaultLimits)
			w := newWire(t, tr)
			tt.do(w)
			w.sync()
			es := events.of(1)
			if len(es) < 2 {
				t.Fatalf("%d events", len(es))
			}
			s, ok := es[len(es)-2].Body.(*event.TCPState)
			if !ok || s.New != event.StateClosed || s.Cause.String() != tt.cause {
				t.Errorf("%s, want the cause %s", line(es[len(es)-2]), tt.cause)
			}
			if got := line(es[len(es)-1]); got != tt.close {
				t.Errorf("%s, want %s", got, tt.close)
			}
		})
	}
}

// A SYN in TIME-WAIT begins another connection of the same flow. The old
// endpoint is still to say that it is gone.
func TestReuseOfFlow(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	w.server(event.ACK|event.FIN, "")
	w.becomes(event.StateFinWait1, "close")
	w.client(event.ACK|event.FIN, "")
	w.server(event.ACK, "")
	w.becomes(event.StateTimeWait, "")
	old := *w
	w.seq[event.Client] += 100_000
	w.endpoint, w.state = 2, event.StateListen
	w.client(event.SYN, "")
	old.becomes(event.StateClosed, "")
	w.server(event.SYN|event.ACK, "")
	w.becomes(event.StateSynReceived, "")
	w.client(event.ACK, "")
	w.becomes(event.StateEstablished, "")
	w.sync()
	events.want(2, connected)
	es := events.of(1)
	const want = "endpoint server TIME-WAIT > CLOSED: segment SYN of a new connection"
	if got := line(es[len(es)-1]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if es := tr.Events(testFlow); len(es) == 0 || es[0].Conn != 2 {
		t.Errorf("Events does not return the newer connection: %v", es)
	}
}

// A SYN that got no answer is given up when the client tries with a new number.
func TestNewSYNAfterNoAnswer(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.client(event.SYN, "")
	w.seq[event.Client] += 1000
	w.connect()
	w.sync()
	events.want(1, `
		open
		client SYN
		wire client CLOSED > SYN-SENT: call connect
		close timeout`)
	events.want(2, connected)
}

// A damaged segment is told and not believed, and its drop refers to it.
func TestBadChecksum(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	b := w.packet(event.Client, event.ACK|event.PSH, "\x16hello")
	b[len(b)-1] ^= 1
	w.tell(event.Client, b)
	w.drop(event.Client, "bad checksum", false)
	w.client(event.ACK|event.PSH, "hello")
	w.sync()
	events.want(1, connected+`
		client PSH ACK 6 bytes, damaged
		drop segment 9: bad checksum
		client PSH ACK 5 bytes
		client tls undecoded: not tls`)
}

// A SYN that is not answered is all of its connection. When it is sent again it
// is decided on again, and is another connection.
func TestDroppedSYN(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	syn := w.packet(event.Client, event.SYN, "")
	w.tell(event.Client, append([]byte(nil), syn...))
	w.drop(event.Client, "silence by policy", true)
	w.client(event.SYN, "")
	w.server(event.SYN|event.ACK, "")
	w.becomes(event.StateSynReceived, "")
	w.client(event.ACK, "")
	w.becomes(event.StateEstablished, "")
	w.sync()
	events.want(1, `
		open
		client SYN
		wire client CLOSED > SYN-SENT: call connect
		drop segment 2: silence by policy
		close dropped`)
	events.want(2, connected)
}

// A drop of a segment that is not the last one of its side is told without
// saying which it was.
func TestDropOfOlderSegment(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	w.frame--
	w.drop(event.Client, "no timestamp option", false)
	w.sync()
	events.want(1, connected+"drop segment 0: no timestamp option")
}

// The client refuses to wait: a RST answers its SYN.
func TestRefused(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.client(event.SYN, "")
	w.seq[event.Server] = 0
	w.server(event.RST|event.ACK, "")
	w.sync()
	events.want(1, `
		open
		client SYN
		wire client CLOSED > SYN-SENT: call connect
		server RST ACK
		wire client SYN-SENT > CLOSED: segment 4
		close refused server`)
}

// Where the first segments were not seen, nothing is guessed of what follows.
func TestMidStream(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.client(event.ACK|event.PSH, "\x16\x03\x01\x00\x05hello")
	w.server(event.ACK|event.PSH, "more")
	w.sync()
	events.want(1, `
		open in mid-stream
		client PSH ACK 10 bytes
		client tls undecoded: gap
		server PSH ACK 4 bytes`)
}

// What belongs to no connection is numbered on its own.
func TestWithoutConnection(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	tr.Unreachable(time.Now(), &event.Unreachable{Src: "198.51.100.7", Dst: "203.0.113.1", Protocol: "icmp", Reason: "address outside the served prefixes"})
	tr.Tell(&event.Device{Name: "test0", Change: "down"})
	// None of these makes a connection: a stray packet, no packet, a state
	// and a drop of no known connection.
	b := w.packet(event.Client, event.SYN, "")
	tr.Packet(&event.Packet{Time: w.now, From: event.Client, Views: [][]byte{b}, Len: len(b), Stray: true})
	tr.Packet(&event.Packet{Time: w.now, From: event.Client, Views: [][]byte{{0x45}}, Len: 1})
	w.becomes(event.StateSynReceived, "")
	w.drop(event.Client, "bad checksum", false)
	w.sync()
	events.want(0, `
		unreachable icmp 198.51.100.7 > 203.0.113.1: address outside the served prefixes
		device test0 down`)
	if n := len(events.events); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// The payload of a segment that came too early is told in order, though the
// packet's buffer is long in use for another.
func TestReassemblyCopies(t *testing.T) {
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	first := w.packet(event.Client, event.ACK|event.PSH, "GET / ")
	w.seq[event.Client] += 6
	w.client(event.ACK|event.PSH, "HTTP/1.1\r\n")
	for i := range 100 {
		w.another(1+i).client(event.SYN, "") // takes the pooled buffers
	}
	w.tell(event.Client, first)
	w.sync()
	for _, e := range events.of(1) {
		if u, ok := e.Body.(*event.Undecoded); ok {
			if got := string(u.First); got != "GET / " {
				t.Errorf("first bytes are %q", got)
			}
			return
		}
	}
	t.Error("the first bytes were not told")
}

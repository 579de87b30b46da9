package stack

import (
	"io"
	"testing"
	"time"

	"synscope/event"
)

const (
	syn    = event.SYN
	ack    = event.ACK
	fin    = event.FIN
	rst    = event.RST
	synAck = event.SYN | event.ACK
	finAck = event.FIN | event.ACK
	rstAck = event.RST | event.ACK
)

// endpointPairs are a client and a server of each family.
var endpointPairs = map[string]event.Flow{
	"IPv4": {Client: client4, Server: server4},
	"IPv6": {Client: client6, Server: server6},
}

// The stories of RFC 9293, section 3.6, and figures 5 and 12 to 14, from SYN to
// CLOSED: what our endpoint does is the complete list of states.
func TestStates(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		play func(c *rawConn)
		want []string
	}{
		{"the client closes", Config{}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			c.send(finAck, "")
			c.want(ack, "")
			s.Close()
			c.want(finAck, "")
			c.send(ack, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK (close)", "CLOSED"}},

		{"the client closes before it is accepted", Config{}, func(c *rawConn) {
			c.handshake()
			c.send(finAck, "")
			c.want(ack, "")
			c.accept().Close()
			c.want(finAck, "")
			c.send(ack, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK (close)", "CLOSED"}},

		{"the server closes", Config{TimeWait: 50 * time.Millisecond}, func(c *rawConn) {
			c.handshake()
			c.accept().Close()
			c.want(finAck, "")
			c.send(ack, "")
			c.send(finAck, "")
			c.want(ack, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"}},

		{"the client's FIN acknowledges the server's", Config{TimeWait: 50 * time.Millisecond}, func(c *rawConn) {
			c.handshake()
			c.accept().Close()
			c.want(finAck, "")
			c.send(finAck, "")
			c.want(ack, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT", "CLOSED"}},

		{"both close at once", Config{TimeWait: 50 * time.Millisecond}, func(c *rawConn) {
			c.handshake()
			c.accept().Close()
			crossing := c.segment(finAck, "")
			c.want(finAck, "")
			c.inject(crossing.packet())
			c.snd++
			c.want(ack, "")
			c.send(ack, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "CLOSING", "TIME-WAIT", "CLOSED"}},

		{"the server closes its half first", Config{TimeWait: 50 * time.Millisecond}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			s.CloseWrite()
			c.want(finAck, "")
			c.send(ack, "")
			c.send(ack|event.PSH, "still here")
			c.want(ack, "")
			c.wantRead(s, "still here")
			c.send(finAck, "")
			c.want(ack, "")
			s.Close()
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (shutdown)", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"}},

		{"the client closes its half first", Config{}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			c.send(finAck, "")
			c.want(ack, "")
			if _, err := s.Write([]byte("still here")); err != nil {
				c.t.Error(err)
			}
			c.want(ack, "still here")
			c.send(ack, "")
			s.Close()
			c.want(finAck, "")
			c.send(ack, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK (close)", "CLOSED"}},

		{"the server closes with data unread", Config{}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			c.send(ack|event.PSH, "unread")
			c.want(ack, "")
			s.Close()
			c.want(rstAck, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSED (close)"}},

		{"RST in SYN-RECEIVED", Config{}, func(c *rawConn) {
			c.send(syn, "")
			c.want(synAck, "")
			c.send(rst, "")
		}, []string{"SYN-RECEIVED", "CLOSED"}},

		{"RST in ESTABLISHED", Config{}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			c.send(rst, "")
			c.wantRead(s, "")
			s.Close()
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSED"}},

		{"RST in CLOSE-WAIT", Config{}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			c.send(finAck, "")
			c.want(ack, "")
			c.send(rst, "")
			c.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "CLOSED")
			s.Close()
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "CLOSED"}},

		{"RST in FIN-WAIT-2", Config{}, func(c *rawConn) {
			c.handshake()
			c.accept().Close()
			c.want(finAck, "")
			c.send(ack, "")
			c.send(rst, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "FIN-WAIT-2", "CLOSED"}},

		{"RST in TIME-WAIT is ignored (RFC 1337)", Config{TimeWait: 50 * time.Millisecond}, func(c *rawConn) {
			c.handshake()
			c.accept().Close()
			c.want(finAck, "")
			c.send(finAck, "")
			c.want(ack, "")
			c.send(rst, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT", "CLOSED"}},

		{"the server aborts", Config{}, func(c *rawConn) {
			c.handshake()
			c.accept().Abort("as asked")
			c.want(rstAck, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: as asked)"}},

		{"the server aborts in CLOSE-WAIT", Config{}, func(c *rawConn) {
			c.handshake()
			s := c.accept()
			c.send(finAck, "")
			c.want(ack, "")
			s.Abort("as asked")
			c.want(rstAck, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "CLOSED (abort: as asked)"}},

		{"the handshake is never completed", Config{HalfOpenTimeout: 50 * time.Millisecond}, func(c *rawConn) {
			c.send(syn, "")
			c.want(synAck, "")
		}, []string{"SYN-RECEIVED", "CLOSED (timer: half-open deadline)"}},

		{"the SYN is sent again, as the SYN-ACK was lost", Config{}, func(c *rawConn) {
			c.send(syn, "")
			first := c.want(synAck, "")
			c.snd--
			c.send(syn, "") // netstack answers with its SYN-ACK or an ACK
			if again := c.read(); again.Ack != first.Ack {
				c.t.Errorf("the second answer acknowledges %d, want %d as the first", again.Ack, first.Ack)
			}
			c.send(ack, "")
			c.accept().Abort("enough")
			c.want(rstAck, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: enough)"}},

		{"the SYN-ACK is sent again, as the ACK was lost", Config{}, func(c *rawConn) {
			c.send(syn, "")
			first := c.want(synAck, "")
			if again := c.read(); again.Flags != synAck || again.Seq != first.Seq {
				c.t.Errorf("[%v] %d was sent, want the SYN-ACK again", again.Flags, again.Seq)
			}
			c.send(ack, "")
			c.accept().Abort("enough")
			c.want(rstAck, "")
		}, []string{"SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: enough)"}},
	}
	for _, tt := range tests {
		for family, flow := range endpointPairs {
			t.Run(tt.name+" "+family, func(t *testing.T) {
				t.Parallel()
				c := newRawHost(t, tt.cfg).conn(flow.Client, flow.Server)
				tt.play(c)
				c.rec.wantStates(c.flow, 1, tt.want...)
				if n := c.stack.Stats(); n.Endpoints != 0 || n.Open != 0 {
					t.Errorf("of the endpoint is left: %+v", n)
				}
			})
		}
	}
}

// handshake opens the connection.
func (c *rawConn) handshake() {
	c.t.Helper()
	c.send(syn, "")
	c.want(synAck, "")
	c.send(ack, "")
}

// wantRead reads what there is, until the end of the stream or an error where
// nothing is wanted.
func (c *rawConn) wantRead(s *Conn, want string) {
	c.t.Helper()
	b := make([]byte, len(want)+1)
	n, err := s.Read(b)
	if string(b[:n]) != want || (want == "") != (err != nil && err != io.EOF) {
		c.t.Errorf("Read = %q, %v; want %q", b[:n], err, want)
	}
}

// A SYN that arrives in TIME-WAIT with a greater sequence number opens the
// connection anew (RFC 1122, section 4.2.2.13).
func TestFlowIsUsedAgainInTimeWait(t *testing.T) {
	h := newRawHost(t, Config{})
	c := h.open(client4, server4)
	h.accept().Close()
	c.want(finAck, "")
	c.send(finAck, "")
	c.want(ack, "")

	c.snd += 100_000
	c.handshake()
	if got := h.accept().Flow(); got != c.flow {
		t.Errorf("the second connection is %v, want %v", got, c.flow)
	}
	c.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT", "CLOSED")
	c.rec.wantStates(c.flow, 2, "SYN-RECEIVED", "ESTABLISHED")
}

// Each packet is told before what netstack makes of it, each segment of ours
// with the state that it is sent in.
func TestOrder(t *testing.T) {
	h := newRawHost(t, Config{})
	c := h.open(client4, server4)
	s := h.accept()
	c.send(ack|event.PSH, "ping")
	c.want(ack, "")
	c.wantRead(s, "ping")
	c.send(finAck, "")
	c.want(ack, "")
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT")
	s.Close()
	c.want(finAck, "")
	c.send(ack, "")
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK (close)", "CLOSED")
	h.rec.wantTold(
		"client: SYN",
		"server: SYN ACK", "SYN-RECEIVED",
		"client: ACK", "ESTABLISHED",
		"client: PSH ACK",
		"server: ACK",
		"client: FIN ACK",
		"server: ACK", "CLOSE-WAIT", // the ACK is sent in ESTABLISHED
		"server: FIN ACK", "LAST-ACK",
		"client: ACK", "CLOSED",
	)
}

// What was received before a RST can still be read, and the addresses be asked
// for.
func TestAcceptAfterReset(t *testing.T) {
	for family, flow := range endpointPairs {
		t.Run(family, func(t *testing.T) {
			h := newRawHost(t, Config{})
			c := h.open(flow.Client, flow.Server)
			c.send(ack|event.PSH, "last words")
			c.want(ack, "")
			s := h.accept()
			c.send(rst, "")
			h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSED")
			wantAddrs(t, s, flow)
			c.wantRead(s, "last words")
			s.Close()
		})
	}
}

// A connection that the client resets in CLOSE-WAIT before anybody accepts it
// has ended before it began; the next one is accepted.
func TestResetBeforeAccept(t *testing.T) {
	h := newRawHost(t, Config{})
	h.fillAccepted()
	c := h.open(client4, server4)
	c.send(finAck, "")
	c.want(ack, "")
	c.send(rst, "")
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "CLOSED")
	h.rec.mu.Lock()
	endpoints := len(h.rec.last)
	h.rec.mu.Unlock()

	h.drainAccepted()
	next := h.open(client6, server6)
	if got := h.accept().Flow(); got != next.flow {
		t.Errorf("accepted is %v, want %v", got, next.flow)
	}
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	if n := len(h.rec.last); n != endpoints+1 {
		t.Errorf("%d endpoints were told, want %d", n, endpoints+1)
	}
}

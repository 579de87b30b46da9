package stack

import (
	"net/netip"
	"testing"
	"time"

	"synscope/event"
)

// from returns the i-th port of a client's address.
func from(addr string, i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), 20_000+uint16(i))
}

func TestMaxConns(t *testing.T) {
	h := newRawHost(t, Config{MaxConns: 2})
	first := h.open(from("198.18.0.1", 1), server4)
	s := h.accept()
	h.open(from("198.18.0.2", 2), server4)
	h.accept()

	third := h.conn(client6, server6)
	third.send(syn, "")
	d := h.rec.wantDrop("connection limit")
	if d.Final || d.From != event.Client || d.Flow != third.flow {
		t.Errorf("told is %+v, want the client's SYN, which will be sent again", d)
	}

	// A connection counts until netstack has no more to do for it.
	s.Close()
	first.want(finAck, "")
	if n := h.stack.Stats().Open; n != 2 {
		t.Errorf("in FIN-WAIT-1, %d connections are open, want 2", n)
	}
	first.send(finAck, "")
	first.want(ack, "")
	h.rec.wait("TIME-WAIT", func() bool { return h.stack.Stats().Open == 1 })
	third.snd--
	third.handshake()
	h.accept()
}

func TestMaxConnsPerSource(t *testing.T) {
	h := newRawHost(t, Config{MaxConnsPerSource: 1})
	first := h.open(from("198.18.0.1", 1), server4)
	s := h.accept()
	second := h.conn(from("198.18.0.1", 2), server4)
	second.send(syn, "")
	h.rec.wantDrop("connection limit per source")
	h.open(from("198.18.0.2", 1), server4)
	h.accept()

	s.Abort("done")
	first.want(rstAck, "")
	second.snd--
	second.handshake()
	h.accept()
}

// Connections that were half-open before the limit was reached are reset.
func TestMaxConnsOfHalfOpen(t *testing.T) {
	h := newRawHost(t, Config{MaxConns: 1})
	first, second := h.conn(from("198.18.0.1", 1), server4), h.conn(from("198.18.0.1", 2), server4)
	for _, c := range []*rawConn{first, second} {
		c.send(syn, "")
		c.want(synAck, "")
	}
	first.send(ack, "")
	if got := h.accept().Flow(); got != first.flow {
		t.Errorf("accepted is %v, want %v", got, first.flow)
	}
	second.send(ack, "")
	second.want(rstAck, "")
	h.rec.wantStates(second.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: connection limit)")
	if n := h.stack.Stats(); n.Open != 1 || n.Endpoints != 1 {
		t.Errorf("left is %+v, want one", n)
	}
}

// TIME-WAIT of the oldest is cut short when there are too many; their peers,
// who have closed in order, get no RST.
func TestMaxTimeWait(t *testing.T) {
	h := newRawHost(t, Config{})
	h.stack.sweep.maxTimeWait.Store(2)
	conns := make([]*rawConn, 4)
	for i := range conns {
		conns[i] = h.open(from("198.18.0.1", i), server4)
		h.accept().Close()
		conns[i].want(finAck, "")
		conns[i].send(finAck, "")
		conns[i].want(ack, "")
	}
	for _, c := range conns[:2] {
		h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT", "CLOSED (timer: time-wait limit)")
	}
	for _, c := range conns[2:] {
		h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT")
	}
	if n := h.stack.Stats(); n.Endpoints != 2 || n.Open != 0 {
		t.Errorf("left is %+v, want two in TIME-WAIT", n)
	}
	h.fence()
}

// Half-open endpoints have one deadline, whatever netstack's retransmissions.
func TestHalfOpenTimeout(t *testing.T) {
	h := newRawHost(t, Config{HalfOpenTimeout: time.Millisecond})
	for i := range 100 {
		c := h.conn(from("198.18.0.1", i), server4)
		c.send(syn, "")
		c.want(synAck, "")
	}
	h.rec.wait("all deadlines", func() bool {
		n := 0
		for _, s := range h.rec.states {
			if s.New == event.StateClosed && s.Call == "half-open deadline" && s.Timer {
				n++
			}
		}
		return n == 100
	})
	if n := h.stack.Stats().Endpoints; n != 0 {
		t.Errorf("%d endpoints are left", n)
	}
	if n := h.stack.flows.halfOpen.Load(); n != 0 {
		t.Errorf("%d endpoints count as half-open", n)
	}
}

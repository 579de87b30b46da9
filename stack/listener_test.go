package stack

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tun/tuntest"
)

// wantPorts waits until so many ports are open.
func (h *rawHost) wantPorts(want int) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); h.stack.Stats().Ports != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("%d ports are open, want %d", h.stack.Stats().Ports, want)
		}
	}
}

// A port is opened by the first SYN for it, once per family, and closed when it
// is idle; its connections go on, and the next SYN opens it again.
func TestListenerOnDemand(t *testing.T) {
	for family, flow := range endpointPairs {
		t.Run(family, func(t *testing.T) {
			h := newRawHost(t, Config{ListenerIdle: time.Millisecond})
			h.wantPorts(0)
			first := h.open(flow.Client, flow.Server)
			s := h.accept()
			h.wantPorts(0)

			second := h.open(netip.AddrPortFrom(flow.Client.Addr(), 7), flow.Server)
			h.accept().Abort("enough")
			second.want(rstAck, "")

			first.send(ack|event.PSH, "still here")
			first.want(ack, "")
			first.wantRead(s, "still here")
			h.wantPorts(0)
		})
	}
}

func TestListenerForEachPortAndFamily(t *testing.T) {
	h := newRawHost(t, Config{})
	for i, server := range []string{"198.18.1.1:1", "198.18.1.2:1", "198.18.1.2:2", "[2001:2::1]:1", "[2001:2::2]:1"} {
		to := netip.MustParseAddrPort(server)
		h.open(netip.AddrPortFrom(hostOf(to), 1+uint16(i)), to)
		h.accept()
	}
	h.wantPorts(3)
}

// A listener is not idle while an endpoint of its own is half-open: without it
// the handshake could not be completed.
func TestListenerWaitsForHalfOpen(t *testing.T) {
	h := newRawHost(t, Config{ListenerIdle: time.Millisecond})
	c := h.conn(client4, server4)
	c.send(syn, "")
	c.want(synAck, "")
	h.sweepTwice()
	h.wantPorts(1)
	c.send(ack, "")
	h.accept()
	h.wantPorts(0)
}

// Nor while a connection of its own waits to be accepted.
func TestListenerWaitsForAccept(t *testing.T) {
	h := newRawHost(t, Config{ListenerIdle: time.Millisecond})
	h.fillAccepted()
	c := h.open(client4, server4)
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED")
	h.sweepTwice()
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED")
	h.drainAccepted()
	if got := h.accept().Flow(); got != c.flow {
		t.Errorf("accepted is %v, want %v", got, c.flow)
	}
	h.wantPorts(0)
}

// sweepTwice waits until the sweeper has closed what was idle before the call.
// It makes two ports and waits for the end of each in turn.
func (h *rawHost) sweepTwice() {
	h.t.Helper()
	for i := range 2 {
		c := h.conn(netip.MustParseAddrPort("198.18.0.77:77"), netip.MustParseAddrPort("198.18.0.7:7"))
		c.snd += uint32(i) * 100_000
		before := h.stack.Stats().Ports
		c.send(syn, "")
		c.want(synAck, "")
		c.send(rst, "")
		h.rec.wantStates(c.flow, i+1, "SYN-RECEIVED", "CLOSED")
		h.wantPorts(before)
	}
}

// With all listeners in use a SYN for another port is dropped and told; a port
// that is open still answers.
func TestMaxListeners(t *testing.T) {
	h := newRawHost(t, Config{})
	h.dev.SetFilter(func(b []byte) tuntest.Verdict { // no SYN-ACK to the scanner, nor one sent again
		var p tcptrack.Packet
		if p.Parse(b) == nil && p.Dst == client4 {
			return tuntest.Drop
		}
		return tuntest.Pass
	})
	c := h.conn(client4, server4)
	for port := range maxListeners + 1 {
		c.flow.Server = netip.AddrPortFrom(server4.Addr(), uint16(1+port))
		c.send(syn, "")
	}
	d := h.rec.wantDrop("too many ports in use")
	if d.Flow != c.flow || d.Final {
		t.Errorf("told is %+v, want the SYN to %v", d, c.flow)
	}
	h.wantPorts(maxListeners)
	h.open(netip.MustParseAddrPort("198.18.0.99:99"), netip.AddrPortFrom(server4.Addr(), 1))
	h.accept()
}

// A scan of 5,000 ports, each connection reset on its SYN-ACK, leaves nothing.
func TestPortScan(t *testing.T) {
	// Not so short that a busy machine closes the port between SYN and SYN-ACK.
	h := newRawHost(t, Config{ListenerIdle: 200 * time.Millisecond})
	goroutines := runtime.NumGoroutine()
	const ports = 5000
	for port := range ports {
		c := h.conn(client4, netip.AddrPortFrom(server4.Addr(), uint16(1+port)))
		for !c.knock() {
			h.wantPorts(0) // all were in use; the scanner tries again
		}
		if n := h.stack.Stats().Ports; n > maxListeners {
			t.Fatalf("%d ports are open, want at most %d", n, maxListeners)
		}
		c.send(rst, "")
	}
	h.wantPorts(0)
	h.rec.wait("the end of all endpoints", func() bool { return h.stack.Stats() == Stats{} })
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) { // netstack's timers have them
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, there were %d", runtime.NumGoroutine(), goroutines)
		}
	}
}

// knock sends a SYN and reads the SYN-ACK. It returns false if the SYN was
// dropped.
func (c *rawConn) knock() (open bool) {
	c.t.Helper()
	c.rec.mu.Lock()
	packets, drops := len(c.rec.packets), len(c.rec.drops)
	c.rec.mu.Unlock()
	c.send(syn, "")
	c.rec.wait("an answer or a drop", func() bool {
		open = slices.ContainsFunc(c.rec.packets[packets:], func(p packet) bool { return p.From == event.Server })
		return open || len(c.rec.drops) > drops
	})
	if open {
		c.want(synAck, "")
	} else {
		c.snd--
	}
	return open
}

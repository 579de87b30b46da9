package stack

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
	"synscope/tun/tuntest"
)

// Any address of the served prefixes answers on any port.
func TestAnyAddressAndPort(t *testing.T) {
	h := newRawHost(t, Config{})
	for i, server := range []string{
		"198.18.0.1:1", "198.18.3.4:443", "198.19.255.254:65535", "198.19.0.7:8080",
		"[2001:2::1]:1", "[2001:2::3:4]:443", "[2001:2:0:ffff::]:65535", "[2001:2::7]:8080",
	} {
		to := netip.MustParseAddrPort(server)
		from := client4
		if to.Addr().Is6() {
			from = client6
		}
		c := h.open(netip.AddrPortFrom(from.Addr(), 10_000+uint16(i)), to)
		s := h.accept()
		wantAddrs(t, s, c.flow)
		c.send(ack|event.PSH, server)
		c.want(ack, "")
		c.wantRead(s, server)
		if _, err := s.Write([]byte("from " + server)); err != nil {
			t.Error(err)
		}
		c.want(ack, "from "+server)
		c.send(ack, "")
	}
	if n := h.stack.Stats().Open; n != 8 {
		t.Errorf("%d connections are open, want 8", n)
	}
}

func wantAddrs(t *testing.T, c *Conn, flow event.Flow) {
	t.Helper()
	if c.Flow() != flow {
		t.Errorf("Flow() = %v, want %v", c.Flow(), flow)
	}
	if diff := cmp.Diff([]net.Addr{tcpAddr(flow.Server), tcpAddr(flow.Client)}, []net.Addr{c.LocalAddr(), c.RemoteAddr()}); diff != "" {
		t.Errorf("LocalAddr, RemoteAddr (-want +got):\n%s", diff)
	}
}

func TestAddr(t *testing.T) {
	h := newRawHost(t, Config{})
	if got := h.stack.Addr().String(); got != "198.18.0.0:0" {
		t.Errorf("Addr() = %s", got)
	}
}

func TestNewWithoutDevice(t *testing.T) {
	if s, err := New(Config{}); err == nil || s != nil {
		t.Errorf("New = %v, %v; want an error", s, err)
	}
}

// Nobody is told where there is no Observer.
func TestNoObserver(t *testing.T) {
	h := &rawHost{t: t, dev: tuntest.New(1500)}
	var err error
	if h.stack, err = New(Config{Device: h.dev, Prefixes: served}); err != nil {
		t.Fatal(err)
	}
	defer h.stack.Close()
	c := h.open(client4, server4)
	h.accept().Abort("")
	c.want(rstAck, "")
}

// After StopAccepting the open connections go on.
func TestStopAccepting(t *testing.T) {
	h := newRawHost(t, Config{})
	c := h.open(client4, server4)
	s := h.accept()
	half := h.conn(client6, server6)
	half.send(syn, "")
	half.want(synAck, "")

	h.stack.StopAccepting()
	if _, err := h.stack.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	h.rec.wantStates(half.flow, 1, "SYN-RECEIVED", "CLOSED (abort: shutdown)")

	late := h.conn(netip.MustParseAddrPort("198.18.0.1:2"), server4)
	late.send(syn, "")
	h.rec.wantDrop("shutting down")
	if _, err := s.Write([]byte("goodbye")); err != nil {
		t.Error(err)
	}
	c.want(ack, "goodbye")
	c.send(ack, "")
	s.Close()
	c.want(finAck, "")
	c.send(finAck, "")
	c.want(ack, "")
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT")
}

// fillAccepted opens connections that nobody accepts, until Accept's queue is
// full and the accept loop waits.
func (h *rawHost) fillAccepted() {
	h.t.Helper()
	for i := range cap(h.stack.accepted) + 1 {
		c := h.open(netip.AddrPortFrom(client4.Addr(), 1+uint16(i)), netip.MustParseAddrPort("198.18.9.9:9"))
		h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED")
	}
	h.rec.wait("accept", func() bool { return h.stack.Stats().Open == cap(h.stack.accepted)+1 })
}

// drainAccepted accepts those.
func (h *rawHost) drainAccepted() {
	h.t.Helper()
	for range cap(h.stack.accepted) + 1 {
		h.accept()
	}
}

// Connections that nobody accepts are reset by StopAccepting, wherever they
// wait.
func TestStopAcceptingResetsWhatWaits(t *testing.T) {
	h := newRawHost(t, Config{})
	h.fillAccepted()
	c := h.open(client4, server4)
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED")
	h.stack.StopAccepting()
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: shutdown)")
	for i := range cap(h.stack.accepted) + 1 {
		flow := event.Flow{Client: netip.AddrPortFrom(client4.Addr(), 1+uint16(i)), Server: netip.MustParseAddrPort("198.18.9.9:9")}
		h.rec.wantStates(flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: shutdown)")
	}
	if n := h.stack.Stats(); n != (Stats{}) {
		t.Errorf("left is %+v", n)
	}
}

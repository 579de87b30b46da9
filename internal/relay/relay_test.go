package relay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synscope/event"
	"synscope/internal/host"
	"synscope/internal/relay"
	"synscope/stack"
	"synscope/tun/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// A network is a host in memory whose datagrams are forwarded to the loopback
// interface of the kernel:
//
//	host - device - stack - relay - kernel - server
type network struct {
	t      *testing.T
	host   *host.Host
	stack  *stack.Stack
	conn   *stack.Datagrams
	relay  *relay.Relay
	served chan error

	mu    sync.Mutex
	begun []event.UDPFlow
	ended []event.UDPEnd
}

func (n *network) UDPFlow(f event.UDPFlow) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.begun = append(n.begun, f)
}

func (n *network) UDPEnd(f event.UDPEnd) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = append(n.ended, f)
}

// newNetwork starts one. Server addresses whose port is that of a kernel's socket
// lead to it, at the loopback address of their family; all others nowhere.
func newNetwork(t *testing.T, r *relay.Relay, ports ...uint16) *network {
	t.Helper()
	ours, theirs := tuntest.Pipe(1500, false)
	n := &network{t: t, relay: r, served: make(chan error, 1)}
	var err error
	if n.host, err = host.New(theirs, netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("2001:2::2")); err != nil {
		t.Fatal(err)
	}
	if n.stack, err = stack.New(stack.Config{Device: ours, Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}); err != nil {
		t.Fatal(err)
	}
	if n.conn, err = n.stack.ListenUDP(0); err != nil {
		t.Fatal(err)
	}
	r.Conn, r.Observer = n.conn, n
	r.To = func(server netip.AddrPort) (netip.AddrPort, error) {
		if !slices.Contains(ports, server.Port()) {
			return netip.AddrPort{}, errors.New("nowhere")
		}
		if server.Addr().Is6() {
			return netip.AddrPortFrom(netip.IPv6Loopback(), server.Port()), nil
		}
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), server.Port()), nil
	}
	go func() { n.served <- n.relay.Serve() }()
	t.Cleanup(n.end)
	return n
}

// end ends the relay, and what it runs on.
func (n *network) end() {
	if n.served == nil {
		return
	}
	n.conn.Close()
	select {
	case err := <-n.served:
		if err != nil {
			n.t.Error(err)
		}
	case <-time.After(patience):
		n.t.Fatal("the relay does not end")
	}
	n.served = nil
	n.stack.Close()
	n.host.Close()
}

func (n *network) dial(address string, port uint16) net.Conn {
	n.t.Helper()
	c, err := n.host.DialUDP(netip.AddrPortFrom(netip.MustParseAddr(address), port))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// server answers each datagram with itself, twice. It returns its port.
func server(t *testing.T, address string) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
			c.WriteTo(b[:n], from)
		}
	})
	t.Cleanup(func() { c.Close(); serving.Wait() })
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func talk(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<16)
	for range 2 {
		if n, err := c.Read(got); err != nil || !bytes.Equal(got[:n], b) {
			t.Fatalf("%d bytes came back, %v, want %d twice", n, err, len(b))
		}
	}
}

// Datagrams come to their server and back, over both families, and each flow is
// told once when it begins and once when it ends.
func TestForward(t *testing.T) {
	port4, port6 := server(t, "127.0.0.1:0"), server(t, "[::1]:0")
	n := newNetwork(t, &relay.Relay{Name: func(a netip.Addr) string { return map[bool]string{true: "shop.example"}[a.Is4()] }}, port4, port6)
	a, b := n.dial("198.18.3.4", port4), n.dial("2001:2::3:4", port6)
	talk(t, a, []byte("hello"))
	talk(t, b, nil)
	talk(t, b, bytes.Repeat([]byte("x"), 1400))
	talk(t, a, []byte("again"))
	n.end()

	if len(n.begun) != 2 || len(n.ended) != 2 {
		t.Fatalf("%d flows began, %d ended, want 2 each", len(n.begun), len(n.ended))
	}
	if got := n.begun[0].Client.Addr().String(); got != "198.18.0.2" {
		t.Errorf("it is of the client %s", got)
	}
	want := event.UDPFlow{
		Client: n.begun[0].Client, Server: netip.AddrPortFrom(netip.MustParseAddr("198.18.3.4"), port4),
		Name: "shop.example", To: fmt.Sprintf("127.0.0.1:%d", port4),
	}
	if n.begun[0] != want {
		t.Errorf("it began with %+v, want %+v", n.begun[0], want)
	}
	slices.SortFunc(n.ended, func(x, y event.UDPEnd) int { return int(x.BytesClient) - int(y.BytesClient) })
	for i, want := range []event.UDPEnd{
		{DatagramsClient: 2, BytesClient: 10, DatagramsServer: 4, BytesServer: 20},
		{DatagramsClient: 2, BytesClient: 1400, DatagramsServer: 4, BytesServer: 2800},
	} {
		got := n.ended[i]
		if got.Duration <= 0 {
			t.Errorf("it took %v", got.Duration)
		}
		want.How, want.Client, want.Server, want.Duration = "shutdown", n.begun[i].Client, n.begun[i].Server, got.Duration
		if got != want {
			t.Errorf("it ended with %+v, want %+v", got, want)
		}
	}
}

// Who sends to a closed port, or to nowhere, hears of it.
func TestUnreachable(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(closed.LocalAddr().(*net.UDPAddr).Port)
	closed.Close()
	n := newNetwork(t, &relay.Relay{}, port)
	for _, server := range []struct {
		address string
		port    uint16
	}{{"198.18.3.4", port}, {"198.18.3.5", 9}, {"2001:2::3:4", 9}} {
		c := n.dial(server.address, server.port)
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			_, err := c.Write([]byte("hello"))
			if errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%v: %v, want that it is refused", c.RemoteAddr(), err)
			}
		}
	}
	n.end()
	for _, end := range n.ended {
		if end.Unreachable == 0 || end.Unreachable > end.DatagramsClient || end.DatagramsServer != 0 {
			t.Errorf("it ended with %+v", end)
		}
		if want := map[bool]string{true: "shutdown", false: "failed"}[end.Server.Port() == port]; end.How != want || (end.Error == "nowhere") != (want == "failed") {
			t.Errorf("it ended with %q, %q, want %q", end.How, end.Error, want)
		}
	}
	if len(n.begun) < 3 || len(n.ended) != len(n.begun) {
		t.Errorf("%d flows began, %d ended", len(n.begun), len(n.ended))
	}
}

// wait waits until n flows have ended.
func (n *network) wait(count int) []event.UDPEnd {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		n.mu.Lock()
		ended := slices.Clone(n.ended)
		n.mu.Unlock()
		if len(ended) >= count {
			return ended
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%d flows ended, want %d", len(ended), count)
		}
	}
}

// A flow that is idle ends, and another may begin.
func TestIdle(t *testing.T) {
	port := server(t, "127.0.0.1:0")
	n := newNetwork(t, &relay.Relay{Idle: 20 * time.Millisecond}, port)
	c := n.dial("198.18.3.4", port)
	for i := range 2 {
		talk(t, c, []byte("hello"))
		if end := n.wait(i + 1)[i]; end.How != "idle" || end.DatagramsServer != 2 {
			t.Errorf("it ended with %+v", end)
		}
	}
}

// When there are too many flows, the one that is idle for the longest time goes.
func TestEvict(t *testing.T) {
	port := server(t, "127.0.0.1:0")
	n := newNetwork(t, &relay.Relay{MaxFlows: 2}, port)
	var conns []net.Conn
	for i := range 3 {
		conns = append(conns, n.dial(fmt.Sprintf("198.18.3.%d", i), port))
	}
	talk(t, conns[0], []byte("a"))
	talk(t, conns[1], []byte("b"))
	talk(t, conns[0], []byte("c"))
	talk(t, conns[2], []byte("d"))
	if end := n.wait(1)[0]; end.How != "evicted" || end.Server.String() != conns[1].RemoteAddr().String() {
		t.Errorf("it ended with %+v", end)
	}
	talk(t, conns[0], []byte("e"))
	n.end()
	if len(n.begun) != 3 {
		t.Errorf("%d flows, want 3", len(n.begun))
	}
}

// A datagram of the world that is too long for the interface is lost, and
// counted.
func TestTooLong(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	port := uint16(pc.LocalAddr().(*net.UDPAddr).Port)
	n := newNetwork(t, &relay.Relay{}, port)
	c := n.dial("198.18.3.4", port)
	fmt.Fprint(c, "hello")
	b := make([]byte, 100)
	_, from, err := pc.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1473, 20_000, 1472} {
		if _, err := pc.WriteTo(make([]byte, size), from); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.Read(make([]byte, 1<<16)); got != 1472 || err != nil {
		t.Errorf("%d bytes came, %v", got, err)
	}
	n.end()
	if end := n.ended[0]; end.Lost != 2 || end.DatagramsServer != 3 {
		t.Errorf("it ended with %+v", end)
	}
}

// The first datagram of a QUIC connection is known by its version.
func TestQUIC(t *testing.T) {
	port := server(t, "127.0.0.1:0")
	n := newNetwork(t, &relay.Relay{}, port)
	initial := func(version uint32, first byte, length int) []byte {
		b := make([]byte, length)
		b[0] = first
		binary.BigEndian.PutUint32(b[1:], version)
		return b
	}
	tests := []struct {
		b    []byte
		want string
	}{
		{initial(1, 0xc3, 1200), "1"}, {initial(0x6b3343cf, 0xd0, 1252), "2"}, {initial(0xff00001d, 0xc0, 1200), "draft-29"},
		{initial(0x1a2a3a4a, 0xc0, 1200), "reserved 0x1a2a3a4a"},
		{initial(1, 0x43, 1200), ""}, {initial(1, 0x83, 1200), ""}, {initial(1, 0xc3, 1199), ""}, {initial(7, 0xc3, 1200), ""},
		{nil, ""}, {[]byte{0xc3}, ""},
	}
	for _, tt := range tests {
		talk(t, n.dial("198.18.3.4", port), tt.b)
	}
	n.end()
	for i, tt := range tests {
		if got := n.begun[i].QUIC; got != tt.want {
			t.Errorf("version %q of %x…, want %q", got, tt.b[:min(len(tt.b), 5)], tt.want)
		}
	}
}

package tun

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// In these tests the test's goroutine is the host, in a namespace of its own
// with one interface, and whoever reads the device is the network behind it:
//
//	 kernel sockets     ┊     syn0     ┊     peer
//	 198.18.0.1/15  ────┊── queue fd ──┊──   198.18.0.0/15
//	 2001:2::1/48       ┊              ┊     2001:2::/48

var bothFamilies = prefixes("198.18.0.1/15", "2001:2::1/48")

// servers are addresses in the served prefixes.
var servers = []netip.AddrPort{
	netip.MustParseAddrPort("198.18.3.4:443"),
	netip.MustParseAddrPort("[2001:2:0:3::4]:443"),
}

func TestOpenSetsTheInterfaceUp(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{Name: "syn7", Addresses: bothFamilies, MTU: 9000, TxQueueLen: 77})
	if i.Name() != "syn7" || i.MTU() != 9000 || !i.Offloads() || i.OffloadError() != nil {
		t.Errorf("Name, MTU, Offloads, OffloadError = %q, %d, %v, %v", i.Name(), i.MTU(), i.Offloads(), i.OffloadError())
	}
	l := link(t, "syn7")
	if a := l.Attrs(); a.MTU != 9000 || a.TxQLen != 77 || a.Flags&net.FlagUp == 0 || a.Flags&net.FlagMulticast != 0 {
		t.Errorf("MTU %d, queue length %d, flags %v", a.MTU, a.TxQLen, a.Flags)
	}

	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range addrs {
		got = append(got, a.IPNet.String())
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			t.Errorf("%v is tentative, so it cannot be used yet", a.IPNet)
		}
	}
	if want := []string{"198.18.0.1/15", "2001:2::1/48"}; !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v and no link-local one", got, want)
	}

	for _, server := range []string{"198.18.3.4", "198.19.255.254", "2001:2:0:3::4"} {
		routes, err := netlink.RouteGet(net.ParseIP(server))
		if err != nil || len(routes) != 1 || routes[0].LinkIndex != l.Attrs().Index {
			t.Errorf("the route to %s is %v, %v; want one through syn7", server, routes, err)
		}
	}
	ra, err := os.ReadFile("/proc/sys/net/ipv6/conf/syn7/accept_ra")
	if err != nil || string(ra) != "0\n" {
		t.Errorf("accept_ra = %q, %v; want 0", ra, err)
	}
}

// As soon as Open returns, what is sent to the host's own addresses is for it.
// For IPv6 the kernel sees to that in its own time, so try more than once.
func TestAddressesAreReady(t *testing.T) {
	inNamespace(t, 0)
	for range 20 {
		i := mustOpen(t, Config{Addresses: bothFamilies})
		for _, p := range bothFamilies {
			routes, err := netlink.RouteGet(p.Addr().AsSlice())
			if err != nil || len(routes) != 1 || routes[0].Type != unix.RTN_LOCAL {
				t.Errorf("the route to %v is %v, %v; want a local one", p.Addr(), routes, err)
			}
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Below 1280 bytes there is no IPv6 on a link (RFC 8200, section 5).
func TestExtremeMTU(t *testing.T) {
	inNamespace(t, 0)
	for _, mtu := range []int{minMTU, maxMTU} {
		i := mustOpen(t, Config{Addresses: bothFamilies[:1], MTU: mtu})
		if got := link(t, "syn0").Attrs().MTU; got != mtu {
			t.Errorf("the MTU is %d, want %d", got, mtu)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the kernel refuses is an error of that packet alone.
func TestPacketIsRefused(t *testing.T) {
	inNamespace(t, 0)
	for _, noOffload := range []bool{false, true} {
		i := mustOpen(t, Config{Addresses: bothFamilies, NoOffload: noOffload})
		if err := i.Write([][]byte{make([]byte, 60)}, Offload{}); !errors.Is(err, ErrPacket) || !errors.Is(err, unix.EINVAL) {
			t.Errorf("Write of IP version 0 = %v, want ErrPacket, EINVAL", err)
		}
		wantRefused(t, i, servers[0])
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenAndCloseLeaveNothing(t *testing.T) {
	inNamespace(t, 0)
	before := interfaces(t)
	for _, noOffload := range []bool{false, true} {
		i, err := Open(Config{Addresses: bothFamilies, NoOffload: noOffload})
		if err != nil {
			t.Fatal(err)
		}
		if got := interfaces(t); !strings.Contains(got, "syn0") {
			t.Errorf("open, there are the interfaces %s; want syn0 too", got)
		}
		for range 2 {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := interfaces(t); got != before {
			t.Errorf("closed, there are the interfaces %s; want %s", got, before)
		}
		if _, ok := <-i.Changes(); ok {
			t.Error("Changes tells of our own Close")
		}
		if n := openQueues(t); n != 0 {
			t.Errorf("closed, %s is still open %d times", clonePath, n)
		}
	}
}

// The first packet that the device sees is the SYN of the first connection, so
// the kernel had nothing to say of its own. A RST that is written back reaches
// the client.
func TestConnectionIsRefused(t *testing.T) {
	for _, noOffload := range []bool{false, true} {
		for _, server := range servers {
			t.Run(fmt.Sprintf("%v noOffload=%v", server, noOffload), func(t *testing.T) {
				inNamespace(t, 0)
				i := mustOpen(t, Config{Addresses: bothFamilies, NoOffload: noOffload})
				if i.Offloads() == noOffload {
					t.Errorf("Offloads() = %v", i.Offloads())
				}
				wantRefused(t, i, server)
			})
		}
	}
}

// wantRefused has a kernel socket connect to a server behind the device, which
// answers with a RST.
func wantRefused(t *testing.T, i *Interface, server netip.AddrPort) {
	t.Helper()
	served := serve(func() error { return refuse(newPeer(i), server) })
	if _, err := dial(server); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("Dial = %v, want ECONNREFUSED", err)
		i.Close() // so that the server ends
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// dial connects to a server behind the device from a kernel socket. Its
// deadline is for the case that an answer is lost, which is a failure.
func dial(server netip.AddrPort) (net.Conn, error) {
	const patience = 30 * time.Second
	conn, err := net.DialTimeout("tcp", server.String(), patience)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// serve runs f, the network behind the device, beside the test.
func serve(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// refuse answers a SYN to server with a RST.
func refuse(p *peer, server netip.AddrPort) error {
	s, off, n, err := p.receive()
	if err != nil {
		return err
	}
	ipLen, _ := s.headerLens()
	want := Offload{}
	if p.device.Offloads() {
		want = Offload{NeedsChecksum: true, ChecksumStart: uint16(ipLen), ChecksumOffset: 16}
	}
	want.HeaderLen = off.HeaderLen // a hint
	switch {
	case s.flags&(syn|ack) != syn || s.dst != server:
		return fmt.Errorf("read %+v, want a SYN to %v", s, server)
	case off != want:
		return fmt.Errorf("offload of a packet of %d bytes is %+v, want %+v", n, off, want)
	case s.badChecksum != off.NeedsChecksum:
		return fmt.Errorf("bad checksum: %v, with the offload %+v", s.badChecksum, off)
	}
	return p.reply(s, rst|ack, 0, nil, nil)
}

// A kernel socket sends and receives a megabyte each way. With offloads it goes
// in super-packets, without in complete packets of the MTU.
func TestBulk(t *testing.T) {
	for _, noOffload := range []bool{false, true} {
		for _, server := range servers {
			t.Run(fmt.Sprintf("%v noOffload=%v", server, noOffload), func(t *testing.T) {
				inNamespace(t, 0)
				i := mustOpen(t, Config{Addresses: bothFamilies, NoOffload: noOffload})
				data := make([]byte, 1<<20)
				for k := range data {
					data[k] = byte(k * k >> 8)
				}
				var largest int
				served := serve(func() (err error) {
					largest, err = bulkServer(newPeer(i), data)
					return err
				})
				if err := bulkClient(server, data); err != nil {
					t.Error(err)
					i.Close() // so that the server ends
				}
				if err := <-served; err != nil {
					t.Error(err)
				}
				if super := largest > i.MTU(); super != i.Offloads() {
					t.Errorf("the largest packet had %d bytes, with an MTU of %d and Offloads() = %v", largest, i.MTU(), i.Offloads())
				}
			})
		}
	}
}

// bulkClient sends data and then receives the reply, on a kernel socket.
func bulkClient(server netip.AddrPort, data []byte) error {
	conn, err := dial(server)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(data); err != nil {
		return err
	}
	got := make([]byte, len(bulkReply))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, bulkReply) {
		return errors.New("the client received other bytes than were sent")
	}
	return nil
}

var bulkReply = bytes.Repeat([]byte("super-packet "), 3000) // less than the client's window

// bulkServer accepts a connection, takes data from it and sends bulkReply. It
// returns the length of the largest packet that it read.
func bulkServer(p *peer, data []byte) (largest int, err error) {
	const iss = 1000
	s, _, _, err := p.receive()
	if err != nil {
		return 0, err
	}
	next := s.seq + 1
	if err := p.reply(s, syn|ack, iss, []byte{2, 4, bulkMSS >> 8, bulkMSS & 0xff}, nil); err != nil {
		return 0, err
	}
	for len(data) > 0 {
		s, off, n, err := p.receive()
		if err != nil {
			return largest, err
		}
		if err := checkOffload(s, off, n, p.device.MTU()); err != nil {
			return largest, err
		}
		largest = max(largest, n)
		if len(s.payload) == 0 || s.seq != next {
			continue // the ACK of the handshake, or a retransmission
		}
		if !bytes.HasPrefix(data, s.payload) {
			return largest, errors.New("the server received other bytes than were sent")
		}
		data = data[len(s.payload):]
		next += uint32(len(s.payload))
		flags, reply := uint8(ack), []byte(nil)
		if len(data) == 0 {
			flags, reply = ack|psh, bulkReply
		}
		if err := sendBulk(p, s, flags, iss+1, reply); err != nil {
			return largest, err
		}
	}
	return largest, nil
}

const bulkMSS = 1400

// sendBulk replies to s with payload, in one packet or in as many as it takes.
func sendBulk(p *peer, s segment, flags uint8, seq uint32, payload []byte) error {
	if p.device.Offloads() || len(payload) <= bulkMSS {
		return p.reply(s, flags, seq, nil, payload)
	}
	for part := range slices.Chunk(payload, bulkMSS) {
		if err := p.reply(s, flags, seq, nil, part); err != nil {
			return err
		}
		seq += uint32(len(part))
	}
	return nil
}

// checkOffload fails unless a packet of n bytes is complete or its offload says
// what to do about it.
func checkOffload(s segment, off Offload, n, mtu int) error {
	kind := GSONone
	if n > mtu {
		kind = GSOTCPv4
		if s.src.Addr().Is6() {
			kind = GSOTCPv6
		}
	}
	switch {
	case off.GSO != kind:
		return fmt.Errorf("a packet of %d bytes with an MTU of %d has GSO %v, want %v", n, mtu, off.GSO, kind)
	case kind != GSONone && off.SegmentSize != bulkMSS:
		return fmt.Errorf("segments of %d bytes, want the MSS of %d", off.SegmentSize, bulkMSS)
	case s.badChecksum != off.NeedsChecksum:
		return fmt.Errorf("bad checksum: %v, with the offload %+v", s.badChecksum, off)
	}
	return nil
}

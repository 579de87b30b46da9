package stack

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tun/tuntest"
)

var (
	server4 = netip.MustParseAddrPort("198.18.3.4:443")
	server6 = netip.MustParseAddrPort("[2001:2::3:4]:443")
	client4 = netip.MustParseAddrPort("198.18.0.1:51234")
	client6 = netip.MustParseAddrPort("[2001:2::1]:51234")

	served = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:2::/48")}
)

// A rawHost is a host of single packets at the other end of the device.
type rawHost struct {
	t     *testing.T
	dev   *tuntest.Device
	rec   *recorder
	stack *Stack
}

// newRawHost starts a Stack on a device whose packets the test writes and reads.
func newRawHost(t *testing.T, cfg Config) *rawHost {
	t.Helper()
	h := &rawHost{t: t, dev: tuntest.New(1500), rec: newRecorder(t)}
	cfg.Device, cfg.Prefixes, cfg.Observer = h.dev, served, h.rec
	var err error
	if h.stack, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stack.Close() })
	return h
}

func (h *rawHost) inject(packet []byte) {
	h.t.Helper()
	if err := h.dev.Inject(packet); err != nil {
		h.t.Fatal(err)
	}
}

// next returns the next packet of the Stack.
func (h *rawHost) next() []byte {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := h.dev.Next(ctx)
	if err != nil {
		h.t.Fatalf("no packet came: %v", err)
	}
	return b
}

// fence waits until the packets before it are dealt with on the read loop: it
// sends an echo request, to which the answer must be the next packet.
func (h *rawHost) fence() {
	h.t.Helper()
	echo := ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv4ProtocolNumber, echoRequest4([]byte("fence")))
	h.inject(echo)
	if b := h.next(); !bytes.HasSuffix(b, []byte("fence")) {
		h.t.Fatalf("another packet than the echo reply came: %x", b)
	}
}

func (h *rawHost) accept() *Conn {
	h.t.Helper()
	return accept(h.t, h.stack)
}

// accept returns the next connection of the Stack.
func accept(t *testing.T, s *Stack) *Conn {
	t.Helper()
	c, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn)
}

// addressed returns an address as netstack writes it.
func addressed(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func ipv4Packet(src, dst netip.Addr, proto tcpip.TransportProtocolNumber, payload []byte) []byte {
	b := make([]byte, header.IPv4MinimumSize, header.IPv4MinimumSize+len(payload))
	h := header.IPv4(b)
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b) + len(payload)), TTL: 64, Protocol: uint8(proto),
		SrcAddr: addressed(src), DstAddr: addressed(dst),
	})
	h.SetChecksum(^h.CalculateChecksum())
	return append(b, payload...)
}

func ipv6Packet(src, dst netip.Addr, proto tcpip.TransportProtocolNumber, payload []byte) []byte {
	b := make([]byte, header.IPv6MinimumSize, header.IPv6MinimumSize+len(payload))
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(payload)), TransportProtocol: proto, HopLimit: 64,
		SrcAddr: addressed(src), DstAddr: addressed(dst),
	})
	return append(b, payload...)
}

// ipPacketOf makes an IP packet of the family of the addresses.
func ipPacketOf(src, dst netip.Addr, proto tcpip.TransportProtocolNumber, payload []byte) []byte {
	if src.Is4() {
		return ipv4Packet(src, dst, proto, payload)
	}
	return ipv6Packet(src, dst, proto, payload)
}

// A segment is a TCP segment to be sent, with a right checksum.
type segment struct {
	src, dst netip.AddrPort
	flags    event.Flags
	seq, ack uint32
	options  []byte
	payload  []byte
}

func (s segment) packet() []byte {
	n := header.TCPMinimumSize + len(s.options)
	b := make([]byte, n, n+len(s.payload))
	copy(b[header.TCPMinimumSize:], s.options)
	b = append(b, s.payload...)
	h := header.TCP(b)
	h.Encode(&header.TCPFields{
		SrcPort: s.src.Port(), DstPort: s.dst.Port(), SeqNum: s.seq, AckNum: s.ack,
		DataOffset: uint8(n), Flags: header.TCPFlags(s.flags), WindowSize: 65535,
	})
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, addressed(s.src.Addr()), addressed(s.dst.Addr()), uint16(len(b)))
	h.SetChecksum(^checksum.Checksum(b, sum))
	return ipPacketOf(s.src.Addr(), s.dst.Addr(), header.TCPProtocolNumber, b)
}

// A rawConn is the client's side of a connection, one segment at a time.
type rawConn struct {
	*rawHost
	flow     event.Flow
	snd, rcv uint32 // the next sequence numbers to send, and to receive
}

// conn returns a connection that is yet to be opened.
func (h *rawHost) conn(client, server netip.AddrPort) *rawConn {
	return &rawConn{rawHost: h, flow: event.Flow{Client: client, Server: server}, snd: 1000}
}

// open performs the handshake.
func (h *rawHost) open(client, server netip.AddrPort) *rawConn {
	h.t.Helper()
	c := h.conn(client, server)
	c.send(event.SYN, "")
	c.want(event.SYN|event.ACK, "")
	c.send(event.ACK, "")
	return c
}

// send sends the next segment.
func (c *rawConn) send(flags event.Flags, payload string) {
	c.t.Helper()
	c.inject(c.segment(flags, payload).packet())
	c.snd += uint32(len(payload))
	if flags&(event.SYN|event.FIN) != 0 {
		c.snd++
	}
}

func (c *rawConn) segment(flags event.Flags, payload string) segment {
	return segment{src: c.flow.Client, dst: c.flow.Server, flags: flags, seq: c.snd, ack: c.rcv, payload: []byte(payload)}
}

// want reads the next packet, which must be the given segment of the server in
// answer to all that was sent.
func (c *rawConn) want(flags event.Flags, payload string) tcptrack.Packet {
	c.t.Helper()
	p := c.read()
	if p.Flags&^event.PSH != flags || string(p.Payload) != payload {
		c.t.Fatalf("the server sent [%v] %q, want [%v] %q", p.Flags, p.Payload, flags, payload)
	}
	if flags.Has(event.SYN) {
		c.rcv = p.Seq
	}
	if p.Seq != c.rcv {
		c.t.Fatalf("the server sent [%v] with the number %d, want %d", p.Flags, p.Seq, c.rcv)
	}
	if flags.Has(event.ACK) && p.Ack != c.snd {
		c.t.Fatalf("the server acknowledged %d, want %d", p.Ack, c.snd)
	}
	c.rcv += uint32(p.Len)
	if flags&(event.SYN|event.FIN) != 0 {
		c.rcv++
	}
	return p
}

// read reads the next packet, which must be a whole segment of the server.
func (c *rawConn) read() (p tcptrack.Packet) {
	c.t.Helper()
	b := c.next()
	if err := p.Parse(b); err != nil {
		c.t.Fatalf("parse %x: %v", b, err)
	}
	if p.Src != c.flow.Server || p.Dst != c.flow.Client {
		c.t.Fatalf("a packet from %v to %v came, want one from %v to %v", p.Src, p.Dst, c.flow.Server, c.flow.Client)
	}
	if !p.VerifyChecksum(b) {
		c.t.Fatalf("the checksum of %x is wrong", b)
	}
	if p.Src.Addr().Is4() && !header.IPv4(b).IsChecksumValid() {
		c.t.Fatalf("the IPv4 checksum of %x is wrong", b)
	}
	return p
}

// tcpAddr is the net.Addr of an endpoint.
func tcpAddr(a netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(a) }

package stack

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
	"synscope/stack/tcptrack"
)

// maxDatagrams bounds the datagrams that wait for ReadFrom. What comes when it
// is full is lost, and told.
const maxDatagrams = 256

// maxDatagram is the longest payload that the length field of UDP has room for,
// within that of IPv4.
const maxDatagram = 65535 - header.IPv4MinimumSize - header.UDPMinimumSize

// A Datagrams is the UDP service of one port, or of all, on all served addresses.
// It is a net.PacketConn without deadlines. Its addresses are of type [UDPFlow].
type Datagrams struct {
	stack *Stack
	port  uint16
	in    chan datagram
	done  chan struct{}
	once  sync.Once

	icmpMu    sync.Mutex
	icmpLimit rate
}

var _ net.PacketConn = (*Datagrams)(nil)

type datagram struct {
	flow    event.Flow
	payload []byte
}

// A UDPFlow is the two ends of a datagram. What is written to it goes from the
// server to the client.
type UDPFlow struct{ event.Flow }

// Network implements net.Addr.
func (UDPFlow) Network() string { return "udp" }

// String returns the client's address.
func (f UDPFlow) String() string { return f.Client.String() }

// ListenUDP has datagrams to a port, on whatever served address, go to the
// Datagrams that it returns, instead of being answered with ICMP. Port 0 stands
// for all ports that have no service of their own.
func (s *Stack) ListenUDP(port uint16) (*Datagrams, error) {
	s.udpMu.Lock()
	defer s.udpMu.Unlock()
	if s.udp[port] != nil {
		return nil, fmt.Errorf("stack: UDP port %d is in use", port)
	}
	d := &Datagrams{stack: s, port: port, in: make(chan datagram, maxDatagrams), done: make(chan struct{}), icmpLimit: icmpRate}
	if s.udp == nil {
		s.udp = make(map[uint16]*Datagrams)
	}
	s.udp[port] = d
	return d, nil
}

// ReadFrom waits for a datagram. The address is a UDPFlow. After Close, or when
// the stack is closed, the error is net.ErrClosed.
func (d *Datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case g := <-d.in:
		return copy(b, g.payload), UDPFlow{g.flow}, nil
	case <-d.done:
	case <-d.stack.linkDone:
	}
	return 0, nil, net.ErrClosed
}

// WriteTo sends a datagram to the client of a UDPFlow, from its server address.
func (d *Datagrams) WriteTo(b []byte, addr net.Addr) (int, error) {
	f, ok := addr.(UDPFlow)
	if !ok {
		return 0, fmt.Errorf("stack: address of type %T, not UDPFlow", addr)
	}
	if len(b) > maxDatagram {
		return 0, fmt.Errorf("stack: %d bytes are too many for a datagram", len(b))
	}
	packet := udpPacket(f.Flow, b)
	if len(packet) > int(d.stack.link.MTU()) {
		return 0, fmt.Errorf("stack: datagram of %d bytes does not fit into a packet", len(b))
	}
	d.stack.link.write(packet)
	return len(b), nil
}

// Unreachable tells the client of a UDPFlow, by an ICMP message, that there is
// nobody at the port that it sent b to. Beyond the rate of such messages it does
// nothing.
func (d *Datagrams) Unreachable(b []byte, addr net.Addr) {
	f, ok := addr.(UDPFlow)
	if !ok || len(b) > maxDatagram {
		return
	}
	d.icmpMu.Lock()
	allowed := d.icmpLimit.allow(time.Now())
	d.icmpMu.Unlock()
	if !allowed {
		return
	}
	sent := udpPacket(event.Flow{Client: f.Server, Server: f.Client}, b) // of which the message quotes the beginning
	var p tcptrack.Packet
	if p.Parse(sent) == nil {
		d.stack.link.write(icmpUnreachable([][]byte{sent}, &p, unreachablePort))
	}
}

// Close ends the service.
func (d *Datagrams) Close() error {
	d.once.Do(func() {
		d.stack.udpMu.Lock()
		defer d.stack.udpMu.Unlock()
		delete(d.stack.udp, d.port)
		close(d.done)
	})
	return nil
}

// LocalAddr implements net.PacketConn with the port alone.
func (d *Datagrams) LocalAddr() net.Addr { return &net.UDPAddr{Port: int(d.port)} }

// SetDeadline and its kin implement net.PacketConn. They do nothing and return
// os.ErrNoDeadline.
func (d *Datagrams) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (d *Datagrams) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (d *Datagrams) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// receiveUDP hands a datagram to the service of its port, or rejects it.
func (s *Stack) receiveUDP(in *inbound) {
	p := &in.pkt
	s.udpMu.Lock()
	d := s.udp[p.Dst.Port()]
	if d == nil {
		d = s.udp[0]
	}
	s.udpMu.Unlock()
	if d == nil {
		s.reject(in, "no UDP service", unreachablePort)
		return
	}
	payload, reason := in.datagram()
	if reason == "" {
		g := datagram{event.Flow{Client: p.Src, Server: p.Dst}, append([]byte(nil), payload...)}
		select {
		case d.in <- g:
			return
		default:
			reason = "too many datagrams wait"
		}
	}
	s.tellUnreachable(in, reason, "")
}

// datagram returns the payload of a UDP packet, or why it is not to be used.
func (in *inbound) datagram() (payload []byte, reason string) {
	b := join(in.Views)
	u := header.UDP(b[in.pkt.TransportOffset:ipLength(b)])
	if len(u) < header.UDPMinimumSize || int(u.Length()) < header.UDPMinimumSize || int(u.Length()) > len(u) {
		return nil, "malformed: UDP length"
	}
	u = u[:u.Length()]
	if !in.verified && !udpChecksumOK(u, &in.pkt) {
		return nil, "bad UDP checksum"
	}
	return u.Payload(), ""
}

// udpChecksumOK verifies a checksum (RFC 768). Only IPv4 may go without one (RFC
// 8200, section 8.1).
func udpChecksumOK(u header.UDP, p *tcptrack.Packet) bool {
	src, dst := tcpipAddress(p.Src.Addr()), tcpipAddress(p.Dst.Addr())
	if u.Checksum() == 0 {
		return src.BitLen() == 32
	}
	return checksum.Checksum(u, header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, uint16(len(u)))) == 0xffff
}

// udpPacket returns a packet from the server of a flow to its client.
func udpPacket(f event.Flow, payload []byte) []byte {
	src, dst := tcpipAddress(f.Server.Addr()), tcpipAddress(f.Client.Addr())
	length := header.UDPMinimumSize + len(payload)
	packet, out := ipPacket(src, dst, header.UDPProtocolNumber, length)
	u := header.UDP(out)
	u.Encode(&header.UDPFields{SrcPort: f.Server.Port(), DstPort: f.Client.Port(), Length: uint16(length)})
	copy(u.Payload(), payload)
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, uint16(length))
	if sum = ^checksum.Checksum(u, sum); sum == 0 {
		sum = 0xffff // zero would say that there is none
	}
	u.SetChecksum(sum)
	return packet
}

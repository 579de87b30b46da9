package stack

import (
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"synscope/event"
	"synscope/stack/tcptrack"
)

// An inbound is one packet on its way from the device to netstack.
type inbound struct {
	event.Packet
	views    [2][]byte // backs Packet.Views
	pkt      tcptrack.Packet
	verified bool // the device vouches for the transport checksum
	frame    uint64
}

// receive decides on a packet from the device, tells the observer, and reports
// whether netstack is to have it. It runs on the read loop.
func (s *Stack) receive(in *inbound) bool {
	err := in.pkt.Parse(in.Views[0])
	in.frame = s.obs.Packet(&in.Packet)
	if err != nil {
		s.tellUnreachable(in, fmt.Sprintf("malformed: %v", err), "")
		return false
	}
	p := &in.pkt
	dst := p.Dst.Addr()
	if dst.IsMulticast() || dst.IsLinkLocalUnicast() || p.Src.Addr().IsLinkLocalUnicast() {
		// The host's own group and neighbour chatter; nobody routed it here.
		return false
	}
	switch {
	case !s.serves(dst):
		s.reject(in, "address outside the served prefixes", unreachableNet)
	case p.Fragment:
		return true // netstack reassembles
	case p.Protocol == uint8(header.TCPProtocolNumber):
		return s.receiveTCP(in)
	case p.Protocol == uint8(header.ICMPv4ProtocolNumber), p.Protocol == uint8(header.ICMPv6ProtocolNumber):
		if reply := echoReply(in.Views); reply != nil {
			s.link.write(reply)
		}
	case p.Protocol == uint8(header.UDPProtocolNumber):
		s.reject(in, "no UDP service", unreachablePort)
	default:
		s.reject(in, "protocol not served", unreachableProtocol)
	}
	return false
}

// receiveTCP decides on a TCP segment to a served address.
func (s *Stack) receiveTCP(in *inbound) bool {
	p := &in.pkt
	if !in.verified && !checksumOK(in.Views, p) {
		s.drop(in, "bad checksum", false)
		return false
	}
	if !p.Flags.Has(event.SYN) || p.Flags.Has(event.ACK) {
		if p.Flags.Has(event.RST) {
			s.watchReset(p)
		}
		return true
	}
	switch s.policy(p.Src, p.Dst) {
	case Refuse:
		s.link.write(resetFor(p))
		return false
	case Silence:
		s.drop(in, "silence by policy", true)
		return false
	}
	if reason := s.limits.full(p.Src.Addr()); reason != "" {
		s.drop(in, reason, false)
		return false
	}
	if err := s.listeners.ensure(p.Dst); err != nil {
		s.drop(in, err.Error(), false)
		return false
	}
	return true
}

func (s *Stack) drop(in *inbound, reason string, final bool) {
	s.obs.Drop(event.PacketDrop{
		Time: in.Time, From: event.Client, Frame: in.frame, Reason: reason, Final: final,
		Flow: event.Flow{Client: in.pkt.Src, Server: in.pkt.Dst},
	})
}

// watchReset has the sweeper look at a half-open endpoint that a RST came for:
// netstack notifies nobody of its end.
func (s *Stack) watchReset(p *tcptrack.Packet) {
	f := s.flows.lookup(endpointID(event.Flow{Client: p.Src, Server: p.Dst}))
	if f != nil && f.ep.EndpointState() == tcp.StateSynRecv {
		f.reset.Store(true)
		s.sweep.soon()
	}
}

// serves reports whether addr belongs to a served prefix.
func (s *Stack) serves(addr netip.Addr) bool {
	for _, p := range s.cfg.Prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// reject tells of a packet that is not served and answers it with ICMP, both
// within a rate: a flood of them must cost little.
func (s *Stack) reject(in *inbound, reason string, how unreachable) {
	answer := ""
	if s.icmpLimit.allow(in.Time) {
		if b := icmpUnreachable(in.Views, &in.pkt, how); b != nil {
			s.link.write(b)
			answer = how.name(in.pkt.Src.Addr().Is4())
		}
	}
	s.tellUnreachable(in, reason, answer)
}

func (s *Stack) tellUnreachable(in *inbound, reason, answer string) {
	u := &event.Unreachable{Reason: reason, Answer: answer, Frame: in.frame}
	if p := &in.pkt; p.Src.IsValid() {
		u.Src, u.Dst, u.Protocol = endpointText(p.Src), endpointText(p.Dst), protocolName(p.Protocol)
	}
	s.obs.Unreachable(in.Time, u)
}

// endpointText writes an address, with its port if it has one.
func endpointText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

func protocolName(p uint8) string {
	switch tcpip.TransportProtocolNumber(p) {
	case header.TCPProtocolNumber:
		return "tcp"
	case header.UDPProtocolNumber:
		return "udp"
	case header.ICMPv4ProtocolNumber:
		return "icmp"
	case header.ICMPv6ProtocolNumber:
		return "ipv6-icmp"
	}
	return fmt.Sprint(p)
}

// checksumOK verifies the TCP checksum of a packet (RFC 9293, section 3.1).
func checksumOK(views [][]byte, p *tcptrack.Packet) bool {
	head := views[0]
	var sum uint16
	skip := 0
	if p.Dst.Addr().Is4() {
		h := header.IPv4(head)
		skip = int(h.HeaderLength())
		sum = header.PseudoHeaderChecksum(header.TCPProtocolNumber, h.SourceAddress(), h.DestinationAddress(), uint16(int(h.TotalLength())-skip))
		head = head[:min(len(head), int(h.TotalLength()))]
	} else {
		h := header.IPv6(head)
		end := header.IPv6MinimumSize + int(h.PayloadLength())
		head = head[:min(len(head), end)]
		skip = p.TransportOffset
		sum = header.PseudoHeaderChecksum(header.TCPProtocolNumber, h.SourceAddress(), h.DestinationAddress(), uint16(end-skip))
	}
	sum = checksum.Checksum(head[skip:], sum)
	for _, v := range views[1:] {
		sum = checksum.Checksum(v, sum) // an odd part can only be the last: firstView is even
	}
	return sum == 0xffff
}

// sending tells the observer of a packet of netstack's and reads the state of
// the endpoint that sends it. The endpoint is locked by the caller. It returns
// the packet's ordinal, and whether the packet is to be sent.
func (s *Stack) sending(pkt *gstack.PacketBuffer, out *event.Packet) (frame uint64, send bool) {
	var f *flow
	if th := header.TCP(pkt.TransportHeader().Slice()); pkt.TransportProtocolNumber == header.TCPProtocolNumber && len(th) >= header.TCPMinimumSize {
		f, out.SYNCookie = s.sender(pkt, th)
		if f != nil && f.mute.Load() && th.Flags().Contains(header.TCPFlagRst) {
			s.flows.poll(f)
			return 0, false
		}
	}
	frame = s.obs.Packet(out)
	if f != nil {
		s.flows.poll(f) // after the segment, which may be what explains the state
	}
	return frame, true
}

// notSent tells that the device did not take a segment of netstack's.
func (s *Stack) notSent(pkt *gstack.PacketBuffer, frame uint64, err error) {
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber {
		return
	}
	key := senderID(pkt, header.TCP(pkt.TransportHeader().Slice()))
	s.obs.Drop(event.PacketDrop{Time: time.Now(), Flow: eventFlow(key), From: event.Server, Frame: frame, Reason: "not sent: " + err.Error()})
}

// senderID returns the ID of the endpoint that a segment is from.
func senderID(pkt *gstack.PacketBuffer, th header.TCP) gstack.TransportEndpointID {
	net := pkt.Network()
	return gstack.TransportEndpointID{
		LocalAddress: net.SourceAddress(), LocalPort: th.SourcePort(),
		RemoteAddress: net.DestinationAddress(), RemotePort: th.DestinationPort(),
	}
}

// sender finds the endpoint that sends a segment. Cookie is set for a SYN-ACK
// that no endpoint stands behind.
func (s *Stack) sender(pkt *gstack.PacketBuffer, th header.TCP) (f *flow, cookie bool) {
	key := senderID(pkt, th)
	if !th.Flags().Contains(header.TCPFlagSyn | header.TCPFlagAck) {
		return s.flows.lookup(key), false
	}
	te := s.stack.FindTransportEndpoint(pkt.NetworkProtocolNumber, tcp.ProtocolNumber, key, nicID)
	ep, ok := te.(*tcp.Endpoint)
	if !ok || ep.EndpointState() == tcp.StateListen {
		return nil, true
	}
	return s.flows.add(key, ep), false
}

package stack

import (
	"errors"
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
	views    [len(viewSizes)][]byte // backs Packet.Views
	pkt      tcptrack.Packet
	verified bool // the device vouches for the transport checksum
	frame    uint64
}

// receive decides on a packet from the device, tells the observer, and reports
// whether netstack is to have it. It runs on the read loop.
func (s *Stack) receive(in *inbound) bool {
	err := in.pkt.Parse(in.Views[0])
	if err == nil {
		err = in.checkIP()
	}
	in.Stray = err != nil || !unicast(in.pkt.Src.Addr()) || !s.serves(in.pkt.Dst.Addr())
	in.frame = s.obs.Packet(&in.Packet)
	if err != nil {
		s.tellUnreachable(in, fmt.Sprintf("malformed: %v", err), "")
		return false
	}
	p := &in.pkt
	src, dst := p.Src.Addr(), p.Dst.Addr()
	if dst.IsMulticast() || src.IsLinkLocalUnicast() || dst.IsLinkLocalUnicast() && (dst.Is6() || !s.serves(dst)) {
		// The host's own group and neighbour chatter; nobody routed it here. But
		// in 169.254.0.0/16 there are services of clouds.
		return false
	}
	switch {
	case !unicast(src) || !unicast(dst):
		s.tellUnreachable(in, "not from one host to another", "")
	case !s.serves(dst):
		s.reject(in, "address outside the served prefixes", unreachableNet)
	case p.Fragment:
		// Reassembled behind our back, a SYN would pass the policy and a
		// segment the checksum. TCP does not make fragments.
		s.tellUnreachable(in, "fragment", "")
	case p.Protocol == uint8(header.TCPProtocolNumber):
		return s.receiveTCP(in)
	case p.Protocol == uint8(header.ICMPv4ProtocolNumber), p.Protocol == uint8(header.ICMPv6ProtocolNumber):
		s.receiveICMP(in)
	case p.Protocol == uint8(header.UDPProtocolNumber):
		s.receiveUDP(in)
	default:
		s.reject(in, "protocol not served", unreachableProtocol)
	}
	return false
}

// receiveICMP answers an echo request. Other ICMP is for nobody here.
func (s *Stack) receiveICMP(in *inbound) {
	reply := echoReply(in.Views, &in.pkt)
	switch {
	case reply == nil:
	case s.cfg.NoEcho:
		s.reject(in, "echo is not relayed", unreachableProtocol)
	default:
		s.link.write(reply)
	}
}

// checkIP checks what Parse does not: that the packet is whole, and the
// checksum of an IPv4 header.
func (in *inbound) checkIP() error {
	b := in.Views[0]
	if n := ipLength(b); n > in.Len {
		return fmt.Errorf("%d bytes of %d", in.Len, n)
	}
	if header.IPVersion(b) == header.IPv4Version && !header.IPv4(b).IsChecksumValid() {
		return errors.New("wrong IPv4 header checksum")
	}
	return nil
}

// ipLength returns the length of a packet by its IP header.
func ipLength(b []byte) int {
	if header.IPVersion(b) == header.IPv4Version {
		return int(header.IPv4(b).TotalLength())
	}
	return header.IPv6MinimumSize + int(header.IPv6(b).PayloadLength())
}

// unicast reports whether addr can be that of one host that is not the host
// itself. Nothing may be sent to another (RFC 1122, sections 3.2.1.3, 3.2.2).
func unicast(addr netip.Addr) bool {
	return !addr.IsMulticast() && !addr.IsUnspecified() && !addr.IsLoopback() && addr != broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// receiveTCP decides on a TCP segment to a served address.
func (s *Stack) receiveTCP(in *inbound) bool {
	p := &in.pkt
	if !in.verified && !checksumOK(in.Views, p) {
		s.drop(in, "bad checksum", false)
		return false
	}
	switch {
	case p.Flags.Has(event.RST):
		s.watchReset(endpointID(p))
		return true
	case p.Flags.Has(event.SYN) && !p.Flags.Has(event.ACK) && !s.exists(endpointID(p)):
		return s.receiveSYN(in)
	}
	return true
}

// exists reports whether a SYN is of a connection that was decided on before,
// and so was sent again. A SYN for one in TIME-WAIT begins another.
func (s *Stack) exists(id gstack.TransportEndpointID) bool {
	f := s.flows.lookup(id)
	if f == nil {
		return false
	}
	state := stateOf(f.ep.EndpointState())
	return state != event.StateTimeWait && state != event.StateClosed
}

// receiveSYN decides on the SYN of a new connection, or has it decided on.
func (s *Stack) receiveSYN(in *inbound) bool {
	if s.cfg.Decide != nil {
		s.hold(in)
		return false
	}
	return s.judge(in, s.policy(in.pkt.Src, in.pkt.Dst), "silence by policy")
}

// judge carries out the verdict on a SYN, and reports whether netstack is to have
// it.
func (s *Stack) judge(in *inbound, verdict Verdict, why string) bool {
	p := &in.pkt
	if verdict == Accept && p.Dst.Port() == 0 {
		verdict = Refuse // port 0 is reserved and never open
	}
	switch verdict {
	case Refuse:
		s.link.write(resetFor(p))
		return false
	case Silence:
		s.drop(in, why, true)
		return false
	case NetUnreachable, HostUnreachable:
		how := unreachableNet
		if verdict == HostUnreachable {
			how = unreachableHost
		}
		if b := icmpUnreachable(in.Views, p, how); b != nil {
			s.link.write(b)
		}
		s.drop(in, "answered by "+how.name(p.Src.Addr().Is4())+": "+why, true)
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
	s.boundHalfOpen()
	return true
}

// maxHalfOpen bounds the half-open endpoints of all ports together, which cost
// about 10 KB each. Beyond it SYN cookies are sent on all ports, until half of
// them are gone.
const maxHalfOpen = 8192

func (s *Stack) boundHalfOpen() {
	s.cookiesMu.Lock()
	defer s.cookiesMu.Unlock()
	n := s.flows.halfOpen.Load()
	cookies := n >= maxHalfOpen || s.cookies && n > maxHalfOpen/2
	if cookies == s.cookies {
		return
	}
	opt := tcpip.TCPAlwaysUseSynCookies(cookies)
	if s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &opt) == nil {
		s.cookies = cookies
	}
}

func (s *Stack) drop(in *inbound, reason string, final bool) {
	s.obs.Drop(event.PacketDrop{
		Time: in.Time, From: event.Client, Frame: in.frame, Reason: reason, Final: final,
		Flow: event.Flow{Client: in.pkt.Src, Server: in.pkt.Dst},
	})
}

// watchReset has the sweeper look at a half-open endpoint that a RST came for:
// netstack notifies nobody of its end.
func (s *Stack) watchReset(id gstack.TransportEndpointID) {
	if f := s.flows.lookup(id); f != nil && f.ep.EndpointState() == tcp.StateSynRecv {
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

// checksumOK verifies the TCP checksum of a whole packet (RFC 9293, section
// 3.1).
func checksumOK(views [][]byte, p *tcptrack.Packet) bool {
	rest := ipLength(views[0]) - p.TransportOffset
	var sum uint16
	if h := views[0]; header.IPVersion(h) == header.IPv4Version {
		sum = header.PseudoHeaderChecksum(header.TCPProtocolNumber, header.IPv4(h).SourceAddress(), header.IPv4(h).DestinationAddress(), uint16(rest))
	} else {
		sum = header.PseudoHeaderChecksum(header.TCPProtocolNumber, header.IPv6(h).SourceAddress(), header.IPv6(h).DestinationAddress(), uint16(rest))
	}
	skip := p.TransportOffset
	for _, v := range views {
		v = v[skip:min(len(v), skip+rest)] // what follows the packet is padding
		sum = checksum.Checksum(v, sum)    // an odd part can only be the last: viewSizes are even
		rest -= len(v)
		skip = 0
	}
	return sum == 0xffff
}

// sending tells the observer of a packet of netstack's and reads the state of
// the endpoint that sends it. The endpoint is locked by the caller. It returns
// the packet's ordinal, and whether the packet is to be sent.
func (s *Stack) sending(pkt *gstack.PacketBuffer, out *event.Packet) (frame uint64, send bool) {
	var f *flow
	if th := header.TCP(pkt.TransportHeader().Slice()); pkt.TransportProtocolNumber == header.TCPProtocolNumber && len(th) >= header.TCPMinimumSize {
		f = s.find(pkt.NetworkProtocolNumber, senderID(pkt, th))
		out.SYNCookie = f == nil && th.Flags().Contains(header.TCPFlagSyn|header.TCPFlagAck)
		if f != nil && f.ep.EndpointState() == tcp.StateTimeWait && th.Flags().Contains(header.TCPFlagRst) {
			s.flows.poll(f)
			return 0, false // we end it; its peer has closed in order
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

// find returns the flow of the endpoint with an ID, made if it is new: at its
// SYN-ACK, or at its first segment in or out where that carried a SYN cookie.
// It returns nil if there is no endpoint, or only the listening one.
func (s *Stack) find(proto tcpip.NetworkProtocolNumber, id gstack.TransportEndpointID) *flow {
	if f := s.flows.lookup(id); f != nil {
		if stateOf(f.ep.EndpointState()) != event.StateClosed {
			return f
		}
		s.flows.poll(f) // it ended, and another may have taken its place
	}
	ep, ok := s.stack.FindTransportEndpoint(proto, tcp.ProtocolNumber, id, nicID).(*tcp.Endpoint)
	if !ok || ep.EndpointState() == tcp.StateListen {
		return nil
	}
	return s.flows.add(id, ep)
}

// probe is netstack's TCP probe: a segment was handled, the endpoint is locked.
func (s *Stack) probe(e *tcp.TCPEndpointState) {
	proto := header.IPv6ProtocolNumber
	if e.ID.LocalAddress.BitLen() == 32 {
		proto = header.IPv4ProtocolNumber
	}
	if f := s.find(proto, gstack.TransportEndpointID(e.ID)); f != nil {
		s.flows.poll(f)
	}
}

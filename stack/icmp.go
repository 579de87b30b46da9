package stack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
	"synscope/stack/tcptrack"
)

// The packets that the link makes itself: netstack answers neither an echo nor
// a stray packet for an address that it does not own.

const replyTTL = 64

// An unreachable is a reason for an ICMP destination unreachable message (RFC
// 792; RFC 4443, section 3.1).
type unreachable int

const (
	unreachableNet unreachable = iota
	unreachableHost
	unreachableProtocol
	unreachablePort
)

// name is how the answer is told.
func (u unreachable) name(v4 bool) string {
	switch {
	case u == unreachablePort:
		return "icmp port unreachable"
	case u == unreachableProtocol && v4:
		return "icmp protocol unreachable"
	case u == unreachableProtocol:
		return "icmp unrecognized next header"
	case u == unreachableHost && v4:
		return "icmp host unreachable"
	case u == unreachableHost:
		return "icmp address unreachable"
	case v4:
		return "icmp net unreachable"
	}
	return "icmp no route to destination"
}

// ipPacket returns a packet with a complete IP header, and its payload, which
// is n bytes long and zero.
func ipPacket(src, dst tcpip.Address, proto tcpip.TransportProtocolNumber, n int) (packet, payload []byte) {
	if src.BitLen() == 32 {
		b := make([]byte, header.IPv4MinimumSize+n)
		h := header.IPv4(b)
		h.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: replyTTL, Protocol: uint8(proto), SrcAddr: src, DstAddr: dst, Flags: header.IPv4FlagDontFragment})
		h.SetChecksum(^h.CalculateChecksum())
		return b, b[header.IPv4MinimumSize:]
	}
	b := make([]byte, header.IPv6MinimumSize+n)
	header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: uint16(n), TransportProtocol: proto, HopLimit: replyTTL, SrcAddr: src, DstAddr: dst})
	return b, b[header.IPv6MinimumSize:]
}

// echoReply answers an ICMP echo request, or returns nil for anything else and
// for one whose checksum is wrong (RFC 1122, section 3.2.2.6; RFC 4443, section
// 4.2).
func echoReply(views [][]byte, p *tcptrack.Packet) []byte {
	b := join(views)
	src, dst := tcpipAddress(p.Src.Addr()), tcpipAddress(p.Dst.Addr())
	in := b[p.TransportOffset:ipLength(b)]
	proto := tcpip.TransportProtocolNumber(p.Protocol)
	switch {
	case proto == header.ICMPv4ProtocolNumber && p.Src.Addr().Is4():
		if len(in) < header.ICMPv4MinimumSize || header.ICMPv4(in).Type() != header.ICMPv4Echo || checksum.Checksum(in, 0) != 0xffff {
			return nil
		}
	case proto == header.ICMPv6ProtocolNumber && p.Src.Addr().Is6():
		sum := header.PseudoHeaderChecksum(proto, src, dst, uint16(len(in)))
		if len(in) < header.ICMPv6EchoMinimumSize || header.ICMPv6(in).Type() != header.ICMPv6EchoRequest || checksum.Checksum(in, sum) != 0xffff {
			return nil
		}
	default:
		return nil
	}
	packet, payload := ipPacket(dst, src, proto, len(in))
	copy(payload, in)
	if proto == header.ICMPv4ProtocolNumber {
		out := header.ICMPv4(payload)
		out.SetType(header.ICMPv4EchoReply)
		out.SetChecksum(0)
		out.SetChecksum(^checksum.Checksum(out, 0))
		return packet
	}
	out := header.ICMPv6(payload)
	out.SetType(header.ICMPv6EchoReply)
	setICMPv6Checksum(out, dst, src)
	return packet
}

// icmpUnreachable answers a packet that is not served. It returns nil where no
// answer may be sent, to an ICMP error (RFC 1122, section 3.2.2; RFC 4443,
// section 2.4), and for fragments.
func icmpUnreachable(views [][]byte, p *tcptrack.Packet, how unreachable) []byte {
	if p.Fragment || isICMPError(views[0], p) {
		return nil
	}
	b := join(views)
	if p.Src.Addr().Is4() {
		h := header.IPv4(b)
		quote := b[:min(len(b), int(h.HeaderLength())+64)]
		packet, payload := ipPacket(h.DestinationAddress(), h.SourceAddress(), header.ICMPv4ProtocolNumber, header.ICMPv4MinimumSize+len(quote))
		out := header.ICMPv4(payload)
		out.SetType(header.ICMPv4DstUnreachable)
		out.SetCode([...]header.ICMPv4Code{
			header.ICMPv4NetUnreachable, header.ICMPv4HostUnreachable, header.ICMPv4ProtoUnreachable, header.ICMPv4PortUnreachable,
		}[how])
		copy(payload[header.ICMPv4MinimumSize:], quote)
		out.SetChecksum(^checksum.Checksum(out, 0))
		return packet
	}
	h := header.IPv6(b)
	quote := b[:min(len(b), header.IPv6MinimumMTU-header.IPv6MinimumSize-header.ICMPv6DstUnreachableMinimumSize)]
	packet, payload := ipPacket(h.DestinationAddress(), h.SourceAddress(), header.ICMPv6ProtocolNumber, header.ICMPv6DstUnreachableMinimumSize+len(quote))
	out := header.ICMPv6(payload)
	switch how {
	case unreachableProtocol:
		out.SetType(header.ICMPv6ParamProblem)
		out.SetCode(header.ICMPv6UnknownHeader)
		out.SetTypeSpecific(nextHeaderOffset(b, p.TransportOffset))
	case unreachablePort:
		out.SetType(header.ICMPv6DstUnreachable)
		out.SetCode(header.ICMPv6PortUnreachable)
	case unreachableHost:
		out.SetType(header.ICMPv6DstUnreachable)
		out.SetCode(header.ICMPv6AddressUnreachable)
	default:
		out.SetType(header.ICMPv6DstUnreachable)
		out.SetCode(header.ICMPv6NetworkUnreachable)
	}
	copy(payload[header.ICMPv6DstUnreachableMinimumSize:], quote)
	setICMPv6Checksum(out, h.DestinationAddress(), h.SourceAddress())
	return packet
}

// nextHeaderOffset returns where the type of an IPv6 packet's transport header
// is written: in the last extension header, if there is one.
func nextHeaderOffset(b []byte, transport int) uint32 {
	field, next := header.IPv6NextHeaderOffset, header.IPv6MinimumSize
	for next < transport {
		size := (int(b[next+1]) + 1) * 8
		switch header.IPv6ExtensionHeaderIdentifier(b[field]) {
		case header.IPv6FragmentExtHdrIdentifier:
			size = 8
		case authenticationHeader:
			size = (int(b[next+1]) + 2) * 4
		}
		field, next = next, next+size
	}
	return uint32(field)
}

// authenticationHeader is the IP Authentication Header, whose length is in
// words of 32 bits (RFC 4302, section 2.2).
const authenticationHeader = 51

// isICMPError reports whether a packet is an ICMP error, which must never be
// answered with one. Of ICMPv4, all that is not a request for an echo is taken
// for one.
func isICMPError(b []byte, p *tcptrack.Packet) bool {
	if p.TransportOffset >= len(b) {
		return false
	}
	t := b[p.TransportOffset]
	switch tcpip.TransportProtocolNumber(p.Protocol) {
	case header.ICMPv4ProtocolNumber:
		return header.ICMPv4Type(t) != header.ICMPv4Echo
	case header.ICMPv6ProtocolNumber:
		return t < 128
	}
	return false
}

func setICMPv6Checksum(out header.ICMPv6, src, dst tcpip.Address) {
	out.SetChecksum(0)
	out.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: out, Src: src, Dst: dst}))
}

// resetFor refuses a SYN: the RST of a port that is closed (RFC 9293, section
// 3.10.7.1).
func resetFor(p *tcptrack.Packet) []byte {
	src, dst := tcpipAddress(p.Dst.Addr()), tcpipAddress(p.Src.Addr())
	packet, payload := ipPacket(src, dst, header.TCPProtocolNumber, header.TCPMinimumSize)
	th := header.TCP(payload)
	length := uint32(p.Len) + 1 // the SYN takes a sequence number
	if p.Flags.Has(event.FIN) {
		length++
	}
	th.Encode(&header.TCPFields{
		SrcPort: p.Dst.Port(), DstPort: p.Src.Port(), AckNum: p.Seq + length,
		DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagRst | header.TCPFlagAck,
	})
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, header.TCPMinimumSize)
	th.SetChecksum(^th.CalculateChecksum(sum))
	return packet
}

func join(views [][]byte) []byte {
	if len(views) == 1 {
		return views[0]
	}
	var b []byte
	for _, v := range views {
		b = append(b, v...)
	}
	return b
}

// icmpRate bounds the ICMP errors that are sent.
var icmpRate = rate{perSecond: 100, burst: 100}

// A rate is a token bucket. It is owned by who uses it.
type rate struct {
	perSecond float64
	burst     float64
	tokens    float64
	last      time.Time
}

func (r *rate) allow(now time.Time) bool {
	if r.last.IsZero() {
		r.tokens = r.burst
	} else {
		r.tokens = min(r.burst, r.tokens+now.Sub(r.last).Seconds()*r.perSecond)
	}
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}

package tcptrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"synscope/event"
)

// Protocol numbers of the IANA registry that this package knows.
const (
	ProtocolTCP      = 6
	protocolHopByHop = 0
	protocolUDP      = 17
	protocolRouting  = 43
	protocolFragment = 44
	protocolAuth     = 51
	protocolDestOpts = 60
	protocolMobility = 135
)

const (
	ipv4MinHeader = 20
	ipv6Header    = 40
	tcpMinHeader  = 20
	// maxExtensionHeaders bounds the walk over an IPv6 header chain.
	maxExtensionHeaders = 16
)

var (
	errShort   = errors.New("cut short")
	errLength  = errors.New("impossible length")
	errVersion = errors.New("neither 4 nor 6")
)

// A Packet is a parsed IP packet. Its slices refer to the bytes that were
// parsed. The zero value is ready for Parse; a Packet is used again and again.
type Packet struct {
	Src, Dst netip.AddrPort // ports of TCP and UDP, else 0
	Protocol uint8          // after the extension headers
	// Fragment is set on every fragment of a datagram. Its transport header
	// is not parsed.
	Fragment bool
	TTL      uint8 // or hop limit
	// TransportOffset is where the transport header begins.
	TransportOffset int

	// Of TCP:
	Seq, Ack uint32
	Flags    event.Flags
	Window   uint16
	Urgent   uint16
	Options  Options
	Len      int    // bytes of payload, by the IP header's length
	Payload  []byte // shorter than Len where the packet was cut
	// More is the payload after Payload, of a packet that ParseViews parsed.
	More    [][]byte
	segment []byte // header and payload; nil if it was not parsed
}

// Parse parses an IP packet without link-layer header. It allocates nothing,
// but for an error. Bytes may be missing at the end of the payload, but not of
// a header; of UDP the ports are then 0. After an error Src, Dst and Protocol
// hold what was found, if anything. It does not verify checksums.
func (p *Packet) Parse(b []byte) error { return p.ParseLen(b, len(b)) }

// ParseLen is Parse for a packet that had wire bytes before it was cut. That counts
// only where the IP header does not say the length, as in a capture of a
// super-packet before its segmentation.
func (p *Packet) ParseLen(b []byte, wire int) error {
	*p = Packet{More: p.More[:0]}
	if len(b) == 0 {
		return fmt.Errorf("IP header: %w", errShort)
	}
	var transport []byte
	var length int // of transport, by the IP header
	var err error
	switch b[0] >> 4 {
	case 4:
		transport, length, err = p.parseIPv4(b, wire)
	case 6:
		transport, length, err = p.parseIPv6(b, wire)
	default:
		return fmt.Errorf("IP version %d: %w", b[0]>>4, errVersion)
	}
	if err != nil || p.Fragment {
		return err
	}
	switch p.Protocol {
	case ProtocolTCP:
		return p.parseTCP(transport, length)
	case protocolUDP:
		if len(transport) >= 4 {
			p.setPorts(transport)
		}
	}
	return nil
}

// ParseViews is ParseLen for a packet in several pieces: first, which has all
// headers, and more.
func (p *Packet) ParseViews(first []byte, more [][]byte, wire int) error {
	if err := p.ParseLen(first, wire); err != nil || p.segment == nil {
		return err
	}
	rest := p.Len - len(p.Payload) // of the payload; padding may follow
	for _, v := range more {
		v = v[:min(len(v), rest)]
		rest -= len(v)
		switch {
		case len(v) == 0:
		case len(p.Payload) == 0:
			p.Payload = v
		default:
			p.More = append(p.More, v)
		}
		p.segment = nil
	}
	return nil
}

// missing returns how many bytes of the payload were cut off.
func (p *Packet) missing() int {
	n := p.Len - len(p.Payload)
	for _, v := range p.More {
		n -= len(v)
	}
	return n
}

func (p *Packet) parseIPv4(b []byte, wire int) (transport []byte, length int, err error) {
	if len(b) < ipv4MinHeader {
		return nil, 0, fmt.Errorf("IPv4 header: %w at %d bytes", errShort, len(b))
	}
	header := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = wire
	}
	p.TTL, p.Protocol = b[8], b[9]
	p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), 0)
	p.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), 0)
	if header < ipv4MinHeader || total < header {
		return nil, 0, fmt.Errorf("IPv4 header: %w: header %d, total %d", errLength, header, total)
	}
	if len(b) < header {
		return nil, 0, fmt.Errorf("IPv4 header: %w at %d of %d bytes", errShort, len(b), header)
	}
	const moreFragments, offset = 0x2000, 0x1fff
	p.Fragment = binary.BigEndian.Uint16(b[6:])&(moreFragments|offset) != 0
	p.TransportOffset = header
	return b[header:min(len(b), total)], total - header, nil
}

func (p *Packet) parseIPv6(b []byte, wire int) (transport []byte, length int, err error) {
	if len(b) < ipv6Header {
		return nil, 0, fmt.Errorf("IPv6 header: %w at %d bytes", errShort, len(b))
	}
	length = int(binary.BigEndian.Uint16(b[4:]))
	next := b[6]
	if length == 0 && next == ProtocolTCP { // which has no empty segments
		length = max(wire-ipv6Header, 0)
	}
	p.TTL = b[7]
	p.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), 0)
	p.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[24:40])), 0)
	rest := b[ipv6Header:min(len(b), ipv6Header+length)]
	p.TransportOffset = ipv6Header
	for range maxExtensionHeaders + 1 {
		p.Protocol = next
		n := 0
		switch next {
		case protocolHopByHop, protocolRouting, protocolDestOpts, protocolMobility:
			if len(rest) >= 2 {
				n = (int(rest[1]) + 1) * 8
			}
		case protocolAuth:
			if len(rest) >= 2 {
				n = (int(rest[1]) + 2) * 4
			}
		case protocolFragment:
			n = 8
			if len(rest) >= n {
				const moreFragments, offset = 1, 0xfff8
				p.Fragment = p.Fragment || binary.BigEndian.Uint16(rest[2:])&(moreFragments|offset) != 0
			}
		default:
			return rest, length, nil
		}
		if n == 0 || len(rest) < n {
			return nil, 0, fmt.Errorf("IPv6 extension header %d: %w", next, errShort)
		}
		next = rest[0]
		rest, length = rest[n:], length-n
		p.TransportOffset += n
		if p.Fragment {
			p.Protocol = next
			return rest, length, nil
		}
	}
	return nil, 0, fmt.Errorf("IPv6 header: more than %d extension headers", maxExtensionHeaders)
}

func (p *Packet) setPorts(b []byte) {
	p.Src = netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(b))
	p.Dst = netip.AddrPortFrom(p.Dst.Addr(), binary.BigEndian.Uint16(b[2:]))
}

func (p *Packet) parseTCP(b []byte, length int) error {
	if len(b) < tcpMinHeader {
		return fmt.Errorf("TCP header: %w at %d bytes", errShort, len(b))
	}
	p.setPorts(b)
	p.Seq = binary.BigEndian.Uint32(b[4:])
	p.Ack = binary.BigEndian.Uint32(b[8:])
	header := int(b[12]>>4) * 4
	p.Flags = event.Flags(b[13])
	p.Window = binary.BigEndian.Uint16(b[14:])
	p.Urgent = binary.BigEndian.Uint16(b[18:])
	if header < tcpMinHeader || length < header {
		return fmt.Errorf("TCP header: %w: header %d, segment %d", errLength, header, length)
	}
	if len(b) < header {
		return fmt.Errorf("TCP header: %w at %d of %d bytes", errShort, len(b), header)
	}
	p.Options.parse(b[tcpMinHeader:header])
	p.Len = length - header
	p.Payload = b[header:]
	p.segment = b
	return nil
}

// end returns the sequence number after the segment: SYN and FIN take one each
// (RFC 9293, section 3.4).
func (p *Packet) end() uint32 {
	n := p.Seq + uint32(p.Len)
	if p.Flags.Has(event.SYN) {
		n++
	}
	if p.Flags.Has(event.FIN) {
		n++
	}
	return n
}

// dataSeq returns the sequence number of the first byte of payload.
func (p *Packet) dataSeq() uint32 {
	if p.Flags.Has(event.SYN) {
		return p.Seq + 1
	}
	return p.Seq
}

// VerifyChecksum reports whether the TCP checksum of the packet b, which p was
// parsed from, is right (RFC 9293, section 3.1). It is not for packets whose
// checksum is left to a device, and false for one that was cut short or is in
// several pieces.
func (p *Packet) VerifyChecksum(b []byte) bool {
	if p.segment == nil || len(p.Payload) != p.Len {
		return false
	}
	addresses := b[12:20]
	if b[0]>>4 == 6 {
		addresses = b[8:40]
	}
	sum := ProtocolTCP + uint32(len(p.segment))
	sum = addWords(addWords(sum, addresses), p.segment)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum == 0xffff
}

// addWords adds b as 16-bit words, the last byte padded with zero. The sum of
// 64 KB of words does not overflow.
func addWords(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

package pcapng

import (
	"encoding/binary"
)

// Protocol numbers, by their names at IANA.
const (
	protocolHopByHop = 0
	protocolTCP      = 6
	protocolUDP      = 17
	protocolRouting  = 43
	protocolDestOpts = 60
)

const (
	ipv4MinHeader = 20 // RFC 791, section 3.1
	ipv6Header    = 40 // RFC 8200, section 3
	tcpMinHeader  = 20 // RFC 9293, section 3.1
	udpHeader     = 8  // RFC 768
	// maxExtensionHeaders is more than any real IPv6 packet has.
	maxExtensionHeaders = 8
)

// recordHandshake is the content type with which TLS begins (RFC 8446, section
// 5.1).
const recordHandshake = 22

// A transport says where the transport header of a packet is.
type transport struct {
	protocol  uint8
	start     int    // of the header
	end       int    // of the payload
	addresses []byte // source and destination
}

// findTransport looks through the IP headers of b. It fails on fragments.
func findTransport(b []byte) (t transport, ok bool) {
	switch {
	case len(b) >= ipv4MinHeader && b[0]>>4 == 4:
		const moreFragmentsOrOffset = 0x3fff
		if binary.BigEndian.Uint16(b[6:])&moreFragmentsOrOffset != 0 {
			return t, false
		}
		t = transport{b[9], int(b[0]&15) * 4, int(binary.BigEndian.Uint16(b[2:])), b[12:20]}
	case len(b) >= ipv6Header && b[0]>>4 == 6:
		t = transport{b[6], ipv6Header, ipv6Header + int(binary.BigEndian.Uint16(b[4:])), b[8:40]}
		for range maxExtensionHeaders {
			if t.protocol != protocolHopByHop && t.protocol != protocolRouting && t.protocol != protocolDestOpts {
				break
			}
			if len(b) < t.start+2 {
				return t, false
			}
			t.protocol, t.start = b[t.start], t.start+(int(b[t.start+1])+1)*8
		}
	}
	return t, t.start >= ipv4MinHeader && t.start < t.end && t.end <= len(b)
}

// beginsHandshake reports whether the payload of a TCP segment begins like a
// handshake record of TLS.
func beginsHandshake(b []byte) bool {
	t, ok := findTransport(b)
	if !ok || t.protocol != protocolTCP || t.end-t.start < tcpMinHeader {
		return false
	}
	payload := t.start + int(b[t.start+12]>>4)*4
	return payload >= t.start+tcpMinHeader && payload < t.end && b[payload] == recordHandshake
}

// completeChecksum sets the transport checksum of a packet in dst, which holds
// the packet or its beginning. It reports whether it could.
func completeChecksum(dst, packet []byte) bool {
	t, ok := findTransport(packet)
	if !ok {
		return false
	}
	segment := packet[t.start:t.end]
	var field int // of the checksum, in the header
	switch {
	case t.protocol == protocolTCP && len(segment) >= tcpMinHeader:
		field = 16
	case t.protocol == protocolUDP && len(segment) >= udpHeader:
		field = 6
	default:
		return false
	}
	sum := uint64(t.protocol) + uint64(len(segment)) // of the pseudo-header (RFC 9293, section 3.1)
	sum = addWords(sum, t.addresses)
	sum = addWords(sum, segment[:field])
	sum = addWords(sum, segment[field+2:])
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	checksum := ^uint16(sum)
	if checksum == 0 && t.protocol == protocolUDP {
		checksum = 0xffff // 0 would mean none (RFC 768)
	}
	if at := t.start + field; at+2 <= len(dst) {
		binary.BigEndian.PutUint16(dst[at:], checksum)
	}
	return true
}

// addWords adds b as 16-bit words to a sum, the last byte padded with zero. It
// adds 32 bits at a time: to fold the sum afterwards is the same (RFC 1071,
// section 2).
func addWords(sum uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		v := binary.BigEndian.Uint64(b)
		sum += v>>32 + v&0xffffffff
	}
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

package capture

import "encoding/binary"

const (
	ipv4HeaderLen = 20 // without options
	ipv6HeaderLen = 40
)

// Protocol numbers (IANA), those of IPv6 extension headers and TCP.
const (
	protocolTCP      = 6
	protocolHopByHop = 0
	protocolRouting  = 43
	protocolFragment = 44
	protocolAH       = 51
	protocolDestOpts = 60
	protocolMobility = 135
)

// trim cuts b, of which wire bytes were on the wire, to the IP packet that it
// begins with. It returns the packet's length on the wire, or why it is none.
func trim(f family, b []byte, wire int) (ip []byte, length int, skipped string) {
	if len(b) == 0 {
		return nil, 0, "nothing behind the link header"
	}
	version := family(b[0] >> 4)
	if f == eitherIP {
		f = version
	}
	if version != f || version != ipv4 && version != ipv6 {
		return nil, 0, "malformed IP version"
	}
	if version == ipv4 {
		length, skipped = length4(b, wire)
	} else {
		length, skipped = length6(b, wire)
	}
	if skipped != "" {
		return nil, 0, skipped
	}
	return b[:min(length, len(b))], length, ""
}

// length4 returns the length of an IPv4 packet.
func length4(b []byte, wire int) (length int, skipped string) {
	if len(b) < ipv4HeaderLen {
		return 0, "IPv4 header cut"
	}
	header := headerLen4(b)
	if header < ipv4HeaderLen {
		return 0, "malformed IPv4 header length"
	}
	if len(b) < header {
		return 0, "IPv4 header cut"
	}
	length = int(binary.BigEndian.Uint16(b[2:]))
	if length == 0 { // segmentation offload
		length = wire
	}
	if length < header {
		return 0, "malformed IPv4 total length"
	}
	return length, ""
}

// headerLen4 returns the length of an IPv4 header with its options.
func headerLen4(b []byte) int { return int(b[0]&0x0f) * 4 }

// length6 returns the length of an IPv6 packet.
func length6(b []byte, wire int) (length int, skipped string) {
	if len(b) < ipv6HeaderLen {
		return 0, "IPv6 header cut"
	}
	if payload := int(binary.BigEndian.Uint16(b[4:])); payload != 0 {
		return ipv6HeaderLen + payload, ""
	}
	if jumbo, ok := jumboPayload(b); ok {
		return wireLength(ipv6HeaderLen+min(jumbo, 1<<31), 0), ""
	}
	if b[6] == protocolTCP { // segmentation offload
		return wire, ""
	}
	return ipv6HeaderLen, ""
}

// jumboPayload returns the length in the Jumbo Payload option (RFC 2675) of an
// IPv6 packet.
func jumboPayload(b []byte) (length uint32, ok bool) {
	if b[6] != protocolHopByHop || len(b) < ipv6HeaderLen+8 {
		return 0, false
	}
	const pad1, jumbo = 0, 0xc2
	options := b[ipv6HeaderLen+2 : min(ipv6HeaderLen+(int(b[ipv6HeaderLen+1])+1)*8, len(b))]
	for len(options) >= 2 {
		n := int(options[1])
		switch {
		case options[0] == pad1:
			options = options[1:]
			continue
		case 2+n > len(options):
			return 0, false
		case options[0] == jumbo && n == 4:
			return binary.BigEndian.Uint32(options[2:]), true
		}
		options = options[2+n:]
	}
	return 0, false
}

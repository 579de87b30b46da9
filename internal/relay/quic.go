package relay

import (
	"encoding/binary"
	"fmt"
)

const (
	longHeader = 0x80 // RFC 8999, section 5.1
	fixedBit   = 0x40 // RFC 9000, section 17.2
	// minInitial is the length of a datagram with a client's first Initial
	// packet, at least (RFC 9000, section 14.1).
	minInitial = 1200
)

// quicVersion returns the version of the QUIC connection that a client's first
// datagram begins, "" if it is no such datagram. Other protocols may look alike,
// so that versions are told that are assigned, and no others.
func quicVersion(b []byte) string {
	if len(b) < minInitial || b[0]&(longHeader|fixedBit) != longHeader|fixedBit {
		return ""
	}
	switch v := binary.BigEndian.Uint32(b[1:]); {
	case v == 0x00000001: // RFC 9000
		return "1"
	case v == 0x6b3343cf: // RFC 9369
		return "2"
	case v > 0xff000000 && v <= 0xff000022: // the drafts of RFC 9000, the last of which was 34
		return fmt.Sprintf("draft-%02d", v&0xff)
	case v&0x0f0f0f0f == 0x0a0a0a0a: // RFC 9000, section 15
		return fmt.Sprintf("reserved 0x%08x", v)
	}
	return ""
}

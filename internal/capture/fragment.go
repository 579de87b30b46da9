package capture

import (
	"encoding/binary"
	"slices"
)

const (
	// maxDatagram is the greatest value of the IPv4 Total Length and of the
	// IPv6 Payload Length.
	maxDatagram = 65535

	// fragmentUnit is the unit of the Fragment Offset, in bytes.
	fragmentUnit = 8

	fragmentHeaderLen = 8 // of IPv6 (RFC 8200, section 4.5)
)

// Why a fragment gives no packet.
const (
	fragmentWaits       = "fragment waits"
	fragmentMalformed   = "malformed fragment"
	fragmentCut         = "fragment cut short"
	fragmentDuplicate   = "duplicate fragment"
	fragmentConflict    = "fragment conflicts with the length of its datagram"
	fragmentOverlap     = "fragment overlaps, its datagram is dropped" // RFC 5722
	fragmentOfDropped   = "fragment of a dropped datagram"
	fragmentTooLong     = "reassembled datagram longer than 65535 bytes"
	fragmentWaitsEvicts = "fragment waits, too many do: an older datagram is dropped"
)

// A datagramKey says which datagram a fragment is of (RFC 791, section 3.2,
// and RFC 8200, section 4.5). Each interface is by itself: a router's capture
// has the same fragments on two of them.
type datagramKey struct {
	version  family
	protocol byte // of IPv4
	iface    int
	id       uint32
	src, dst [16]byte
}

// A fragment is one of an IP packet. Its slices are those of the packet.
type fragment struct {
	key    datagramKey
	offset int // in bytes
	more   bool
	data   []byte
	// header is what precedes data in the whole datagram.
	header []byte
	// nextAt is where in an IPv6 header the number of what follows it is, and
	// next is that number.
	nextAt int
	next   byte
}

// parseFragment returns the fragment that an IP packet of length bytes is: nil
// if it is a whole datagram.
func parseFragment(ip []byte, length, iface int) (f *fragment, skipped string) {
	if family(ip[0]>>4) == ipv4 {
		f = fragment4(ip)
	} else {
		f, skipped = fragment6(ip)
	}
	if f == nil || skipped != "" {
		return nil, skipped
	}
	f.key.iface = iface
	end := f.offset + len(f.data)
	switch {
	case len(ip) < length:
		return nil, fragmentCut
	case len(f.data) == 0, f.more && len(f.data)%fragmentUnit != 0, end > maxDatagram:
		return nil, fragmentMalformed
	}
	return f, ""
}

// fragment4 returns the fragment in an IPv4 packet, nil if it is none.
func fragment4(ip []byte) *fragment {
	const moreFragments, offsetMask = 0x2000, 0x1fff
	field := binary.BigEndian.Uint16(ip[6:])
	if field&(moreFragments|offsetMask) == 0 {
		return nil
	}
	n := headerLen4(ip)
	f := &fragment{
		key:    datagramKey{version: ipv4, protocol: ip[9], id: uint32(binary.BigEndian.Uint16(ip[4:]))},
		offset: int(field&offsetMask) * fragmentUnit,
		more:   field&moreFragments != 0,
		data:   ip[n:],
		header: ip[:n],
	}
	copy(f.key.src[:], ip[12:16])
	copy(f.key.dst[:], ip[16:20])
	return f
}

// fragment6 returns the fragment in an IPv6 packet, nil if it is none: the
// Fragment header stands behind the headers that every node on the way reads.
func fragment6(ip []byte) (f *fragment, skipped string) {
	at, nextAt := ipv6HeaderLen, 6
	for {
		var n int
		switch next := ip[nextAt]; {
		case next == protocolFragment:
			return fragmentAt(ip, at, nextAt)
		case at+fragmentUnit > len(ip):
			return nil, ""
		case next == protocolHopByHop, next == protocolRouting, next == protocolDestOpts, next == protocolMobility:
			n = (int(ip[at+1]) + 1) * 8
		case next == protocolAH:
			n = (int(ip[at+1]) + 2) * 4
		default:
			return nil, ""
		}
		at, nextAt = at+n, at
	}
}

// fragmentAt reads the Fragment header at ip[at:].
func fragmentAt(ip []byte, at, nextAt int) (f *fragment, skipped string) {
	if at+fragmentHeaderLen > len(ip) {
		return nil, fragmentCut
	}
	h := ip[at:]
	field := binary.BigEndian.Uint16(h[2:])
	f = &fragment{
		key:    datagramKey{version: ipv6, id: binary.BigEndian.Uint32(h[4:])},
		offset: int(field &^ 7),
		more:   field&1 != 0,
		data:   h[fragmentHeaderLen:],
		header: ip[:at],
		nextAt: nextAt,
		next:   h[0],
	}
	copy(f.key.src[:], ip[8:24])
	copy(f.key.dst[:], ip[24:40])
	return f, ""
}

// atomic reports whether the fragment is the whole datagram (RFC 6946): it is
// taken by itself, even if others have the same identification.
func (f *fragment) atomic() bool { return f.offset == 0 && !f.more }

// A fragmentHeader is what precedes the data of a datagram.
type fragmentHeader struct {
	version family
	bytes   []byte
	nextAt  int // as in fragment
	next    byte
}

// firstHeader returns a copy of the header, if the fragment is the first one.
func (f *fragment) firstHeader() fragmentHeader {
	return fragmentHeader{version: f.key.version, bytes: slices.Clone(f.header), nextAt: f.nextAt, next: f.next}
}

// whole appends to b the datagram that the pieces of data make, behind the
// header of the fragment that came at its beginning. It returns nil if that is
// too long.
func (h *fragmentHeader) whole(b []byte, data [][]byte) []byte {
	b = append(b, h.bytes...)
	for _, piece := range data {
		b = append(b, piece...)
	}
	if h.version == ipv4 {
		if len(b) > maxDatagram {
			return nil
		}
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[6:], 0)
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], checksum(b[:len(h.bytes)]))
		return b
	}
	if len(b)-ipv6HeaderLen > maxDatagram {
		return nil
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6HeaderLen))
	b[h.nextAt] = h.next
	return b
}

// checksum returns the checksum of a header of an even length (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

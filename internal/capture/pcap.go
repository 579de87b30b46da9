package capture

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	pcapHeaderLen   = 24
	recordHeaderLen = 16
)

// A pcap reads a pcap file (draft-ietf-opsawg-pcap).
type pcap struct {
	in       *input
	order    binary.ByteOrder
	fraction int64 // nanoseconds in a unit of the fraction of a second
	link     *link
}

// newPcap reads the file header.
func newPcap(in *input) (*pcap, error) {
	h, err := in.need("file header", pcapHeaderLen)
	if err != nil {
		return nil, err
	}
	p := &pcap{in: in, order: binary.LittleEndian, fraction: 1}
	magic := binary.BigEndian.Uint32(h)
	if magic == magicMicrosecond || magic == magicNanosecond {
		p.order = binary.BigEndian
	}
	if magic == magicMicrosecond || magic == magicMicrosecondSwap {
		p.fraction = int64(time.Microsecond)
	}
	// Before 2.4 some writers had the two lengths of a record swapped.
	major, minor := p.order.Uint16(h[4:]), p.order.Uint16(h[6:])
	if major != 2 || minor < 4 {
		return nil, &FormatError{File: in.name, Is: fmt.Sprintf(
			"pcap version %d.%d, of which only 2.4 is read: convert it with editcap -F pcap", major, minor)}
	}
	// The upper half of the field is about the frame check sequence, which the
	// length in the IP header cuts off.
	p.link = newLink(uint16(p.order.Uint32(h[20:])))
	_, err = in.skip(pcapHeaderLen)
	return p, err
}

// next reads a record.
func (p *pcap) next(rec *record) error {
	if err := p.in.atEnd(); err != nil {
		return err
	}
	h, err := p.in.need("record header", recordHeaderLen)
	if err != nil {
		return err
	}
	seconds, fraction := int64(p.order.Uint32(h)), int64(p.order.Uint32(h[4:]))
	captured, length := p.order.Uint32(h[8:]), p.order.Uint32(h[12:])
	if captured > maxPacket {
		// Nothing but this length says where the next record is.
		return p.in.damage(p.in.offset, fmt.Errorf(
			"a record of %d bytes, and no packet is longer than %d", captured, maxPacket))
	}
	b, err := p.in.need("record", recordHeaderLen+int(captured))
	if err != nil {
		return err
	}
	*rec = record{
		time: time.Unix(seconds, fraction*p.fraction).UTC(),
		link: p.link,
		data: b[recordHeaderLen:],
		// Some writers set only the captured length right.
		length: wireLength(length, captured),
	}
	_, err = p.in.skip(int64(len(b)))
	return err
}

// wireLength returns the length of a packet on the wire, bounded as what the
// packet itself says is not, so that it fits an int anywhere.
func wireLength(length, captured uint32) int {
	const longest = 1 << 30
	return int(min(max(length, captured), longest))
}

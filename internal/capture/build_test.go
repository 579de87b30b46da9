package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"
)

// at is the time of the first packet of most captures here.
var at = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)

// blocks builds a pcapng file by hand, in one byte order.
type blocks struct {
	order binary.AppendByteOrder
	b     []byte
}

// u16, u32 and u64 append numbers.
func (f *blocks) u16(v uint16) []byte { return f.order.AppendUint16(nil, v) }
func (f *blocks) u32(v ...uint32) (b []byte) {
	for _, n := range v {
		b = f.order.AppendUint32(b, n)
	}
	return b
}
func (f *blocks) u64(v uint64) []byte { return f.order.AppendUint64(nil, v) }

// block appends a block of the parts of its body.
func (f *blocks) block(kind uint32, body ...[]byte) *blocks {
	b := pad(bytes.Join(body, nil))
	n := uint32(len(b) + minBlock)
	f.b = append(f.b, bytes.Join([][]byte{f.u32(kind, n), b, f.u32(n)}, nil)...)
	return f
}

// pad pads to 32 bits.
func pad(b []byte) []byte { return append(bytes.Clone(b), make([]byte, -len(b)&3)...) }

// section appends a Section Header Block.
func (f *blocks) section() *blocks {
	return f.block(blockSectionHeader, f.u32(byteOrderMagic), f.u16(1), f.u16(0), f.u64(1<<64-1))
}

// option returns an option of a block.
func (f *blocks) option(code uint16, value []byte) []byte {
	return bytes.Join([][]byte{f.u16(code), f.u16(uint16(len(value))), pad(value)}, nil)
}

// iface appends an Interface Description Block.
func (f *blocks) iface(linkType uint16, snap uint32, options ...[]byte) *blocks {
	return f.block(blockInterface, f.u16(linkType), f.u16(0), f.u32(snap), bytes.Join(options, nil))
}

// packet appends an Enhanced Packet Block.
func (f *blocks) packet(iface uint32, timestamp uint64, data []byte) *blocks {
	n := uint32(len(data))
	return f.block(blockEnhancedPacket, f.u32(iface, uint32(timestamp>>32), uint32(timestamp), n, n), data)
}

// dsb appends a Decryption Secrets Block.
func (f *blocks) dsb(kind uint32, secrets string) *blocks {
	return f.block(blockDecryptionSecrets, f.u32(kind, uint32(len(secrets))), []byte(secrets))
}

// newBlocks begins a pcapng file with one interface of raw IP.
func newBlocks(order binary.AppendByteOrder) *blocks {
	f := &blocks{order: order}
	return f.section().iface(linkRaw, 0)
}

// records builds a pcap file by hand.
type records struct {
	order binary.AppendByteOrder
	b     []byte
}

// newRecords begins a pcap file; magic is as the order has it.
func newRecords(order binary.AppendByteOrder, magic, linkType uint32) *records {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(order.AppendUint16(b, 2), 4)
	for _, v := range []uint32{0, 0, 65535, linkType} {
		b = order.AppendUint32(b, v)
	}
	return &records{order: order, b: b}
}

// packet appends a record.
func (f *records) packet(seconds, fraction uint32, data []byte) *records {
	return f.cut(seconds, fraction, data, len(data))
}

// cut appends a record of a packet that had n bytes on the wire.
func (f *records) cut(seconds, fraction uint32, data []byte, n int) *records {
	for _, v := range []uint32{seconds, fraction, uint32(len(data)), uint32(n)} {
		f.b = f.order.AppendUint32(f.b, v)
	}
	f.b = append(f.b, data...)
	return f
}

// Addresses of the captures.
var (
	src4, dst4 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	src6, dst6 = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
)

const protocolUDP = 17

// udp returns a UDP datagram with n bytes of payload, without a checksum.
func udp(n int) []byte {
	b := binary.BigEndian.AppendUint16(nil, 7000)
	b = binary.BigEndian.AppendUint16(b, 7001)
	b = binary.BigEndian.AppendUint16(b, uint16(8+n))
	b = binary.BigEndian.AppendUint16(b, 0)
	for i := range n {
		b = append(b, byte(i*7+i>>8))
	}
	return b
}

// packet4 returns an IPv4 packet: field is flags and fragment offset.
func packet4(id, field uint16, payload []byte) []byte {
	b := make([]byte, ipv4HeaderLen)
	b[0], b[8], b[9] = 0x45, 64, protocolUDP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], field)
	copy(b[12:], src4.AsSlice())
	copy(b[16:], dst4.AsSlice())
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, payload...)
}

// packet6 returns an IPv6 packet.
func packet6(next byte, payload []byte) []byte {
	b := make([]byte, 8, ipv6HeaderLen+len(payload))
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b = append(b, src6.AsSlice()...)
	b = append(b, dst6.AsSlice()...)
	return append(b, payload...)
}

// readAll reads items to the end. The packets' bytes are copied.
func readAll(t testing.TB, file []byte) (items []Item, stats Stats, err error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), "test.pcap")
	if err != nil {
		return nil, Stats{}, err
	}
	for {
		item, err := r.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return items, r.Stats(), nil
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				t.Errorf("after %v, Next returns %v", err, again)
			}
			return items, r.Stats(), err
		}
		item.Packet.IP = bytes.Clone(item.Packet.IP)
		items = append(items, item)
	}
}

// mustRead reads a file that is whole.
func mustRead(t testing.TB, file []byte) ([]Item, Stats) {
	t.Helper()
	items, stats, err := readAll(t, file)
	if err != nil {
		t.Fatal(err)
	}
	return items, stats
}

// packets returns the packets among items.
func packets(items []Item) (p []Packet) {
	for _, item := range items {
		if item.Secrets == nil {
			p = append(p, item.Packet)
		}
	}
	return p
}

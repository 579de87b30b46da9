package capture

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// An endless file is a beginning and the same bytes again and again.
type endless struct {
	file []byte
	from int // where what is repeated begins
	at   int
}

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		k := copy(b[n:], e.file[e.at:])
		n += k
		if e.at += k; e.at == len(e.file) {
			e.at = e.from
		}
	}
	return n, nil
}

// BenchmarkReader is what a packet costs: nothing of it may be allocated.
func BenchmarkReader(b *testing.B) {
	for _, size := range []int{60, 1500, 64000} {
		frame := append(unhex(macs+"0800"), packet4(1, 0, udp(size-ipv4HeaderLen-8))...)
		record := newRecords(binary.LittleEndian, magicMicrosecond, linkEthernet)
		block := &blocks{order: binary.LittleEndian}
		block.section().iface(linkEthernet, 0, block.option(optionClockResolution, []byte{9}))
		files := map[string]*endless{
			"pcap":   {from: len(record.b)},
			"pcapng": {from: len(block.b)},
		}
		for i := range 1000 {
			record.packet(1, uint32(i), frame)
			block.packet(0, uint64(i), frame)
		}
		files["pcap"].file, files["pcapng"].file = record.b, block.b
		for _, format := range []string{"pcap", "pcapng"} {
			b.Run(fmt.Sprintf("%s/size=%d", format, size), func(b *testing.B) {
				r, err := NewReader(files[format], format)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(files[format].file) / 1000))
				b.ReportAllocs()
				for b.Loop() {
					if item, err := r.Next(); err != nil || len(item.Packet.IP) != size {
						b.Fatalf("%+v, %v", item, err)
					}
				}
			})
		}
	}
}

// BenchmarkHostileFragments are fragments that are meant to cost. However many
// come, one costs no more than what it may hold.
func BenchmarkHostileFragments(b *testing.B) {
	payload := make([]byte, fragmentUnit)
	for _, bench := range []struct {
		name string
		ip   func(i int) []byte
	}{
		{"in order", func(i int) []byte { return packet4(uint16(i>>12), moreFragments|uint16(i&0xfff), payload) }},
		{"in reverse", func(i int) []byte { return packet4(uint16(i>>12), moreFragments|uint16(0xfff-i&0xfff), payload) }},
		{"the same", func(int) []byte { return packet4(1, moreFragments, payload) }},
		{"of a new datagram each", func(i int) []byte { return packet4(uint16(i), moreFragments, payload) }},
		{"far into a new datagram each", func(i int) []byte { return packet4(uint16(i), moreFragments|0x1f00, payload) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var fragments [1 << 16]*fragment
			for i := range fragments {
				ip := bench.ip(i)
				fragments[i], _ = parseFragment(ip, len(ip), 0)
			}
			var r reassembler
			b.ReportAllocs()
			for n := uint64(1); b.Loop(); n++ {
				r.add(fragments[n%uint64(len(fragments))], at, n)
			}
		})
	}
}

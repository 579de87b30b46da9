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

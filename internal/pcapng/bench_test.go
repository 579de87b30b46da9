package pcapng

import (
	"fmt"
	"io"
	"testing"
	"time"

	"synscope/event"
)

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

// BenchmarkQueue is what a packet costs its sender besides the lock.
func BenchmarkQueue(b *testing.B) {
	for _, size := range []int{52, 1500, 65_000} {
		for _, partial := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d/partial=%v", size, partial), func(b *testing.B) {
				q := newQueue(&defaultLimits)
				q.open(1)
				ip := make([]byte, size)
				copy(ip, []byte{0x45, 0, byte(size >> 8), byte(size), 0, 0, 0, 0, 64, protocolTCP})
				ip[20+12] = 5 << 4
				p := Packet{Time: time.Now(), From: event.Client, Conn: 1, IP: ip, Partial: partial}
				var batch []*entry
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					p.Frame++
					q.add(&p, 0, time.Now())
					if p.Frame%64 != 0 {
						continue
					}
					for len(q.entries) > 0 {
						batch = q.take(batch[:0], time.Now(), p.Frame)
						for _, e := range batch {
							e.release()
						}
					}
				}
			})
		}
	}
}

// BenchmarkWrite is all work on a packet but that of the disk: nothing is lost.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{52, 1500, 65_000} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			cfg := Config{OnLost: func(packets, _ uint64) { b.Errorf("%d packets lost", packets) }}
			w, err := New(discard{io.Discard}, cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close()
			p := Packet{Time: time.Now(), From: event.Server, IP: make([]byte, size)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				p.Frame++
				w.Packet(p)
				if p.Frame%256 == 0 {
					w.Flush()
				}
			}
		})
	}
}

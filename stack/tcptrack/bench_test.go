package tcptrack

import (
	"testing"

	"synscope/event"
)

func BenchmarkParse(b *testing.B) {
	packet := goodPackets()["IPv4"]
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyChecksum(b *testing.B) {
	packet := ipv4(ProtocolTCP, src4, dst4, nil, netstackTCP(src4, dst4, nil, make([]byte, 1400)))
	var p Packet
	if err := p.Parse(packet); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1400)
	for b.Loop() {
		p.VerifyChecksum(packet)
	}
}

// inOrder returns a function that sends the next 1400 bytes of a stream.
func inOrder() func() Result {
	c := NewConn(flow)
	c.Segment(0, 1, 1, event.Client, &Packet{Seq: 1, Flags: event.SYN}, 0)
	c.Segment(0, 2, 2, event.Server, &Packet{Seq: 7, Ack: 2, Flags: event.SYN | event.ACK}, 0)
	p := &Packet{Seq: 2, Ack: 8, Flags: event.ACK, Len: 1400, Payload: make([]byte, 1400)}
	p.Options.HasTimestamps = true
	return func() Result {
		r := c.Segment(0, 3, 3, event.Client, p, 0)
		p.Seq += 1400
		return r
	}
}

func BenchmarkSegment(b *testing.B) {
	next := inOrder()
	b.SetBytes(1400)
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// BenchmarkHostileSegments are streams that are meant to cost. Whatever their
// length, a segment costs no more than the pieces that may be held.
func BenchmarkHostileSegments(b *testing.B) {
	for _, bench := range []struct {
		name string
		at   func(i uint32) (seq, size uint32) // of 2,048 segments, again and again
	}{
		{"bytes in order", func(i uint32) (uint32, uint32) { return i, 1 }},
		{"bytes in reverse", func(i uint32) (uint32, uint32) { return 2047 - i, 1 }},
		{"every other byte, then all", func(i uint32) (uint32, uint32) {
			if i == 2047 {
				return 0, 2048
			}
			return 1 + (i%1024)*2, 1
		}},
		{"overlapping in reverse", func(i uint32) (uint32, uint32) { return 2047 - i, i%1400 + 1 }},
		{"every other byte, never all", func(i uint32) (uint32, uint32) { return 1<<20 + i*2, 1 }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c := NewConn(flow)
			c.Segment(0, 1, 1, event.Client, &Packet{Seq: 1<<32 - 1, Flags: event.SYN}, 0)
			c.Segment(0, 2, 2, event.Server, &Packet{Seq: 7, Ack: 0, Flags: event.SYN | event.ACK}, 0)
			payload := make([]byte, 2048)
			p := &Packet{Ack: 8, Flags: event.ACK}
			i := uint32(0)
			for b.Loop() {
				seq, size := bench.at(i % 2048)
				p.Seq, p.Len, p.Payload = i/2048*2048+seq, int(size), payload[:size]
				c.Segment(0, 3, 3, event.Client, p, 0)
				i++
			}
		})
	}
}

// The event, with its options, is all that a segment in order allocates.
func TestSegmentAllocations(t *testing.T) {
	next := inOrder()
	if n := testing.AllocsPerRun(1000, func() { next() }); n != 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}

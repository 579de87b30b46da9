package tcptrack

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synscope/event"
)

// cut cuts b at random places.
func cut(r *rapid.T, b []byte) (pieces [][]byte) {
	for len(b) > 0 {
		n := rapid.IntRange(1, len(b)).Draw(r, "piece")
		pieces = append(pieces, b[:n:n])
		b = b[n:]
	}
	return pieces
}

// joined returns a result with each chunk in one piece.
func joined(r Result) Result {
	r.Data = slices.Clone(r.Data)
	for i, d := range r.Data {
		r.Data[i].B, r.Data[i].More = slices.Concat(append([][]byte{d.B}, d.More...)...), nil
	}
	return r
}

// A packet in several pieces means what it means in one: the first has the
// headers, and what follows the packet is no part of it.
func TestParseViews(t *testing.T) {
	for name, b := range goodPackets() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				b := append(slices.Clone(b), rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(r, "padding")...)
				var whole, p Packet
				if err := whole.Parse(b); err != nil {
					r.Fatal(err)
				}
				first := rapid.IntRange(len(b)-len(whole.Payload), len(b)).Draw(r, "first")
				for range 2 { // a Packet is used again
					if err := p.ParseViews(b[:first], cut(r, b[first:]), len(b)); err != nil {
						r.Fatal(err)
					}
				}
				p.Payload = slices.Concat(append([][]byte{p.Payload}, p.More...)...)
				whole.Payload = slices.Concat(whole.Payload)
				whole.segment, p.segment, p.More = nil, nil, nil
				if !reflect.DeepEqual(whole, p) {
					r.Fatalf("\nwhole:  %+v\npieces: %+v", whole, p)
				}
			})
		})
	}
}

// Whatever the segments, it makes no difference whether their payload is in one
// piece.
func TestPiecesChangeNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		whole, pieces := NewConn(flow), NewConn(flow)
		cursor := [3]uint32{event.Client: 1<<32 - 100, event.Server: 500}
		for n := uint64(1); n <= 30; n++ {
			from, p := fuzzSegment(rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(r, "segment"), &cursor)
			if rapid.Bool().Draw(r, "ordinary") {
				p.Flags = event.ACK
			}
			for i := range p.Payload {
				p.Payload[i] = byte(p.Seq) + byte(i)
			}
			q := *p
			if views := cut(r, p.Payload); len(views) > 0 {
				q.Payload, q.More = views[0], views[1:]
			}
			at := time.Duration(n) * time.Millisecond
			want := joined(whole.Segment(at, n, n, from, p, 0))
			got := joined(pieces.Segment(at, n, n, from, &q, 0))
			if !reflect.DeepEqual(want, got) {
				r.Fatalf("segment %d (-whole +pieces):\n%s", n, cmp.Diff(want, got))
			}
		}
		if want, got := whole.Summary(), pieces.Summary(); want != got {
			r.Fatalf("\nwhole:  %+v\npieces: %+v", want, got)
		}
	})
}

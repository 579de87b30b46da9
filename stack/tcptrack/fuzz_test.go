package tcptrack

import (
	"errors"
	"slices"
	"testing"
	"time"

	"synscope/event"
)

func FuzzParse(f *testing.F) {
	for _, b := range goodPackets() {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		err := p.Parse(b)
		sum := p.VerifyChecksum(b)
		switch {
		case err != nil:
			if err.Error() == "" || sum {
				t.Fatalf("checksum %v after the error %q", sum, err)
			}
			if len(b) >= ipv6Header && errors.Is(err, errVersion) != (b[0]>>4 != 4 && b[0]>>4 != 6) {
				t.Fatalf("version %d: %v", b[0]>>4, err)
			}
		case p.Protocol == ProtocolTCP && !p.Fragment:
			if len(p.Payload) > p.Len || p.TransportOffset+tcpMinHeader+len(p.Payload) > len(b) {
				t.Fatalf("payload %d of %d at %d in %d bytes", len(p.Payload), p.Len, p.TransportOffset, len(b))
			}
			told(&p.Options)
		}
	})
}

// figure5 are the transitions of RFC 9293, figure 5, that segments can show.
// Beside these a RST leads to CLOSED from every state but TIME-WAIT.
var figure5 = map[event.State][]event.State{
	closed:      {synSent},
	listen:      {synReceived},
	synSent:     {synReceived, established},
	synReceived: {established, finWait1},
	established: {finWait1, closeWait},
	finWait1:    {finWait2, closing},
	finWait2:    {timeWait},
	closing:     {timeWait},
	closeWait:   {lastAck},
	lastAck:     {closed},
}

func legal(x Transition, rst bool) bool {
	for _, to := range figure5[x.Old] {
		if x.New == to {
			return true
		}
	}
	return rst && x.New == closed && x.Old >= synSent && x.Old != timeWait
}

// fuzzSegment makes a segment of ten bytes. Numbers are near the beginning of
// either stream, so that segments meet, or far off.
func fuzzSegment(b []byte, cursor *[3]uint32) (event.Side, *Packet) {
	from := event.Client + event.Side(b[0]&1)
	seq := cursor[from] + uint32(int8(b[1]))
	ack := cursor[from.Peer()] + uint32(int8(b[2]))
	if b[0]&2 != 0 {
		seq += uint32(b[3]) << 24
	}
	if b[0]&4 != 0 {
		ack += uint32(b[3]) << 24
	}
	p := &Packet{Src: flow.Client, Dst: flow.Server, Seq: seq, Ack: ack, Flags: event.Flags(b[4]), Window: uint16(b[5])}
	if from == event.Server {
		p.Src, p.Dst = p.Dst, p.Src
	}
	p.Len = int(b[6]) << (b[7] & 8)
	p.Payload = make([]byte, p.Len-min(p.Len, int(b[8]&b[9])))
	if b[0]&8 != 0 {
		p.Options.HasTimestamps, p.Options.TSVal = true, uint32(b[9])
	}
	if b[0]&16 != 0 {
		cursor[from] = p.end() // goes on from here
	}
	return from, p
}

func FuzzConn(f *testing.F) {
	const ack, syn, fin, rst = byte(event.ACK), byte(event.SYN), byte(event.FIN), byte(event.RST)
	f.Add([]byte{16, 0, 0, 0, syn, 9, 0, 0, 0, 0, 17, 0, 0, 0, syn | ack, 9, 0, 0, 0, 0, 16, 0, 0, 0, ack, 9, 5, 0, 0, 0,
		17, 0, 0, 0, fin | ack, 9, 5, 0, 0, 0, 16, 0, 0, 0, fin | ack, 9, 0, 0, 0, 0, 17, 0, 0, 0, ack, 9, 0, 0, 0, 0})
	f.Add([]byte{16, 0, 0, 0, syn, 9, 7, 0, 0, 0, 17, 0, 0, 0, syn, 9, 0, 0, 0, 0, 0, 255, 0, 0, syn | ack, 9, 0, 0, 0, 0,
		1, 255, 0, 0, syn | ack, 9, 0, 0, 0, 0, 8, 4, 0, 0, ack, 9, 255, 8, 3, 3, 0, 0, 0, 0, rst, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 5, 0, 0, ack, 9, 9, 0, 0, 0, 0, 0, 9, 0, ack, 0, 1, 0, 0, 0, 2, 0, 0, 63, fin, 0, 255, 8, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewConn(flow)
		cursor := [3]uint32{event.Client: 1<<32 - 100, event.Server: 500}
		var sent, got [3]uint64
		for n := uint64(1); len(b) >= 10; n, b = n+1, b[10:] {
			from, p := fuzzSegment(b[:10], &cursor)
			c.Reuse(p)
			sent[from] += uint64(p.Len)
			before := [3]event.State{event.NoState, c.State(event.Client), c.State(event.Server)}
			r := c.Segment(time.Duration(n), n, n, from, p, 0)
			for _, x := range r.States {
				if x.Side == event.NoSide || !legal(x, p.Flags.Has(event.RST)) || x.Cause.N == 0 || x.Cause.N > n {
					t.Fatalf("segment %d: %+v", n, x)
				}
				before[x.Side] = x.New
			}
			for side := event.Client; side <= event.Server; side++ {
				if now := c.State(side); now != before[side] && n > 1 {
					t.Fatalf("segment %d: %v is in %v without a transition from %v", n, side, now, before[side])
				}
				h := &c.halfs[side].stream
				checkReassembly(t, h)
			}
			for _, d := range r.Data {
				if len(d.B) == 0 == (d.Gap <= 0) {
					t.Fatalf("segment %d: chunk of %d bytes, gap %d", n, len(d.B), d.Gap)
				}
				got[d.From] += uint64(len(d.B))
			}
			if got[event.Client] > sent[event.Client] || got[event.Server] > sent[event.Server] {
				t.Fatalf("segment %d: got %v bytes of %v", n, got, sent)
			}
		}
		for _, old := range []event.State{synSent, established, lastAck} {
			for _, new := range []event.State{established, closeWait, timeWait, closed} {
				c.Explain(event.Server, old, new)
				c.Path(event.Server, old, new)
			}
		}
	})
}

// A naiveStream is one direction, byte by byte: where segments overlap, what
// came first counts.
type naiveStream struct {
	next int
	came map[int]int // a byte, or lost
	out  []int
}

// lost stands for a byte that the capture lacks.
const lost = -1

// segment takes bytes, the last cut of which are lacking.
func (n *naiveStream) segment(at int, b []byte, cut int) {
	for i := range len(b) + cut {
		v := lost
		if i < len(b) {
			v = int(b[i])
		}
		if _, ok := n.came[at+i]; !ok && at+i >= n.next {
			n.came[at+i] = v
		}
	}
	n.deliver(n.next)
}

// deliver gives what is in order, and up to until what is not.
func (n *naiveStream) deliver(until int) {
	for {
		v, ok := n.came[n.next]
		switch {
		case ok:
			n.out = append(n.out, v)
		case n.next < until:
			n.out = append(n.out, lost)
		default:
			return
		}
		n.next++
	}
}

// FuzzReassembly checks against a naiveStream, for segments in any order,
// overlapping with other bytes, and cut, and for acknowledgements of what was
// not seen. Four bytes make a step: the place, the length, what is lacking, and
// what the bytes are. No bound is met: there are 1,023 bytes to hold.
func FuzzReassembly(f *testing.F) {
	f.Add(uint32(0), []byte("\x00\x04\x00a\x08\x04\x00c\x04\x04\x00b"))
	f.Add(uint32(1<<32-8), []byte("\x08\x08\x00b\x02\x0f\x00X\x00\x04\x00a"))
	f.Add(uint32(1<<31-4), []byte("\x04\x04\x02b\x0a\x04\x00c\x09\x00\xffx\x00\x04\x00a"))
	f.Fuzz(func(t *testing.T, base uint32, b []byte) {
		r := reassembly{next: base}
		n := naiveStream{came: make(map[int]int)}
		var out []int
		buf := make([]byte, 0, 256) // used again, as a device does
		for step := uint64(1); len(b) >= 4 && step < 200; step, b = step+1, b[4:] {
			at := min(int(b[0])*4, 1023)
			size := min(int(b[1]%64), 1023-at)
			cut := min(int(b[2]%4), size)
			var chunks []Chunk
			if b[2] == 0xff {
				chunks = r.acked(nil, base+uint32(at), step)
				n.deliver(at)
			} else {
				buf = buf[:size-cut]
				for i := range buf {
					buf[i] = b[3] + byte(i)
				}
				var missed int
				if chunks, missed = r.segment(nil, piece{seq: base + uint32(at), b: buf, cut: cut, frame: step}); missed != 0 {
					t.Fatalf("step %d: no room for %d bytes", step, missed)
				}
				n.segment(at, buf, cut)
			}
			for _, c := range chunks {
				for _, v := range c.B {
					out = append(out, int(v))
				}
				for range c.Gap {
					out = append(out, lost)
				}
			}
			clear(buf)
			if !slices.Equal(out, n.out) {
				t.Fatalf("step %d: got  %v\nwant %v", step, out, n.out)
			}
			checkReassembly(t, &r)
		}
	})
}

func checkReassembly(t *testing.T, r *reassembly) {
	held, next := 0, r.next
	for i := range r.pieces {
		p := &r.pieces[i]
		if less(p.seq, next) || p.len() == 0 {
			t.Fatalf("piece %d at %d overlaps that before it, or is empty", i, p.seq)
		}
		held += len(p.b)
		next = p.end()
	}
	if held != r.held || held > maxHeld || len(r.pieces) > maxPieces {
		t.Fatalf("%d bytes held in %d pieces, counted %d", held, len(r.pieces), r.held)
	}
}

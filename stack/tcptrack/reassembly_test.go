package tcptrack

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"synscope/event"
)

// The bytes that came first win, wherever they are sent again with others.
func TestOverlap(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"of what was delivered", `
c> ACK seq=101 ack=501 "abcd"   | client "abcd"
c> ACK seq=103 ack=501 "XXef"   | client "ef"
`}, {"of all that was delivered", `
c> ACK seq=101 ack=501 "abcd"   | client "abcd"
c> ACK seq=101 ack=501 "XXXXef" | client "ef"
`}, {"of the end of a piece", `
c> ACK seq=103 ack=501 "cd"     | out of order
c> ACK seq=104 ack=501 "Xe"     |
c> ACK seq=101 ack=501 "ab"     | client "ab"; client "cd"; client "e"
`}, {"of the start of a piece", `
c> ACK seq=103 ack=501 "cd"     | out of order
c> ACK seq=102 ack=501 "bX"     |
c> ACK seq=101 ack=501 "a"      | client "a"; client "b"; client "cd"
`}, {"around a piece", `
c> ACK seq=103 ack=501 "cd"     | out of order
c> ACK seq=102 ack=501 "bXXe"   |
c> ACK seq=101 ack=501 "a"      | client "a"; client "b"; client "cd"; client "e"
`}, {"within a piece", `
c> ACK seq=103 ack=501 "cdef"   | out of order
c> ACK seq=104 ack=501 "XX"     | retransmit
c> ACK seq=101 ack=501 "ab"     | client "ab"; client "cdef"
`}, {"over several pieces, in order", `
c> ACK seq=102 ack=501 "b"      | out of order
c> ACK seq=104 ack=501 "d"      | out of order
c> ACK seq=106 ack=501 "fg"     | out of order
c> ACK seq=101 ack=501 "aXcXeX" | client "a"; client "b"; client "c"; client "d"; client "e"; client "fg"
`},
	} {
		t.Run(tt.name, func(t *testing.T) { story(t, opened+tt.script) })
	}
}

// The receiver acknowledges what was not seen here: it will not be sent again.
func TestGap(t *testing.T) {
	c := story(t, opened+`
c> ACK seq=104 ack=501 "def" | out of order
c> ACK seq=110 ack=501 "jkl" | out of order
s> ACK seq=501 ack=101       | dup ack
s> ACK seq=501 ack=107       | client gap 3; client "def"
c> ACK seq=101 ack=501 "abc" | retransmit
s> ACK seq=501 ack=108       | client gap 1
c> ACK seq=107 ack=501 "ghi" | client "hi"; client "jkl"
s> ACK seq=501 ack=113       |
c> ACK seq=113 ack=501 "mno" | client "mno"
`)
	if got := c.Summary().BytesClient; got != 15 {
		t.Errorf("%d bytes", got)
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"in order", `
c> ACK seq=101 ack=501 cut=4 "ab"   | client "ab"; client gap 4
c> ACK seq=107 ack=501 "gh"         | client "gh"
`}, {"all of it", `
c> ACK seq=101 ack=501 cut=4        | client gap 4
c> ACK seq=105 ack=501 "ef"         | client "ef"
`}, {"out of order", `
c> ACK seq=103 ack=501 cut=2 "cd"   | out of order
c> ACK seq=101 ack=501 "ab"         | client "ab"; client "cd"; client gap 2
`}, {"sent again", `
c> ACK seq=101 ack=501 "abcd"       | client "abcd"
c> ACK seq=101 ack=501 cut=5 "a"    | client gap 2
`}, {"around a piece", `
c> ACK seq=103 ack=501 "cd"         | out of order
c> ACK seq=101 ack=501 cut=5 "a"    | client "a"; client gap 1; client "cd"; client gap 2
`},
	} {
		t.Run(tt.name, func(t *testing.T) { story(t, opened+tt.script) })
	}
}

// RFC 7413, section 4.2: data in a SYN is the receiver's to take or to leave.
func TestDataInSYN(t *testing.T) {
	t.Run("taken", func(t *testing.T) {
		story(t, `
c> SYN seq=100 "abc"             | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=104       | server LISTEN>SYN-RECEIVED by 1; client "abc"
c> ACK seq=104 ack=501 "def"     | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 3; client "def"; established
`)
	})
	t.Run("left", func(t *testing.T) {
		story(t, `
c> SYN seq=100 "XXX"             | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101       | server LISTEN>SYN-RECEIVED by 1
c> ACK seq=101 ack=501 "abc"     | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 3; client "abc"; established
`)
	})
	t.Run("sent again", func(t *testing.T) {
		story(t, `
c> SYN seq=100 "abc"             | client CLOSED>SYN-SENT by connect
c> SYN seq=100 "abc"             | retransmit
c> SYN seq=100                   | retransmit
s> SYN ACK seq=500 ack=104       | server LISTEN>SYN-RECEIVED by 3; client "abc"
c> SYN seq=100 "abc"             | retransmit
`)
	})
	t.Run("of the server", func(t *testing.T) {
		story(t, `
c> SYN seq=100                   | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101 "abc" | server LISTEN>SYN-RECEIVED by 1
s> ACK seq=504 ack=101 "def"     |
c> ACK seq=101 ack=507           | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 4; server "abc"; server "def"; established
`)
	})
}

func TestStreamOverTheWrap(t *testing.T) {
	story(t, `
c> SYN seq=4294967293                   | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=4294967295 ack=4294967294 | server LISTEN>SYN-RECEIVED by 1
c> ACK seq=4294967294 ack=0             | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 3; established
c> ACK seq=2 ack=0 "ef"                 | out of order
c> ACK seq=0 ack=0 "cd"                 |
c> ACK seq=4294967294 ack=0 "abX"       | client "ab"; client "cd"; client "ef"
s> ACK seq=0 ack=4 "x"                  | server "x"
c> FIN ACK seq=4 ack=1                  | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=1 ack=5                      | server ESTABLISHED>CLOSE-WAIT by 8; client FIN-WAIT-1>FIN-WAIT-2 by 9
`)
}

// What is beyond any window is not taken, else numbers could not be compared.
func TestBeyondAnyWindow(t *testing.T) {
	story(t, opened+`
c> ACK seq=1073741925 ack=501 "x"  |
c> ACK seq=2147483748 ack=501 "x"  |
c> ACK seq=1073741924 ack=501 "x"  | out of order
c> ACK seq=101 ack=501 "abc"       | client "abc"
`)
}

func TestBounds(t *testing.T) {
	const hole = 101
	send := func(c *Conn, seq uint32, size int) Result {
		p := &Packet{Seq: seq, Ack: 501, Flags: event.ACK, Len: size, Payload: bytes.Repeat([]byte("x"), size)}
		return c.Segment(0, 4, 4, event.Client, p, 0)
	}
	t.Run("bytes", func(t *testing.T) {
		c := story(t, opened)
		const size = 1 << 15
		seq := uint32(hole + 1)
		for range maxHeld / size {
			if r := send(c, seq, size); r.Lost != 0 {
				t.Fatalf("%d bytes lost at %d", r.Lost, seq)
			}
			seq += size
		}
		if r := send(c, seq, 10); r.Lost != 10 {
			t.Errorf("%d bytes lost of 10", r.Lost)
		}
		r := send(c, hole, 1)
		if n := len(r.Data); n != 1+maxHeld/size || r.Lost != 0 {
			t.Errorf("filling the hole gave %d chunks, %d lost", n, r.Lost)
		}
	})
	t.Run("pieces", func(t *testing.T) {
		c := story(t, opened)
		for i := range uint32(maxPieces) {
			if r := send(c, hole+1+2*i, 1); r.Lost != 0 {
				t.Fatalf("%d bytes lost at piece %d", r.Lost, i)
			}
		}
		if r := send(c, hole+1+2*maxPieces, 1); r.Lost != 1 {
			t.Errorf("%d bytes lost of 1", r.Lost)
		}
		// All of it at once, in order, needs no room.
		r := send(c, hole, 2*maxPieces)
		if n := len(r.Data); n != 2*maxPieces || r.Lost != 0 {
			t.Errorf("filling the holes gave %d chunks, %d lost", n, r.Lost)
		}
	})
	t.Run("no overlap when full", func(t *testing.T) {
		var r reassembly
		r.hold(piece{seq: 100, b: make([]byte, maxHeld-20)})
		// The first 30 bytes do not fit, and none of those held are taken twice.
		if lost := r.hold(piece{seq: 70, b: make([]byte, 40)}); lost != 30 || len(r.pieces) != 1 {
			t.Errorf("%d bytes lost, %d pieces", lost, len(r.pieces))
		}
	})
}

// A stream that is sent in any segments, in any order, and as often as it
// likes, comes out as it is.
func TestStreamProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := rapid.SliceOfN(rapid.Byte(), 1, 4000).Draw(t, "stream")
		isn := rapid.Uint32().Draw(t, "isn")
		type span struct{ from, to int }
		var spans []span
		for i := 0; i < len(stream); { // all of it
			n := min(len(stream)-i, rapid.IntRange(1, 900).Draw(t, "size"))
			spans = append(spans, span{i, i + n})
			i += n
		}
		for range rapid.IntRange(0, 20).Draw(t, "retransmissions") {
			i := rapid.IntRange(0, len(stream)-1).Draw(t, "from")
			spans = append(spans, span{i, min(len(stream), i+rapid.IntRange(1, 900).Draw(t, "len"))})
		}
		spans = rapid.Permutation(spans).Draw(t, "order")

		c := NewConn(flow)
		c.Segment(0, 1, 1, event.Client, &Packet{Flags: event.SYN, Seq: isn}, 0)
		c.Segment(0, 2, 2, event.Server, &Packet{Flags: event.SYN | event.ACK, Seq: 500, Ack: isn + 1}, 0)
		var got []byte
		ended := false
		buf := make([]byte, 0, 1000) // used again, as a device does
		for i, s := range spans {
			p := &Packet{Flags: event.ACK, Seq: isn + 1 + uint32(s.from), Ack: 501, Len: s.to - s.from}
			buf = append(buf[:0], stream[s.from:s.to]...)
			p.Payload = buf
			if s.to == len(stream) {
				p.Flags |= event.FIN
			}
			r := c.Segment(time.Duration(i), uint64(i+3), uint64(i+3), event.Client, p, 0)
			for _, d := range r.Data {
				if d.Gap != 0 || d.From != event.Client {
					t.Fatalf("segment %d: chunk %+v", i, d)
				}
				got = append(got, d.B...)
			}
			if r.Lost != 0 {
				t.Fatalf("segment %d: %d bytes lost", i, r.Lost)
			}
			ended = ended || r.FIN[event.Client]
			clear(buf)
		}
		if !bytes.Equal(got, stream) {
			t.Fatalf("got %d bytes, want %d: %x", len(got), len(stream), got)
		}
		if h := &c.halfs[event.Client]; !ended || h.stream.held != 0 || h.stream.pieces != nil {
			t.Fatalf("ended %v, %d bytes held", ended, h.stream.held)
		}
		if got := c.Summary().BytesClient; got != uint64(len(stream)) {
			t.Fatalf("%d bytes counted of %d", got, len(stream))
		}
	})
}

func TestSplit(t *testing.T) {
	p := piece{seq: 10, b: []byte("abcd"), cut: 3}
	for n := range p.len() + 1 {
		head, tail := p.split(n)
		if head.len() != n || head.seq != 10 || tail.seq != 10+uint32(n) || head.end() != tail.seq || tail.end() != p.end() ||
			!slices.Equal(slices.Concat(head.b, tail.b), p.b) {
			t.Errorf("split(%d): %+v and %+v", n, head, tail)
		}
	}
}

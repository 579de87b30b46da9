package tcptrack

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

func TestRetransmission(t *testing.T) {
	c := story(t, opened+`
c> ACK seq=101 ack=501 "abcdef" | client "abcdef"
c> ACK seq=101 ack=501 "abcdef" | retransmit
c> ACK seq=101 ack=501 "abc"    | retransmit
c> ACK seq=104 ack=501 "def"    | retransmit
c> ACK seq=104 ack=501 "defghi" | client "ghi"
s> ACK seq=501 ack=110          |
c> ACK seq=107 ack=501 "ghi"    | retransmit
`)
	if s := c.Summary(); s.Retransmits != 4 || s.BytesClient != 9 {
		t.Errorf("summary %+v", s)
	}
}

// A segment that fills a hole was lost before it came here, or it is late. The
// sender's clock tells, if it ticked in between.
func TestRetransmissionByTimestamps(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"later", `
c> ACK seq=104 ack=501 ts=50 "def" | out of order
c> ACK seq=101 ack=501 ts=51 "abc" | retransmit; client "abc"; client "def"
`}, {"same tick", `
c> ACK seq=104 ack=501 ts=50 "def" | out of order
c> ACK seq=101 ack=501 ts=50 "abc" | client "abc"; client "def"
`}, {"older", `
c> ACK seq=104 ack=501 ts=50 "def" | out of order
c> ACK seq=101 ack=501 ts=49 "abc" | client "abc"; client "def"
`}, {"later, over the wrap of the clock", `
c> ACK seq=104 ack=501 ts=4294967295 "def" | out of order
c> ACK seq=101 ack=501 ts=2 "abc"          | retransmit; client "abc"; client "def"
`}, {"no timestamps", `
c> ACK seq=104 ack=501 "def" | out of order
c> ACK seq=101 ack=501 "abc" | client "abc"; client "def"
`}, {"late into the second of two holes", `
c> ACK seq=104 ack=501 ts=50 "def" | out of order
c> ACK seq=110 ack=501 ts=60 "jkl" | out of order
c> ACK seq=107 ack=501 ts=55 "ghi" |
c> ACK seq=101 ack=501 ts=61 "abc" | retransmit; client "abc"; client "def"; client "ghi"; client "jkl"
`}, {"before another retransmission of the same tick", `
c> ACK seq=107 ack=501 ts=50 "ghi" | out of order
c> ACK seq=104 ack=501 ts=60 "def" | retransmit
c> ACK seq=101 ack=501 ts=60 "abc" | retransmit; client "abc"; client "def"; client "ghi"
`}, {"before a FIN", `
c> FIN ACK seq=104 ack=501 ts=50   | out of order; client ESTABLISHED>FIN-WAIT-1 by close
c> ACK seq=101 ack=501 ts=51 "abc" | retransmit; client "abc"; client end
`},
	} {
		t.Run(tt.name, func(t *testing.T) { story(t, opened+tt.script) })
	}
}

func TestOutOfOrder(t *testing.T) {
	c := story(t, opened+`
c> ACK seq=107 ack=501 "ghi" | out of order
c> ACK seq=110 ack=501 "jkl" |
c> ACK seq=104 ack=501 "def" |
c> ACK seq=104 ack=501 "def" | retransmit
c> ACK seq=101 ack=501 "abc" | client "abc"; client "def"; client "ghi"; client "jkl"
c> ACK seq=120 ack=501 "z"   | out of order
`)
	if s := c.Summary(); s.OutOfOrder != 2 {
		t.Errorf("summary %+v", s)
	}
}

// RFC 9293, section 3.8.4. The byte of garbage, if any, is not data.
func TestKeepAlive(t *testing.T) {
	story(t, opened+`
c> ACK seq=100 ack=501       | keep-alive
s> ACK seq=501 ack=101       |
c> ACK seq=100 ack=501 "?"   | keep-alive
s> ACK seq=501 ack=101       |
c> ACK seq=101 ack=501 "abc" | client "abc"
s> ACK seq=501 ack=104       |
s> ACK seq=500 ack=104       | keep-alive
c> ACK seq=104 ack=501       |
c> ACK seq=103 ack=501 "?"   | keep-alive
s> ACK seq=501 ack=104       |
c> ACK seq=104 ack=501 "def" | client "def"
`)
}

func TestKeepAliveAfterFIN(t *testing.T) {
	story(t, opened+`
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=501 ack=102     | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 5
c> ACK seq=101 ack=501 "?" | keep-alive
`)
}

// One byte that is not acknowledged yet looks like a keep-alive.
func TestRetransmissionOfOneByte(t *testing.T) {
	story(t, opened+`
c> ACK seq=101 ack=501 "x" | client "x"
c> ACK seq=101 ack=501 "x" | retransmit
s> ACK seq=501 ack=102     |
c> ACK seq=101 ack=501 "x" | keep-alive
`)
}

// RFC 5681, section 2.
func TestDupAck(t *testing.T) {
	story(t, opened+`
s> ACK seq=501 ack=101 "abc"          | server "abc"
s> ACK seq=504 ack=101 "def"          | server "def"
c> ACK seq=101 ack=504                |
c> ACK seq=101 ack=504                | dup ack
c> ACK seq=101 ack=504 win=2000       |
c> ACK seq=101 ack=504 win=2000       | dup ack
c> ACK seq=101 ack=504 win=2000 "x"   | client "x"
c> ACK seq=102 ack=507 win=2000       |
c> ACK seq=102 ack=507 win=2000       |
`)
}

func TestZeroWindow(t *testing.T) {
	story(t, opened+`
s> ACK seq=501 ack=101 "abc"        | server "abc"
c> ACK seq=101 ack=504 win=0        | zero window
s> ACK seq=503 ack=101              | keep-alive
c> ACK seq=101 ack=504 win=0        | zero window
c> ACK seq=101 ack=504 win=1000     |
s> ACK seq=504 ack=101 "def"        | server "def"
c> FIN ACK seq=101 ack=507 win=0    | client ESTABLISHED>FIN-WAIT-1 by close; client end
`)
}

// The numbers that tshark shows.
func TestRelativeNumbers(t *testing.T) {
	type numbers struct {
		segment  string
		seq, ack int64
	}
	for name, segments := range map[string][]numbers{
		"over the wrap": {
			{"c> SYN seq=4294967290", 0, 0},
			{"s> SYN ACK seq=4294967295 ack=4294967291", 0, 1},
			{"c> ACK seq=4294967291 ack=0", 1, 1},
			{`c> ACK seq=4294967291 ack=0 "0123456789"`, 1, 1},
			{"s> ACK seq=0 ack=5", 1, 11},
			{`c> ACK seq=4294967295 ack=0 "456789abc"`, 5, 1},
			{"c> ACK seq=4294967290 ack=0", 0, 1},
			{"s> RST seq=0", 1, 0},
		},
		"refused": {
			{"c> SYN seq=7", 0, 0},
			{"s> RST ACK seq=0 ack=8", 1, 1},
		},
		"midstream": {
			{`s> ACK seq=5000 ack=2000 "abc"`, 1, 1},
			{"c> ACK seq=2000 ack=5003", 1, 4},
			{"c> ACK seq=1999 ack=5003", 0, 4},
		},
		"midstream, in flight": {
			{"c> ACK seq=2000 ack=5000", 1, 1},
			{`s> ACK seq=8000 ack=2000 "abc"`, 3001, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewConn(flow)
			for i, want := range segments {
				from, p := parseSegment(t, want.segment)
				e := c.Segment(0, uint64(i+1), 1, from, p, 0).Segment
				if e.SeqRel != want.seq || e.AckRel != want.ack {
					t.Errorf("%s: relative %d and %d, want %d and %d", want.segment, e.SeqRel, e.AckRel, want.seq, want.ack)
				}
			}
		})
	}
}

// Relative numbers do not wrap, in either direction, and states still move.
func TestStreamOfManyGigabytes(t *testing.T) {
	c := story(t, opened)
	const size, total = 1 << 16, 9 << 30
	p := &Packet{Seq: 101, Ack: 501, Flags: event.ACK, Window: 1000, Len: size, Payload: make([]byte, size)}
	ack := &Packet{Seq: 501, Flags: event.ACK, Window: 1000}
	rel := int64(1)
	for ; rel < total; rel += size {
		if e := c.Segment(time.Second, 4, 4, event.Client, p, 0).Segment; e.SeqRel != rel || e.Retransmit || e.OutOfOrder {
			t.Fatalf("at %d: %+v", rel, e)
		}
		p.Seq += size
		ack.Ack = p.Seq
		if e := c.Segment(time.Second, 4, 4, event.Server, ack, 0).Segment; e.AckRel != rel+size || e.DupAck {
			t.Fatalf("acknowledgement at %d: %+v", rel, e)
		}
	}
	if got := c.Summary().BytesClient; got != uint64(rel-1) {
		t.Errorf("%d bytes of %d", got, rel-1)
	}
	p.Flags |= event.FIN
	p.Len, p.Payload = 0, nil
	r := c.Segment(time.Second, 5, 5, event.Client, p, 0)
	if got, want := tell(5, r), "client ESTABLISHED>FIN-WAIT-1 by close; client end"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What Segment tells comes from the packet as it is.
func TestSegmentEvent(t *testing.T) {
	c := NewConn(flow)
	p := &Packet{Seq: 9, Ack: 8, Flags: event.SYN | event.ECE | event.CWR, Window: 65535, Options: Options{MSS: 1460, SACKPermitted: true}}
	e := c.Segment(0, 1, 77, event.Client, p, 1400).Segment
	want := event.Segment{
		Flags: event.SYN | event.ECE | event.CWR, Seq: 9, Window: 65535,
		Options: event.TCPOptions{MSS: 1460, SACKPermitted: true}, Offload: 1400, Frame: 77,
	}
	if diff := cmp.Diff(want, *e); diff != "" {
		t.Error(diff)
	}
}

// Timestamps that both SYNs had are to be in every segment but a RST.
func TestNoTimestamp(t *testing.T) {
	timed := Options{HasTimestamps: true, TSVal: 1}
	c := NewConn(flow)
	send := func(n uint64, from event.Side, p Packet) bool {
		p.Src, p.Dst = flow.Client, flow.Server
		if from == event.Server {
			p.Src, p.Dst = p.Dst, p.Src
		}
		return c.Segment(0, n, n, from, &p, 0).NoTimestamp
	}
	for _, s := range []struct {
		what string
		from event.Side
		p    Packet
		want bool
	}{
		{"the SYN offers them", event.Client, Packet{Flags: event.SYN, Seq: 100, Options: timed}, false},
		{"the SYN-ACK accepts them", event.Server, Packet{Flags: event.SYN | event.ACK, Seq: 500, Ack: 101, Options: timed}, false},
		{"the ACK lacks them", event.Client, Packet{Flags: event.ACK, Seq: 101, Ack: 501}, true},
		{"the ACK has them", event.Client, Packet{Flags: event.ACK, Seq: 101, Ack: 501, Options: timed}, false},
		{"a RST may lack them", event.Client, Packet{Flags: event.RST, Seq: 101}, false},
	} {
		if got := send(1, s.from, s.p); got != s.want {
			t.Errorf("%s: NoTimestamp is %v", s.what, got)
		}
	}
}

package tcptrack

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

var flow = event.Flow{
	Client: netip.MustParseAddrPort("192.0.2.1:40000"),
	Server: netip.MustParseAddrPort("198.51.100.1:443"),
}

// opened are the first three segments of most stories. The first byte of the
// client is 101, that of the server 501.
const opened = `
c> SYN seq=100              | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101  | server LISTEN>SYN-RECEIVED by 1
c> ACK seq=101 ack=501      | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 3; established
`

// story plays a script: one segment on each line, from the client (c>) or the
// server (s>), and behind the bar all that is to be told of it. Segments are
// numbered from 1, one every millisecond. It returns the connection as it is
// after the last.
//
//	c> PSH ACK seq=101 ack=501 win=1000 ts=7 cut=2 "abc"  | out of order; client "abc"; …
//
// The window is 1000 unless told; cut is a number of bytes of payload, after
// the others, that the capture lacks.
func story(t *testing.T, script string) *Conn {
	t.Helper()
	c := NewConn(flow)
	play(t, c, script)
	return c
}

// play goes on with a story.
func play(t *testing.T, c *Conn, script string) {
	t.Helper()
	for line := range strings.Lines(script) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		segment, want, ok := strings.Cut(line, "|")
		if !ok {
			t.Fatalf("no bar in %q", line)
		}
		from, p := parseSegment(t, segment)
		n := c.segments + 1
		r := c.Segment(time.Duration(n)*time.Millisecond, n, n+1000, from, p, 0)
		if got, want := tell(n, r), strings.TrimSpace(want); got != want {
			t.Errorf("%d %s\n got: %s\nwant: %s", n, strings.TrimSpace(segment), got, want)
		}
	}
}

func parseSegment(t *testing.T, line string) (event.Side, *Packet) {
	t.Helper()
	p := &Packet{Src: flow.Client, Dst: flow.Server, Protocol: ProtocolTCP, Window: 1000}
	line, data, _ := strings.Cut(strings.TrimSpace(line), `"`)
	p.Payload = []byte(strings.TrimSuffix(data, `"`))
	p.Len = len(p.Payload)
	words := strings.Fields(line)
	from := event.Client
	if words[0] == "s>" {
		from = event.Server
		p.Src, p.Dst = p.Dst, p.Src
	}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			var f event.Flags
			if err := f.UnmarshalJSON([]byte(`["` + w + `"]`)); err != nil {
				t.Fatal(err)
			}
			p.Flags |= f
			continue
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		switch key {
		case "seq":
			p.Seq = uint32(n)
		case "ack":
			p.Ack = uint32(n)
		case "win":
			p.Window = uint16(n)
		case "ts":
			p.Options.TSVal, p.Options.HasTimestamps = uint32(n), true
		case "cut":
			p.Len += int(n)
		default:
			t.Fatalf("no such field: %s", key)
		}
	}
	return from, p
}

// tell puts a result into words.
func tell(n uint64, r Result) string {
	var s []string
	add := func(ok bool, format string, args ...any) {
		if ok {
			s = append(s, fmt.Sprintf(format, args...))
		}
	}
	add(r.Segment.Retransmit, "retransmit")
	add(r.Segment.OutOfOrder, "out of order")
	add(r.Segment.DupAck, "dup ack")
	add(r.Segment.KeepAlive, "keep-alive")
	add(r.Segment.ZeroWindow, "zero window")
	for _, x := range r.States {
		cause := strconv.FormatUint(x.Cause.N, 10)
		if x.Cause.By == event.ByCall && x.Cause.N == n {
			cause = x.Cause.What
		}
		add(true, "%s %s>%s by %s", x.Side, x.Old, x.New, cause)
	}
	for _, d := range r.Data {
		add(d.Gap == 0, "%s %q", d.From, d.B)
		add(d.Gap != 0, "%s gap %d", d.From, d.Gap)
	}
	for side := event.Client; side <= event.Server; side++ {
		add(r.FIN[side], "%s end", side)
	}
	add(r.Established, "established")
	add(r.Reset, "reset")
	add(r.Lost > 0, "lost %d", r.Lost)
	return strings.Join(s, "; ")
}

// wantClosed checks how a connection ended.
func wantClosed(t *testing.T, c *Conn, want string) {
	t.Helper()
	got := "open"
	if how, by, ok := c.Closed(); ok {
		got = how + " by " + by.String()
	}
	if got != want {
		t.Errorf("connection is %q, want %q", got, want)
	}
}

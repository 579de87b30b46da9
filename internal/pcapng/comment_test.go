package pcapng

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// wantComments compares the comments of a capture, with those that Wireshark
// shows as well.
func wantComments(t *testing.T, b []byte, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, comments(t, b)); diff != "" {
		t.Errorf("comments (-want +got):\n%s", diff)
	}
	var shown []string
	for _, row := range readFields(t, b, "frame.comment", "frame.packet_id", "frame.comment") {
		frame, cs, _ := strings.Cut(row, "\t")
		for c := range strings.SplitSeq(cs, "|") {
			shown = append(shown, frame+" "+c)
		}
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("comments in Wireshark (-want +got):\n%s", diff)
	}
}

func (c *wire) state(old, new event.State, cause event.Cause) {
	c.event(event.Server, event.Endpoint, &event.TCPState{Side: event.Server, Old: old, New: new, Cause: cause})
}

// What our endpoint says of a segment is on that segment, although it says so
// later. What the wire says is in the packets.
func TestStatesAndDrops(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, _ func() string) {
		c := l.open()
		syn := c.send(event.Client, event.SYN, nil)
		c.event(event.Client, event.Wire, &event.TCPState{Side: event.Client, Old: event.StateClosed, New: event.StateSynSent})
		c.send(event.Server, event.SYN|event.ACK, nil)
		c.state(event.StateListen, event.StateSynReceived, event.Cause{By: event.BySegment, N: syn})
		bad := c.send(event.Client, event.ACK, nil)
		c.event(event.Client, event.Endpoint, &event.Drop{N: bad, Reason: "bad checksum"})
		ack := c.send(event.Client, event.ACK, nil)
		c.state(event.StateSynReceived, event.StateEstablished, event.Cause{By: event.BySegment, N: ack})
	})
	wantComments(t, b,
		"1 tcp.state: server LISTEN > SYN-RECEIVED",
		"3 tcp.drop: bad checksum",
		"4 tcp.state: server SYN-RECEIVED > ESTABLISHED")
}

// A comment whose packet is written already is on the connection's next one,
// and says which it is of. So is one that no segment explains.
func TestLateComments(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, written func() string) {
		c, other := l.open(), l.open()
		ack := c.send(event.Client, event.ACK, nil)
		time.Sleep(time.Second)
		if got := written(); got != "head 1" {
			t.Errorf("%s, want the packet", got)
		}
		c.state(event.StateSynReceived, event.StateEstablished, event.Cause{By: event.BySegment, N: ack})
		c.state(event.StateEstablished, event.StateFinWait1, event.Cause{By: event.ByCall, What: "close"})
		c.event(event.Server, event.Endpoint, &event.Fault{Scenario: "no-finack", At: "FIN", Action: "delay 1s"})
		other.ack()
		c.send(event.Server, event.FIN|event.ACK, nil)
	})
	wantComments(t, b,
		"3 tcp.state: server SYN-RECEIVED > ESTABLISHED (of frame 1)",
		"3 tcp.state: server ESTABLISHED > FIN-WAIT-1, call close",
		"3 fault: no-finack at FIN: delay 1s")
}

// Comments of a connection that sends no more are on another's packet.
func TestCommentsOfAClosedConnection(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, written func() string) {
		c, other := l.open(), l.open()
		c.ack()
		c.state(event.StateLastAck, event.StateClosed, event.Cause{By: event.ByTimer, What: "retransmission"})
		c.event(event.NoSide, event.Wire, &event.Close{How: "timeout"})
		c.state(event.StateTimeWait, event.StateClosed, event.Cause{By: event.ByTimer, What: "TIME-WAIT"})
		l.w.Event(&event.Event{Time: l.now, View: event.Wire, Body: &event.Gap{Lost: 3, What: "observations", Reason: "the queue was full"}})
		other.ack()
	})
	wantComments(t, b,
		"2 connection 1: tcp.state: server LAST-ACK > CLOSED, timer retransmission",
		"2 connection 1: tcp.state: server TIME-WAIT > CLOSED, timer TIME-WAIT",
		"2 trace.gap: 3 observations lost: the queue was full")
}

// Why TLS failed is on the last segment, which is that of the alert.
func TestFailure(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, _ func() string) {
		c := l.open()
		c.hello()
		c.ack()
		c.event(event.Client, event.Wire, &event.Failed{
			Side: event.Client, Cause: "the client refused our certificate: unknown_ca",
			Error: "remote error: tls: unknown certificate authority", Hint: "trust the root",
		})
		l.w.Ready(c.id)
		c.ack()
	})
	wantComments(t, b, "2 tls.failed: client: the client refused our certificate: unknown_ca"+
		" (remote error: tls: unknown certificate authority); trust the root")
}

// Packets that are missing are counted where they are missing.
func TestMissingPackets(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, _ func() string) {
		c := l.open()
		c.ack()
		l.frame += 2
		c.ack()
	})
	wantComments(t, b, "4 packets missing before this one: 2, from frame 2 on")
	if got := readFields(t, b, "frame.drop_count", "frame.packet_id", "frame.drop_count"); len(got) != 1 || got[0] != "4\t2" {
		t.Errorf("drop counts %q, want 2 before 4", got)
	}
}

// Comments are short, few and printable whatever is in them.
func TestHostileComments(t *testing.T) {
	b := run(t, Config{Device: "syn\x00\x1b0"}, defaultLimits, func(l *link, _ func() string) {
		c := l.open()
		c.ack()
		for range maxNotes + 5 {
			c.event(event.Client, event.Wire, &event.Failed{Side: event.Client, Cause: strings.Repeat("é\n\x1b[31m\xff", 50_000)})
		}
	})
	cs := blocks(t, b)[2].comments
	if len(cs) != maxNotes+1 || cs[maxNotes] != "comments that found no room: 5" {
		t.Fatalf("%d comments, the last is %q", len(cs), cs[len(cs)-1])
	}
	for _, c := range cs[:maxNotes] {
		if len(c) > maxNote || !utf8.ValidString(c) || strings.ContainsAny(c, "\n\x1b") {
			t.Fatalf("%d bytes: %q", len(c), c)
		}
	}
	readFields(t, b, "", "frame.comment")
}

// Only so many connections are followed. The capture says which is not.
func TestTooManyConnections(t *testing.T) {
	b := run(t, Config{}, lowered(func(l *limits) { l.conns = 1 }), func(l *link, written func() string) {
		l.open().ack()
		l.open().hello() // nobody waits for it
		time.Sleep(time.Second)
		if got, want := written(), "head 1 2"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
	wantComments(t, b, "2 connection 2 is not followed: the limit of 1 is reached")
}

// An upstream leg has no packets. What went wrong with it is on the next one of
// its client, whatever other packets come before.
func TestUpstreamLeg(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, _ func() string) {
		client, other := l.open(), l.open()
		client.send(event.Client, event.SYN, nil)
		leg := &wire{link: l, id: 9}
		leg.event(event.NoSide, event.Endpoint, &event.Open{Upstream: true, UpstreamOf: client.id})
		leg.event(event.Client, event.Endpoint, &event.Dialed{OK: true})
		leg.event(event.Client, event.Wire, &event.Message{Type: event.ClientHelloType})
		leg.event(event.Server, event.Wire, &event.Gap{Lost: 3, What: "bytes", Reason: "the tracer's queue was full"})
		leg.event(event.Client, event.Wire, &event.Failed{Side: event.Client, Cause: "synscope refused the server's certificate"})
		leg.event(event.Client, event.Endpoint, &event.Close{How: "fin"})
		other.send(event.Client, event.SYN, nil)
		client.send(event.Server, event.SYN|event.ACK, nil)
	})
	wantComments(t, b,
		"3 upstream leg 9: trace.gap: 3 bytes lost: the tracer's queue was full",
		"3 upstream leg 9: tls.failed: client: synscope refused the server's certificate")
}

package tcptrack

import (
	"slices"
	"testing"

	"synscope/event"
)

const (
	listen      = event.StateListen
	closed      = event.StateClosed
	synSent     = event.StateSynSent
	synReceived = event.StateSynReceived
	established = event.StateEstablished
	finWait1    = event.StateFinWait1
	finWait2    = event.StateFinWait2
	closeWait   = event.StateCloseWait
	closing     = event.StateClosing
	lastAck     = event.StateLastAck
	timeWait    = event.StateTimeWait
)

func TestExplain(t *testing.T) {
	byClient := opened + `
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=501 ack=102     | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 5
s> FIN ACK seq=501 ack=102 | server CLOSE-WAIT>LAST-ACK by close; server end
c> ACK seq=102 ack=502     | client FIN-WAIT-2>TIME-WAIT by 6; server LAST-ACK>CLOSED by 7
`
	crossed := opened + `
s> FIN ACK seq=501 ack=101 | server ESTABLISHED>FIN-WAIT-1 by close; server end
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=502 ack=102     | server FIN-WAIT-1>CLOSING by 5
c> ACK seq=102 ack=502     | client FIN-WAIT-1>CLOSING by 4; client CLOSING>TIME-WAIT by 6; server CLOSING>TIME-WAIT by 7
`
	reset := opened + `
c> RST seq=101 | client ESTABLISHED>CLOSED by 4; server ESTABLISHED>CLOSED by 4; reset
`
	for _, tt := range []struct {
		name, script string
		side         event.Side
		old, new     event.State
		want         event.Cause
	}{
		{"SYN", byClient, event.Client, closed, synSent, byCall("connect", 1)},
		{"SYN came", byClient, event.Server, listen, synReceived, bySegment(1)},
		{"SYN-ACK came", byClient, event.Client, synSent, established, bySegment(2)},
		{"ACK came", byClient, event.Server, synReceived, established, bySegment(3)},
		{"close", byClient, event.Client, established, finWait1, byCall("close", 4)},
		{"FIN came", byClient, event.Server, established, closeWait, bySegment(4)},
		{"ACK of FIN came", byClient, event.Client, finWait1, finWait2, bySegment(5)},
		{"close after the peer", byClient, event.Server, closeWait, lastAck, byCall("close", 6)},
		{"last FIN came", byClient, event.Client, finWait2, timeWait, bySegment(6)},
		{"last ACK came", byClient, event.Server, lastAck, closed, bySegment(7)},
		{"time passed", byClient, event.Client, timeWait, closed, event.Cause{By: event.ByTimer, What: "TIME-WAIT"}},
		{"FINs crossed", crossed, event.Server, finWait1, closing, bySegment(5)},
		{"ACK after crossed FINs", crossed, event.Server, closing, timeWait, bySegment(7)},
		{"RST came", reset, event.Server, established, closed, bySegment(4)},
		{"RST was sent", reset, event.Client, established, closed, event.Cause{By: event.Unknown}},
		{"no FIN was seen", opened, event.Server, established, closeWait, event.Cause{By: event.Unknown}},
		{"no segment leads there", opened, event.Server, closed, listen, event.Cause{By: event.Unknown}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := story(t, tt.script).Explain(tt.side, tt.old, tt.new); got != tt.want {
				t.Errorf("%v > %v: %+v, want %+v", tt.old, tt.new, got, tt.want)
			}
		})
	}
}

// A FIN that was sent again is told by the last before the acknowledgement.
func TestExplainLostFIN(t *testing.T) {
	c := story(t, opened+`
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
c> FIN ACK seq=101 ack=501 | retransmit
s> ACK seq=501 ack=102     | server ESTABLISHED>CLOSE-WAIT by 5; client FIN-WAIT-1>FIN-WAIT-2 by 6
c> FIN ACK seq=101 ack=501 | retransmit
`)
	if got := c.Explain(event.Server, established, closeWait); got != bySegment(5) {
		t.Errorf("CLOSE-WAIT by %v", got)
	}
}

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		old, new event.State
		want     []event.State
	}{
		{listen, synReceived, []event.State{synReceived}},
		{listen, established, nil}, // with a SYN cookie there is no SYN-RECEIVED
		{listen, closeWait, []event.State{synReceived, established, closeWait}},
		{synReceived, closeWait, []event.State{established, closeWait}},
		{established, lastAck, []event.State{closeWait, lastAck}},
		{closeWait, lastAck, []event.State{lastAck}},
		{established, timeWait, nil},
		{finWait1, timeWait, nil},
		{closeWait, established, nil},
		{lastAck, closed, nil},
		{established, established, nil},
	} {
		if got := Path(tt.old, tt.new); !slices.Equal(got, tt.want) {
			t.Errorf("Path(%v, %v) = %v, want %v", tt.old, tt.new, got, tt.want)
		}
	}
}

// From FIN-WAIT-1 to TIME-WAIT there are two ways, which the segments tell.
func TestConnPath(t *testing.T) {
	const closes = opened + "s> FIN ACK seq=501 ack=101 | server ESTABLISHED>FIN-WAIT-1 by close; server end\n"
	for _, tt := range []struct {
		name, script string
		want         []event.State
	}{
		{"FIN acknowledges the FIN", closes + `
c> FIN ACK seq=101 ack=502 | client ESTABLISHED>CLOSE-WAIT by 4; server FIN-WAIT-1>FIN-WAIT-2 by 5; client CLOSE-WAIT>LAST-ACK by close; client end
`, []event.State{finWait2, timeWait}},
		{"FIN after the ACK", closes + `
c> ACK seq=101 ack=502     | client ESTABLISHED>CLOSE-WAIT by 4; server FIN-WAIT-1>FIN-WAIT-2 by 5
c> FIN ACK seq=101 ack=502 | client CLOSE-WAIT>LAST-ACK by close; client end
`, []event.State{finWait2, timeWait}},
		{"FIN before the ACK", closes + `
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
c> ACK seq=102 ack=502     | client FIN-WAIT-1>CLOSING by 4
`, []event.State{closing, timeWait}},
		{"not acknowledged", closes, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := story(t, tt.script)
			if got := c.Path(event.Server, finWait1, timeWait); !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if got := c.Path(event.Server, established, lastAck); !slices.Equal(got, []event.State{closeWait, lastAck}) {
				t.Errorf("ESTABLISHED to LAST-ACK: %v", got)
			}
		})
	}
}

package tcptrack

import (
	"testing"

	"synscope/event"
)

func TestOpenAndCloseByClient(t *testing.T) {
	c := story(t, opened+`
c> PSH ACK seq=101 ack=501 "hello"   | client "hello"
s> PSH ACK seq=501 ack=106 "welcome" | server "welcome"
c> FIN ACK seq=106 ack=508           | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=508 ack=107               | server ESTABLISHED>CLOSE-WAIT by 6; client FIN-WAIT-1>FIN-WAIT-2 by 7
s> FIN ACK seq=508 ack=107           | server CLOSE-WAIT>LAST-ACK by close; server end
c> ACK seq=107 ack=509               | client FIN-WAIT-2>TIME-WAIT by 8; server LAST-ACK>CLOSED by 9
`)
	wantClosed(t, c, "fin by client")
	want := Summary{
		BytesClient: 5, BytesServer: 7, Segments: 9, Established: true, BothFIN: true,
		RTT: 1e6, TCPHandshake: 2e6, Duration: 8e6,
	}
	if got := c.Summary(); got != want {
		t.Errorf("summary %+v\n   want %+v", got, want)
	}
	if c.State(event.Client) != event.StateTimeWait || c.State(event.Server) != event.StateClosed {
		t.Errorf("states %v and %v", c.State(event.Client), c.State(event.Server))
	}
}

func TestCloseByServer(t *testing.T) {
	c := story(t, opened+`
s> FIN PSH ACK seq=501 ack=101 "bye" | server ESTABLISHED>FIN-WAIT-1 by close; server "bye"; server end
c> FIN ACK seq=101 ack=505           | client ESTABLISHED>CLOSE-WAIT by 4; server FIN-WAIT-1>FIN-WAIT-2 by 5; client CLOSE-WAIT>LAST-ACK by close; client end
s> ACK seq=505 ack=102               | server FIN-WAIT-2>TIME-WAIT by 5; client LAST-ACK>CLOSED by 6
`)
	wantClosed(t, c, "fin by server")
}

func TestSimultaneousClose(t *testing.T) {
	c := story(t, opened+`
s> FIN ACK seq=501 ack=101 | server ESTABLISHED>FIN-WAIT-1 by close; server end
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=502 ack=102     | server FIN-WAIT-1>CLOSING by 5
c> ACK seq=102 ack=502     | client FIN-WAIT-1>CLOSING by 4; client CLOSING>TIME-WAIT by 6; server CLOSING>TIME-WAIT by 7
`)
	wantClosed(t, c, "fin by server")
}

// RFC 9293, section 3.5, figure 8.
func TestSimultaneousOpen(t *testing.T) {
	c := story(t, `
c> SYN seq=100             | client CLOSED>SYN-SENT by connect
s> SYN seq=300             | server CLOSED>SYN-SENT by connect
c> SYN ACK seq=100 ack=301 | retransmit; client SYN-SENT>SYN-RECEIVED by 2
s> SYN ACK seq=300 ack=101 | retransmit; server SYN-SENT>SYN-RECEIVED by 1; client SYN-RECEIVED>ESTABLISHED by 4; server SYN-RECEIVED>ESTABLISHED by 3; established
c> ACK seq=101 ack=301 "x" | client "x"
`)
	wantClosed(t, c, "open")
}

func TestSimultaneousOpenWithOneSYNLost(t *testing.T) {
	story(t, `
c> SYN seq=100             | client CLOSED>SYN-SENT by connect
s> SYN seq=300             | server CLOSED>SYN-SENT by connect
c> SYN ACK seq=100 ack=301 | retransmit; client SYN-SENT>SYN-RECEIVED by 2
s> ACK seq=301 ack=101     | server SYN-SENT>ESTABLISHED by 3; client SYN-RECEIVED>ESTABLISHED by 4; established
`)
}

func TestHalfClose(t *testing.T) {
	c := story(t, opened+`
c> FIN ACK seq=101 ack=501       | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=501 ack=102           | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 5
s> ACK seq=501 ack=102 "still"   | server "still"
c> ACK seq=102 ack=506           |
s> ACK seq=506 ack=102 "talking" | server "talking"
c> ACK seq=102 ack=513           |
`)
	wantClosed(t, c, "open")
	play(t, c, `
s> FIN ACK seq=513 ack=102       | server CLOSE-WAIT>LAST-ACK by close; server end
c> ACK seq=102 ack=514           | client FIN-WAIT-2>TIME-WAIT by 10; server LAST-ACK>CLOSED by 11
`)
	wantClosed(t, c, "fin by client")
}

func TestLostSYN(t *testing.T) {
	c := story(t, `
c> SYN seq=100             | client CLOSED>SYN-SENT by connect
c> SYN seq=100             | retransmit
s> SYN ACK seq=500 ack=101 | server LISTEN>SYN-RECEIVED by 2
c> ACK seq=101 ack=501     | client SYN-SENT>ESTABLISHED by 3; server SYN-RECEIVED>ESTABLISHED by 4; established
`)
	if s := c.Summary(); s.RTT != 1e6 || s.TCPHandshake != 3e6 || s.Retransmits != 1 {
		t.Errorf("summary %+v", s)
	}
}

func TestLostSYNACK(t *testing.T) {
	c := story(t, `
c> SYN seq=100             | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101 | server LISTEN>SYN-RECEIVED by 1
c> SYN seq=100             | retransmit
s> SYN ACK seq=500 ack=101 | retransmit
c> ACK seq=101 ack=501     | client SYN-SENT>ESTABLISHED by 4; server SYN-RECEIVED>ESTABLISHED by 5; established
`)
	if s := c.Summary(); s.RTT != 1e6 || s.TCPHandshake != 4e6 || s.Retransmits != 2 {
		t.Errorf("summary %+v", s)
	}
}

// The ACK was lost before it came here: the client sends it again when the
// server repeats its SYN-ACK, or data acknowledges it as well.
func TestLostACK(t *testing.T) {
	story(t, `
c> SYN seq=100             | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101 | server LISTEN>SYN-RECEIVED by 1
c> ACK seq=101 ack=501 "x" | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 3; client "x"; established
s> SYN ACK seq=500 ack=101 | retransmit
c> ACK seq=102 ack=501     |
`)
}

// A SYN that is answered twice by cookies of different times, or by a cookie
// and then by an endpoint, gets two initial sequence numbers: the client
// decides.
func TestTwoSYNACKs(t *testing.T) {
	const answers = `
c> SYN seq=100             | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101 | server LISTEN>SYN-RECEIVED by 1
c> SYN seq=100             | retransmit
s> SYN ACK seq=900 ack=101 |
`
	t.Run("first was lost", func(t *testing.T) {
		story(t, answers+`
c> ACK seq=101 ack=901     | client SYN-SENT>ESTABLISHED by 4; server SYN-RECEIVED>ESTABLISHED by 5; established
s> ACK seq=901 ack=101 "a" | server "a"
`)
	})
	t.Run("second was late", func(t *testing.T) {
		story(t, answers+`
c> ACK seq=101 ack=501     | client SYN-SENT>ESTABLISHED by 4; server SYN-RECEIVED>ESTABLISHED by 5; established
s> ACK seq=501 ack=101 "a" | server "a"
`)
	})
}

func TestFINAndRetransmissions(t *testing.T) {
	c := story(t, opened+`
c> FIN ACK seq=101 ack=501 "bye" | client ESTABLISHED>FIN-WAIT-1 by close; client "bye"; client end
c> FIN ACK seq=101 ack=501 "bye" | retransmit
c> FIN ACK seq=104 ack=501       | retransmit
s> ACK seq=501 ack=105           | server ESTABLISHED>CLOSE-WAIT by 6; client FIN-WAIT-1>FIN-WAIT-2 by 7
c> FIN ACK seq=104 ack=501       | retransmit
s> ACK seq=501 ack=105           |
`)
	wantClosed(t, c, "open")
}

// The sender has closed, but its peer has not heard of it before it has all
// the data.
func TestFINOutOfOrder(t *testing.T) {
	story(t, opened+`
c> FIN ACK seq=104 ack=501 "def" | out of order; client ESTABLISHED>FIN-WAIT-1 by close
s> ACK seq=501 ack=101           | dup ack
c> ACK seq=101 ack=501 "abc"     | client "abc"; client "def"; client end
s> ACK seq=501 ack=108           | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 7
`)
}

// The data before a FIN never came here, but its receiver has it.
func TestFINAfterGap(t *testing.T) {
	story(t, opened+`
c> FIN ACK seq=104 ack=501 | out of order; client ESTABLISHED>FIN-WAIT-1 by close
s> ACK seq=501 ack=105     | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 5; client gap 3; client end
`)
}

func TestHostileFIN(t *testing.T) {
	t.Run("data after it", func(t *testing.T) {
		story(t, opened+`
c> FIN ACK seq=101 ack=501 "abc" | client ESTABLISHED>FIN-WAIT-1 by close; client "abc"; client end
c> ACK seq=104 ack=501 "XYZ"     |
c> ACK seq=105 ack=501 "XYZ"     |
s> ACK seq=501 ack=105           | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 7
`)
	})
	t.Run("again further", func(t *testing.T) {
		story(t, opened+`
c> FIN ACK seq=101 ack=501       | client ESTABLISHED>FIN-WAIT-1 by close; client end
c> FIN ACK seq=105 ack=501       | out of order
s> ACK seq=501 ack=102           | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 6
`)
	})
	t.Run("again nearer", func(t *testing.T) {
		story(t, opened+`
c> FIN ACK seq=200 ack=501       | out of order; client ESTABLISHED>FIN-WAIT-1 by close
c> FIN ACK seq=101 ack=501 "abc" | client "abc"; client end
s> ACK seq=501 ack=105           | server ESTABLISHED>CLOSE-WAIT by 5; client FIN-WAIT-1>FIN-WAIT-2 by 6
`)
	})
	t.Run("below the bytes", func(t *testing.T) {
		story(t, opened+`
c> ACK seq=101 ack=501 "abc"     | client "abc"
c> FIN ACK seq=101 ack=501       | retransmit
c> ACK seq=104 ack=501 "def"     | client "def"
`)
	})
	t.Run("without ACK", func(t *testing.T) {
		story(t, opened+`
c> FIN seq=101                   |
c> FIN PSH URG seq=101 "x"       |
c> ACK seq=101 ack=501 "abc"     | client "abc"
`)
	})
	t.Run("in the SYN", func(t *testing.T) {
		story(t, `
c> SYN FIN seq=100               | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=101       | server LISTEN>SYN-RECEIVED by 1
c> ACK seq=101 ack=501 "abc"     | client SYN-SENT>ESTABLISHED by 2; server SYN-RECEIVED>ESTABLISHED by 3; client "abc"; established
`)
	})
}

// A segment that acknowledges what was not sent moves nothing.
func TestACKOfNothing(t *testing.T) {
	c := story(t, `
c> SYN seq=100               | client CLOSED>SYN-SENT by connect
s> SYN ACK seq=500 ack=999   |
s> SYN ACK seq=500 ack=101   | retransmit; server LISTEN>SYN-RECEIVED by 1
c> ACK seq=101 ack=700       |
c> ACK seq=101 ack=500       |
c> ACK seq=101 ack=501       | client SYN-SENT>ESTABLISHED by 3; server SYN-RECEIVED>ESTABLISHED by 6; established
s> FIN ACK seq=501 ack=101   | server ESTABLISHED>FIN-WAIT-1 by close; server end
c> ACK seq=101 ack=503       |
c> ACK seq=101 ack=501       | dup ack
`)
	if got := c.State(event.Server); got != event.StateFinWait1 {
		t.Errorf("server is in %v", got)
	}
}

// Half-open discovery (RFC 9293, section 3.5.1, figure 9): a client that
// forgot the connection opens it anew.
func TestSecondSYN(t *testing.T) {
	c := story(t, opened+`
c> ACK seq=101 ack=501 "abc" | client "abc"
c> SYN seq=9000              |
s> ACK seq=501 ack=104       |
c> ACK seq=104 ack=501 "def" | client "def"
c> RST seq=104               | client ESTABLISHED>CLOSED by 8; server ESTABLISHED>CLOSED by 8; reset
`)
	wantClosed(t, c, "rst by client")
	_, syn := parseSegment(t, "c> SYN seq=9000")
	if !c.Reuse(syn) {
		t.Error("the SYN after the RST does not begin a connection")
	}
}

func TestReuse(t *testing.T) {
	const closed = opened + `
s> FIN ACK seq=501 ack=101 | server ESTABLISHED>FIN-WAIT-1 by close; server end
c> FIN ACK seq=101 ack=502 | client ESTABLISHED>CLOSE-WAIT by 4; server FIN-WAIT-1>FIN-WAIT-2 by 5; client CLOSE-WAIT>LAST-ACK by close; client end
s> ACK seq=502 ack=102     | server FIN-WAIT-2>TIME-WAIT by 5; client LAST-ACK>CLOSED by 6
`
	const sent = "c> SYN seq=100 | client CLOSED>SYN-SENT by connect\n"
	const answered = sent + "s> SYN ACK seq=500 ack=101 | server LISTEN>SYN-RECEIVED by 1\n"
	for _, tt := range []struct {
		name, script, segment string
		want                  bool
	}{
		{"SYN after the close", closed, "c> SYN seq=7000", true},
		{"same number after the close", closed, "c> SYN seq=100", true},
		{"SYN-ACK after the close", closed, "s> SYN ACK seq=100 ack=1", false},
		{"data after the close", closed, "c> ACK seq=102 ack=502", false},
		{"SYN sent again", sent, "c> SYN seq=100", false},
		{"another SYN instead", sent, "c> SYN seq=200", true},
		{"another SYN after the answer", answered, "c> SYN seq=200", true},
		{"SYN sent again after the answer", answered, "c> SYN seq=100", false},
		{"SYN of the server", sent, "s> SYN seq=300", false},
		{"another SYN when established", opened, "c> SYN seq=200", false},
		{"SYN after a midstream start", "c> ACK seq=5 ack=6 |\n", "c> SYN seq=900", true},
		{"SYN after its answer", "s> SYN ACK seq=500 ack=101 |\n", "c> SYN seq=100", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := story(t, tt.script)
			_, p := parseSegment(t, tt.segment)
			if got := c.Reuse(p); got != tt.want {
				t.Errorf("Reuse(%s) = %v", tt.segment, got)
			}
		})
	}
}

func TestRenewed(t *testing.T) {
	const reset = opened + "c> RST seq=101 | client ESTABLISHED>CLOSED by 4; server ESTABLISHED>CLOSED by 4; reset\n"
	for _, tt := range []struct {
		name, script, segment string
		want                  bool
	}{
		{"another SYN when established", opened, "c> SYN seq=200", true},
		{"SYN sent again", opened, "c> SYN seq=100", false},
		{"SYN-ACK", opened, "c> SYN ACK seq=200 ack=1", false},
		{"SYN of the server", opened, "s> SYN seq=200", false},
		{"another SYN-ACK when established", opened, "s> SYN ACK seq=900 ack=201", false},
		{"another SYN-ACK after the end", reset, "s> SYN ACK seq=900 ack=201", true},
		{"SYN-ACK sent again after the end", reset, "s> SYN ACK seq=500 ack=101", false},
		{"SYN after its answer", "s> SYN ACK seq=500 ack=101 |\n", "c> SYN seq=100", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := story(t, tt.script)
			_, p := parseSegment(t, tt.segment)
			if got := c.Renewed(p); got != tt.want {
				t.Errorf("Renewed(%s) = %v", tt.segment, got)
			}
		})
	}
}

func TestMidstream(t *testing.T) {
	c := story(t, `
s> ACK seq=5000 ack=2000 "abc"  | server "abc"
c> ACK seq=2000 ack=5003 "def"  | client "def"
s> ACK seq=5003 ack=2003 "ghi"  | server "ghi"
s> ACK seq=5003 ack=2003 "ghi"  | retransmit
c> FIN ACK seq=2003 ack=5006    | client end
s> FIN ACK seq=5006 ack=2004    | server end
c> ACK seq=2004 ack=5007        |
`)
	wantClosed(t, c, "fin by client")
	if got := c.State(event.Client); got != event.NoState {
		t.Errorf("the client's state is %v, but its SYN was not seen", got)
	}
}

func TestMidstreamFromSYNACK(t *testing.T) {
	story(t, `
s> SYN ACK seq=500 ack=101   |
c> ACK seq=101 ack=501 "abc" | client "abc"
s> ACK seq=501 ack=104 "def" | server "def"
c> SYN seq=4000              |
c> ACK seq=104 ack=504 "ghi" | client "ghi"
`)
}

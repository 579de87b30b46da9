package tcptrack

import "testing"

func TestReset(t *testing.T) {
	const sent = "c> SYN seq=100 | client CLOSED>SYN-SENT by connect\n"
	const answered = sent + "s> SYN ACK seq=500 ack=101 | server LISTEN>SYN-RECEIVED by 1\n"
	const halfClosed = opened + `
c> FIN ACK seq=101 ack=501 | client ESTABLISHED>FIN-WAIT-1 by close; client end
s> ACK seq=501 ack=102     | server ESTABLISHED>CLOSE-WAIT by 4; client FIN-WAIT-1>FIN-WAIT-2 by 5
`
	for _, tt := range []struct{ name, script, closed string }{
		{"SYN refused", sent + `
s> RST ACK seq=0 ack=101 | client SYN-SENT>CLOSED by 2; reset
`, "refused by server"},
		{"SYN with data refused", `
c> SYN seq=100 "hello"   | client CLOSED>SYN-SENT by connect
s> RST ACK seq=0 ack=106 | client SYN-SENT>CLOSED by 2; reset
`, "refused by server"},
		{"SYN-SENT, of another number", sent + `
s> RST ACK seq=0 ack=100 |
s> RST ACK seq=0 ack=102 |
s> RST seq=101           |
`, "open"},
		{"SYN-SENT, by the client", sent + `
c> RST seq=101 | client SYN-SENT>CLOSED by 2; reset
`, "rst by client"},
		{"SYN-RECEIVED, by the client", answered + `
c> RST seq=101 | client SYN-SENT>CLOSED by 3; server SYN-RECEIVED>CLOSED by 3; reset
`, "rst by client"},
		{"SYN-RECEIVED, by the server", answered + `
s> RST seq=501 | server SYN-RECEIVED>CLOSED by 3; client SYN-SENT>CLOSED by 3; reset
`, "rst by server"},
		{"answer to a segment of an old connection", sent + `
s> ACK seq=900 ack=700 |
c> RST seq=700         | client SYN-SENT>CLOSED by 3; reset
`, "rst by client"},
		{"ESTABLISHED, by the client", opened + `
c> RST ACK seq=101 ack=501 | client ESTABLISHED>CLOSED by 4; server ESTABLISHED>CLOSED by 4; reset
`, "rst by client"},
		{"ESTABLISHED, by the server, data unacknowledged", opened + `
s> ACK seq=501 ack=101 "abc" | server "abc"
s> RST seq=504               | server ESTABLISHED>CLOSED by 5; client ESTABLISHED>CLOSED by 5; reset
`, "rst by server"},
		{"ESTABLISHED, answer to data", opened + `
s> ACK seq=501 ack=101 "abc" | server "abc"
c> RST seq=101               | client ESTABLISHED>CLOSED by 5; server ESTABLISHED>CLOSED by 5; reset
`, "rst by client"},
		{"CLOSE-WAIT", halfClosed + `
c> RST seq=102 | client FIN-WAIT-2>CLOSED by 6; server CLOSE-WAIT>CLOSED by 6; reset
`, "rst by client"},
		{"CLOSE-WAIT, by the server", halfClosed + `
s> RST ACK seq=501 ack=102 | server CLOSE-WAIT>CLOSED by 6; client FIN-WAIT-2>CLOSED by 6; reset
`, "rst by server"},
		{"TIME-WAIT", halfClosed + `
s> FIN ACK seq=501 ack=102 | server CLOSE-WAIT>LAST-ACK by close; server end
c> ACK seq=102 ack=502     | client FIN-WAIT-2>TIME-WAIT by 6; server LAST-ACK>CLOSED by 7
s> RST seq=502             |
`, "fin by client"},
		{"below the window", opened + `
c> ACK seq=101 ack=501 "abc" | client "abc"
s> ACK seq=501 ack=104       |
c> RST seq=101               |
c> ACK seq=104 ack=501 "def" | client "def"
`, "open"},
		{"above all that was sent", opened + `
s> ACK seq=501 ack=101     |
c> RST seq=90000           |
c> ACK seq=101 ack=501 "x" | client "x"
`, "open"},
		{"twice", opened + `
c> RST seq=101 | client ESTABLISHED>CLOSED by 4; server ESTABLISHED>CLOSED by 4; reset
c> RST seq=101 |
`, "rst by client"},
		{"SYN sent again after it", sent + `
s> RST ACK seq=0 ack=101 | client SYN-SENT>CLOSED by 2; reset
c> SYN seq=100           | retransmit
`, "refused by server"},
		{"midstream", "c> RST seq=5 | reset\n", "rst by client"},
		{"with a SYN, first of all", "c> SYN RST seq=5 | reset\n", "rst by client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantClosed(t, story(t, tt.script), tt.closed)
		})
	}
}

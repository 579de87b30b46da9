package integration

import (
	"io"
	"net/netip"
	"testing"

	"synscope/event"
)

// The client sends the first FIN: the server is left in LAST-ACK, the client in
// TIME-WAIT, whose end the wire does not show.
func TestCloseByClient(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "discard")
		conn := l.dial(server)
		conn.Write([]byte("x"))
		conn.Close()
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			ESTABLISHED: client's ACK
			CLOSE-WAIT: client's FIN ACK
			LAST-ACK: call shutdown
			CLOSED: client's ACK`)
		s.wantClose(t, "fin", event.Client)
		s.wantCause(t, "", "")
		l.judge()
	})
}

// The server sends the first FIN, and stays in TIME-WAIT until its timer ends it.
func TestCloseByServer(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "chargen:100", "--time-wait", "100ms")
		conn := l.dial(server)
		conn.Write([]byte("x"))
		if b, err := io.ReadAll(conn); len(b) != 100 || err != nil {
			t.Errorf("read %d bytes, %v, want 100 and EOF", len(b), err)
		}
		l.awaitState(event.StateFinWait2) // or the client's ACK and FIN may be one segment
		conn.Close()
		l.awaitState(event.StateClosed)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			ESTABLISHED: client's ACK
			FIN-WAIT-1: call shutdown
			FIN-WAIT-2: client's ACK
			TIME-WAIT: client's FIN ACK
			CLOSED: timer TIME-WAIT`)
		s.wantClose(t, "fin", event.Server)
		l.judge()
	})
}

// Both send FIN before they have seen the other's: the FINs cross, and both go
// through CLOSING (RFC 9293, section 3.6, case 3 and figure 14).
func TestCloseAtOnce(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "chargen:10", "--time-wait", "100ms")
		c := l.newRawClient(server, 0)
		c.connect()
		c.send(event.ACK|event.PSH, "x")
		c.until(event.FIN)
		// As if the server's FIN had not come yet.
		c.sendSegment(segment{flags: event.FIN | event.ACK, seq: c.seq, ack: c.ack - 1})
		c.want(event.ACK)
		c.send(event.ACK, "")
		l.awaitState(event.StateClosed)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > CLOSING > TIME-WAIT
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > CLOSING > TIME-WAIT > CLOSED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			ESTABLISHED: client's ACK
			FIN-WAIT-1: call shutdown
			CLOSING: client's FIN ACK
			TIME-WAIT: client's ACK
			CLOSED: timer TIME-WAIT`)
		s.wantCauses(t, event.Client, `
			SYN-SENT: call connect
			ESTABLISHED: server's SYN ACK
			FIN-WAIT-1: call close
			CLOSING: server's FIN ACK
			TIME-WAIT: server's ACK`)
		s.wantClose(t, "fin", event.Server)
		l.judge()
	})
}

// The client shuts down its own direction at once and still gets the whole
// answer: the server sends from CLOSE-WAIT.
func TestHalfClose(t *testing.T) {
	const answer = 3_000_000
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "chargen:3000000")
		conn := l.dial(server)
		conn.Write([]byte("x"))
		conn.CloseWrite()
		l.awaitState(event.StateCloseWait) // the answer is larger than the client's window
		if b, err := io.ReadAll(conn); len(b) != answer || err != nil {
			t.Errorf("read %d bytes, %v, want %d and EOF", len(b), err, answer)
		}
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED`)
		sent, halfClosed := 0, false
		for _, e := range s {
			switch b := e.Body.(type) {
			case *event.TCPState:
				halfClosed = halfClosed || b.Side == event.Server && b.New == event.StateCloseWait
			case *event.Segment:
				if halfClosed && e.From == event.Server {
					sent += b.Len
				}
			}
		}
		if sent == 0 {
			t.Error("nothing was sent in CLOSE-WAIT")
		}
		if c := s.wantClose(t, "fin", event.Client); c.BytesServer != answer || c.BytesClient != 1 {
			t.Errorf("conn.close counts %d and %d bytes, want 1 and %d", c.BytesClient, c.BytesServer, answer)
		}
		l.judge()
	})
}

// The client does not acknowledge the server's FIN: it is sent again, told so,
// and the late ACK ends the connection.
func TestFINRetransmitted(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "discard")
		c := l.newRawClient(server, 0)
		c.connect()
		c.send(event.FIN|event.ACK, "")
		first := c.until(event.FIN)
		again := c.want(event.FIN | event.ACK)
		if again.seq != first.seq {
			t.Errorf("the second FIN has the number %d, want %d", again.seq, first.seq)
		}
		c.send(event.ACK, "")
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED`)
		if got := s.wantClose(t, "fin", event.Client).Retransmits; got != 1 || s.retransmits(event.Server) != 1 {
			t.Errorf("%d retransmissions told, %d counted, want 1", s.retransmits(event.Server), got)
		}
		s.wantCause(t, "client_silent", "client connected and sent nothing; the client closed the connection after ")
		l.judge()
	})
}

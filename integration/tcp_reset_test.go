package integration

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"synscope/event"
)

// The client answers the SYN-ACK with RST, as a port scanner does.
func TestResetInSYNReceived(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t)
		c := l.newRawClient(server, 0)
		c.send(event.SYN, "")
		c.want(event.SYN | event.ACK)
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > CLOSED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			CLOSED: client's RST`)
		s.wantClose(t, "rst", event.Client)
		s.wantCause(t, "syn_ack_reset", "client answered the SYN-ACK with RST")
		l.judge()
	})
}

// The client sends its ClientHello, gets the server's flight, and resets in the
// middle of the TLS handshake.
func TestResetInHandshake(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t)
		c := l.newRawClient(server, 0)
		c.connect()
		c.send(event.ACK|event.PSH, clientHello(t))
		l.await("the server's Finished", func(e *event.Event) bool {
			m, ok := e.Body.(*event.Message)
			return ok && e.From == event.Server && m.Type == event.FinishedType
		})
		for next := c.ack - 1; next != c.ack; { // up to the end of the flight
			next = c.ack
			if c.waiting() {
				c.receive()
			}
		}
		c.sendSegment(segment{flags: event.RST | event.ACK, seq: c.seq, ack: c.ack})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSED
			tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > FAILED
			tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > FAILED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			ESTABLISHED: client's ACK
			CLOSED: client's RST ACK`)
		if f := one[*event.Failed](t, s); f.Side != event.Client || f.Code != event.CauseClientLeft {
			t.Errorf("tls.failed: %+v, want it to be the client's doing", f)
		}
		s.wantClose(t, "rst", event.Client)
		l.judge()
	})
}

// The client has sent its FIN and resets while the server still sends.
func TestResetInCloseWait(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "chargen:100000000")
		c := l.newRawClient(server, 0)
		c.connect()
		c.send(event.ACK|event.FIN|event.PSH, "x") // and nothing of the answer is acknowledged
		l.awaitState(event.StateCloseWait)
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSE-WAIT > CLOSED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			ESTABLISHED: client's ACK
			CLOSE-WAIT: client's FIN ACK
			CLOSED: client's RST`)
		s.wantClose(t, "rst", event.Client)
		l.judge()
	})
}

// A RST whose number is outside the window is ignored (RFC 9293, section
// 3.10.7.4, first step): a blind attacker cannot reset the connection.
func TestBlindReset(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "echo")
		c := l.newRawClient(server, 0)
		c.connect()
		c.sendSegment(segment{flags: event.RST, seq: c.seq + 1<<30})
		c.send(event.ACK|event.PSH, "still here")
		if got := c.read(10); got != "still here" {
			t.Errorf("echo sent %q", got)
		}
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSED`)
		s.wantClose(t, "rst", event.Client)
		s.wantCause(t, "reset", "client reset the connection, ")
		l.judge()
	})
}

// clientHello returns the first record of crypto/tls as a client.
func clientHello(t *testing.T) string {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(client, &tls.Config{
			ServerName: hostname, CurvePreferences: []tls.CurveID{tls.X25519}, // to fit into one segment
		}).Handshake()
	}()
	buf := make([]byte, 1<<14)
	n, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	<-done
	return string(buf[:n])
}

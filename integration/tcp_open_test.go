package integration

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// The client never acknowledges the SYN-ACK: it is sent again after 1 and 2
// more seconds (RFC 6298, section 5.5), and then the endpoint is given up.
func TestHalfOpen(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--half-open-timeout", "5s")
		c := l.newRawClient(server, 0)
		c.send(event.SYN, "")
		for range 3 {
			c.want(event.SYN | event.ACK)
		}
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT
			tcp server  LISTEN > SYN-RECEIVED > CLOSED`)
		s.wantCauses(t, event.Server, `
			SYN-RECEIVED: client's SYN
			CLOSED: timer half-open deadline`)
		if got := s.wantClose(t, "timeout", event.NoSide).Retransmits; got != 2 || s.retransmits(event.Server) != 2 {
			t.Errorf("%d retransmissions told, %d counted, want 2", s.retransmits(event.Server), got)
		}
		s.wantCause(t, "handshake_ack_missing", "the ACK of the SYN-ACK never came, though the server sent 3 SYN-ACKs in ")
		l.judge()
	})
}

// The client sends its SYN twice, as if the SYN-ACK were lost.
func TestSYNRetransmitted(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "echo")
		c := l.newRawClient(server, 0)
		c.sendSegment(segment{flags: event.SYN, seq: rawISN})
		c.want(event.SYN | event.ACK)
		c.sendSegment(segment{flags: event.SYN, seq: rawISN})
		c.receive()
		c.send(event.ACK, "")
		c.echo("hello")
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSED`)
		if s.retransmits(event.Client) != 1 {
			t.Errorf("%d retransmissions of the client's told, want its SYN", s.retransmits(event.Client))
		}
		l.judge()
	})
}

// The handshake's ACK lacks the timestamps that were agreed on (RFC 7323,
// section 3.2): the server ignores it, and waits for one that has them.
func TestACKWithoutTimestamps(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "echo")
		c := l.newRawClient(server, 0)
		c.options = timestampsOption(1, 0)
		c.send(event.SYN, "")
		c.want(event.SYN | event.ACK)
		c.sendSegment(segment{flags: event.ACK, seq: c.seq, ack: c.ack, options: []byte{}})
		again := c.want(event.SYN | event.ACK) // after a second: the ACK did not count
		c.ack = again.end()
		c.send(event.ACK, "")
		c.echo("hello")
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSED`)
		if d := one[*event.Drop](t, s); d.Reason != "no timestamp option (RFC 7323, section 3.2)" || d.N == 0 {
			t.Errorf("dropped: %+v", d)
		}
		l.judge()
	})
}

// The same, and the client sends nothing more: it believes that it is connected,
// and the server gives up.
func TestACKNeverTaken(t *testing.T) {
	l := newLab(t, "--service", "echo", "--half-open-timeout", "2s")
	c := l.newRawClient(echoPort, 0)
	c.options = timestampsOption(1, 0)
	c.send(event.SYN, "")
	c.want(event.SYN | event.ACK)
	c.sendSegment(segment{flags: event.ACK, seq: c.seq, ack: c.ack, options: []byte{}})
	c.want(event.SYN | event.ACK)
	l.awaitClose(1)
	s := l.story()
	s.wantCause(t, "handshake_ack_lost", "server ignored the ACK of its SYN-ACK: no timestamp option (RFC 7323, section 3.2); it sent 2 SYN-ACKs")
	l.judge()
}

// The second segment comes before the first: it waits for it.
func TestOutOfOrder(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "echo")
		c := l.newRawClient(server, 0)
		c.connect()
		c.sendSegment(segment{flags: event.ACK | event.PSH, seq: c.seq + 5, ack: c.ack, payload: " second"})
		if dup := c.want(event.ACK); dup.ack != c.seq {
			t.Errorf("the server acknowledged %d, want %d", dup.ack, c.seq)
		}
		c.send(event.ACK|event.PSH, "first")
		c.seq += uint32(len(" second"))
		if got := c.read(12); got != "first second" {
			t.Errorf("echo sent %q", got)
		}
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSED`)
		if c := s.wantClose(t, "rst", event.Client); c.OutOfOrder != 1 || c.Retransmits != 0 || c.BytesClient != 12 {
			t.Errorf("conn.close: %+v, want 1 segment out of order, none retransmitted, 12 bytes", c)
		}
		l.judge()
	})
}

// A segment is damaged on its way: the server ignores it, and the client has to
// send it again.
func TestBadChecksum(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "echo")
		c := l.newRawClient(server, 0)
		c.connect()
		next := c.seq
		c.sendSegment(segment{flags: event.ACK | event.PSH, seq: next, ack: c.ack, payload: "hello", badSum: true})
		c.seq = next
		c.echo("hello")
		c.sendSegment(segment{flags: event.RST, seq: c.seq})
		l.awaitClose(1)

		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSED`)
		var damaged []uint64
		for _, e := range s {
			if seg, ok := e.Body.(*event.Segment); ok && seg.BadSum {
				damaged = append(damaged, e.N)
			}
		}
		d := one[*event.Drop](t, s)
		if diff := cmp.Diff([]uint64{d.N}, damaged); diff != "" || d.Reason != "bad checksum" {
			t.Errorf("dropped: %+v, damaged: %d", d, damaged)
		}
		if c := one[*event.Close](t, s); c.BytesClient != 5 {
			t.Errorf("conn.close counts %d bytes of the client's, want 5", c.BytesClient)
		}
	})
}

// A new connection reuses the ports of one in TIME-WAIT: a SYN with a higher
// number is taken (RFC 9293, section 3.10.7.4, first step, TIME-WAIT).
func TestReuseInTimeWait(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t, "--service", "chargen:10", "--time-wait", "60s")
		c := l.newRawClient(server, 0)
		for range 2 {
			c.connect()
			c.send(event.ACK|event.PSH, "x")
			c.until(event.FIN)
			c.send(event.ACK, "")
			c.send(event.FIN|event.ACK, "")
			c.want(event.ACK)
			c.seq += 100_000
		}
		l.awaitClose(2)

		all := l.stories()
		if len(all) != 2 {
			t.Fatalf("%d connections, want 2", len(all))
		}
		for i, s := range all {
			s.wantTransitions(t, `
				tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
				tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED`)
			s.wantCauses(t, event.Server, `
				SYN-RECEIVED: client's SYN
				ESTABLISHED: client's ACK
				FIN-WAIT-1: call shutdown
				FIN-WAIT-2: client's ACK
				TIME-WAIT: client's FIN ACK
				CLOSED: `+[]string{"segment SYN of a new connection", "call abort: shutdown"}[i])
		}
		l.judge()
	})
}

// The policy refuses: a RST answers the SYN, as from a closed port.
func TestRefuse(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newNamespace(t)
		l.serveCaptured("--config", l.policyFile("refuse"))
		if _, err := l.tryDial(server, clientTimeout); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("connecting: %v, want %v", err, syscall.ECONNREFUSED)
		}
		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > CLOSED`)
		s.wantClose(t, "refused", event.Server)
		s.wantCause(t, "refused", "it answered the SYN with RST")
		l.judge()
	})
}

// The policy is silent, as a firewall that drops: the client waits in vain.
func TestSilence(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newNamespace(t)
		l.serveCaptured("--config", l.policyFile("silence"))
		var timeout net.Error
		if _, err := l.tryDial(server, time.Second/2); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("connecting: %v, want a timeout", err)
		}
		s := l.story()
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT`)
		if d := one[*event.Drop](t, s); d.Reason != "silence by policy" {
			t.Errorf("dropped: %+v", d)
		}
		s.wantClose(t, "dropped", event.NoSide)
		s.wantCause(t, "no_answer", "server did not answer the SYN: silence by policy")
		l.judge()
	})
}

// policyFile writes a configuration that treats SYNs for port 7 so.
func (l *lab) policyFile(policy string) string {
	l.t.Helper()
	return l.writeConfig("accept:\n  - port: 7\n    policy: " + policy + "\n")
}

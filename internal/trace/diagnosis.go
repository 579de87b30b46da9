package trace

import (
	"cmp"
	"fmt"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// diagnosed adds to conn.close why the connection went wrong, if it did and
// tls.failed has not told it.
func (c *conn) diagnosed(by event.Side, b *event.Close) *event.Close {
	if c.tls.told || c.midStream {
		return b
	}
	var x diagnosis
	if c.leg != nil {
		x = c.diagnoseLeg(b, by)
	} else {
		x = c.endingOf(b, by).diagnose()
	}
	if x.code == "" && (b.How == "fin" || by == event.Client) {
		return b
	}
	x.hint = cmp.Or(x.hint, hints[x.code], tlswire.Hint(x.code))
	x, b.Leg = c.blamed(x)
	b.Code, b.Cause, b.Hint = x.code, x.cause, x.hint
	return b
}

// endingOf is how a connection ended, from its segments.
func (c *conn) endingOf(b *event.Close, by event.Side) ending {
	e := ending{
		how: b.How, by: by, port: c.flow.Server.Port(), done: b.HandshakeDone, bothFIN: b.BothFIN,
		bytes: b.BytesClient + b.BytesServer, duration: b.Duration, seen: &c.seen,
	}
	if d := c.tls.decoder; d != nil {
		sum := d.Summary()
		e.orderly = sum.ClientState == event.TLSFailed || // by an alert, which says why
			by == event.Client && sum.ClientCloseNotify || by == event.Server && sum.ServerCloseNotify
		e.waiting, e.doubt = d.Waiting(c.elapsed(c.last)), d.Doubt()
	}
	return e
}

// An ending is how a connection ended, for a diagnosis.
type ending struct {
	how           string
	by            event.Side
	port          uint16
	done, bothFIN bool // as in event.Close
	bytes         uint64
	duration      time.Duration
	seen          *evidence
	orderly       bool          // the side that ended it had said goodbye in TLS
	waiting       time.Duration // as the method of tlswire.Decoder
	doubt         string        // likewise
}

// unended reports whether only the observation ended.
func (e ending) unended() bool { return unended(e.how) }

func unended(how string) bool {
	return how == "shutdown" || how == "evicted" || how == "end_of_capture"
}

type diagnosis struct {
	code  event.CauseCode
	cause string
	hint  string // "": that of the code
}

// told is a diagnosis with the hint of its code.
func told(code event.CauseCode, format string, args ...any) diagnosis {
	return diagnosis{code: code, cause: fmt.Sprintf(format, args...)}
}

// diagnose says why the connection went wrong. The zero diagnosis is of one that
// did not, as far as can be told.
func (e ending) diagnose() diagnosis {
	switch {
	case e.how == "refused":
		return told(event.CauseRefused, "server refused the connection: it answered the SYN with RST")
	case e.seen.synAcks == 0 && !e.done:
		return e.unanswered()
	case !e.done || e.seen.untaken > 0 && !e.seen.serverWentOn:
		return e.unfinished()
	case e.how == "timeout":
		return e.vanished()
	}
	if d := e.plain(); d.code != "" {
		return d
	}
	return e.left()
}

// unanswered is of a SYN without an answer.
func (e ending) unanswered() diagnosis {
	reason := e.seen.dropped[event.Client]
	switch {
	case e.how == "dropped" && reason != "":
		d := told(event.CauseNoAnswer, "server did not answer the SYN: %s", reason)
		d.hint = "it was not to answer: see the rules under accept, and the limits, of its configuration"
		return d
	case e.how == "dropped", e.seen.syns > 1:
		return told(event.CauseNoAnswer, "server did not answer: %s in %s", count(e.seen.syns, "SYN"), tlswire.Span(e.duration))
	}
	return diagnosis{}
}

// unfinished is of a TCP handshake that the server did not complete.
func (e ending) unfinished() diagnosis {
	s := e.seen
	sent, dropped := count(s.synAcks, "SYN-ACK"), s.dropped[event.Client]
	switch {
	case e.how == "rst" && e.by == event.Client && !s.acked:
		return told(event.CauseSYNACKReset, "client answered the SYN-ACK with RST")
	case e.unended() && s.synAcks < 2:
		return diagnosis{}
	case s.acked && dropped != "":
		return told(event.CauseHandshakeACKLost, "server ignored the ACK of its SYN-ACK: %s; it sent %s", dropped, sent)
	case s.acked:
		return told(event.CauseHandshakeACKLost, "server did not get the ACK of its SYN-ACK, which was seen here; it sent %s", sent)
	case s.unheard > 0:
		return told(event.CauseHandshakeACKMissing, "client did not get the SYN-ACK: it sent %s more after it; the server sent %s",
			count(s.unheard, "SYN"), sent)
	}
	return told(event.CauseHandshakeACKMissing, "the ACK of the SYN-ACK never came, though the server sent %s in %s", sent, tlswire.Span(e.duration))
}

// vanished is of an endpoint that gave up an established connection.
func (e ending) vanished() diagnosis {
	for side := event.Client; side <= event.Server; side++ {
		if n := e.seen.again[side]; n > 0 {
			return told(event.CausePeerVanished, "%s answers no more: the %s sent its last segments again, %s", side.Peer(), side, count(n, "time"))
		}
	}
	return told(event.CausePeerVanished, "an endpoint gave up waiting for the other")
}

// plain is of a client that speaks TLS to a server that does not, or the other
// way round, where the decoder of TLS had nothing to decode.
func (e ending) plain() diagnosis {
	s := e.seen
	client, server := s.protocol(event.Client), s.protocol(event.Server)
	switch {
	case client == tlswire.ProtocolTLS && server != tlswire.ProtocolTLS && server != "":
		return told(event.CauseTLSToPlainPort, "client sent a ClientHello to a server that speaks %s in plain text", server)
	case len(s.first[event.Client]) == 0 || client == tlswire.ProtocolTLS:
		return diagnosis{}
	case !s.complains && !tlsPorts[e.port]:
		return diagnosis{}
	}
	what := fmt.Sprintf("what is not TLS, beginning with %q,", s.first[event.Client])
	if client != "" {
		what = string(client) + " in plain text"
	}
	where := fmt.Sprintf("port %d, which is for TLS", e.port)
	if s.complains {
		where = "a server that takes TLS only"
	}
	return told(tlswire.PlainCode(event.Client, client), "client sent %s to %s", what, where)
}

// left is of a connection that one side ended when it pleased.
func (e ending) left() diagnosis {
	switch {
	case e.unended() && e.waiting > 0:
		return told(event.CauseServerSilent, "server had sent nothing for %s since the ClientHello when the observation ended%s",
			tlswire.Span(e.waiting), e.seen.lost(event.Client))
	case e.unended():
		return diagnosis{}
	case e.bytes == 0:
		verb := "closed"
		if e.how == "rst" {
			verb = "reset"
		}
		return told(event.CauseClientSilent, "client connected and sent nothing; the %s %s the connection after %s", e.by, verb, tlswire.Span(e.duration))
	case e.how == "rst" && !e.bothFIN && !e.seen.fin[e.by] && !e.orderly:
		since := max(e.seen.at[e.by]-e.seen.at[e.by.Peer()], 0)
		return told(event.CauseReset, "%s reset the connection, %s after the last segment of the %s", e.by, tlswire.Span(since), e.by.Peer())
	case e.doubt != "":
		return told(event.CauseLeftAfterHandshake,
			"client left after the handshake without sending anything; it may have refused the server's certificate, which %s", e.doubt)
	}
	return diagnosis{}
}

// tlsPorts are registered for protocols that begin with TLS.
var tlsPorts = map[uint16]bool{
	443: true, 465: true, 563: true, 636: true, 853: true, 989: true, 990: true, 992: true, 993: true, 995: true,
	5061: true, 5671: true, 6514: true, 6697: true, 8443: true, 8883: true,
}

// count is "1 SYN" or "3 SYNs": of nouns that take an s.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// hints say what helps where package tlswire does not.
var hints = map[event.CauseCode]string{
	event.CauseRefused:             "nothing listens on this port, a policy refuses it, or a firewall rejects it: check the port, and whether the server runs",
	event.CauseNoAnswer:            "a firewall that drops, a host that is down, or a way back that is missing: see at the server whether the SYN arrives",
	event.CauseHandshakeACKMissing: "a firewall or a route that loses one direction, a client that went away, or a SYN with a false source (scan, flood)",
	event.CauseHandshakeACKLost:    "the client believes that it is connected and the server does not: look for what drops the last segment between them",
	event.CauseSYNACKReset:         "a port scan (SYN scan), a client that gave up meanwhile, or a client whose firewall or raw socket does not know the connection",
	event.CauseReset: "a RST throws away what is on its way: a process that ended, a socket closed with data unread or with SO_LINGER 0, or a middlebox; " +
		"look into the log of the side that sent it",
	event.CauseUnreachable: "a route or an interface is missing, or a router on the way says so: see what ip route get says of the address",
	event.CauseDialFailed:  "this machine did not let synscope dial: see the error (limits, a firewall of its own, no free port)",
	event.CauseLeftAfterHandshake: "see what the client says: some check the certificate only after the handshake, and close without an alert " +
		"(curl checks the name so)",
}

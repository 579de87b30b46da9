package trace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// A leg is what a conn has instead of segments if it is an upstream leg. Its
// lists are by Side; the client is us.
type leg struct {
	dial   time.Duration
	err    error  // of the dial
	to     string // the destination, for a sentence
	bytes  [3]uint64
	heard  [3]time.Duration // when it last said something, since the beginning
	ends   [3]string        // how its direction ended, "" if it has not
	info   event.TransportInfo
	how    string // as in event.Close, with by, once it is decided
	by     event.Side
	at     time.Duration // when it was
	closed bool          // nothing more comes

	wrong  diagnosis // what was told to have gone wrong
	doubts string    // what our endpoint has against the server's certificate, though it goes on
}

// observeLeg takes an observation of an upstream leg.
func (t *engine) observeLeg(o *observation) {
	if o.upstream != nil && o.upstream.dial != nil {
		t.openLeg(o)
		return
	}
	if c := o.leg.conn; c != nil && !c.closed {
		c.touch()
		c.take(o)
		return
	}
	// It is not followed, or not any more.
	switch {
	case o.packet != nil:
		o.packet.release()
	case o.tls != nil && o.tls.secret != nil:
		t.logKey(0, *o.tls.secret)
	}
}

// openLeg begins the connection of a leg, and ends it if the dial failed.
func (t *engine) openLeg(o *observation) {
	d := o.upstream.dial
	c := t.begin(d.Flow, d.Time)
	o.leg.conn = c
	c.leg = &leg{dial: d.Duration, err: d.Err, to: d.Flow.Server.String()}
	open := &event.Open{Client: d.Flow.Client, Server: d.Flow.Server, Name: d.Name, Upstream: true}
	if d.Name != "" {
		c.leg.to = d.Name + " (" + c.leg.to + ")"
	}
	if client := t.conns[o.flow]; client != nil {
		open.UpstreamOf = client.id
		// Of several that are tried, the one that is connected counts.
		if d.Err == nil || client.upstream == nil || client.upstream.leg.wrong.code != "" {
			client.upstream = c
		}
	}
	c.emit(d.Time, event.Endpoint, event.NoSide, open)
	c.last = o.at
	dialed := &event.Dialed{OK: d.Err == nil, Duration: d.Duration}
	if d.Err != nil {
		dialed.Error = d.Err.Error()
	}
	c.emit(o.at, event.Endpoint, event.Client, dialed)
	if d.Err != nil {
		c.leg.how, c.leg.by, c.leg.closed = undialed(d.Err), event.NoSide, true
		c.close(o.at, "")
	}
}

// undialed says how a leg ended that could not be dialled, as event.Close does.
func undialed(err error) string {
	var late net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.ENETDOWN):
		return "unreachable"
	case errors.As(err, &late) && late.Timeout():
		return "timeout"
	}
	return "failed"
}

// observeBytes takes the next bytes of a leg's stream.
func (c *conn) observeBytes(o *observation) {
	p := o.packet
	defer p.release()
	at := c.stamp(o.at)
	c.last = o.at
	c.leg.bytes[p.from] += uint64(len(p.buf))
	c.leg.heard[p.from] = at.T
	c.feed(at, tcptrack.Chunk{From: p.from, B: p.buf})
}

// observeUpstream takes what else is told of a leg.
func (c *conn) observeUpstream(o *observation) {
	l, u := c.leg, o.upstream
	at := c.stamp(o.at)
	c.last = o.at
	for side, n := range u.lost {
		if n > 0 {
			from := event.Side(side)
			l.bytes[from] += uint64(n)
			c.emit(o.at, event.Wire, from, &event.Gap{Lost: uint64(n), What: "bytes", Reason: "the tracer's queue was full"})
			c.feed(at, tcptrack.Chunk{From: from, Gap: n})
		}
	}
	switch {
	case u.end != "":
		l.end(at.T, u.from, u.end)
		c.endStream(at, u.from, u.end)
	case u.info != nil:
		l.info, l.closed = *u.info, true
		if l.how == "" {
			l.how = "fin"
		}
		c.close(o.at, "")
	}
}

// end notes that the direction of a side ended: the first RST, or the first who
// gave up, decides how the leg did, or else the first FIN by whom.
func (l *leg) end(at time.Duration, side event.Side, how string) {
	if l.ends[side] == "" {
		l.ends[side] = how
	}
	switch {
	case l.how != "":
	case how != "fin":
		l.how, l.by, l.at = how, side, at
	case l.by == event.NoSide:
		l.by = side
	}
}

func (l *leg) bothFIN() bool { return l.ends[event.Client] == "fin" && l.ends[event.Server] == "fin" }

// legSummary is what conn.close says of a leg.
func (c *conn) legSummary(how string) *event.Close {
	l := c.leg
	b := &event.Close{
		How:           how,
		BytesClient:   l.bytes[event.Client],
		BytesServer:   l.bytes[event.Server],
		SegmentsSeen:  l.info.SegmentsOut + l.info.SegmentsIn,
		Retransmits:   l.info.Retransmits,
		HandshakeDone: l.err == nil,
		BothFIN:       l.bothFIN(),
		RTT:           l.info.RTT,
		Duration:      c.elapsed(c.last),
	}
	if l.err == nil {
		b.TCPHandshake = l.dial
	}
	c.tls.summarize(b)
	return b
}

// diagnoseLeg says why a leg went wrong, where tls.failed has not told it.
func (c *conn) diagnoseLeg(b *event.Close, by event.Side) diagnosis {
	l := c.leg
	if l.err != nil {
		return l.undialed()
	}
	var sum tlswire.Summary
	var waiting time.Duration
	if d := c.tls.decoder; d != nil {
		sum, waiting = d.Summary(), d.Waiting(c.elapsed(c.last))
	}
	orderly := sum.ClientState == event.TLSFailed || sum.ServerCloseNotify
	switch {
	case b.How == "timeout":
		return told(event.CausePeerVanished, "server answers no more, and the kernel gave up")
	case b.How == "rst" && by == event.Server && l.ends[event.Server] != "fin" && !orderly:
		since := max(l.at-l.heard[event.Client], 0)
		return told(event.CauseReset, "server reset the connection, %s after the last bytes from synscope", tlswire.Span(since))
	case unended(b.How) && waiting > 0:
		return told(event.CauseServerSilent, "server had sent nothing for %s since the ClientHello when the observation ended", tlswire.Span(waiting))
	}
	return diagnosis{}
}

// undialed says why the leg could not be dialled.
func (l *leg) undialed() diagnosis {
	reason := l.err.Error()
	var errno syscall.Errno
	if errors.As(l.err, &errno) {
		reason = errno.Error()
	}
	switch l.how {
	case "refused":
		return told(event.CauseRefused, "server refused the connection, %s after it was dialled", tlswire.Span(l.dial))
	case "timeout":
		return told(event.CauseNoAnswer, "server did not answer within %s", tlswire.Span(l.dial))
	case "unreachable":
		return told(event.CauseUnreachable, "there is no way to the server: %s", reason)
	case "failed":
		return told(event.CauseDialFailed, "the server could not be dialled: %s", reason)
	}
	return diagnosis{} // nobody waited for it any more
}

// blamed returns why a connection went wrong with what its upstream leg has to do
// with it, and the leg; 0 if nothing. Of a leg it notes it, for its client.
func (c *conn) blamed(why diagnosis) (_ diagnosis, leg uint64) {
	switch u := c.upstream; {
	case c.leg != nil:
		c.leg.wrong = why
		return why, 0
	case u == nil:
		return why, 0
	case u.leg.wrong.code != "":
		return diagnosis{
			code:  event.CauseUpstreamFailed,
			cause: fmt.Sprintf("upstream leg #%d to %s failed: %s", u.id, u.leg.to, u.leg.wrong.cause),
			hint:  u.leg.wrong.hint,
		}, u.id
	case u.leg.doubts != "" && refusals[why.code]:
		return u.likened(why), u.id
	}
	return why, 0
}

// refusals are the causes by which a client does not take a certificate.
var refusals = map[event.CauseCode]bool{
	event.CauseUntrustedAuthority: true, event.CauseSelfSigned: true, event.CauseIncompleteChain: true, event.CauseExpired: true,
	event.CauseNotYetValid: true, event.CauseWrongName: true, event.CauseWeakCertificate: true, event.CauseUnsupportedCert: true,
	event.CauseCertificateRefused: true, event.CauseLeftAfterHandshake: true,
}

// hintLikeness is for a client that does not know the issuer.
const hintLikeness = "the client was shown a likeness of the real certificate, which is trusted where synscope trusts the real one " +
	"(SSL_CERT_FILE or SSL_CERT_DIR in its environment); or let TLS pass untouched (run --tls watch)"

// likened says of a client that refused a certificate that our endpoint thinks no
// better of the one on this leg, after which the client's was made.
func (c *conn) likened(why diagnosis) diagnosis {
	why.cause += fmt.Sprintf("; so it is with the real one, on upstream leg #%d to %s: %s", c.id, c.leg.to, c.leg.doubts)
	switch why.code {
	case event.CauseUntrustedAuthority, event.CauseSelfSigned, event.CauseCertificateRefused:
		why.hint = hintLikeness
	}
	return why
}

// upstreamWaits says that the upstream leg of a client waits for its server, ""
// if it does not.
func (c *conn) upstreamWaits() string {
	u := c.upstream
	if u == nil || u.closed || u.tls.decoder == nil {
		return ""
	}
	waiting := u.tls.decoder.Waiting(u.elapsed(c.t.now))
	if waiting == 0 {
		return ""
	}
	return fmt.Sprintf("; upstream leg #%d to %s had been waiting for its server for %s", u.id, u.leg.to, tlswire.Span(waiting))
}

package trace

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// recordHandshake is the content type of a handshake record, with which TLS
// begins (RFC 8446, section 5.1).
const recordHandshake = 22

// firstBytes is how much is told of a stream that is not TLS.
const firstBytes = 16

// A tlsState is the TLS side of a connection. The decoder is made when the
// client's first byte says that there is something to decode.
type tlsState struct {
	decoder *tlswire.Decoder // nil: not (yet) TLS
	plain   bool             // the client's first byte is not that of TLS
	ours    bool             // between TLSStart and TLSEnd of our endpoint
	over    bool             // after TLSEnd
	err     string           // of TLSEnd
	failed  *event.Failed    // waits for our endpoint's word
	told    bool             // tls.failed was told
	accepts string           // what our endpoint would have accepted, where that is why it failed
	early   []tlswire.Secret // secrets from before the decoder; bounded
	master  []tlswire.Secret // candidates that wait for proof of use
	signing time.Duration
	fins    [3]bool        // by Side: the transport of that direction ended
	randoms []clientRandom // of the hellos seen, while secrets come by them
}

// maxEarlySecrets is more than any handshake has.
const maxEarlySecrets = 16

func (s *tlsState) blocked() bool { return s.decoder != nil && s.decoder.Blocked() }

// payload feeds the bytes that a segment made available to the decoder, until
// the connection has ended.
func (c *conn) payload(o *observation, r tcptrack.Result) {
	if c.closed {
		return
	}
	at := c.stamp(o.at)
	c.seen.segment(o.packet.from, r.Segment, at.T)
	for _, d := range r.Data {
		c.seen.data(d)
		at.Frame = d.Frame
		c.feed(at, d)
	}
	at.Frame = o.packet.frame
	for side := event.Client; side <= event.Server; side++ {
		if r.FIN[side] {
			c.endStream(at, side, "fin")
		}
	}
	if r.Reset {
		c.endStream(at, o.packet.from, "rst")
	}
}

// feed takes what a stream says next.
func (c *conn) feed(at tlswire.Stamp, d tcptrack.Chunk) {
	if c.tls.decoder == nil {
		c.sniff(at, d)
	}
	switch {
	case c.tls.decoder == nil:
	case d.Gap > 0:
		c.tls.decoder.Gap(at, d.From, d.Gap)
	default:
		c.tls.decoder.Feed(at, d.From, d.B, d.More...)
	}
}

// sniff decides by the first byte of a connection whether it carries TLS. Where
// that byte was not seen, or is not that of TLS, only a ClientHello tells: after
// STARTTLS, or in a tunnel of HTTP CONNECT.
func (c *conn) sniff(at tlswire.Stamp, d tcptrack.Chunk) {
	if len(d.B) < firstBytes && len(d.More) > 0 { // what was new of a packet began at its end
		d.B, d.More = slices.Concat(append([][]byte{d.B}, d.More...)...), nil
	}
	hello := d.From == event.Client && tlswire.HelloType(d.B) == uint8(event.ClientHelloType)
	first := !c.tls.plain && !c.headless
	switch {
	case first && d.From == event.Client && len(d.B) > 0 && d.B[0] == recordHandshake:
		c.decode()
	case hello && (c.t.cfg.Endpoint == event.NoSide || c.leg != nil || c.upstream != nil): // else ours says itself what it speaks
		c.decode()
	case !c.tls.plain:
		c.tls.plain = true
		c.ready()
		c.emit(at.Time, event.Wire, d.From, c.undecoded(d))
	}
}

// undecoded says why the bytes that a stream begins with are not decoded.
func (c *conn) undecoded(d tcptrack.Chunk) *event.Undecoded {
	u := &event.Undecoded{Len: d.Len()}
	if d.Frame != 0 {
		u.Frames = []uint64{d.Frame}
	}
	if d.Gap > 0 || c.headless {
		u.Reason, u.Detail = "gap", "the beginning of the stream was not seen"
	} else {
		u.Reason, u.First = "not tls", append(event.Hex(nil), d.B[:min(len(d.B), firstBytes)]...)
	}
	return u
}

// decode begins to decode.
func (c *conn) decode() {
	d := tlswire.NewDecoder(c.emitTLS)
	c.tls.decoder, c.tls.plain = d, false
	d.ExpectSecrets(c.tls.ours && !c.tls.over)
	if ring := c.t.keys; ring != nil {
		d.SecretsFrom(func(random []byte) []tlswire.Secret { return ring.of(c, random) })
	}
	for _, s := range c.tls.early {
		d.Secret(s)
	}
	c.tls.early = nil
}

// endStream tells the decoder that a direction of the transport ended.
func (c *conn) endStream(at tlswire.Stamp, from event.Side, how string) {
	if c.tls.decoder == nil || c.tls.fins[from] {
		return
	}
	c.tls.fins[from] = true
	c.tls.decoder.End(at, from, how)
}

// emitTLS takes what the decoder tells. A failure waits until our endpoint has
// said its own error, if it is still at it.
func (c *conn) emitTLS(at tlswire.Stamp, from event.Side, body event.Body) {
	switch b := body.(type) {
	case *event.Failed:
		if c.tls.ours && !c.tls.over {
			c.tls.failed = b
			return
		}
		c.tellFailed(at.Time, b)
		return
	case *event.Established:
		c.proveCandidates(b)
	}
	c.emit(at.Time, event.Wire, from, body)
}

// tellFailed tells of a failure, once, with what our endpoint says of it.
func (c *conn) tellFailed(at time.Time, f *event.Failed) {
	if c.tls.told {
		return
	}
	c.tls.told = true
	if d := c.tls.decoder; d != nil {
		e := tlswire.Endpoint{Client: c.leg != nil && c.tls.ours, Error: c.tls.err, Accepts: c.tls.accepts}
		f = cmp.Or(d.Diagnose(e), f)
	}
	switch f.Code {
	case event.CauseServerSilent:
		f.Cause += c.seen.lost(event.Client) + c.upstreamWaits()
	case event.CauseClientGaveUp:
		f.Cause += c.upstreamWaits()
	case event.CauseUntrustedAuthority, event.CauseCertificateRefused:
		switch {
		case !c.tls.ours || c.leg != nil || f.Side != event.Client:
		case c.upstream != nil:
			f.Hint = hintOwnTrust
		default:
			f.Hint += "; synscope ca --trust says how, for the authority of this endpoint"
		}
	}
	var why diagnosis
	why, f.Leg = c.blamed(diagnosis{f.Code, f.Cause, f.Hint})
	f.Code, f.Cause, f.Hint = why.code, why.cause, why.hint
	c.emit(at, event.Wire, f.Side, f)
}

// hintOwnTrust is for a client that does not know the authority of a run.
const hintOwnTrust = "the client trusts authorities of its own choice, or pins the certificate: let its TLS pass untouched (run --watch NAME)"

// gaveUp tells of a failure that only our endpoint knows of.
func (c *conn) gaveUp(at time.Time) {
	c.tellFailed(at, &event.Failed{
		Side: c.us(), Code: event.CauseEndpoint, Cause: "our endpoint gave up: " + c.tls.err, Error: c.tls.err,
		Hint: "not all of the handshake could be decoded: see what our endpoint says, and the events of what was not decoded",
	})
}

// observeTLS takes what our TLS endpoint told.
func (c *conn) observeTLS(o *observation) {
	s := &c.tls
	switch t := o.tls; {
	case t.start:
		s.ours, s.over, s.err, s.accepts = true, false, "", ""
		if s.decoder != nil {
			s.decoder.ExpectSecrets(true)
		}
	case t.secret != nil:
		c.secret(*t.secret)
	case t.step != nil:
		if t.step.Step == "sign" {
			s.signing += t.step.Duration
		}
		if t.step.Step == "verify" && c.leg != nil {
			c.leg.doubts = t.step.Error
		}
		if t.step.Step == "handshake" && !t.step.OK {
			s.accepts, _ = strings.CutPrefix(t.step.Detail, "accepts ")
		}
		c.emit(o.at, event.Endpoint, c.us(), t.step)
	case t.end:
		if !s.ours {
			return // of an older connection of the flow
		}
		s.over, s.err = true, t.err
		if s.decoder != nil {
			s.decoder.ExpectSecrets(false)
		}
		if s.failed != nil {
			c.tellFailed(o.at, s.failed)
		}
		if c.leg != nil && s.err != "" {
			c.abandon(o.at)
		}
		c.ready()
		c.closeIfDone(o.at)
	}
}

// abandon tells of the handshake of a leg that our endpoint gave up, if nothing
// on the wire has told of it: the connection of the client is to name it.
func (c *conn) abandon(at time.Time) {
	c.endStream(c.stamp(at), event.Client, tlswire.HowAbandoned)
	c.gaveUp(at)
}

// ready tells the capture that no secret is to be waited for. Of a leg it has no
// packets.
func (c *conn) ready() {
	if c.leg == nil {
		c.t.ready(c.id)
	}
}

// logKey gives a secret that is known to be used to who keeps them.
func (c *conn) logKey(s tlswire.Secret) {
	if c.leg != nil {
		c.t.logKey(0, s)
		return
	}
	c.t.logKey(c.id, s)
}

func (c *conn) secret(s tlswire.Secret) {
	if c.tls.decoder != nil {
		c.tls.decoder.Secret(s)
	} else if !c.tls.plain && !c.closed && len(c.tls.early) < maxEarlySecrets {
		c.tls.early = append(c.tls.early, s)
	}
	if s.Candidate {
		if len(c.tls.master) < maxEarlySecrets {
			c.tls.master = append(c.tls.master, s)
		}
		return
	}
	c.logKey(s)
}

// proveCandidates logs the master secret of a ticket, which is known to have
// been used only when the session was resumed.
func (c *conn) proveCandidates(e *event.Established) {
	if e.Resumed && e.Version < event.VersionTLS13 {
		for _, s := range c.tls.master {
			c.logKey(s)
		}
	}
	c.tls.master = nil
}

// endTLS ends the decoding with the connection, and tells a failure that only
// our endpoint knows of.
func (c *conn) endTLS(at time.Time, how string) {
	if c.tls.decoder == nil {
		return
	}
	stamp := c.stamp(at)
	switch {
	case c.leg != nil: // what ended was told
	case how == "fin":
		c.endStream(stamp, event.Client, how)
		c.endStream(stamp, event.Server, how)
	case how == "rst":
		c.endStream(stamp, event.Client, how)
	case how == "timeout": // our endpoint gave up
		c.endStream(stamp, event.Server, how)
		c.endStream(stamp, event.Client, how)
	} // else only the observation ended
	c.tls.decoder.ExpectSecrets(false)
	switch {
	case c.tls.failed != nil:
		c.tellFailed(at, c.tls.failed)
	case c.tls.err != "":
		c.gaveUp(at)
	}
}

// summarize fills in what conn.close says of TLS.
func (s *tlsState) summarize(b *event.Close) {
	if s.decoder == nil {
		return
	}
	sum := s.decoder.Summary()
	if sum.Established {
		b.TLSHandshake = sum.End.T - sum.Start.T
	}
	b.WaitingClient, b.WaitingServer = sum.WaitClient, sum.WaitServer
	b.Signing = s.signing
	ended := b.How == "fin" || b.How == "rst" || b.How == "timeout"
	alerted := sum.ClientState == event.TLSFailed // a fatal alert ends the session as well (RFC 8446, section 6.2)
	b.TLSCutShort = ended && sum.Established && !sum.ClientCloseNotify && !sum.ServerCloseNotify && !alerted
}

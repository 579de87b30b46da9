package tlswire

import (
	"time"

	"synscope/event"
)

// evidence is what a diagnosis rests on: what was seen of a handshake until it
// failed. What it refers to is that of the messages told.
type evidence struct {
	hello       *event.ClientHello // the newest; nil if none was seen or it could not be parsed
	helloLen    int                // bytes of the message
	helloFrames int                // packets that carried it
	answer      *event.ServerHello // the newest, or a HelloRetryRequest; nil likewise
	request     *event.CertificateRequest

	certificate [3]bool         // by Side: sent a Certificate
	chain       [3][]event.X509 // likewise, the last; nil if it could not be read

	spoken   bool                // a message was seen
	latest   event.HandshakeType // the last of either side
	lastFrom event.Side          // who sent the newest record
	heard    [3]bool             // by Side: sent a record
	cut      [3]int              // by Side: bytes of a record or message that did not become whole
	lost     [3]bool             // by Side: bytes were lost
}

// message takes a message that was told.
func (e *evidence) message(from event.Side, m *event.Message) {
	e.latest, e.spoken = m.Type, true
	switch {
	case m.ClientHello != nil:
		e.hello, e.helloLen, e.helloFrames = m.ClientHello, m.Len, len(m.Frames)
	case m.ServerHello != nil:
		e.answer = m.ServerHello
	case m.CertificateRequest != nil:
		e.request = m.CertificateRequest
	case m.Certificate != nil:
		e.chain[from] = m.Certificate.Chain
	}
	if m.Type == event.CertificateType || m.Type == event.CompressedCertificate {
		e.certificate[from] = true
	}
}

// record takes a record of a side.
func (e *evidence) record(from event.Side) {
	e.lastFrom = from
	e.heard[from] = true
}

// undecoded takes what was told of bytes that are no record or message.
func (e *evidence) undecoded(from event.Side, u *event.Undecoded) {
	switch u.Reason {
	case "truncated":
		e.cut[from] = u.Len
	case "gap":
		e.lost[from] = true
	}
}

// usualSegment is what a TCP segment carries on a path of 1500-byte packets, with
// timestamps over IPv6.
const usualSegment = 1428

// split reports whether the ClientHello did not fit into one segment, or would
// not on a path of 1500-byte packets.
func (e *evidence) split() bool { return e.helloFrames > 1 || e.helloLen > usualSegment }

// An ending is what ended a handshake that was not complete.
type ending struct {
	side   event.Side
	alert  bool
	what   event.AlertDescription // with alert
	how    string                 // without: "fin", "rst", "timeout", "alert close_notify", "not tls"
	text   *event.Undecoded       // with how "not tls"
	at     time.Time
	waited time.Duration // since the newest record
}

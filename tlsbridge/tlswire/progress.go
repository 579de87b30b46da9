package tlswire

import (
	"fmt"
	"strconv"
	"time"

	"synscope/event"
)

// progress is how far the handshake has come, and how it ended.
type progress struct {
	facts      event.Established // as far as known
	ja3s, ja4s string
	echOffered bool

	started     bool
	start, end  Stamp         // the ClientHello's first byte, the last Finished
	lastT       time.Duration // of the last record
	waitClient  time.Duration
	waitServer  time.Duration
	established bool
	// unproven is who received the last Finished and has not shown since
	// that it accepted it.
	unproven event.Side
	failure  *event.Failed
	ending   ending // with failure

	// blind says that something of the handshake could not be decoded: the
	// states that follow are not known.
	blind bool
}

// A step is what may change a state: a message, or a ChangeCipherSpec.
type step struct {
	from event.Side
	typ  event.HandshakeType
	ccs  bool
}

func (t step) cause() string {
	if t.ccs {
		return "change_cipher_spec"
	}
	return t.typ.String()
}

// tick attributes the time since the last record to the side that was to send:
// the one that sent now.
func (d *Decoder) tick(u *unit) {
	if !d.started {
		d.started = true
		d.start, d.lastT = u.first, u.first.T
	}
	if passed := u.at.T - d.lastT; passed > 0 {
		if u.from == event.Client {
			d.waitClient += passed
		} else {
			d.waitServer += passed
		}
		d.lastT = u.at.T
	}
	d.seen.record(u.from)
}

// move tells a transition of a side.
func (d *Decoder) move(at Stamp, h *half, s event.HandshakeState, cause string) {
	if s == h.state {
		return
	}
	d.emit(at, h.side, &event.TLSState{Side: h.side, Old: h.state, New: s, Cause: cause})
	h.state = s
}

// step lets both machines take a step: the sender's first.
func (d *Decoder) step(at Stamp, t step) {
	for _, side := range []event.Side{t.from, t.from.Peer()} {
		h := d.half(side)
		if d.blind && h.state != event.TLSConnected {
			continue
		}
		// Usually one transition; two where a state's end shows only now.
		for next := d.next(h, t); next != ""; next = d.next(h, t) {
			d.move(at, h, next, t.cause())
		}
		if h.state == event.TLSWaitFlight2 {
			d.move(at, h, d.shake.flight2(), t.cause())
		}
	}
}

// next is the side's next state. Until the ServerHello tells the version, both
// machines agree.
func (d *Decoder) next(h *half, t step) event.HandshakeState {
	k := &d.shake
	fresh := h.state == event.TLSStart || h.state == event.TLSConnected && k.version == 0
	switch {
	case !t.ccs && t.typ == event.ClientHelloType && t.from == event.Client:
		switch {
		case !fresh:
			return ""
		case h.side == event.Client:
			return event.TLSWaitSH
		default:
			return event.TLSRecvdCH
		}
	case k.is13() || t.typ == event.HelloRetryRequest:
		if h.side == event.Client {
			return k.client13(h.state, t)
		}
		return k.server13(h.state, t)
	case k.version == 0:
		return ""
	case h.side == event.Client:
		return k.client12(h.state, t)
	default:
		return k.server12(h.state, t)
	}
}

// earlyEnded notes that the client went on to its handshake key: where its
// EndOfEarlyData could not be decrypted, this shows that it was sent.
func (d *Decoder) earlyEnded(u *unit) {
	d.shake.earlyDone = true
	if d.shake.earlyAccepted && d.half(event.Server).state == event.TLSWaitEOED {
		d.step(u.at, step{from: event.Client, typ: event.EndOfEarlyData})
	}
}

// checkEstablished tells that the handshake is complete, once.
func (d *Decoder) checkEstablished(at Stamp) {
	for i := range d.halves {
		if d.halves[i].state != event.TLSConnected {
			return
		}
	}
	if d.established {
		return
	}
	d.established = true
	d.end = at
	d.unproven = event.Server
	if !d.shake.is13() && !d.shake.abbreviated {
		d.unproven = event.Client
	}
	e := d.settled()
	d.emit(at, event.NoSide, &e)
}

// settled returns the facts as they are now.
func (d *Decoder) settled() event.Established {
	e := d.facts
	k := &d.shake
	e.ClientAuth = "none"
	switch {
	case k.clientCertificate:
		e.ClientAuth = "given"
	case k.certificateRequested:
		e.ClientAuth = "requested"
	}
	e.ECH = d.echOffered && k.otherRandom
	e.RoundTrips = 2
	if k.is13() || k.abbreviated {
		e.RoundTrips = 1
	}
	if k.retried {
		e.RoundTrips++
	}
	if k.earlyAccepted {
		e.RoundTrips = 0
	}
	if d.established {
		e.Duration = d.end.T - d.start.T
	}
	return e
}

// proven notes that a side went on after the handshake.
func (d *Decoder) proven(side event.Side) {
	if d.unproven == side {
		d.unproven = event.NoSide
	}
}

// alert tells a record of the alert protocol.
func (d *Decoder) alert(u *unit, h *half, epoch event.Epoch, body []byte) {
	if len(body) != 2 {
		d.undecoded(u, h, "malformed", fmt.Sprintf("alert of %d bytes; want 2", len(body)))
		return
	}
	a := &event.Alert{
		Level: alertLevel(body[0]), Description: event.AlertDescription(body[1]), Code: body[1],
		Encrypted: epoch != event.EpochPlain, Epoch: epoch, Frames: d.listFrames(u.frames),
	}
	d.emit(u.at, h.side, a)
	switch {
	case a.Description == alertCloseNotify:
		h.closeNotify = true
		d.sendingEnded(u.at, h, "alert close_notify")
	case d.fatal(a):
		d.fatalAlert(u.at, h, a)
	}
}

// fatal reports whether an alert ends the session. In TLS 1.3 the level means
// nothing (RFC 8446, section 6).
func (d *Decoder) fatal(a *event.Alert) bool {
	if d.shake.is13() {
		return a.Description != alertUserCanceled
	}
	return a.Level == "fatal"
}

func alertLevel(v uint8) string {
	switch v {
	case 1:
		return "warning"
	case 2:
		return "fatal"
	}
	return strconv.Itoa(int(v))
}

const (
	alertCloseNotify         event.AlertDescription = 0
	alertHandshakeFailure    event.AlertDescription = 40
	alertBadCertificate      event.AlertDescription = 42
	alertDecryptError        event.AlertDescription = 51
	alertUserCanceled        event.AlertDescription = 90
	alertUnrecognizedName    event.AlertDescription = 112
	alertCertificateRequired event.AlertDescription = 116
)

// fatalAlert fails both sides.
func (d *Decoder) fatalAlert(at Stamp, h *half, a *event.Alert) {
	// Who still sends in clear has not completed its handshake, even where
	// the states are not known.
	incomplete := !d.established && (!d.blind || a.Epoch == event.EpochPlain)
	// After it, only the receiver of the last Finished can still refuse, and
	// only some alerts say that this is what it does.
	refused := d.established && d.unproven == h.side &&
		(refusals[a.Description].certificate || a.Description == alertDecryptError)
	if incomplete || d.established {
		d.failed(at, h.side, "alert "+a.Description.String())
	}
	if incomplete || refused {
		d.fail(at, ending{side: h.side, alert: true, what: a.Description})
	}
}

// failed moves both sides to FAILED, who gave up first.
func (d *Decoder) failed(at Stamp, side event.Side, cause string) {
	for _, s := range []event.Side{side, side.Peer()} {
		if h := d.half(s); h.state != event.TLSClosed {
			d.move(at, h, event.TLSFailed, cause)
		}
	}
}

// fail tells why the handshake will not complete, once.
func (d *Decoder) fail(at Stamp, end ending) {
	if d.failure != nil {
		return
	}
	end.at = at.Time
	if d.started {
		end.waited = at.T - d.lastT
	}
	d.seen.cut[event.Client] = max(d.seen.cut[event.Client], d.incomplete(event.Client))
	x := diagnose(&d.seen, end, Endpoint{})
	d.ending = end
	d.failure = &event.Failed{Side: end.side, Code: x.code, Cause: x.cause, Hint: x.hint}
	told := *d.failure
	d.emit(at, end.side, &told)
}

// incomplete counts the bytes of a side that wait for the rest of a record or
// message.
func (d *Decoder) incomplete(side event.Side) int {
	if f := d.framer(side); f.broken == nil && f.n > 0 {
		return f.n + f.got
	}
	return len(d.half(side).messages.buf)
}

// notTLS fails the connection: what came is something else.
func (d *Decoder) notTLS(u *unit, text *event.Undecoded) {
	d.failed(u.at, u.from, "not tls")
	d.fail(u.at, ending{side: u.from, how: "not tls", text: text})
}

// transportEnded tells what follows from the end of a direction.
func (d *Decoder) transportEnded(u *unit) {
	if u.how != "rst" {
		d.halfEnded(u, d.half(u.from))
		d.sendingEnded(u.at, d.half(u.from), u.how)
	} else {
		for _, s := range []event.Side{u.from, u.from.Peer()} {
			d.halfEnded(u, d.half(s))
		}
		d.closed(u.at, u.from, "rst")
		d.closed(u.at, u.from.Peer(), "rst")
		d.abandoned(u.at, u.from, "rst")
	}
	if d.over() {
		d.forgetKeys()
	}
}

// over reports whether both directions have ended: nothing is to be opened any
// more.
func (d *Decoder) over() bool { return d.halves[0].ended && d.halves[1].ended }

// forgetKeys lets go of what opens records, most of what a Decoder holds: it may
// be kept long after the connection, for its Summary.
func (d *Decoder) forgetKeys() {
	d.secrets, d.shake.earlyKey = nil, nil
	for i := range d.halves {
		d.halves[i].k12, d.halves[i].k13, d.halves[i].asleep = nil, nil, nil
	}
}

// halfEnded tells what is left of a direction.
func (d *Decoder) halfEnded(u *unit, h *half) {
	h.ended = true
	if a := &h.messages; len(a.buf) > 0 {
		cut := &event.Undecoded{
			Reason: "truncated", Detail: "handshake message that did not complete: " + event.HandshakeType(a.buf[0]).String(),
			Len: len(a.buf), Records: a.records, Frames: d.listFrames(a.frames),
		}
		d.seen.undecoded(h.side, cut)
		d.emit(u.at, h.side, cut)
		*a = assembler{}
	}
	d.endRuns(u.at, h)
}

// sendingEnded says that a side will send nothing more. If it has sent its
// Finished the handshake may still complete, unless the other side has ended
// too.
func (d *Decoder) sendingEnded(at Stamp, h *half, how string) {
	d.closed(at, h.side, how)
	peer := d.half(h.side.Peer())
	if !h.finished || peer.ended || peer.closeNotify {
		d.abandoned(at, h.side, how)
	}
}

// closed ends the session of a side that was connected.
func (d *Decoder) closed(at Stamp, side event.Side, how string) {
	if h := d.half(side); h.state == event.TLSConnected {
		d.move(at, h, event.TLSClosed, how)
	}
}

// abandoned fails a handshake that was not completed, where that is certain.
func (d *Decoder) abandoned(at Stamp, side event.Side, how string) {
	if d.established || d.failure != nil {
		return
	}
	if d.blind {
		// In TLS 1.2 and older both sides change keys in clear before
		// they are connected; in TLS 1.3 nothing shows it.
		old := d.shake.version != 0 && !d.shake.is13()
		if !old || d.half(event.Client).switched && d.half(event.Server).switched {
			return
		}
	}
	d.failed(at, side, how)
	d.fail(at, ending{side: side, how: how})
}

package tlswire

import (
	"bytes"
	"fmt"
	"time"

	"synscope/event"
)

const (
	// maxHeld bounds the ciphertext held for a secret, with heldOverhead for
	// each piece. A server's flight with a long chain fits.
	maxHeld      = 128 << 10
	heldOverhead = 64
	// maxSecrets bounds the secrets kept: those of a connection that is
	// renegotiated a few times. A handshake of TLS 1.3 has usualSecrets.
	maxSecrets   = 64
	usualSecrets = 4
)

// A Stamp says when, and in which packet, bytes were seen.
type Stamp struct {
	Time  time.Time     // wall clock
	T     time.Duration // monotonic, since the connection's first segment
	Frame uint64        // the packet's number; 0 where there are no packets
}

// An Emit takes what the decoder tells, in order. The body is the receiver's, but
// a Message is not to be changed: a failure is diagnosed from what it holds.
type Emit func(at Stamp, from event.Side, body event.Body)

// A Decoder decodes the TLS of one connection. It is owned by one goroutine: no
// method may be called while another one runs, nor from Emit.
type Decoder struct {
	emitTo  Emit
	framers [2]framer
	halves  [2]half
	shake   handshake
	seen    evidence
	progress

	secrets     []Secret
	secretsFrom func(clientRandom []byte) []Secret // nil: none are asked for
	secretsLost int                                // refused because of maxSecrets
	anyRandom   bool                               // see AcceptAnyClientRandom
	expect      bool
	overflowed  bool // expect was given up because of maxHeld
	queue       []*unit
	held        int // bytes in queue, with overhead

	listed   []uint64    // packets, as an event lists them
	takeUnit func(*unit) // the method take, bound once: no allocation for each Feed
}

// NewDecoder returns the decoder of one connection. Emit may be nil: then only
// Summary tells.
func NewDecoder(emit Emit) *Decoder {
	if emit == nil {
		emit = func(Stamp, event.Side, event.Body) {}
	}
	d := &Decoder{emitTo: emit}
	d.takeUnit = d.take
	for i, side := range []event.Side{event.Client, event.Server} {
		d.framers[i].from = side
		d.halves[i] = half{side: side, epoch: event.EpochPlain, state: event.TLSStart}
	}
	return d
}

func (d *Decoder) framer(s event.Side) *framer { return &d.framers[s-event.Client] }
func (d *Decoder) half(s event.Side) *half     { return &d.halves[s-event.Client] }

func valid(s event.Side) bool { return s == event.Client || s == event.Server }

func (d *Decoder) emit(at Stamp, from event.Side, body event.Body) { d.emitTo(at, from, body) }

// Feed takes the next bytes of a direction, in order, in one piece or in several.
// They are not kept. Bytes after the direction's End are ignored.
func (d *Decoder) Feed(at Stamp, from event.Side, b []byte, more ...[]byte) {
	if valid(from) {
		d.framer(from).feed(at, b, more, d.takeUnit)
	}
}

// Gap tells that n bytes of a direction are lost; 0 means an unknown number.
// What follows in that direction is counted and not decoded: where the next
// record starts, and which number it has, would be a guess.
func (d *Decoder) Gap(at Stamp, from event.Side, n int) {
	if valid(from) {
		d.framer(from).gap(at, max(n, 0), d.takeUnit)
	}
}

// HowAbandoned is how a direction ends whose sender, an endpoint of ours, gave up
// its handshake without a word to the other side.
const HowAbandoned = "abandoned"

// End tells that a direction's transport has ended: "fin", "timeout" (its sender
// gave up waiting), HowAbandoned, or "rst", which ends both. What was left
// undecoded is told.
func (d *Decoder) End(at Stamp, from event.Side, how string) {
	if !valid(from) || d.framer(from).ended && how != "rst" {
		return
	}
	if d.framer(from).ended && d.framer(from.Peer()).ended {
		return
	}
	d.framer(from).end(at, d.takeUnit)
	if how == "rst" {
		d.framer(from.Peer()).end(at, d.takeUnit)
	}
	d.take(&unit{kind: unitEnd, from: from, at: at, how: how})
}

// A Secret is a line of a key log (RFC 9850).
type Secret struct {
	Label        string // CLIENT_RANDOM, CLIENT_HANDSHAKE_TRAFFIC_SECRET, …
	ClientRandom []byte // 32 bytes
	Secret       []byte
	// Candidate marks a CLIENT_RANDOM that is the master secret of a ticket
	// offered: it is used only if the session is resumed, and forgotten if
	// the server sends a Certificate.
	Candidate bool
}

// Secret gives a secret, whose bytes are not to change any more. What was held for
// it is told now. Secrets may come in any order and before the ClientHello; those
// of labels that are not needed are ignored. At most maxSecrets are kept, further
// ones are counted in the Summary.
func (d *Decoder) Secret(s Secret) {
	d.addSecret(s)
	d.drain()
}

func (d *Decoder) addSecret(s Secret) {
	if _, ok := Label(s.Label); !ok || d.over() {
		return
	}
	if len(d.secrets) == maxSecrets {
		d.secretsLost++
		return
	}
	if d.secrets == nil {
		d.secrets = make([]Secret, 0, usualSecrets)
	}
	d.secrets = append(d.secrets, s)
}

// The labels of RFC 9850 that open records.
const (
	labelMaster          = "CLIENT_RANDOM"
	labelEarly           = "CLIENT_EARLY_TRAFFIC_SECRET"
	labelClientHandshake = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
	labelServerHandshake = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
	labelClientTraffic   = "CLIENT_TRAFFIC_SECRET_0"
	labelServerTraffic   = "SERVER_TRAFFIC_SECRET_0"
)

var labels = [...]string{labelMaster, labelEarly, labelClientHandshake, labelServerHandshake, labelClientTraffic, labelServerTraffic}

// Label reports whether secrets of a label open records, and returns its name
// as a string that holds on to nothing else.
func Label(label string) (name string, ok bool) {
	for _, l := range labels {
		if l == label {
			return l, true
		}
	}
	return "", false
}

// SecretsFrom has f asked for the secrets of a client random, once for each that
// a ClientHello brings. What f returns is not changed. f is called from Feed.
func (d *Decoder) SecretsFrom(f func(clientRandom []byte) []Secret) { d.secretsFrom = f }

// ask gets the secrets of a ClientHello from where they are kept.
func (d *Decoder) ask(clientRandom []byte) {
	if d.secretsFrom == nil || bytes.Equal(clientRandom, d.shake.clientRandom) {
		return
	}
	for _, s := range d.secretsFrom(clientRandom) {
		d.addSecret(s)
	}
}

// AcceptAnyClientRandom says what to do with TLS 1.3 secrets of another client
// random than that of the ClientHello on the wire, where none has that one.
// With Encrypted Client Hello the key log carries the random of the inner hello,
// which the wire does not show. Set it only if all secrets given are known to be
// of this connection; a secret that is not makes records fail to decrypt.
func (d *Decoder) AcceptAnyClientRandom(accept bool) { d.anyRandom = accept }

// findSecret returns the newest secret with the label for the current
// ClientHello, nil if there is none. One that is no candidate is preferred.
func (d *Decoder) findSecret(label string) []byte {
	var candidate, other []byte
	for i := len(d.secrets) - 1; i >= 0; i-- {
		s := &d.secrets[i]
		switch {
		case s.Label != label:
		case !bytes.Equal(s.ClientRandom, d.shake.clientRandom):
			if other == nil && d.anyRandom && label != labelMaster {
				other = s.Secret
			}
		case !s.Candidate:
			return s.Secret
		case candidate == nil:
			candidate = s.Secret
		}
	}
	if candidate == nil && other != nil {
		d.shake.otherRandom = true
		return other
	}
	return candidate
}

// dropCandidates forgets the master secrets of a ticket that was declined.
func (d *Decoder) dropCandidates() {
	kept := d.secrets[:0]
	for _, s := range d.secrets {
		if !s.Candidate {
			kept = append(kept, s)
		}
	}
	d.secrets = kept
}

// ExpectSecrets says whether a secret that is missing may still come. If true,
// what needs it is held, and so is all that came after it, in both directions:
// the order of the wire is kept. At most maxHeld bytes are held, then expecting
// is given up. If false, as at first, what needs it is told as Undecoded "no
// key", and its direction stays undecodable. Going from true to false tells what
// is held: do it once no secret can come any more, as when the handshake has
// failed or the connection is closed, since some secrets are never made.
func (d *Decoder) ExpectSecrets(expect bool) {
	d.expect = expect
	if expect {
		d.overflowed = false
	}
	d.drain()
}

// Blocked reports whether something is held for a secret.
func (d *Decoder) Blocked() bool { return len(d.queue) > 0 }

// take processes a unit, or holds it.
func (d *Decoder) take(u *unit) {
	if len(d.queue) == 0 && d.process(u) {
		return
	}
	size := u.size + heldOverhead
	if d.held+size > maxHeld {
		d.expect, d.overflowed = false, true
		d.drain()
		d.process(u)
		return
	}
	d.held += size
	d.queue = append(d.queue, u.clone())
}

// drain processes what is held, as far as the secrets reach.
func (d *Decoder) drain() {
	for len(d.queue) > 0 && d.process(d.queue[0]) {
		d.held -= d.queue[0].size + heldOverhead
		d.queue[0] = nil
		d.queue = d.queue[1:]
	}
	if len(d.queue) == 0 {
		d.queue = nil
	}
}

// process tells a unit. It returns false, having done nothing, if that needs a
// secret that is expected.
func (d *Decoder) process(u *unit) bool {
	h := d.half(u.from)
	switch u.kind {
	case unitRecord:
		return d.record(u, h)
	case unitUndecoded:
		d.lostFraming(u)
	case unitEnd:
		d.transportEnded(u)
	}
	return true
}

// lostFraming tells of bytes that are no record.
func (d *Decoder) lostFraming(u *unit) {
	text := u.text
	d.seen.undecoded(u.from, &text)
	d.emit(u.at, u.from, &text)
	switch text.Reason {
	case "not tls":
		d.notTLS(u, &text)
	case "truncated": // told by the end that follows
	default:
		d.blind = true
	}
}

// An undecodedRun counts records of a direction that could not be decoded for
// one reason.
type undecodedRun struct {
	reason       string
	len, records int // told only at the end
}

// undecoded tells of a record that cannot be decoded. Of each reason the first
// record of a direction is told at once, the others in one event at the
// direction's end.
func (d *Decoder) undecoded(u *unit, h *half, reason, detail string) {
	for i := range h.runs {
		if r := &h.runs[i]; r.reason == reason {
			r.records++
			r.len += u.size
			return
		}
	}
	h.runs = append(h.runs, undecodedRun{reason: reason})
	d.emit(u.at, u.from, &event.Undecoded{
		Reason: reason, Detail: detail, Len: u.size, Records: 1, Frames: d.listFrames(u.frames),
	})
}

// endRuns tells what undecoded has counted.
func (d *Decoder) endRuns(at Stamp, h *half) {
	for _, r := range h.runs {
		if r.records > 0 {
			d.emit(at, h.side, &event.Undecoded{
				Reason: r.reason, Detail: "further records of this direction", Len: r.len, Records: r.records,
			})
		}
	}
	h.runs = nil
}

func (d *Decoder) noKeyDetail(label string) string {
	if d.overflowed {
		return fmt.Sprintf("%s did not come before %d bytes were held for it", label, maxHeld)
	}
	return label + " is not known"
}

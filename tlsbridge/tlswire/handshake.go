package tlswire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"synscope/event"
)

// maxMessage bounds a handshake message. Implementations allow 64 to 256 KiB.
const maxMessage = 256 << 10

// A handshake is what the messages of the current handshake have settled. A
// renegotiation (RFC 5246, section 7.4.1.1) starts a new one.
type handshake struct {
	clientRandom, serverRandom []byte
	sessionID                  []byte        // the client's
	ticketOffered              bool          // TLS 1.2
	version                    event.Version // 0 until the ServerHello
	cipherSuite                event.CipherSuite
	suite                      suite // what the name of cipherSuite says
	encryptThenMAC             bool
	retried                    bool // a HelloRetryRequest was sent
	psk                        bool // TLS 1.3: resumed
	echoed                     bool // TLS <= 1.2: the server returned the client's session ID, so it resumes
	otherRandom                bool // a secret with another client random was used

	early         bool // the last ClientHello offers early data
	earlyAccepted bool
	earlyDone     bool // the client has gone on to its handshake key
	earlyKey      *key13

	certificateRequested bool
	clientCertificate    bool // a chain that is not empty
	abbreviated          bool // TLS <= 1.2: the server's Finished came first
}

func (s *handshake) params12() params12 {
	return params12{s.version, s.suite, s.encryptThenMAC, s.clientRandom, s.serverRandom}
}

// is13 reports whether TLS 1.3 has been negotiated.
func (s *handshake) is13() bool { return s.version == event.VersionTLS13 }

// An assembler puts handshake messages together from records.
type assembler struct {
	buf     []byte // the start of a message that is not complete
	epoch   event.Epoch
	records int      // that carried the message so far
	frames  []uint64 // their packets; reused
	// overflowed is set by a message that is too long: where the next one
	// starts is not looked for.
	overflowed bool
}

// handshakeRecord takes the content of a handshake record and tells each
// message that it completes.
func (d *Decoder) handshakeRecord(u *unit, h *half, epoch event.Epoch, b []byte) {
	a := &h.messages
	if a.overflowed {
		d.undecoded(u, h, "too long", "")
		return
	}
	if len(b) == 0 {
		d.undecoded(u, h, "malformed", "handshake record without content")
		return
	}
	if len(a.buf) > 0 && a.epoch != epoch {
		d.undecoded(u, h, "malformed", "handshake message that spans a change of keys")
		*a = assembler{}
	}
	if len(a.buf) == 0 {
		*a = assembler{epoch: epoch, frames: a.frames[:0]}
	} else {
		a.buf = append(a.buf, b...)
		b = a.buf
	}
	a.records++
	a.frames = addFrames(a.frames, u.frames)
	for len(b) >= 4 {
		typ := event.HandshakeType(b[0])
		n := int(binary.BigEndian.Uint32(b) & 0xffffff)
		if n > maxMessage {
			*a = assembler{overflowed: true}
			d.undecoded(u, h, "too long", fmt.Sprintf("%s of %d bytes; at most %d are read", typ, n, maxMessage))
			d.blind = true
			return
		}
		if len(b) < 4+n {
			break
		}
		m := &event.Message{
			Type: typ, Len: n, Encrypted: epoch != event.EpochPlain, Epoch: epoch,
			Records: a.records, Frames: d.listFrames(a.frames),
		}
		before := h.epoch
		d.message(u, h, m, b[4:4+n])
		b = b[4+n:]
		a.records, a.frames = 1, append(a.frames[:0], u.frames...)
		if h.epoch != before && len(b) > 0 {
			d.undecoded(u, h, "malformed", "handshake data after "+typ.String()+" in the same record, which changes keys")
			b = nil
		}
	}
	switch len(b) {
	case 0:
		*a = assembler{frames: a.frames}
	case len(a.buf): // it grew, and is not copied for each record
	default:
		a.buf = append(a.buf[:0], b...)
	}
}

// message tells a message and does what it says.
func (d *Decoder) message(u *unit, h *half, m *event.Message, body []byte) {
	d.parse(h.side, m, body)
	d.emit(u.at, h.side, m)
	// A handshake message in clear after TLS 1.3 keys are on is an error of
	// its sender, and nothing follows from it.
	if m.Epoch == event.EpochPlain && h.epoch != event.EpochPlain {
		return
	}
	d.seen.message(h.side, m)
	if d.established {
		d.proven(h.side)
	}
	if m.Malformed == "" {
		d.apply(u, h, m)
		d.step(u.at, step{from: h.side, typ: m.Type})
	} else if m.Type == event.ServerHelloType {
		d.blind = true // which version follows is not known
	}
	d.checkEstablished(u.at)
}

// parse sets the message's fields, or why they could not be parsed.
func (d *Decoder) parse(from event.Side, m *event.Message, body []byte) {
	c := messageContext{from: from, version: d.shake.version, suite: d.shake.suite}
	if err := c.parse(m, body); err != nil {
		m.Malformed = err.Error()
	}
}

// apply changes keys and what is known of the handshake.
func (d *Decoder) apply(u *unit, h *half, m *event.Message) {
	switch m.Type {
	case event.ClientHelloType:
		d.clientHello(h, m)
	case event.HelloRetryRequest:
		d.shake.retried = true
		d.facts.HelloRetry = true
	case event.ServerHelloType:
		d.serverHello(h, m)
	case event.EncryptedExts:
		d.shake.earlyAccepted = m.EncryptedExtensions.EarlyData
		d.setALPN(m.EncryptedExtensions.ALPN)
	case event.CertRequestType:
		if h.epoch != event.EpochApplication {
			d.shake.certificateRequested = true
		}
	case event.CertificateType:
		d.certificate(h, m)
	case event.ServerKeyExchangeType:
		if k := m.ServerKeyExchange; k != nil {
			d.facts.Group, d.facts.SignatureScheme = k.Group, k.SignatureScheme
		}
	case event.ServerHelloDone:
		d.dropCandidates() // a full handshake, even without a certificate
	case event.CertVerifyType:
		if h.side == event.Server {
			d.facts.SignatureScheme = m.CertificateVerify.SignatureScheme
		}
	case event.EndOfEarlyData:
		d.shake.earlyDone = true
	case event.FinishedType:
		d.finishedSent(h)
	case event.KeyUpdateType:
		d.keyUpdate(h)
	}
}

func (d *Decoder) clientHello(h *half, m *event.Message) {
	if h.side != event.Client || d.shake.version != 0 && h.epoch != event.EpochEncrypted {
		return
	}
	if d.shake.version != 0 { // RFC 5246, section 7.4.1.1
		d.shake = handshake{}
		for i := range d.halves {
			d.halves[i].finished = false
		}
	}
	c := m.ClientHello
	d.ask(c.Random)
	d.shake.clientRandom = c.Random
	d.shake.sessionID = c.SessionID
	d.shake.ticketOffered = c.SessionTicket > 0
	d.shake.early = c.EarlyData
	if d.facts.JA4 == "" {
		d.facts.JA3, d.facts.JA4 = c.JA3, c.JA4
		d.facts.ServerName = c.ServerName
		d.echOffered = c.ECH == "outer"
	}
}

func (d *Decoder) serverHello(h *half, m *event.Message) {
	if h.side != event.Server || d.shake.version != 0 {
		return
	}
	s, k := m.ServerHello, &d.shake
	k.version, k.serverRandom = s.Version, s.Random
	k.cipherSuite, k.suite = s.CipherSuite, suiteOf(s.CipherSuite)
	d.facts.Version, d.facts.CipherSuite, d.facts.Group = s.Version, s.CipherSuite, s.Group
	d.ja3s, d.ja4s = s.JA3S, s.JA4S
	d.facts.Resumed = false
	d.setALPN(s.ALPN)
	if k.is13() {
		k.psk = s.PSK != nil
		d.facts.Resumed = k.psk
		for i := range d.halves {
			d.halves[i].epoch = event.EpochHandshake
		}
		return
	}
	k.encryptThenMAC = slices.Contains(s.Extensions, extEncryptThenMAC)
	k.echoed = len(s.SessionID) > 0 && slices.Equal(s.SessionID, event.Hex(k.sessionID))
}

func (d *Decoder) setALPN(protocols []string) {
	if len(protocols) > 0 {
		d.facts.ALPN = protocols[0]
	}
}

func (d *Decoder) certificate(h *half, m *event.Message) {
	switch {
	case h.epoch == event.EpochApplication: // post-handshake authentication
	case h.side == event.Client:
		d.shake.clientCertificate = m.Certificate != nil && len(m.Certificate.Chain) > 0
	case !d.shake.is13():
		d.dropCandidates()
	}
}

// finishedSent switches the keys of TLS 1.3: each direction at its own Finished.
func (d *Decoder) finishedSent(h *half) {
	if h.finished {
		return // post-handshake authentication
	}
	h.finished = true
	if d.shake.is13() {
		h.epoch, h.k13 = event.EpochApplication, nil
		return
	}
	if h.side == event.Server && !d.half(event.Client).finished {
		d.shake.abbreviated = true
		d.facts.Resumed = true
	}
}

// keyUpdate goes on to the sender's next keys (RFC 8446, section 4.6.3).
func (d *Decoder) keyUpdate(h *half) {
	if h.epoch != event.EpochApplication || h.k13 == nil {
		return
	}
	k, err := h.k13.next()
	if err != nil {
		h.lose("no key", err.Error())
		return
	}
	h.k13 = k
}

// changeCipherSpec tells a record of that protocol. In TLS 1.2 and older it
// switches the sender's keys.
func (d *Decoder) changeCipherSpec(u *unit, h *half, epoch event.Epoch, body []byte) {
	if len(body) != 1 || body[0] != 1 {
		d.undecoded(u, h, "malformed", fmt.Sprintf("change_cipher_spec of %d bytes; want the byte 1", len(body)))
		return
	}
	k := &d.shake
	// Before the ServerHello only a TLS 1.3 client sends one: after a
	// HelloRetryRequest, or before early data (RFC 8446, appendix D.4).
	dummy := k.is13() || k.version == 0 && (k.retried || k.early)
	d.emit(u.at, h.side, &event.ChangeCipherSpec{Dummy: dummy, Frames: d.listFrames(u.frames)})
	if dummy || k.version == 0 {
		return
	}
	h.epoch, h.k12 = event.EpochEncrypted, nil
	h.switched = true
	d.step(u.at, step{from: h.side, ccs: true})
}

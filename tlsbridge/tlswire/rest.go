package tlswire

import "synscope/event"

// Rest lets go of what can be made again, of a connection on which nothing moves.
// It may be called at any time and changes nothing of what is told; what is called
// next takes a little longer.
func (d *Decoder) Rest() {
	for i := range d.framers {
		if f := &d.framers[i]; f.n == 0 {
			f.frames, f.pieces, f.unit = nil, nil, nil
		}
	}
	connected := true
	for i := range d.halves {
		h := &d.halves[i]
		if len(h.messages.buf) == 0 {
			h.messages.frames = nil
		}
		if h.epoch == event.EpochApplication && h.k13 != nil {
			h.asleep, h.k13 = &sleepingKey{h.k13.secret, h.k13.seq}, nil
		}
		keyed := h.asleep != nil || h.k12 != nil || h.lost != ""
		connected = connected && keyed && h.state == event.TLSConnected
	}
	if !connected {
		return
	}
	d.secrets = nil // of another handshake they are still to come
	// No handshake can fail, and the certificate is not in doubt any more (Doubt).
	if d.unproven == event.NoSide && d.failure == nil && d.half(event.Client).app.Records > 0 {
		s := &d.seen
		s.hello, s.answer, s.request, s.chain = nil, nil, nil, [3][]event.X509{}
	}
}

// A sleepingKey is what a key13 of application data is made of again.
type sleepingKey struct {
	secret []byte
	seq    uint64
}

// wake makes the key that was before Rest. Like findKey13, it returns true.
func (h *half) wake(s suite) bool {
	k, err := newKey13(s, h.asleep.secret)
	if err != nil {
		h.lose("no key", err.Error())
		return true
	}
	k.seq = h.asleep.seq
	h.k13, h.asleep = k, nil
	return true
}

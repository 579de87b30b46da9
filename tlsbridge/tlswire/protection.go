package tlswire

import (
	"errors"
	"fmt"

	"synscope/event"
)

// A half is what is known of one direction, which is also one side.
type half struct {
	side  event.Side
	epoch event.Epoch // of the next record
	k13   *key13      // of a TLS 1.3 epoch; nil until the first record needs it
	// asleep is what k13 was, while the connection rests.
	asleep *sleepingKey
	k12    *key12 // of an epoch of TLS 1.2 and older; likewise
	// lost says why protected records of this direction cannot be opened,
	// for good: "no key", "no cipher" or "decrypt failed". "" if they can.
	lost, lostDetail string

	messages assembler
	runs     []undecodedRun
	app      Application
	appEpoch event.Epoch // the last one of which an ApplicationData was told

	state       event.HandshakeState
	switched    bool // sent a ChangeCipherSpec that counts
	finished    bool // sent its Finished
	closeNotify bool // sent a close_notify
	ended       bool // its transport ended
}

// Application counts the records of application data of one side. Those that
// were held or could not be told from others are not in it.
type Application struct {
	Records uint64
	Bytes   uint64 // of their bodies, encrypted
}

// Application returns the totals of a side so far.
func (d *Decoder) Application(side event.Side) Application {
	if !valid(side) {
		return Application{}
	}
	return d.half(side).app
}

// record tells a record, by the epoch of its direction. Like process, it returns
// false, having done nothing, if it must wait for a secret.
func (d *Decoder) record(u *unit, h *half) bool {
	if !d.established {
		d.tick(u)
	}
	switch h.epoch {
	case event.EpochPlain:
		return d.recordPlain(u, h)
	case event.EpochEncrypted:
		return d.record12(u, h)
	}
	return d.record13(u, h)
}

func (d *Decoder) recordPlain(u *unit, h *half) bool {
	if u.typ == recordApplicationData && h.side == event.Client && d.shake.early && d.shake.version == 0 {
		if !d.openEarly(u, h) {
			d.undecoded(u, h, "skipped early data", "it does not open with "+labelEarly+", or that is not known")
		}
		return true
	}
	d.content(u, h, event.EpochPlain, u.typ, u.body())
	return true
}

// content tells what a record carries.
func (d *Decoder) content(u *unit, h *half, epoch event.Epoch, typ uint8, body []byte) {
	switch typ {
	case recordChangeCipherSpec:
		d.changeCipherSpec(u, h, epoch, body)
	case recordAlert:
		d.alert(u, h, epoch, body)
	case recordHandshake:
		d.handshakeRecord(u, h, epoch, body)
	case recordApplicationData:
		d.applicationData(u, h, epoch)
	case recordHeartbeat:
		d.undecoded(u, h, "unknown content type", "heartbeat (24)")
	default:
		d.undecoded(u, h, "unknown content type", fmt.Sprintf("content type %d", typ))
	}
}

func (d *Decoder) applicationData(u *unit, h *half, epoch event.Epoch) {
	h.app.Records++
	h.app.Bytes += uint64(u.size)
	if h.appEpoch != epoch {
		h.appEpoch = epoch
		d.emit(u.at, h.side, &event.ApplicationData{Len: u.size, Epoch: epoch, Frames: d.listFrames(u.frames)})
	}
	if d.established {
		d.proven(h.side)
	}
}

// lose says that protected records of the direction cannot be opened any more.
func (h *half) lose(reason, detail string) { h.lost, h.lostDetail = reason, detail }

// tellLost tells of a record that cannot be opened. It may have been a handshake
// message, so the states that follow are not known.
func (d *Decoder) tellLost(u *unit, h *half) {
	d.undecoded(u, h, h.lost, h.lostDetail)
	d.blind = true
}

// record12 tells a record that was sent after ChangeCipherSpec in TLS 1.2 or
// older. Its type is in clear, and application data is not opened.
func (d *Decoder) record12(u *unit, h *half) bool {
	if h.k12 == nil && h.lost == "" && !d.findKey12(h) {
		return false
	}
	scratch := buffers.Get().(*[maxBody]byte)
	defer buffers.Put(scratch)
	opens := u.typ >= recordChangeCipherSpec && u.typ <= recordHandshake
	if !opens && h.k12 != nil {
		h.k12.skip(scratch[:], u)
	}
	switch {
	case !opens:
		d.content(u, h, event.EpochEncrypted, u.typ, nil) // its type says enough
	case h.lost != "":
		d.tellLost(u, h)
	default:
		p, err := h.k12.open(scratch[:], u.typ, u.body())
		if err != nil {
			h.lose("decrypt failed", err.Error())
			d.tellLost(u, h)
			break
		}
		d.content(u, h, event.EpochEncrypted, u.typ, p)
	}
	return true
}

// findKey12 finds the key of a direction after ChangeCipherSpec. It returns
// false if the secret may still come; else there is a key, or the direction is
// lost.
func (d *Decoder) findKey12(h *half) bool {
	p := d.shake.params12()
	if p.suite.bulk == bulkUnknown || p.version < event.VersionTLS10 {
		h.lose("no cipher", d.shake.cipherSuite.String()+" of "+p.version.String()+" is not implemented")
		return true
	}
	master := d.findSecret(labelMaster)
	if master == nil {
		if d.expect {
			return false
		}
		h.lose("no key", d.noKeyDetail(labelMaster))
		return true
	}
	k, err := newKey12(p, master, h.side)
	if err != nil {
		h.lose("no key", err.Error())
		return true
	}
	h.k12 = k
	return true
}

// record13 tells a record that was sent with TLS 1.3 after the keys of its
// direction were on (RFC 8446, section 5).
func (d *Decoder) record13(u *unit, h *half) bool {
	if u.typ != recordApplicationData {
		// In clear, so it is not in the sequence: ChangeCipherSpec for
		// middleboxes, the alerts of some implementations, or an error.
		d.content(u, h, event.EpochPlain, u.typ, u.body())
		return true
	}
	early := d.earlyPossible(h)
	if early && d.openEarly(u, h) {
		return true
	}
	if h.k13 == nil && h.lost == "" && !d.findKey13(h) {
		return false
	}
	if h.lost != "" {
		d.tellLost(u, h)
		return true
	}
	if h.epoch == event.EpochApplication && h.k13.peek(u) == recordApplicationData {
		h.k13.seq++
		d.applicationData(u, h, h.epoch)
		return true
	}
	scratch := buffers.Get().(*[maxBody]byte)
	defer buffers.Put(scratch)
	p, typ, err := h.k13.open(scratch[:], u.body())
	switch {
	case err == nil:
		if early {
			d.earlyEnded(u)
		}
		d.content13(u, h, typ, p)
	case early && errors.Is(err, errAuth):
		d.undecoded(u, h, "skipped early data", "it does not open with "+labelEarly+", or that is not known")
	default:
		h.lose("decrypt failed", err.Error())
		d.tellLost(u, h)
	}
	return true
}

// content13 tells what was in a record of TLS 1.3 after opening it.
func (d *Decoder) content13(u *unit, h *half, typ uint8, p []byte) {
	if typ == 0 || typ == recordChangeCipherSpec {
		d.undecoded(u, h, "malformed", fmt.Sprintf("inner content type %d", typ))
		return
	}
	d.content(u, h, h.epoch, typ, p)
}

// findKey13 is findKey12 for TLS 1.3.
func (d *Decoder) findKey13(h *half) bool {
	s := d.shake.suite
	if s.kx != "" || !s.aead() {
		h.lose("no cipher", d.shake.cipherSuite.String()+" is not implemented")
		return true
	}
	if h.asleep != nil {
		return h.wake(s)
	}
	label := label13(h.epoch, h.side)
	secret := d.findSecret(label)
	if secret == nil {
		if d.expect {
			return false
		}
		h.lose("no key", d.noKeyDetail(label))
		return true
	}
	k, err := newKey13(s, secret)
	if err != nil {
		h.lose("no key", label+": "+err.Error())
		return true
	}
	h.k13 = k
	return true
}

// label13 names the secret that protects what a side sends.
func label13(epoch event.Epoch, side event.Side) string {
	switch {
	case epoch == event.EpochHandshake && side == event.Client:
		return labelClientHandshake
	case epoch == event.EpochHandshake:
		return labelServerHandshake
	case side == event.Client:
		return labelClientTraffic
	}
	return labelServerTraffic
}

// earlyPossible reports whether a record of the client may still be early data:
// it offered some, and nothing has opened with its handshake key yet.
func (d *Decoder) earlyPossible(h *half) bool {
	return h.side == event.Client && h.epoch == event.EpochHandshake &&
		d.shake.early && !d.shake.earlyDone && (h.k13 == nil || h.k13.seq == 0)
}

// openEarly tells a record if it opens with the client's early traffic secret,
// which is not waited for: servers that refuse early data never have it. Unlike
// other application data, early data is opened, since only that tells which key
// it was sealed with; its content is discarded.
func (d *Decoder) openEarly(u *unit, h *half) bool {
	scratch := buffers.Get().(*[maxBody]byte)
	defer buffers.Put(scratch)
	keys := []*key13{d.shake.earlyKey}
	if d.shake.earlyKey == nil {
		keys = earlyKeys(d.findSecret(labelEarly))
	}
	for _, k := range keys {
		p, typ, err := k.open(scratch[:], u.body())
		if err != nil {
			continue
		}
		d.shake.earlyKey = k
		switch typ {
		case recordApplicationData, recordHandshake, recordAlert:
			d.content(u, h, event.EpochEarly, typ, p)
		default:
			d.undecoded(u, h, "malformed", fmt.Sprintf("inner content type %d", typ))
		}
		return true
	}
	return false
}

// earlyKeys returns the keys that an early traffic secret may stand for. The
// suite is that of the session resumed, which the wire does not show; the
// length of the secret leaves four at most, and authentication decides.
func earlyKeys(secret []byte) (keys []*key13) {
	for _, cs := range []event.CipherSuite{0x1301, 0x1303, 0x1302, 0x1304, 0x1305} {
		if k, err := newKey13(suiteOf(cs), secret); err == nil {
			keys = append(keys, k)
		}
	}
	return keys
}

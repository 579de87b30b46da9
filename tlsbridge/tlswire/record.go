package tlswire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"synscope/event"
)

// The content types of records (RFC 8446, section 5.1); 24 is RFC 6520's.
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordHeartbeat        = 24
)

const (
	headerLen = 5
	// maxBody is the longest body that any version allows: TLSCiphertext of
	// RFC 5246, section 6.2.3. TLS 1.3 allows less.
	maxBody = 1<<14 + 2048
	// maxFrames bounds the packets that an event lists: the first ones and
	// the last.
	maxFrames = 64
)

// buffers holds buffers of maxBody bytes: for a record that arrives in pieces,
// and for a plaintext.
var buffers = sync.Pool{New: func() any { return new([maxBody]byte) }}

// A unitKind says what a unit tells.
type unitKind uint8

const (
	unitRecord    unitKind = iota // a whole record
	unitUndecoded                 // bytes that are no record
	unitEnd                       // the end of the transport
)

// A unit is one step of a direction, in the order of the wire. It is what is
// held while a secret is awaited.
type unit struct {
	kind   unitKind
	from   event.Side
	first  Stamp           // of its first byte
	at     Stamp           // of its last byte
	typ    uint8           // of a record
	size   int             // of its body
	pieces [][]byte        // that are the body; valid during the call unless held
	framer *framer         // that can join them; nil of one that is held
	frames []uint64        // of a record; valid as pieces are
	text   event.Undecoded // of unitUndecoded
	how    string          // of unitEnd
}

// clone returns a copy that may be kept.
func (u *unit) clone() *unit {
	c := *u
	c.pieces, c.framer = [][]byte{slices.Concat(u.pieces...)}, nil
	c.frames = slices.Clone(u.frames)
	return &c
}

// body returns the body of a record in one piece. Of most records of application
// data it is not called.
func (u *unit) body() []byte {
	if len(u.pieces) > 1 {
		u.framer.join()
		u.pieces = u.framer.pieces
	}
	if len(u.pieces) == 0 {
		return nil
	}
	return u.pieces[0]
}

// byteAt returns the byte of the body at the index i, which is less than size.
func (u *unit) byteAt(i int) byte {
	for _, p := range u.pieces {
		if i < len(p) {
			return p[i]
		}
		i -= len(p)
	}
	panic("tlswire: beyond the body")
}

// A framer cuts one direction's bytes into records.
type framer struct {
	from    event.Side
	header  [headerLen]byte
	n       int            // bytes of the header gathered
	need    int            // length of the body
	got     int            // bytes of the body that have come
	pieces  [][]byte       // that are what has come of the body
	buf     *[maxBody]byte // what came in calls of feed before, of which piece 0 is the beginning; nil: nothing
	first   Stamp          // of the header's first byte
	frames  []uint64       // packets of the record so far; reused
	unit    *unit          // the record given to take; reused, so that giving it costs no allocation; nil at first
	started bool           // a header was good
	broken  *brokenStream  // set once the direction cannot be cut into records any more
	ended   bool           // its transport has ended
}

// A brokenStream counts what follows after framing was lost.
type brokenStream struct {
	reason string
	rest   int // bytes since
}

// feed takes the next bytes, in pieces, and gives each record to take.
func (f *framer) feed(at Stamp, first []byte, more [][]byte, take func(*unit)) {
	f.feedPiece(at, first, take)
	for _, b := range more {
		f.feedPiece(at, b, take)
	}
	if len(f.pieces) > 0 {
		f.join()
	}
}

func (f *framer) feedPiece(at Stamp, b []byte, take func(*unit)) {
	for len(b) > 0 && !f.ended {
		if f.broken != nil {
			f.broken.rest += len(b)
			return
		}
		if f.n == 0 {
			f.frames, f.first = f.frames[:0], at
		}
		f.frames = addFrame(f.frames, at.Frame)
		if f.n < headerLen {
			k := copy(f.header[f.n:], b)
			f.n += k
			b = b[k:]
			if f.n < headerLen {
				return
			}
			if reason, detail := f.checkHeader(); reason != "" {
				f.fail(at, event.Undecoded{
					Reason: reason, Detail: detail, Len: headerLen,
					First: bytes.Clone(f.header[:]), Frames: slices.Clone(f.frames),
				}, take)
				continue
			}
			f.started = true
		}
		k := min(len(b), f.need-f.got)
		if k > 0 {
			f.pieces = append(f.pieces, b[:k])
		}
		f.got += k
		b = b[k:]
		if f.got < f.need {
			return
		}
		if f.unit == nil {
			f.unit = new(unit)
		}
		*f.unit = unit{kind: unitRecord, from: f.from, first: f.first, at: at, typ: f.header[0], size: f.need, pieces: f.pieces, framer: f, frames: f.frames}
		f.n, f.got = 0, 0
		take(f.unit)
		f.unit.pieces = nil
		f.release()
	}
}

// join makes one piece of the pieces of the body, which is the framer's own.
func (f *framer) join() {
	own := f.pieces // those that are to be copied
	n := 0
	if f.buf == nil {
		f.buf = buffers.Get().(*[maxBody]byte)
	} else {
		n, own = len(own[0]), own[1:]
	}
	for _, p := range own {
		n += copy(f.buf[n:], p)
	}
	clear(f.pieces)
	f.pieces = append(f.pieces[:0], f.buf[:n])
}

// release lets go of the body.
func (f *framer) release() {
	clear(f.pieces)
	f.pieces = f.pieces[:0]
	if f.buf != nil {
		buffers.Put(f.buf)
		f.buf = nil
	}
}

// fail tells text, after which the direction's bytes are only counted.
func (f *framer) fail(at Stamp, text event.Undecoded, take func(*unit)) {
	f.broken = &brokenStream{reason: text.Reason}
	f.release()
	take(&unit{kind: unitUndecoded, from: f.from, at: at, text: text})
}

// checkHeader sets need, or says why the header is none.
func (f *framer) checkHeader() (reason, detail string) {
	typ, major, minor := f.header[0], f.header[1], f.header[2]
	n := int(binary.BigEndian.Uint16(f.header[3:]))
	switch {
	case !f.started && sslv2(f.header):
		return "not tls", "ClientHello in the format of SSL 2.0"
	case !f.started && (!contentType(typ) || major != 3):
		return "not tls", ""
	case major != 3:
		return "malformed", fmt.Sprintf("record header with version 0x%02x%02x", major, minor)
	case n > maxBody:
		return "too long", fmt.Sprintf("record of %d bytes; at most %d are allowed", n, maxBody)
	}
	f.need = n
	return "", ""
}

// contentType reports whether a first record can have the type.
func contentType(typ uint8) bool { return recordChangeCipherSpec <= typ && typ <= recordHeartbeat }

// sslv2 recognizes the hello of RFC 5246, appendix E.2.
func sslv2(h [headerLen]byte) bool {
	return h[0]&0x80 != 0 && h[2] == 1 && (h[3] == 3 || h[3] == 0 && h[4] == 2)
}

// gap tells that n bytes are lost (0: an unknown number). Where the next record
// starts is then not certain.
func (f *framer) gap(at Stamp, n int, take func(*unit)) {
	switch {
	case f.ended:
	case f.broken != nil:
		f.broken.rest += n
	default:
		detail := "between two records"
		switch {
		case f.n == headerLen:
			detail = fmt.Sprintf("after %d of the %d bytes of a record", f.got, f.need)
		case f.n > 0:
			detail = "within the header of a record"
		}
		f.fail(at, event.Undecoded{Reason: "gap", Detail: detail, Len: n}, take)
	}
}

// end tells what is left over.
func (f *framer) end(at Stamp, take func(*unit)) {
	if f.ended {
		return
	}
	f.ended = true
	text := event.Undecoded{Frames: slices.Clone(f.frames)}
	switch {
	case f.broken != nil:
		if f.broken.rest == 0 {
			return
		}
		text = event.Undecoded{Reason: f.broken.reason, Detail: "the rest of this direction", Len: f.broken.rest}
	case f.n == headerLen:
		text.Reason, text.Len = "truncated", headerLen+f.got
		text.Detail = fmt.Sprintf("%d of the %d bytes of a record", f.got, f.need)
	case f.n == 0:
		return
	default:
		text.Len, text.First = f.n, bytes.Clone(f.header[:f.n])
		text.Reason, text.Detail = "truncated", "within the header of a record"
		if !f.started && !contentType(f.header[0]) {
			text.Reason, text.Detail = "not tls", ""
		}
	}
	f.release()
	take(&unit{kind: unitUndecoded, from: f.from, at: at, text: text})
}

// addFrame appends a packet's number unless it is the last one already; 0 is no
// packet.
func addFrame(frames []uint64, n uint64) []uint64 {
	switch {
	case n == 0 || len(frames) > 0 && frames[len(frames)-1] == n:
		return frames
	case len(frames) == maxFrames:
		frames[maxFrames-1] = n
		return frames
	}
	return append(frames, n)
}

// addFrames appends several.
func addFrames(frames, more []uint64) []uint64 {
	for _, n := range more {
		frames = addFrame(frames, n)
	}
	return frames
}

// listFrames returns a copy for an event, which is never nil. Events that list the
// same packets share it.
func (d *Decoder) listFrames(frames []uint64) []uint64 {
	if d.listed == nil || !slices.Equal(d.listed, frames) {
		d.listed = append([]uint64{}, frames...)
	}
	return d.listed
}

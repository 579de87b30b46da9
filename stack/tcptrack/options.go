package tcptrack

import (
	"encoding/binary"

	"synscope/event"
)

// The kinds of TCP options (IANA TCP Option Kind Numbers).
const (
	optEnd           = 0
	optNop           = 1
	optMSS           = 2
	optWindowScale   = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
	optFastOpen      = 34
)

// maxOptionSpace is what a data offset of 15 words leaves for options.
const maxOptionSpace = 40

// Options are the parsed options of a TCP header (RFC 9293, section 3.2). They
// hold no references, so that a Packet can be used again.
type Options struct {
	MSS            uint16
	WindowScale    uint8
	HasWindowScale bool
	SACKPermitted  bool
	HasTimestamps  bool
	FastOpen       bool
	Malformed      bool // an option has a wrong length, or the list ends within one
	nSACK          uint8
	nUnknown       uint8
	TSVal, TSEcr   uint32
	sack           [4]event.SACKBlock
	unknown        [maxOptionSpace / 2]uint8
}

// parse reads the option list. A malformed one is read up to the fault.
func (o *Options) parse(b []byte) {
	for len(b) > 0 {
		kind := b[0]
		if kind == optEnd {
			return
		}
		if kind == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			o.Malformed = true
			return
		}
		o.parseOne(kind, b[2:b[1]])
		b = b[b[1]:]
	}
}

func (o *Options) parseOne(kind uint8, v []byte) {
	switch {
	case kind == optMSS && len(v) == 2:
		o.MSS = binary.BigEndian.Uint16(v)
	case kind == optWindowScale && len(v) == 1:
		o.WindowScale, o.HasWindowScale = v[0], true
	case kind == optSACKPermitted && len(v) == 0:
		o.SACKPermitted = true
	case kind == optSACK && len(v) > 0 && len(v)%8 == 0 && len(v)/8 <= len(o.sack):
		for o.nSACK = 0; len(v) > 0; o.nSACK++ {
			o.sack[o.nSACK] = event.SACKBlock{Left: binary.BigEndian.Uint32(v), Right: binary.BigEndian.Uint32(v[4:])}
			v = v[8:]
		}
	case kind == optTimestamps && len(v) == 8:
		o.TSVal, o.TSEcr, o.HasTimestamps = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:]), true
	case kind == optFastOpen:
		o.FastOpen = true
	case kind == optMSS, kind == optWindowScale, kind == optSACKPermitted, kind == optSACK, kind == optTimestamps:
		o.Malformed = true // of a wrong length
	case int(o.nUnknown) < len(o.unknown):
		o.unknown[o.nUnknown] = kind
		o.nUnknown++
	}
}

// tell fills in the options as the event of a segment tells them. Absolute SACK
// numbers stay absolute.
func (o *Options) tell(e *segmentEvent) {
	t := &e.Options
	t.MSS, t.SACKPermitted, t.FastOpen, t.Malformed = o.MSS, o.SACKPermitted, o.FastOpen, o.Malformed
	if o.HasWindowScale {
		e.windowScale = o.WindowScale
		t.WindowScale = &e.windowScale
	}
	if o.HasTimestamps {
		e.timestamps = event.Timestamps{Val: o.TSVal, Ecr: o.TSEcr}
		t.Timestamps = &e.timestamps
	}
	if o.nSACK > 0 {
		t.SACK = append([]event.SACKBlock(nil), o.sack[:o.nSACK]...)
	}
	if o.nUnknown > 0 {
		t.Unknown = append([]uint8(nil), o.unknown[:o.nUnknown]...)
	}
}

package pack

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"

	"synscope/event"
)

const (
	// level is the least of compress/flate that uses a dictionary.
	level = 2
	// maxDictionary is how far back a match may be (RFC 1951, section 2).
	maxDictionary = 32 << 10
	// maxDictionaries bounds those that a Packer makes.
	maxDictionaries = 16
	// fitting is how much shorter than its JSON a Packed is, at least, where the
	// dictionary fits.
	fitting = 5
	// maxScratch is the longest JSON for which a Packer keeps its buffers.
	maxScratch = 1 << 20
)

// A Packed is events of one connection, in the order of their ordinals. It does not
// change, and may be used by any goroutine.
type Packed struct {
	first, last uint64 // ordinals
	n           int    // events
	text        []byte // compressed; a line of JSON an event
	dictionary  []byte // shared; not changed
}

// First returns the ordinal of the first event.
func (p *Packed) First() uint64 { return p.first }

// Last returns the ordinal of the last event.
func (p *Packed) Last() uint64 { return p.last }

// Len returns the number of the events.
func (p *Packed) Len() int { return p.n }

// Size returns the bytes of memory that it takes, without what others share.
func (p *Packed) Size() int { return cap(p.text) + 64 }

// Events returns the events, which are the caller's: as they were, but that a list
// that JSON leaves out is nil where it was empty.
func (p *Packed) Events() []*event.Event {
	es := make([]*event.Event, p.n)
	r := json.NewDecoder(flate.NewReaderDict(bytes.NewReader(p.text), p.dictionary))
	for i := range es {
		es[i] = new(event.Event)
		if err := r.Decode(es[i]); err != nil {
			panic(fmt.Sprintf("pack: event %d of %d: %v", i+1, p.n, err)) // we wrote it
		}
	}
	return es
}

// A Packer packs events. The zero Packer is ready for use, by one goroutine. It
// keeps 1 MB, and more after it has packed much at once.
type Packer struct {
	w          *flate.Writer
	dictionary []byte
	made       int // dictionaries
	json       []byte
	text       bytes.Buffer
}

// Pack packs events of one connection, at least one. It returns nil if they would
// not be the same when unpacked: JSON has no way to tell text that is no UTF-8,
// which only a peer that tries makes.
func (p *Packer) Pack(es []*event.Event) *Packed {
	if cap(p.json) > maxScratch {
		p.json, p.text = nil, bytes.Buffer{}
	}
	p.json = p.json[:0]
	for _, e := range es {
		p.json = append(e.AppendJSON(p.json), '\n')
	}
	if bytes.Contains(p.json, []byte(`\ufffd`)) {
		return nil
	}
	if p.w == nil {
		p.learn(nil)
	}
	p.text.Reset()
	p.w.Reset(&p.text)
	p.w.Write(p.json) // a buffer takes all
	p.w.Close()
	packed := &Packed{first: es[0].N, last: es[len(es)-1].N, n: len(es), text: bytes.Clone(p.text.Bytes()), dictionary: p.dictionary}
	if len(packed.text)*fitting > len(p.json) && p.made < maxDictionaries {
		p.learn(p.json)
	}
	return packed
}

// learn makes a dictionary, of the one before and of text that it did not fit.
func (p *Packer) learn(text []byte) {
	d := append(bytes.Clone(p.dictionary), text...)
	p.dictionary = bytes.Clone(d[max(len(d)-maxDictionary, 0):])
	p.w, _ = flate.NewWriterDict(nil, level, p.dictionary) // the level is valid
	p.made++
}

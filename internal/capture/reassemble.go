package capture

import (
	"bytes"
	"container/list"
	"time"
)

// Bounds of what waits for its fragments.
const (
	// maxWaiting bounds the datagrams that wait. Each takes about 1 KiB beside
	// its data.
	maxWaiting = 4096
	// maxWaitingBytes bounds their data and headers, as allocated.
	maxWaitingBytes = 16 << 20
	// pageLen is how much is allocated at once for data, so that a fragment at
	// the end of a datagram does not take the room of all before it.
	pageLen = 2048
	// maxAge is how long a datagram waits after its first fragment, by the
	// times in the file: RFC 1122, section 3.3.2, and RFC 8200, section 4.5.
	maxAge = 60 * time.Second
	// maxAgePackets is the same in packets, where times do not go on.
	maxAgePackets = 1 << 20
)

// FragmentStats says what became of the fragments of a file.
type FragmentStats struct {
	Reassembled uint64 // datagrams completed
	Waiting     int    // datagrams that wait now
	Expired     uint64 // datagrams dropped, as they waited for 60 s or 2^20 packets
	Evicted     uint64 // datagrams dropped, as too many others waited
	Overlapped  uint64 // IPv6 datagrams dropped, as RFC 5722 asks
	TooLong     uint64 // datagrams dropped, as they were longer than IP allows
	Refused     uint64 // fragments that were cut, malformed, in conflict, or of a dropped datagram
	Repeated    uint64 // fragments that held nothing new
}

// A reassembler makes datagrams of fragments. The zero value is ready.
type reassembler struct {
	datagrams map[datagramKey]*datagram
	oldest    list.List // of *datagram, in the order of their first fragments
	bytes     int       // that the datagrams hold
	whole     []byte    // the last datagram completed
	stats     FragmentStats
}

// A datagram is one that waits for fragments.
type datagram struct {
	key      datagramKey
	element  *list.Element
	began    time.Time // of its first fragment to come
	number   uint64
	header   fragmentHeader // its bytes are nil until the first fragment is there
	pages    [(maxDatagram + 1) / pageLen]*[pageLen]byte
	held     int // bytes of pages and header
	reach    int // the end of the furthest fragment so far
	have     [(maxDatagram/fragmentUnit + 1) / 64]uint64
	units    int  // bits set in have
	length   int  // of all data, -1 until the last fragment is there
	poisoned bool // an IPv6 datagram with overlaps: further fragments are dropped
}

// waiting returns the number of datagrams that wait.
func (r *reassembler) waiting() int {
	n := 0
	for _, d := range r.datagrams {
		if !d.poisoned {
			n++
		}
	}
	return n
}

// add takes a fragment. It returns the datagram that it completes, valid until
// the next call, or why there is none.
func (r *reassembler) add(f *fragment, at time.Time, number uint64) (ip []byte, skipped string) {
	if f.atomic() {
		h := f.firstHeader()
		return r.complete(&h, [][]byte{f.data})
	}
	r.expire(at, number)
	d := r.datagram(f, at, number)
	if d.poisoned {
		r.stats.Refused++
		return nil, fragmentOfDropped
	}
	before := d.held
	skipped = d.place(f)
	r.bytes += d.held - before
	switch skipped {
	case fragmentDuplicate:
		r.stats.Repeated++
	case fragmentConflict, fragmentOverlap:
		if f.key.version == ipv6 {
			r.stats.Overlapped++
			r.poison(d)
			return nil, fragmentOverlap
		}
		r.stats.Refused++
	case "":
		if !d.isWhole() {
			return nil, r.evict(d)
		}
		r.remove(d)
		return r.complete(&d.header, d.data())
	}
	return nil, skipped
}

// complete puts header and data together.
func (r *reassembler) complete(h *fragmentHeader, data [][]byte) (ip []byte, skipped string) {
	ip = h.whole(r.whole[:0], data)
	if ip == nil {
		r.stats.TooLong++
		return nil, fragmentTooLong
	}
	r.whole = ip
	r.stats.Reassembled++
	return ip, ""
}

// datagram returns the datagram of a fragment.
func (r *reassembler) datagram(f *fragment, at time.Time, number uint64) *datagram {
	if d := r.datagrams[f.key]; d != nil {
		return d
	}
	if r.datagrams == nil {
		r.datagrams = make(map[datagramKey]*datagram)
	}
	d := &datagram{key: f.key, began: at, number: number, length: -1}
	d.element = r.oldest.PushBack(d)
	r.datagrams[f.key] = d
	return d
}

// expire drops the datagrams that have waited too long. Those of an interface
// whose clock is behind are dropped with the older ones before them.
func (r *reassembler) expire(at time.Time, number uint64) {
	for e := r.oldest.Front(); e != nil; e = r.oldest.Front() {
		d := e.Value.(*datagram)
		if !d.tooOld(at, number) {
			return
		}
		if !d.poisoned {
			r.stats.Expired++
		}
		r.remove(d)
	}
}

// tooOld reports whether the datagram has waited too long, when a packet comes.
func (d *datagram) tooOld(at time.Time, number uint64) bool {
	timed := !at.IsZero() && !d.began.IsZero()
	return timed && at.Sub(d.began) > maxAge || number-d.number > maxAgePackets
}

// evict drops the oldest datagrams that are too many, though not d, and
// returns what is to be told of the fragment that has come for d.
func (r *reassembler) evict(d *datagram) (skipped string) {
	skipped = fragmentWaits
	for e := r.oldest.Front(); e != nil && (r.bytes > maxWaitingBytes || len(r.datagrams) > maxWaiting); {
		old := e.Value.(*datagram)
		e = e.Next()
		if old == d {
			continue
		}
		if !old.poisoned {
			r.stats.Evicted++
			skipped = fragmentWaitsEvicts
		}
		r.remove(old)
	}
	return skipped
}

// remove forgets a datagram.
func (r *reassembler) remove(d *datagram) {
	delete(r.datagrams, d.key)
	r.oldest.Remove(d.element)
	r.bytes -= d.held
}

// poison drops a datagram's data, and keeps it to drop what still comes.
func (r *reassembler) poison(d *datagram) {
	r.bytes -= d.held
	*d = datagram{key: d.key, element: d.element, began: d.began, number: d.number, poisoned: true}
}

// isWhole reports whether all fragments are there.
func (d *datagram) isWhole() bool {
	return d.length >= 0 && d.units == unitsIn(d.length)
}

// unitsIn returns how many units n bytes take.
func unitsIn(n int) int { return (n + fragmentUnit - 1) / fragmentUnit }

// unit returns the room for a unit, and makes it if there is none.
func (d *datagram) unit(u int) []byte {
	at := u * fragmentUnit
	page := &d.pages[at/pageLen]
	if *page == nil {
		*page = new([pageLen]byte)
		d.held += pageLen
	}
	return (*page)[at%pageLen:][:fragmentUnit]
}

// data returns what a whole datagram holds, in pieces.
func (d *datagram) data() (pieces [][]byte) {
	for at := 0; at < d.length; at += pageLen {
		pieces = append(pieces, d.pages[at/pageLen][:min(pageLen, d.length-at)])
	}
	return pieces
}

// place puts a fragment into the datagram. Of bytes that came before, the
// first to come are kept.
func (d *datagram) place(f *fragment) (skipped string) {
	end := f.offset + len(f.data)
	last := d.length >= 0
	if last && end > d.length || !f.more && (last && end != d.length || d.reach > end) {
		return fragmentConflict
	}
	first, units := f.offset/fragmentUnit, unitsIn(len(f.data))
	present, same := 0, true
	for u := first; u < first+units; u++ {
		if d.has(u) {
			present++
			same = same && bytes.HasPrefix(d.unit(u), f.unit(u))
		}
	}
	// An exact duplicate is no overlap (RFC 8200, section 4.5).
	if f.key.version == ipv6 && present > 0 && (present < units || !same) {
		return fragmentOverlap
	}
	if present == units && (f.more || last) {
		return fragmentDuplicate
	}
	if !f.more {
		d.length = end
	}
	if f.offset == 0 && d.header.bytes == nil {
		d.header = f.firstHeader()
		d.held += cap(d.header.bytes)
	}
	d.reach = max(d.reach, end)
	for u := first; u < first+units; u++ {
		if !d.has(u) {
			copy(d.unit(u), f.unit(u))
			d.have[u/64] |= 1 << (u % 64)
			d.units++
		}
	}
	return ""
}

// has reports whether a unit has come.
func (d *datagram) has(u int) bool { return d.have[u/64]>>(u%64)&1 != 0 }

// unit returns what the fragment has of a unit, which it has.
func (f *fragment) unit(u int) []byte {
	b := f.data[u*fragmentUnit-f.offset:]
	return b[:min(len(b), fragmentUnit)]
}

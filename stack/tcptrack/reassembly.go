package tcptrack

import (
	"slices"
)

const (
	// maxPieces and maxHeld bound what is kept of one direction while bytes
	// before it are missing. An honest sender with a window of 1 MiB and
	// segments of an Ethernet's size stays within both.
	maxPieces = 1024
	maxHeld   = 1 << 20
)

// less reports whether a comes before b in sequence space (RFC 9293, section
// 3.4), where they are within 2^31 of each other.
func less(a, b uint32) bool { return int32(a-b) < 0 }

// A piece is bytes that came before those in front of them.
type piece struct {
	seq   uint32
	b     []byte // a copy
	cut   int    // bytes after b that the capture lacks
	frame uint64
}

func (p *piece) end() uint32 { return p.seq + uint32(len(p.b)+p.cut) }

// A reassembly puts the bytes of one direction in order. The bytes that came
// first win where segments overlap.
type reassembly struct {
	started bool
	next    uint32  // the next byte in order
	pieces  []piece // beyond next, sorted, not overlapping
	held    int     // bytes in pieces
}

// start sets the first byte of the stream.
func (r *reassembly) start(seq uint32) {
	if !r.started {
		r.started, r.next = true, seq
	}
}

// segment takes payload at seq, of which the last cut bytes are missing, and
// appends the chunks that are in order now. It returns how many bytes found no
// room.
func (r *reassembly) segment(chunks []Chunk, seq uint32, b []byte, cut int, frame uint64) (_ []Chunk, lost int) {
	if len(b)+cut == 0 {
		return chunks, 0
	}
	if less(seq, r.next) { // cut off what was delivered
		old := r.next - seq
		if old >= uint32(len(b)+cut) {
			return chunks, 0
		}
		seq = r.next
		if n := uint32(len(b)); old > n {
			b, cut = nil, cut-int(old-n)
		} else {
			b = b[old:]
		}
	}
	if seq == r.next && len(r.pieces) == 0 { // the common case: nothing is copied
		return r.deliver(chunks, b, cut, frame), 0
	}
	lost = r.insert(seq, b, cut, frame)
	return r.drain(chunks), lost
}

// deliver appends the bytes at next.
func (r *reassembly) deliver(chunks []Chunk, b []byte, cut int, frame uint64) []Chunk {
	if len(b) > 0 {
		chunks = append(chunks, Chunk{Frame: frame, B: b})
	}
	if cut > 0 {
		chunks = append(chunks, Chunk{Frame: frame, Gap: cut})
	}
	r.next += uint32(len(b) + cut)
	return chunks
}

// insert keeps what of the bytes is not held yet.
func (r *reassembly) insert(seq uint32, b []byte, cut int, frame uint64) (lost int) {
	for i := 0; len(b)+cut > 0; i++ {
		// The first piece that ends beyond seq.
		for i < len(r.pieces) && !less(seq, r.pieces[i].end()) {
			i++
		}
		if i < len(r.pieces) && !less(seq, r.pieces[i].seq) { // begins within it
			skip := int(r.pieces[i].end() - seq)
			if skip >= len(b)+cut {
				return lost
			}
			seq += uint32(skip)
			b, cut = advance(b, cut, skip)
			continue
		}
		room := len(b) + cut
		if i < len(r.pieces) {
			room = min(room, int(r.pieces[i].seq-seq))
		}
		lost += r.keep(i, seq, b[:min(room, len(b))], max(0, room-len(b)), frame)
		seq += uint32(room)
		b, cut = advance(b, cut, room)
	}
	return lost
}

func advance(b []byte, cut, n int) ([]byte, int) {
	if n > len(b) {
		return nil, cut - (n - len(b))
	}
	return b[n:], cut
}

// keep inserts one piece at i.
func (r *reassembly) keep(i int, seq uint32, b []byte, cut int, frame uint64) (lost int) {
	if len(r.pieces) >= maxPieces || r.held+len(b) > maxHeld {
		return len(b) + cut
	}
	r.held += len(b)
	r.pieces = slices.Insert(r.pieces, i, piece{seq, slices.Clone(b), cut, frame})
	return 0
}

// drain delivers the pieces that are in order now.
func (r *reassembly) drain(chunks []Chunk) []Chunk {
	n := 0
	for n < len(r.pieces) && r.pieces[n].seq == r.next {
		p := &r.pieces[n]
		r.held -= len(p.b)
		chunks = r.deliver(chunks, p.b, p.cut, p.frame)
		n++
	}
	if n > 0 {
		r.pieces = slices.Delete(r.pieces, 0, n)
		if len(r.pieces) == 0 {
			r.pieces = nil
		}
	}
	return chunks
}

// acked takes an acknowledgement of the receiver. Bytes before it that were not
// seen here will not be sent again: they are given up.
func (r *reassembly) acked(chunks []Chunk, ack uint32, frame uint64) []Chunk {
	for r.started && less(r.next, ack) {
		hole := ack - r.next
		if len(r.pieces) > 0 && less(r.pieces[0].seq, ack) {
			hole = r.pieces[0].seq - r.next
		}
		chunks = append(chunks, Chunk{Frame: frame, Gap: int(hole)})
		r.next += hole
		chunks = r.drain(chunks)
	}
	return chunks
}

// misses reports whether any of n bytes at seq was not seen yet.
func (r *reassembly) misses(seq uint32, n int) bool {
	end := seq + uint32(n)
	if less(seq, r.next) {
		seq = r.next
	}
	for i := range r.pieces {
		if !less(seq, end) {
			break
		}
		if p := &r.pieces[i]; !less(seq, p.seq) && less(seq, p.end()) {
			seq = p.end()
		}
	}
	return less(seq, end)
}

package tcptrack

import "slices"

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

// A piece is consecutive bytes of a stream, from one packet.
type piece struct {
	seq   uint32
	b     []byte
	more  [][]byte // bytes after b
	cut   int      // bytes after those that the capture lacks
	frame uint64
	tsVal uint32 // the sender's clock, if timed
	timed bool
}

func (p *piece) seen() int {
	n := len(p.b)
	for _, v := range p.more {
		n += len(v)
	}
	return n
}
func (p *piece) len() int    { return p.seen() + p.cut }
func (p *piece) end() uint32 { return p.seq + uint32(p.len()) }

// split divides the piece after n bytes.
func (p piece) split(n int) (head, tail piece) {
	head, tail = p, p
	tail.seq += uint32(n)
	if n < len(p.b) || len(p.more) == 0 && n == len(p.b) {
		head.b, head.more, head.cut = p.b[:n], nil, 0
		tail.b = p.b[n:]
		return head, tail
	}
	n -= len(p.b)
	for i, v := range p.more {
		if n < len(v) {
			head.more, head.cut = p.more[:i], 0
			if n > 0 {
				head.more = append(slices.Clip(head.more), v[:n])
			}
			tail.b, tail.more = v[n:], p.more[i+1:]
			return head, tail
		}
		n -= len(v)
	}
	head.cut = n
	tail.b, tail.more, tail.cut = nil, nil, p.cut-n
	return head, tail
}

// from returns what of the piece is not before seq.
func (p piece) from(seq uint32) piece {
	if less(p.seq, seq) {
		_, p = p.split(int(min(seq-p.seq, uint32(p.len()))))
	}
	return p
}

// until returns what of the piece is before seq.
func (p piece) until(seq uint32) piece {
	n := 0
	if less(p.seq, seq) {
		n = int(min(seq-p.seq, uint32(p.len())))
	}
	p, _ = p.split(n)
	return p
}

// A reassembly puts the bytes of one direction in order. The bytes that came
// first win where segments overlap.
type reassembly struct {
	next   uint32  // the next byte in order
	pieces []piece // not before next, sorted, not overlapping; copies
	held   int     // bytes in pieces
}

// segment takes a piece and appends the chunks that are in order now. It
// returns how many bytes found no room.
func (r *reassembly) segment(chunks []Chunk, p piece) (_ []Chunk, lost int) {
	// What is in order is neither copied nor subject to the bounds.
	for p = p.from(r.next); p.seq == r.next && p.len() > 0; p = p.from(r.next) {
		head := p
		if len(r.pieces) > 0 {
			head = p.until(r.pieces[0].seq)
		}
		chunks = r.deliver(chunks, &head)
		chunks = r.drain(chunks)
	}
	return chunks, r.hold(p)
}

// deliver appends a piece that begins at next.
func (r *reassembly) deliver(chunks []Chunk, p *piece) []Chunk {
	if len(p.b) > 0 {
		chunks = append(chunks, Chunk{Frame: p.frame, B: p.b, More: p.more})
	}
	if p.cut > 0 {
		chunks = append(chunks, Chunk{Frame: p.frame, Gap: p.cut})
	}
	r.next = p.end()
	return chunks
}

// hold keeps what of the piece is not held or delivered yet. It returns how
// many bytes found no room.
func (r *reassembly) hold(p piece) (lost int) {
	p = p.from(r.next)
	for i := 0; p.len() > 0; {
		for i < len(r.pieces) && !less(p.seq, r.pieces[i].end()) {
			i++
		}
		room := p.len()
		if i < len(r.pieces) {
			next := &r.pieces[i]
			if !less(p.seq, next.seq) {
				p = p.from(next.end())
				continue
			}
			room = min(room, int(next.seq-p.seq))
		}
		head, tail := p.split(room)
		lost += r.insert(i, head)
		p = tail
	}
	return lost
}

// insert keeps a copy of a piece at the index i, if there is room for it.
func (r *reassembly) insert(i int, p piece) (lost int) {
	if len(r.pieces) >= maxPieces || r.held+p.seen() > maxHeld {
		return p.len()
	}
	b := make([]byte, 0, p.seen())
	b = append(b, p.b...)
	for _, v := range p.more {
		b = append(b, v...)
	}
	p.b, p.more = b, nil
	r.held += len(p.b)
	r.pieces = slices.Insert(r.pieces, i, p)
	return 0
}

// drain delivers the pieces that are in order now.
func (r *reassembly) drain(chunks []Chunk) []Chunk {
	n := 0
	for n < len(r.pieces) && r.pieces[n].seq == r.next {
		r.held -= len(r.pieces[n].b)
		chunks = r.deliver(chunks, &r.pieces[n])
		n++
	}
	r.pieces = slices.Delete(r.pieces, 0, n)
	if len(r.pieces) == 0 {
		r.pieces = nil
	}
	return chunks
}

// drop forgets what is held.
func (r *reassembly) drop() { r.pieces, r.held = nil, 0 }

// acked takes an acknowledgement of the receiver. Bytes before it that were not
// seen here will not be sent again: they are given up.
func (r *reassembly) acked(chunks []Chunk, ack uint32, frame uint64) []Chunk {
	chunks = r.drain(chunks)
	for less(r.next, ack) {
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
		if p := &r.pieces[i]; !less(seq, p.seq) && less(seq, p.end()) {
			seq = p.end()
		}
	}
	return less(seq, end)
}

// sentBefore reports whether any byte held from beyond seq was sent before
// tsVal.
func (r *reassembly) sentBefore(tsVal, seq uint32) bool {
	return slices.ContainsFunc(r.pieces, func(p piece) bool {
		return p.timed && less(seq, p.seq) && less(p.tsVal, tsVal)
	})
}

package tcptrack

import (
	"time"

	"synscope/event"
)

// A half is what is known of one side, as the sender of its direction.
type half struct {
	state event.State

	seen    bool   // it has sent something
	known   bool   // next is, from what it sent or from what its peer acknowledged
	isn     uint32 // its initial sequence number, if synN is not 0
	next    uint32 // SND.NXT, as far as seen
	nextRel int64  // next, relative to isn and not wrapped

	answers bool   // its SYN was a SYN-ACK
	alt     uint32 // an initial sequence number that it sent before isn
	hasAlt  bool
	synAt   time.Duration // of the SYN at synN
	timed   bool          // its SYN had the timestamps option

	acks   bool   // it has sent an ACK
	ack    uint32 // the highest acknowledgement number it sent
	window uint16 // the last it sent

	fin      bool // it has sent FIN
	finSeq   uint32
	finTSVal uint32 // the sender's clock at the FIN, if finTimed
	finTimed bool
	finTold  bool // its FIN was told as the end of the stream

	// Ordinals of segment events, 0: not seen. Of a SYN or FIN that was sent
	// again, it is the last before an acknowledgement: those before may not
	// have arrived.
	synN, finN           uint64 // of its own
	synAckedN, finAckedN uint64 // the peer's first acknowledgements
	resetN               uint64 // the peer's last RST

	bytes  uint64
	stream reassembly
}

// begin takes the sequence numbers that the first segments of either side tell.
func (c *Conn) begin(n uint64, s, r *half, p *Packet) {
	if p.Flags.Has(event.RST) || p.Flags&(event.SYN|event.ACK) == 0 {
		return
	}
	switch {
	case p.Flags.Has(event.SYN):
		s.beginSYN(n, c.last, p)
	case !s.seen:
		s.start(p.Seq, s.relative(p.Seq))
	}
	s.seen = true
	if !p.Flags.Has(event.ACK) {
		return
	}
	switch {
	case !r.known:
		r.start(p.Ack, 1)
	case r.hasAlt && r.synAckedN == 0 && p.Ack == r.alt+1:
		r.isn = r.alt
		r.start(r.isn+1, 1)
	}
}

// beginSYN takes the initial sequence number of a SYN. Until the peer has
// acknowledged one, another may follow: SYN cookies depend on the time, and a
// SYN that an endpoint answers once with a cookie and once without gets two.
func (h *half) beginSYN(n uint64, t time.Duration, p *Packet) {
	if h.seen && (h.synN == 0 || h.synAckedN != 0) {
		return
	}
	answers := p.Flags.Has(event.ACK)
	if h.synN == 0 || p.Seq != h.isn {
		h.alt, h.hasAlt = h.isn, h.synN != 0
		h.isn, h.answers = p.Seq, answers
		h.timed = p.Options.HasTimestamps
		h.start(p.Seq+1, 1)
		h.next, h.nextRel = p.Seq, 0
	}
	if answers == h.answers {
		h.synN, h.synAt = n, t
	}
}

// start sets the next sequence number and the first byte of the stream.
func (h *half) start(seq uint32, rel int64) {
	h.known, h.next, h.nextRel = true, seq, rel
	h.stream = reassembly{next: seq}
}

// relative returns a sequence number of h, relative to its first.
func (h *half) relative(seq uint32) int64 {
	if !h.known {
		return 1
	}
	return h.nextRel + int64(int32(seq-h.next))
}

// maxWindow is the largest window there is (RFC 7323, section 2.3).
const maxWindow = 1 << 30

// stray reports whether a segment without RST is one that its receiver drops
// whatever else it carries (RFC 9293, section 3.10.7.4): beyond any window, a
// SYN of another number than the connection's, or without ACK.
func (h *half) stray(p *Packet) bool {
	if p.Flags.Has(event.SYN) {
		return h.relative(p.Seq) != 0
	}
	beyond := !less(p.Seq, h.stream.next) && p.Seq-h.stream.next >= maxWindow
	return beyond || !p.Flags.Has(event.ACK)
}

// sent updates what a side has sent to its peer r.
func (h *half) sent(r *half, p *Packet) {
	if end := p.end(); less(h.next, end) {
		h.nextRel += int64(end - h.next)
		h.next = end
	}
	if p.Flags.Has(event.ACK) {
		// One of what was not sent stands only until the next.
		valid := !less(r.next, p.Ack)
		if !h.acks || less(r.next, h.ack) || valid && less(h.ack, p.Ack) {
			h.ack = p.Ack
		}
		h.acks = true
	}
	h.window = p.Window
}

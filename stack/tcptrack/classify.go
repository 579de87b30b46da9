package tcptrack

import "synscope/event"

// describe makes the event of a segment, without what the segments before say
// of it.
func describe(s, r *half, p *Packet, frame uint64, offload int) *event.Segment {
	e := &segmentEvent{Segment: event.Segment{
		Flags: p.Flags, Seq: p.Seq, SeqRel: s.relative(p.Seq), Len: p.Len, Window: int(p.Window), Offload: offload, Frame: frame,
	}}
	if p.Flags.Has(event.ACK) {
		e.Ack, e.AckRel = p.Ack, r.relative(p.Ack)
	}
	p.Options.tell(e)
	return &e.Segment
}

// A segmentEvent is the event of a segment with the options that it refers to, in
// one allocation.
type segmentEvent struct {
	event.Segment
	timestamps  event.Timestamps
	windowScale uint8
}

// classify says what a segment of s's is by the segments before it.
func (c *Conn) classify(e *event.Segment, s, r *half, p *Packet) {
	end := p.end()
	switch {
	case keepAlive(s, r, p):
		e.KeepAlive = true
	case end == p.Seq:
		// RFC 5681, section 2. ACK is set in every segment that is not stray.
		e.DupAck = s.acks && p.Ack == s.ack && p.Window == s.window && less(p.Ack, r.next)
	case !less(s.next, end):
		e.Retransmit = !s.stream.misses(p.dataSeq(), p.Len) || s.sentLater(p)
	case less(s.next, p.Seq):
		e.OutOfOrder = true
	}
	e.ZeroWindow = p.Window == 0 && p.Flags&(event.SYN|event.FIN) == 0
	if e.Retransmit {
		c.retransmits++
	}
	if e.OutOfOrder {
		c.outOfOrder++
	}
}

// keepAlive reports whether a segment of s's does nothing but provoke an answer
// (RFC 9293, section 3.8.4): it is one below SND.NXT, with at most one byte of
// garbage, and all of s's is acknowledged. Otherwise one byte is a
// retransmission.
func keepAlive(s, r *half, p *Packet) bool {
	return p.Flags&(event.SYN|event.FIN) == 0 && p.Len <= 1 && p.Seq == s.next-1 &&
		r.acks && r.ack == s.next
}

// sentLater reports whether a segment that fills a hole was sent after another
// from beyond the hole, by the sender's clock (RFC 7323, section 3): then it is
// a retransmission of one that was lost before it came here. Without timestamps
// it may be late as well.
func (h *half) sentLater(p *Packet) bool {
	if !p.Options.HasTimestamps {
		return false
	}
	if h.fin && h.finTimed && less(p.Seq, h.finSeq) && less(h.finTSVal, p.Options.TSVal) {
		return true
	}
	return h.stream.sentBefore(p.Options.TSVal, p.dataSeq())
}

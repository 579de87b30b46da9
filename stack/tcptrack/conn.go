package tcptrack

import (
	"time"

	"synscope/event"
)

// A Conn follows one connection. It is owned by one goroutine.
type Conn struct {
	flow  event.Flow
	halfs [3]half // by Side; that of NoSide is not used

	first, last time.Duration
	segments    uint64
	retransmits uint64
	outOfOrder  uint64
	synAt       time.Duration // of the first SYN
	synAckAt    time.Duration // of the last SYN-ACK
	rtt         time.Duration
	handshake   time.Duration
	established bool // the handshake completed
	closed      string
	closedBy    event.Side
	result      Result
	chunks      []Chunk
	transitions []Transition
}

// A half is what is known of one side, as the sender of its direction.
type half struct {
	state event.State

	seen    bool   // it has sent something
	isn     uint32 // its initial sequence number, if synN is not 0
	next    uint32 // SND.NXT, as far as seen
	nextRel int64  // next, relative to isn and not wrapped

	acks    bool   // it has sent an ACK
	ack     uint32 // the highest acknowledgement number it sent
	window  uint16 // the last it sent
	tsOn    bool   // it offered timestamps in its SYN
	beyond  uint32 // TSval of the segment that first left a hole
	hasHole bool

	fin    bool // it has sent FIN
	finSeq uint32
	finUp  bool // its FIN was told as the end of the stream

	// Ordinals of events, 0: not seen. The latter three are of segments of
	// the peer's.
	synN, finN, resetN   uint64
	synAckedN, finAckedN uint64

	bytes  uint64
	stream reassembly
}

// A Transition is one step of one side's state machine.
type Transition struct {
	Side     event.Side
	Old, New event.State
	Cause    event.Cause
}

// A Chunk is bytes of one direction, in order.
type Chunk struct {
	From  event.Side
	Frame uint64 // the packet that carried them
	// B is valid until the next call of Segment, or as long as the packet.
	B []byte
	// Gap is a number of bytes, in place of B, that were not seen.
	Gap int
}

// A Result is what one segment meant. It is valid until the next call of
// Segment, but for Segment, which is not used again.
type Result struct {
	Segment *event.Segment
	States  []Transition
	Data    []Chunk
	// FIN is set, by side, when the end of that side's stream was reached.
	FIN [3]bool
	// Reset is set when the segment reset the connection.
	Reset bool
	// Established is set once, when the handshake is complete.
	Established bool
	// Lost counts the bytes that found no room to wait for those before them.
	Lost int
}

// NewConn returns a Conn for the connection of flow.
func NewConn(flow event.Flow) *Conn {
	c := &Conn{flow: flow}
	c.halfs[event.Client].state = event.StateClosed
	c.halfs[event.Server].state = event.StateListen
	return c
}

// Segment takes the next segment of the connection: at t, measured from any one
// start, from one side, in the packet of the ordinal frame. The tcp.segment
// event will have the ordinal n. Offload is the segment size of a super-packet,
// else 0.
func (c *Conn) Segment(t time.Duration, n, frame uint64, from event.Side, p *Packet, offload int) Result {
	s, r := &c.halfs[from], &c.halfs[from.Peer()]
	if c.segments == 0 {
		c.first = t
		if !p.Flags.Has(event.SYN) {
			c.halfs[event.Client].state, c.halfs[event.Server].state = event.NoState, event.NoState
		}
	}
	c.segments++
	c.last = t
	c.result = Result{}
	c.chunks, c.transitions = c.chunks[:0], c.transitions[:0]

	s.begin(p, n)
	c.result.Segment = c.analyse(s, r, p, frame, offload)
	if p.Flags.Has(event.RST) {
		c.reset(n, from, s, r, p)
	} else {
		c.times(t, from, s, p)
		c.advance(n, from, s, r, p)
		c.stream(from, frame, s, r, p)
	}
	s.sent(p, n)
	c.result.States, c.result.Data = c.transitions, c.chunks
	return c.result
}

// begin takes the numbers that the first segment of a side sets.
func (h *half) begin(p *Packet, n uint64) {
	if p.Flags.Has(event.SYN) && h.synN == 0 {
		h.synN, h.isn = n, p.Seq
		h.tsOn = p.Options.HasTimestamps
		h.seen, h.next, h.nextRel = true, p.Seq, 0
		h.stream = reassembly{}
		h.stream.start(p.Seq + 1)
	}
	if !h.seen && !p.Flags.Has(event.RST) {
		// In the middle of a stream the first byte seen is number 1.
		h.seen, h.next, h.nextRel = true, p.Seq, 1
		h.stream.start(p.Seq)
	}
}

// relative returns a sequence number of h, relative to its first. Where none was
// seen it is taken for the first byte's.
func (h *half) relative(seq uint32) int64 {
	if !h.seen {
		return 1
	}
	return h.nextRel + int64(int32(seq-h.next))
}

// analyse makes the event of a segment. It changes nothing but counts.
func (c *Conn) analyse(s, r *half, p *Packet, frame uint64, offload int) *event.Segment {
	e := &event.Segment{
		Flags: p.Flags, Seq: p.Seq, Ack: p.Ack, Len: p.Len, Window: int(p.Window),
		Options: p.Options.event(), Offload: offload, Frame: frame,
		SeqRel: s.relative(p.Seq),
	}
	if p.Flags.Has(event.ACK) {
		e.AckRel = r.relative(p.Ack)
	} else {
		e.Ack = 0
	}
	if p.Flags.Has(event.RST) {
		return e
	}
	takes := p.end() - p.Seq // sequence numbers
	control := p.Flags & (event.SYN | event.FIN)
	switch {
	case control == 0 && p.Len <= 1 && s.nextRel > 1 && p.Seq == s.next-1 && s.synN != 0:
		e.KeepAlive = true
	case takes > 0 && !less(s.next, p.end()):
		e.Retransmit = !s.stream.misses(p.Seq, p.Len) || s.sentLater(p)
	case takes > 0 && less(s.next, p.Seq):
		e.OutOfOrder = true
	case takes == 0 && control == 0 && p.Flags.Has(event.ACK) && s.acks && p.Ack == s.ack && p.Window == s.window && less(p.Ack, r.next):
		e.DupAck = true
	}
	e.ZeroWindow = p.Window == 0 && control == 0
	if e.Retransmit {
		c.retransmits++
	}
	if e.OutOfOrder {
		c.outOfOrder++
	}
	return e
}

// sentLater reports whether a segment that fills a hole was sent after the one
// that left the hole, by the sender's clock (RFC 7323, section 3): then it is a
// retransmission of one that was lost before it came here. Without timestamps
// it may be late as well.
func (h *half) sentLater(p *Packet) bool {
	return h.hasHole && p.Options.HasTimestamps && less(h.beyond, p.Options.TSVal)
}

// times measures the handshake.
func (c *Conn) times(t time.Duration, from event.Side, s *half, p *Packet) {
	switch {
	case p.Flags.Has(event.SYN | event.ACK):
		c.synAckAt = t
	case p.Flags.Has(event.SYN) && c.segments == 1:
		c.synAt = t
	case p.Flags.Has(event.ACK) && from == event.Client && !c.established && s.state == event.StateSynSent && c.halfs[event.Server].synN != 0:
		c.rtt = t - c.synAckAt
		c.handshake = t - c.synAt
	}
}

// stream puts the payload in order.
func (c *Conn) stream(from event.Side, frame uint64, s, r *half, p *Packet) {
	if p.Flags.Has(event.ACK) && r.stream.started {
		ack := p.Ack
		if r.fin && ack == r.finSeq+1 {
			ack = r.finSeq
		}
		if !less(r.next, ack) {
			c.chunks = r.stream.acked(c.chunks, ack, frame)
			c.attribute(0, from.Peer())
		}
	}
	old := len(c.chunks)
	seq := p.Seq
	if p.Flags.Has(event.SYN) {
		seq++ // data in a SYN (RFC 7413)
	}
	keepAlive := c.result.Segment.KeepAlive
	if !keepAlive && p.Len > 0 {
		b := p.Payload[:min(len(p.Payload), p.Len)]
		c.chunks, c.result.Lost = s.stream.segment(c.chunks, seq, b, p.Len-len(b), frame)
		c.attribute(old, from)
	}
	if p.Flags.Has(event.FIN) && !s.fin {
		s.fin, s.finSeq = true, seq+uint32(p.Len)
	}
	for side := event.Client; side <= event.Server; side++ {
		if h := &c.halfs[side]; h.fin && !h.finUp && h.stream.next == h.finSeq {
			h.finUp = true
			c.result.FIN[side] = true
		}
	}
}

// attribute says whose the chunks from i on are, and counts their bytes.
func (c *Conn) attribute(i int, side event.Side) {
	for ; i < len(c.chunks); i++ {
		c.chunks[i].From = side
		c.halfs[side].bytes += uint64(len(c.chunks[i].B) + c.chunks[i].Gap)
	}
}

// sent updates what a side has sent.
func (h *half) sent(p *Packet, n uint64) {
	if p.Flags.Has(event.RST) {
		return
	}
	if less(h.next, p.Seq) {
		if !h.hasHole && p.Options.HasTimestamps {
			h.hasHole, h.beyond = true, p.Options.TSVal
		}
	} else if len(h.stream.pieces) == 0 {
		h.hasHole = false
	}
	if end := p.end(); less(h.next, end) {
		h.nextRel += int64(end - h.next)
		h.next = end
	}
	if p.Flags.Has(event.ACK) {
		if !h.acks || less(h.ack, p.Ack) {
			h.ack = p.Ack
		}
		h.acks = true
	}
	h.window = p.Window
	if p.Flags.Has(event.FIN) && h.finN == 0 {
		h.finN = n
	}
}

// State returns the state of a side as far as it was inferred.
func (c *Conn) State(side event.Side) event.State { return c.halfs[side].state }

// Closed reports whether nothing is left to exchange, how it came to that, and
// by whom: "fin" where both sides' FINs are acknowledged (by the one that sent
// the first), "rst", or "refused" where a RST answered the first SYN.
func (c *Conn) Closed() (how string, by event.Side, ok bool) {
	return c.closed, c.closedBy, c.closed != ""
}

// Reuse reports whether a SYN on the flow of this connection begins another
// one: the old one is over, or it never got an answer and the number is new.
func (c *Conn) Reuse(p *Packet) bool {
	if !p.Flags.Has(event.SYN) || p.Flags.Has(event.ACK) {
		return false
	}
	if c.closed != "" {
		return true
	}
	client, server := &c.halfs[event.Client], &c.halfs[event.Server]
	return client.synN != 0 && p.Seq != client.isn && !server.seen
}

// A Summary is what a Conn measured. Durations are 0 where they were not seen.
type Summary struct {
	BytesClient, BytesServer uint64 // payload, each byte once
	Segments                 uint64
	Retransmits, OutOfOrder  uint64
	Established              bool          // the handshake completed
	BothFIN                  bool          // both sides have sent FIN
	RTT                      time.Duration // the last SYN-ACK to the ACK of it
	TCPHandshake             time.Duration // the first SYN to that ACK
	Duration                 time.Duration // the first segment to the last
}

// Summary returns the measurements so far.
func (c *Conn) Summary() Summary {
	return Summary{
		BytesClient: c.halfs[event.Client].bytes,
		BytesServer: c.halfs[event.Server].bytes,
		Segments:    c.segments,
		Retransmits: c.retransmits,
		OutOfOrder:  c.outOfOrder,
		Established: c.established,
		BothFIN:     c.halfs[event.Client].fin && c.halfs[event.Server].fin,
		RTT:         c.rtt, TCPHandshake: c.handshake,
		Duration: c.last - c.first,
	}
}

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
	rtt         time.Duration
	handshake   time.Duration
	established bool       // the handshake completed
	firstFIN    event.Side // who sent the first
	closed      string
	closedBy    event.Side

	// Of the current segment; the slices are used again.
	result      Result
	chunks      []Chunk
	transitions []Transition
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
	// B is valid until the next call of Segment, and no longer than the
	// packet that was given to it.
	B []byte
	// More are the bytes after B, of a packet in several pieces.
	More [][]byte
	// Gap is a number of bytes, in place of B, that were not seen.
	Gap int
}

// Len returns the number of bytes, seen or not.
func (c *Chunk) Len() int {
	n := len(c.B) + c.Gap
	for _, v := range c.More {
		n += len(v)
	}
	return n
}

// A Result is what one segment meant. It is valid until the next call of the
// method Segment; the event is the caller's.
type Result struct {
	Segment *event.Segment
	States  []Transition
	Data    []Chunk
	// FIN is set, by side, when the end of that side's stream was reached.
	FIN [3]bool
	// Reset is set when the segment reset the connection, not if it was closed.
	Reset bool
	// Established is set once, when the handshake is complete.
	Established bool
	// NoTimestamp is set on a segment without the timestamps option that both
	// SYNs had: its receiver should drop it (RFC 7323, section 3.2).
	NoTimestamp bool
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
		if p.Flags&(event.SYN|event.ACK|event.RST) != event.SYN { // in midstream
			s.state, r.state = event.NoState, event.NoState
		}
	}
	c.segments++
	c.last = t
	c.chunks, c.transitions = c.chunks[:0], c.transitions[:0]

	c.begin(n, s, r, p)
	c.result = Result{Segment: describe(s, r, p, frame, offload)}
	switch {
	case p.Flags.Has(event.RST):
		c.reset(n, from, s, r, p)
	case !s.stray(p):
		c.classify(c.result.Segment, s, r, p)
		c.result.NoTimestamp = s.timed && r.timed && !p.Options.HasTimestamps
		c.advance(n, from, s, r, p)
		c.stream(from, frame, s, r, p)
		s.sent(r, p)
	}
	c.result.States, c.result.Data = c.transitions, c.chunks
	return c.result
}

// stream puts the payload in order.
func (c *Conn) stream(from event.Side, frame uint64, s, r *half, p *Packet) {
	if ack := p.Ack; p.Flags.Has(event.ACK) && !less(ack, r.stream.next) && !less(r.next, ack) {
		if r.fin && less(r.finSeq, ack) {
			ack = r.finSeq
		}
		c.chunks = r.stream.acked(c.chunks, ack, frame)
		c.attribute(0, from.Peer())
	}
	if p.Len > 0 {
		c.payload(from, frame, s, p)
	}
	for side := event.Client; side <= event.Server; side++ {
		if h := &c.halfs[side]; h.fin && !h.finTold && !less(h.stream.next, h.finSeq) {
			h.finTold = true
			c.result.FIN[side] = true
		}
	}
}

// payload takes the payload of a segment, up to the FIN. That of a SYN waits
// until the peer acknowledges it or not (RFC 7413, section 4.2).
func (c *Conn) payload(from event.Side, frame uint64, s *half, p *Packet) {
	d := piece{
		seq: p.dataSeq(), b: p.Payload, more: p.More, cut: p.missing(), frame: frame,
		tsVal: p.Options.TSVal, timed: p.Options.HasTimestamps,
	}
	if s.fin {
		d = d.until(s.finSeq)
	}
	switch {
	case !p.Flags.Has(event.SYN):
		old := len(c.chunks)
		c.chunks, c.result.Lost = s.stream.segment(c.chunks, d)
		c.attribute(old, from)
	case s.synAckedN == 0:
		c.result.Lost = s.stream.hold(d)
	}
}

// attribute says whose the chunks from i on are, and counts their bytes.
func (c *Conn) attribute(i int, side event.Side) {
	for ; i < len(c.chunks); i++ {
		c.chunks[i].From = side
		c.halfs[side].bytes += uint64(c.chunks[i].Len())
	}
}

// State returns the state of a side as far as it was inferred.
func (c *Conn) State(side event.Side) event.State { return c.halfs[side].state }

// Closed reports whether nothing is left to exchange, how it came to that, and
// by whom: "fin" where both sides' FINs are acknowledged (by the one that sent
// the first), "rst" (by its sender), or "refused" where a RST answered the SYN.
func (c *Conn) Closed() (how string, by event.Side, ok bool) {
	return c.closed, c.closedBy, c.closed != ""
}

// Reuse reports whether a SYN on the flow of this connection begins another
// one: the old one is over, or the client's handshake is not complete (or was
// not seen) and the number is new.
func (c *Conn) Reuse(p *Packet) bool {
	if !p.Flags.Has(event.SYN) || p.Flags.Has(event.ACK) || p.Src != c.flow.Client {
		return false
	}
	client := &c.halfs[event.Client]
	return c.closed != "" || !client.state.Synchronized() && client.relative(p.Seq) != 0
}

// Renewed reports whether a SYN of the client has another number than that of
// this connection: unless it is forged or very old, its sender has forgotten the
// connection, whose end was not seen. An endpoint that still has it answers with
// an ACK, and the SYN comes again (RFC 9293, section 3.5.1). It reports the same
// of a SYN-ACK of the server when the connection is over: the SYN was not seen.
func (c *Conn) Renewed(p *Packet) bool {
	var h *half
	switch flags := p.Flags & (event.SYN | event.ACK); {
	case flags == event.SYN && p.Src == c.flow.Client:
		h = &c.halfs[event.Client]
	case flags == event.SYN|event.ACK && p.Src == c.flow.Server && c.closed != "":
		h = &c.halfs[event.Server]
	default:
		return false
	}
	return h.synN != 0 && p.Seq != h.isn
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
		Duration: max(c.last-c.first, 0),
	}
}

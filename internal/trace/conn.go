package trace

import (
	"container/list"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// maxVerified is the longest packet whose checksum is verified: a jumbo frame.
// What is longer came through an offload, where the checksum means little.
const maxVerified = 16 << 10

// A conn is one connection. It is owned by the tracer's goroutine.
type conn struct {
	t     *engine
	id    uint64
	flow  event.Flow
	start time.Time
	last  time.Time // of the newest packet
	heard time.Time // when the tracer last took an observation of it
	n     uint64    // ordinal of the last event
	hist  *history

	midStream bool // its first segment was not seen
	headless  bool // nor was the SYN-ACK: where its streams begin is not known

	place, awake, embryo, end *list.Element // in the tracer's lists, nil if not

	leg      *leg  // it is an upstream leg: no segment of it is seen; nil if not
	upstream *conn // the newest leg that was dialled for it; nil if none was

	tcp      *tcptrack.Conn // nil of a leg
	endpoint uint64         // of ours, 0: none known
	epState  event.State
	lastSeg  [3]struct{ frame, n uint64 } // of the newest segment of each side

	tls  tlsState
	seen evidence // for the cause of conn.close

	// held are observations that wait, in order, while the decoder waits for
	// a key: so events stay in the order of the wire.
	held  []observation
	since time.Time // when the wait began

	closed   bool // conn.close was told
	closedAt time.Time
}

// emit numbers an event and sends it.
func (c *conn) emit(at time.Time, view event.View, from event.Side, body event.Body) {
	c.n++
	e := &event.Event{Time: at, T: c.elapsed(at), Conn: c.id, N: c.n, View: view, From: from, Body: body}
	if c.hist != nil {
		c.t.histories.add(c.hist, e)
	}
	c.t.send(e)
}

// elapsed returns the time since the first segment; 0 where a recording's clock
// went back beyond that.
func (c *conn) elapsed(at time.Time) time.Duration { return max(at.Sub(c.start), 0) }

// stamp is a time for the decoder.
func (c *conn) stamp(at time.Time) tlswire.Stamp {
	return tlswire.Stamp{Time: at, T: c.elapsed(at)}
}

// us is the side of our endpoint, if one is ours.
func (c *conn) us() event.Side {
	if c.leg != nil {
		return event.Client
	}
	return event.Server
}

// view is where the knowledge of the connection as a whole comes from.
func (c *conn) view() event.View {
	if c.leg != nil {
		return event.Endpoint
	}
	return event.Wire
}

// touch puts the connection behind all others: it was heard of last.
func (c *conn) touch() {
	c.heard = c.t.now
	c.t.all.MoveToBack(c.place)
	c.t.wake(c)
	if c.embryo != nil {
		c.embryos().MoveToBack(c.embryo)
	}
}

// embryos is the list that it is on until its handshake is complete.
func (c *conn) embryos() *list.List {
	if c.endpoint != 0 {
		return c.t.halfOpen
	}
	return c.t.embryonic
}

// take handles an observation now, or holds it while a key is waited for.
// Secrets never wait: they are what is waited for.
func (c *conn) take(o *observation) {
	if o.tls != nil && (o.tls.secret != nil || o.tls.start) {
		c.observeTLS(o)
		c.replay()
		return
	}
	if !c.tls.blocked() {
		c.handle(o, &c.t.pkt)
		c.block()
		return
	}
	c.held = append(c.held, *o)
	if o.packet != nil {
		c.t.heldBytes += o.packet.size
	}
	full := len(c.held) >= c.t.limits.held || c.t.heldBytes > c.t.limits.heldBytes
	last := o.tls != nil && o.tls.end || o.upstream != nil && o.upstream.info != nil
	if full || last {
		c.giveUpKeys()
	}
}

// replay handles what was held, until a key is missing again.
func (c *conn) replay() {
	delete(c.t.waiting, c)
	for len(c.held) > 0 && !c.tls.blocked() {
		o := c.held[0]
		c.held[0] = observation{}
		c.held = c.held[1:]
		if p := o.packet; p != nil {
			c.t.heldBytes -= p.size
			if c.leg == nil {
				c.t.heldPkt.ParseViews(p.buf, p.rest, p.length) // it parsed before
			}
		}
		c.handle(&o, &c.t.heldPkt)
	}
	if len(c.held) == 0 {
		c.held = nil
	}
	c.block()
	c.closeIfDone(c.t.now)
}

// block notes that a key is waited for, if one is.
func (c *conn) block() {
	if c.tls.blocked() {
		c.wait()
	}
}

// wait notes since when a word of our TLS endpoint is waited for.
func (c *conn) wait() {
	if _, ok := c.t.waiting[c]; !ok {
		c.since = c.t.now
		c.t.waiting[c] = struct{}{}
	}
}

// stopWaiting goes on without that word.
func (c *conn) stopWaiting() {
	delete(c.t.waiting, c)
	if c.tls.blocked() {
		c.giveUpKeys()
	}
	if c.done() {
		c.close(c.t.now, "")
	}
}

// giveUpKeys tells what waits for a key as undecodable.
func (c *conn) giveUpKeys() {
	c.tls.decoder.ExpectSecrets(false)
	c.replay()
}

// handle handles an observation. Pkt is its packet, if it is one of segments.
func (c *conn) handle(o *observation, pkt *tcptrack.Packet) {
	switch {
	case o.packet != nil && c.leg != nil:
		c.observeBytes(o)
	case o.upstream != nil:
		c.observeUpstream(o)
	case o.packet != nil:
		c.observePacket(o, pkt)
	case o.state != nil:
		c.observeState(o)
	case o.drop != nil:
		c.observeDrop(o)
	case o.tls != nil:
		c.observeTLS(o)
	}
}

func (c *conn) observePacket(o *observation, pkt *tcptrack.Packet) {
	p := o.packet
	defer p.release()
	if o.at.After(c.last) {
		c.last = o.at
	}
	verify := c.t.cfg.Endpoint == event.Server && p.from == event.Client && !p.partial && p.segment == 0 && p.length <= maxVerified
	if p.memory != nil && (verify || !c.seen.spoke[p.from]) {
		p.join() // what a side says first is looked at as a whole, too
		pkt.ParseLen(p.buf, p.length)
	}
	if verify && !pkt.VerifyChecksum(p.buf) {
		c.emit(o.at, event.Wire, p.from, badSegment(pkt, p))
		c.sent(p)
		return // its content cannot be trusted; the drop follows
	}
	r := c.tcp.Segment(c.elapsed(o.at), c.n+1, p.frame, p.from, pkt, p.segment)
	r.Segment.SYNCookie = p.cookie
	c.emit(o.at, event.Wire, p.from, r.Segment)
	c.sent(p)
	if r.NoTimestamp && p.from == event.Client && c.epState == event.StateSynReceived {
		// Netstack drops it without a word.
		d := &event.Drop{N: c.n, Reason: "no timestamp option (RFC 7323, section 3.2)"}
		c.seen.drop(event.Client, d.Reason)
		c.emit(o.at, event.Endpoint, event.Client, d)
	}
	for _, s := range r.States {
		if s.Side != c.t.cfg.Endpoint {
			c.emit(o.at, event.Wire, s.Side, &event.TCPState{Side: s.Side, Old: s.Old, New: s.New, Cause: s.Cause})
		}
	}
	if r.Established {
		c.endEmbryo()
	}
	if r.Lost > 0 {
		c.emit(o.at, event.Wire, p.from, &event.Gap{Lost: uint64(r.Lost), What: "bytes", Reason: "too much came out of order"})
	}
	c.payload(o, r)
	c.closeIfDone(o.at)
}

// sent remembers the event of a segment, for a drop of it.
func (c *conn) sent(p *packet) { c.lastSeg[p.from].frame, c.lastSeg[p.from].n = p.frame, c.n }

// badSegment tells of a segment whose checksum is wrong, without analysing it.
func badSegment(pkt *tcptrack.Packet, p *packet) *event.Segment {
	return &event.Segment{
		Flags: pkt.Flags, Seq: pkt.Seq, Ack: pkt.Ack, Len: pkt.Len, Window: int(pkt.Window),
		BadSum: true, Frame: p.frame,
	}
}

// observeState tells of a transition of our endpoint. Where the state was not
// seen between two transitions, the one way of RFC 9293 there is told.
func (c *conn) observeState(o *observation) {
	s := o.state
	path := c.tcp.Path(event.Server, c.epState, s.New)
	if len(path) == 0 {
		path = []event.State{s.New}
	}
	for _, next := range path {
		c.emit(o.at, event.Endpoint, event.Server, &event.TCPState{
			Side: event.Server, Old: c.epState, New: next, Cause: c.cause(c.epState, next, s),
		})
		c.epState = next
	}
	if c.epState.Synchronized() {
		c.endEmbryo()
	}
	c.closeIfDone(o.at)
}

// cause says why our endpoint changed its state. The segments explain most; a
// call or a deadline of ours the rest. What neither explains is netstack's
// retransmission timer giving up.
func (c *conn) cause(old, new event.State, s *event.EndpointState) event.Cause {
	if old == event.StateTimeWait && s.Call == "" && c.t.conns[c.flow] != c {
		return event.Cause{By: event.BySegment, What: "SYN of a new connection"}
	}
	cause := c.tcp.Explain(event.Server, old, new)
	if cause.By == event.BySegment || cause.By == event.ByTimer && s.Call == "" {
		return cause
	}
	switch {
	case s.Call != "" && s.Timer:
		return event.Cause{By: event.ByTimer, What: s.Call}
	case s.Call != "":
		return event.Cause{By: event.ByCall, What: s.Call, N: cause.N}
	case cause.By == event.Unknown && new == event.StateClosed:
		return event.Cause{By: event.ByTimer, What: "retransmission"}
	}
	return cause
}

func (c *conn) observeDrop(o *observation) {
	d := &event.Drop{Reason: o.drop.Reason}
	c.seen.drop(o.drop.From, d.Reason)
	if last := c.lastSeg[o.drop.From]; last.frame == o.drop.Frame {
		d.N = last.n
	}
	c.emit(o.at, event.Endpoint, o.drop.From, d)
	if o.drop.Final && !c.tcp.State(event.Client).Synchronized() {
		c.close(o.at, "dropped")
	}
}

// done reports whether nothing is left to exchange. Where our endpoint is
// known, its own state decides.
func (c *conn) done() bool {
	if c.endpoint != 0 {
		return c.epState == event.StateClosed || c.epState == event.StateTimeWait
	}
	_, _, ok := c.ended()
	return ok
}

// ended says how the connection ended, and by whom, if it has: as the method
// Closed of tcptrack.Conn.
func (c *conn) ended() (how string, by event.Side, ok bool) {
	if c.leg != nil {
		return c.leg.how, c.leg.by, c.leg.closed
	}
	return c.tcp.Closed()
}

// closeIfDone tells conn.close once nothing is left to exchange, and our TLS
// endpoint has said how its handshake ended.
func (c *conn) closeIfDone(at time.Time) {
	switch {
	case c.closed || !c.done():
	case c.tls.ours && !c.tls.over:
		c.wait()
	default:
		c.close(at, "")
	}
}

// close tells the end of the connection: how it ended if it is done or no
// reason is given, and else the reason not to follow it further.
func (c *conn) close(at time.Time, how string) {
	if c.closed {
		return
	}
	if c.tls.blocked() {
		c.giveUpKeys()
		if c.closed {
			return
		}
	}
	c.closed = true
	c.closedAt = c.t.now
	side := event.NoSide
	if how == "" || c.done() {
		how = "timeout" // if our endpoint is CLOSED, and no segment says why
		if h, by, ok := c.ended(); ok {
			how, side = h, by
		}
	}
	c.endTLS(at, how)
	c.emit(at, c.view(), side, c.diagnosed(side, c.summary(how)))
	c.endEmbryo()
	delete(c.t.waiting, c)
	c.end = c.t.ended.PushBack(c)
	c.t.stopWatching(c)
	c.release()
}

// release lets go of what only an open connection needs. What is kept for stray
// segments is little.
func (c *conn) release() {
	if c.t.keys != nil {
		c.t.keys.forget(c)
	}
	if c.hist != nil {
		c.t.histories.remove(c.flow, c.hist)
		c.hist = nil
	}
	c.tls, c.seen = tlsState{}, evidence{}
}

// inTimeWait reports whether the end of our endpoint is still to come.
func (c *conn) inTimeWait() bool { return c.endpoint != 0 && c.epState != event.StateClosed }

// forget drops a closed connection from the tables.
func (c *conn) forget() {
	t := c.t
	if t.conns[c.flow] == c {
		delete(t.conns, c.flow)
	}
	if c.endpoint != 0 {
		delete(t.byEndpoint, c.endpoint)
	}
	t.all.Remove(c.place)
	t.ended.Remove(c.end)
	if t.forgotten != nil {
		t.forgotten(c.id)
	}
}

// endEmbryo takes the connection off the list of those in the handshake.
func (c *conn) endEmbryo() {
	if c.embryo != nil {
		c.t.embryonic.Remove(c.embryo) // it is on one of them
		c.t.halfOpen.Remove(c.embryo)
		c.embryo = nil
	}
}

func (c *conn) summary(how string) *event.Close {
	if c.leg != nil {
		return c.legSummary(how)
	}
	s := c.tcp.Summary()
	b := &event.Close{
		How:           how,
		BytesClient:   s.BytesClient,
		BytesServer:   s.BytesServer,
		SegmentsSeen:  s.Segments,
		Retransmits:   s.Retransmits,
		OutOfOrder:    s.OutOfOrder,
		HandshakeDone: s.Established,
		BothFIN:       s.BothFIN && how == "rst",
		RTT:           s.RTT,
		TCPHandshake:  s.TCPHandshake,
		Duration:      c.elapsed(c.last),
	}
	c.tls.summarize(b)
	return b
}

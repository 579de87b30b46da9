package trace

import (
	"container/list"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
)

const (
	// maxHeld bounds the observations of a connection that wait for a key.
	maxHeld = 512
	// maxHold is how long they wait.
	maxHold = 2 * time.Second
)

// A conn is one connection. It is owned by the tracer's goroutine.
type conn struct {
	t     *Tracer
	id    uint64
	flow  event.Flow
	start time.Time
	last  time.Time // of the newest packet
	n     uint64    // ordinal of the last event
	hist  *history

	age, embryo, end *list.Element // in the tracer's lists, nil if not

	tcp      *tcptrack.Conn
	endpoint uint64 // of ours, 0: none known
	epState  event.State
	lastSeg  [3]struct{ frame, n uint64 } // of the newest segment of each side

	tls tlsState

	// held are observations that wait, in order, while the decoder waits for
	// a key: so events stay in the order of the wire.
	held  []observation
	since time.Time

	closed   bool // conn.close was told
	closedAt time.Time
}

func newConn(t *Tracer, id uint64, flow event.Flow, at time.Time) *conn {
	return &conn{
		t: t, id: id, flow: flow, start: at, last: at,
		tcp:     tcptrack.NewConn(flow),
		epState: event.StateListen,
		hist:    t.histories.add(flow, id),
	}
}

// emit numbers an event and sends it.
func (c *conn) emit(at time.Time, view event.View, from event.Side, body event.Body) {
	c.n++
	e := &event.Event{Time: at, T: at.Sub(c.start), Conn: c.id, N: c.n, View: view, From: from, Body: body}
	c.hist.add(e)
	c.t.send(e)
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
		c.handle(o)
		if c.tls.blocked() {
			c.since = time.Now()
			c.t.blocked[c] = struct{}{}
		}
		return
	}
	c.held = append(c.held, *o)
	if len(c.held) >= maxHeld || o.tls != nil && o.tls.end {
		c.giveUpKeys()
	}
}

// replay handles what was held, until a key is missing again.
func (c *conn) replay() {
	for len(c.held) > 0 && !c.tls.blocked() {
		o := c.held[0]
		c.held = c.held[1:]
		c.handle(&o)
	}
	if !c.tls.blocked() {
		c.held = nil
		delete(c.t.blocked, c)
	}
}

// giveUpKeys tells what waits for a key as undecodable.
func (c *conn) giveUpKeys() {
	c.tls.decoder.ExpectSecrets(false)
	c.replay()
}

// unblock gives up waiting for a key that is long overdue.
func (c *conn) unblock(now time.Time) {
	if now.Sub(c.since) >= maxHold {
		c.giveUpKeys()
	}
}

func (c *conn) handle(o *observation) {
	switch {
	case o.packet != nil:
		c.observePacket(o)
	case o.state != nil:
		c.observeState(o)
	case o.drop != nil:
		c.observeDrop(o)
	case o.tls != nil:
		c.observeTLS(o)
	}
}

func (c *conn) observePacket(o *observation) {
	p := o.packet
	defer p.release()
	pkt := &c.t.pkt
	if err := pkt.Parse(p.buf); err != nil {
		return // it parsed before
	}
	c.last = o.at
	badSum := !p.partial && p.segment == 0 && len(p.buf) <= smallBuffer && p.from == event.Client && !pkt.VerifyChecksum(p.buf)
	if badSum {
		c.emit(o.at, event.Wire, p.from, badSegment(pkt, p))
		c.sent(p)
		return // its content cannot be trusted; the drop follows
	}
	r := c.tcp.Segment(o.at.Sub(c.start), c.n+1, p.frame, p.from, pkt, p.segment)
	r.Segment.SYNCookie = p.cookie
	c.emit(o.at, event.Wire, p.from, r.Segment)
	c.sent(p)
	for _, s := range r.States {
		if s.Side != c.t.cfg.Endpoint {
			c.emit(o.at, event.Wire, s.Side, &event.TCPState{Side: s.Side, Old: s.Old, New: s.New, Cause: s.Cause})
		}
	}
	if c.embryo != nil && r.Established {
		c.t.embryonic.Remove(c.embryo)
		c.embryo = nil
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
	if c.epState.Synchronized() && c.embryo != nil {
		c.t.embryonic.Remove(c.embryo)
		c.embryo = nil
	}
	c.closeIfDone(o.at)
	if c.closed && c.epState == event.StateClosed && c.end == nil {
		c.forget() // TIME-WAIT is over
	}
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
	if last := c.lastSeg[o.drop.From]; last.frame == o.drop.Frame {
		d.N = last.n
	}
	c.emit(o.at, event.Endpoint, o.drop.From, d)
	if o.drop.Final && !c.tcp.State(event.Client).Synchronized() {
		c.close(o.at, "dropped")
	}
}

// closeIfDone tells conn.close once nothing is left to exchange. Where our
// endpoint is known, its own state decides.
func (c *conn) closeIfDone(at time.Time) {
	if c.closed {
		return
	}
	if c.endpoint != 0 {
		if c.epState == event.StateClosed || c.epState == event.StateTimeWait {
			c.close(at, "")
		}
		return
	}
	if _, _, ok := c.tcp.Closed(); ok {
		c.close(at, "")
	}
}

// close tells the end of the connection. How is found out if it is empty.
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
	c.closedAt = time.Now()
	side := event.NoSide
	if h, by, ok := c.tcp.Closed(); ok {
		side = by
		if how == "" {
			how = h
		}
	}
	if how == "" {
		how = "timeout" // our endpoint is CLOSED, and no segment says why
	}
	c.endTLS(at, how)
	c.emit(at, event.Wire, side, c.summary(how))
	if c.embryo != nil {
		c.t.embryonic.Remove(c.embryo)
		c.embryo = nil
	}
	c.end = c.t.ended.PushBack(c)
}

// forget drops the connection from the tables.
func (c *conn) forget() {
	t := c.t
	if t.conns[c.flow] == c {
		delete(t.conns, c.flow)
	}
	if c.endpoint != 0 {
		delete(t.byEndpoint, c.endpoint)
	}
	delete(t.blocked, c)
	t.byAge.Remove(c.age)
	if c.embryo != nil {
		t.embryonic.Remove(c.embryo)
	}
	if c.end != nil {
		t.ended.Remove(c.end)
	}
	for i := range c.held {
		if p := c.held[i].packet; p != nil {
			p.release()
		}
	}
	c.held = nil
	t.histories.remove(c.flow, c.id)
}

func (c *conn) summary(how string) *event.Close {
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
		Duration:      c.last.Sub(c.start),
	}
	c.tls.summarize(b)
	return b
}

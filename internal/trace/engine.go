package trace

import (
	"container/list"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// An engine makes events of observations, one after the other. It is owned by
// one goroutine.
type engine struct {
	cfg    Config
	limits limits

	start      time.Time
	now        time.Time // of the observations at hand
	nextConn   uint64
	n          uint64 // ordinal of events that belong to no connection
	conns      map[event.Flow]*conn
	byEndpoint map[uint64]*conn
	all        *list.List         // of *conn, the one silent for longest first
	awake      *list.List         // of *conn that are open and do not rest, likewise
	embryonic  *list.List         // of *conn whose handshake is not complete, without an endpoint of ours, likewise
	halfOpen   *list.List         // of *conn whose handshake is not complete, with one, likewise
	ended      *list.List         // of *conn that are kept for stray segments, oldest end first
	waiting    map[*conn]struct{} // those that wait for a word of our TLS endpoint
	heldBytes  int                // of the packets that are held for a key
	pkt        tcptrack.Packet    // the one at hand
	heldPkt    tcptrack.Packet    // one that was held, which is handled while pkt is at hand

	sinks   []Sink         // of cfg, those that take events one by one
	batched []BatchSink    // the others
	batch   []*event.Event // for them
	views   [][]byte       // of a packet for the capture; used again

	histories *histories        // nil if nobody reads them
	keys      *keyRing          // nil if secrets come with their connection
	forgotten func(conn uint64) // called when no event of a connection can come any more; nil for nobody
}

func newEngine(cfg Config, l limits, now time.Time) *engine {
	t := &engine{
		cfg:        cfg,
		limits:     l,
		start:      now,
		now:        now,
		conns:      make(map[event.Flow]*conn),
		byEndpoint: make(map[uint64]*conn),
		all:        list.New(),
		awake:      list.New(),
		embryonic:  list.New(),
		halfOpen:   list.New(),
		ended:      list.New(),
		waiting:    make(map[*conn]struct{}),
	}
	for _, s := range cfg.Sinks {
		if b, ok := s.(BatchSink); ok {
			t.batched = append(t.batched, b)
		} else {
			t.sinks = append(t.sinks, s)
		}
	}
	return t
}

// observe makes events of one observation.
func (t *engine) observe(o *observation) {
	switch {
	case o.leg != nil:
		t.observeLeg(o)
	case o.packet != nil:
		t.observePacket(o)
	case o.state != nil:
		if c := t.connOfEndpoint(o); c != nil {
			c.take(o)
		}
	case o.drop != nil, o.tls != nil:
		if c := t.conns[o.flow]; c != nil {
			c.take(o)
		} else if o.tls != nil && o.tls.secret != nil && !o.tls.secret.Candidate {
			t.logKey(0, *o.tls.secret) // a capture may have the packets that we lost
		}
	case o.unreachable != nil:
		t.tell(o.at, o.unreachable)
	case o.other != nil:
		t.tell(o.at, o.other)
	case o.barrier != nil:
		t.flush()
		close(o.barrier)
	}
}

// observePacket takes a packet of the data path.
func (t *engine) observePacket(o *observation) {
	p := &t.pkt
	if o.packet.stray || p.ParseViews(o.packet.buf, o.packet.rest, o.packet.length) != nil || p.Protocol != tcptrack.ProtocolTCP || p.Fragment {
		t.capture(o, 0)
		o.packet.release()
		return
	}
	o.flow = event.Flow{Client: p.Src, Server: p.Dst}
	if o.packet.from == event.Server {
		o.flow = event.Flow{Client: p.Dst, Server: p.Src}
	}
	t.segment(o)
}

// replaces reports whether the segment at hand begins a connection in place of c.
// An endpoint of ours says itself when its connection is over.
func (t *engine) replaces(c *conn, from event.Side, syn bool) bool {
	if syn && from == event.Client && (c.closed || c.epState == event.StateClosed || c.tcp.Reuse(&t.pkt)) {
		return true
	}
	return t.cfg.Endpoint == event.NoSide && c.tcp.Renewed(&t.pkt)
}

// segment finds the connection of the segment at hand, or makes it.
func (t *engine) segment(o *observation) {
	p := &t.pkt
	c := t.conns[o.flow]
	syn := p.Flags.Has(event.SYN) && !p.Flags.Has(event.ACK)
	if c != nil && t.replaces(c, o.packet.from, syn) {
		c.close(o.at, "")
		if c.endpoint == 0 || c.epState == event.StateClosed {
			c.forget()
		} // else its endpoint leaves TIME-WAIT for the new one, and is still to say so
		c = nil
	}
	if c == nil {
		c = t.open(o, !syn)
	}
	c.touch()
	t.capture(o, c.id)
	c.take(o)
}

func (t *engine) capture(o *observation, conn uint64) {
	if t.cfg.Capture == nil {
		return
	}
	p := o.packet
	t.views = append(append(t.views[:0], p.buf), p.rest...)
	n := 0
	for _, v := range t.views {
		n += len(v)
	}
	t.cfg.Capture.Packet(p.frame, conn, event.Packet{
		Time: o.at, From: p.from, Views: t.views, Len: n,
		SegmentSize: p.segment, PartialChecksum: p.partial,
	})
}

// ready tells the capture that no secret of a connection is to be waited for.
func (t *engine) ready(conn uint64) {
	if t.cfg.Capture != nil {
		t.cfg.Capture.Ready(conn)
	}
}

// connOfEndpoint finds the connection of an endpoint of ours. One that is not
// known yet belongs to the newest connection of its flow.
func (t *engine) connOfEndpoint(o *observation) *conn {
	if c := t.byEndpoint[o.state.Endpoint]; c != nil {
		return c
	}
	c := t.conns[o.flow]
	if c == nil || c.endpoint != 0 || o.state.Old != event.StateListen {
		return nil // a late word of an endpoint whose connection is gone
	}
	inHandshake := c.embryo != nil
	c.endEmbryo()
	c.endpoint = o.state.Endpoint
	t.byEndpoint[c.endpoint] = c
	if inHandshake {
		if t.halfOpen.Len() >= t.limits.halfOpen {
			t.evict(t.halfOpen.Front().Value.(*conn))
		}
		c.embryo = t.halfOpen.PushBack(c)
	}
	return c
}

// begin begins a connection, with its number.
func (t *engine) begin(flow event.Flow, at time.Time) *conn {
	if t.all.Len() >= t.limits.conns {
		t.evict(t.all.Front().Value.(*conn))
	}
	t.nextConn++
	c := &conn{t: t, id: t.nextConn, flow: flow, start: at, last: at, heard: t.now}
	c.place = t.all.PushBack(c)
	return c
}

// open begins the connection of a segment.
func (t *engine) open(o *observation, midStream bool) *conn {
	if t.embryonic.Len() >= t.limits.embryonic {
		t.evict(t.embryonic.Front().Value.(*conn))
	}
	c := t.begin(o.flow, o.at)
	c.tcp, c.epState = tcptrack.NewConn(o.flow), event.StateListen
	if t.histories != nil {
		c.hist = t.histories.begin(o.flow)
	}
	c.midStream, c.headless = midStream, !t.pkt.Flags.Has(event.SYN)
	t.conns[o.flow] = c
	c.embryo = t.embryonic.PushBack(c)
	open := &event.Open{Client: o.flow.Client, Server: o.flow.Server, Device: t.cfg.Device, MidStream: midStream}
	if t.cfg.Name != nil {
		open.Name = t.cfg.Name(o.flow.Server.Addr())
	}
	c.emit(o.at, event.Wire, event.NoSide, open)
	return c
}

func (t *engine) evict(c *conn) {
	c.close(t.now, "evicted")
	c.forget()
}

// housekeep lets go of what nothing more is to come of. The lists are in the
// order of the times, so that each pass ends at the first that is to stay.
func (t *engine) housekeep() {
	for c := range t.waiting {
		if t.now.Sub(c.since) >= maxHold {
			c.stopWaiting()
		}
	}
	t.sweep(t.ended, t.limits.linger, func(c *conn) time.Time { return c.closedAt }, func(c *conn) {
		if !c.inTimeWait() || t.now.Sub(c.closedAt) >= maxTimeWait {
			c.forget()
		}
	})
	for t.ended.Len() > t.limits.ended {
		t.ended.Front().Value.(*conn).forget()
	}
	heard := func(c *conn) time.Time { return c.heard }
	t.sweep(t.embryonic, embryonicTimeout, heard, func(c *conn) {
		how := "timeout"
		if t.cfg.Endpoint == event.NoSide {
			how = "evicted" // nobody told that an endpoint gave up
		}
		c.close(t.now, how)
		c.forget()
	})
	t.sweep(t.all, idleTimeout, heard, t.evict)
}

// sweep calls f for the connections of a list whose time is longer than d ago.
func (t *engine) sweep(l *list.List, d time.Duration, at func(*conn) time.Time, f func(*conn)) {
	for e := l.Front(); e != nil; {
		c, next := e.Value.(*conn), e.Next()
		if t.now.Sub(at(c)) < d {
			return
		}
		f(c)
		e = next
	}
}

// closeAll ends every connection.
func (t *engine) closeAll(how string) {
	for e := t.all.Front(); e != nil; e = t.all.Front() {
		c := e.Value.(*conn)
		c.close(t.now, how)
		c.forget()
	}
}

func (t *engine) tellLost(what string, n uint64) {
	if n > 0 {
		t.tell(t.now, &event.Gap{Lost: n, What: what, Reason: "the tracer's queue was full"})
	}
}

// logKey gives a secret that is known to be used to the key log, and to the
// capture if it is of a connection that is followed.
func (t *engine) logKey(conn uint64, s tlswire.Secret) {
	if t.cfg.Capture != nil && conn != 0 {
		t.cfg.Capture.Secret(conn, s)
	}
	if t.cfg.KeyLog != nil {
		t.cfg.KeyLog.Secret(s)
	}
}

// tell emits an event that belongs to no connection.
func (t *engine) tell(at time.Time, body event.Body) {
	t.n++
	t.send(&event.Event{Time: at, T: at.Sub(t.start), N: t.n, View: event.Wire, Body: body})
}

// manyEvents are so many that they are not to wait for more.
const manyEvents = 1024

func (t *engine) send(e *event.Event) {
	for _, s := range t.sinks {
		s.Event(e)
	}
	if len(t.batched) == 0 {
		return
	}
	t.batch = append(t.batch, e)
	if len(t.batch) >= manyEvents {
		t.flush()
	}
}

// flush gives the events that were gathered to the sinks that take several at once.
// It is to be called when the observations at hand are done.
func (t *engine) flush() {
	if len(t.batch) == 0 {
		return
	}
	for _, s := range t.batched {
		s.Events(t.batch)
	}
	clear(t.batch)
	t.batch = t.batch[:0]
}

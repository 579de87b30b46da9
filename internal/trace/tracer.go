package trace

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// A Sink takes events. It is called on the tracer's goroutine and must not
// block; see Queue for one that may.
type Sink interface {
	Event(e *event.Event)
}

// A KeyLog takes the secrets of connections, once each, when it is known that
// they were used. It is called on the tracer's goroutine, which waits for it.
type KeyLog interface {
	Secret(s tlswire.Secret)
}

// A Capture takes every packet, with the connection that it belongs to (0: none),
// in the order of the frames, and the secrets of the connections. It is called
// on the tracer's goroutine and must not block.
type Capture interface {
	// Packet takes a packet. What p refers to is valid during the call.
	Packet(frame, conn uint64, p event.Packet)
	// Secret takes a secret of a connection.
	Secret(conn uint64, s tlswire.Secret)
	// Ready tells that no secret of the connection is to be waited for: its
	// handshake is over, or it carries no TLS.
	Ready(conn uint64)
}

// Config says what a Tracer is to do.
type Config struct {
	// Device names the interface, for conn.open.
	Device string
	// Name returns the host name that the address of a server was given for,
	// or "", for conn.open. It is called on the tracer's goroutine and must
	// not block. Nil means that there are none.
	Name func(netip.Addr) string
	// Endpoint is the side whose TCP states the endpoint itself tells, so
	// that they are not inferred: Server for a stack of ours, NoSide for
	// packets of others.
	Endpoint event.Side
	// Sinks take the events, in this order.
	Sinks []Sink
	// KeyLog takes the secrets. Nil means nobody.
	KeyLog KeyLog
	// Capture takes the packets. Nil means nobody. It is usually one of the
	// Sinks as well.
	Capture Capture
}

// A Tracer makes events of observations. Its exported methods may be called
// from any goroutine. All state but the queue is owned by the run goroutine.
type Tracer struct {
	cfg    Config
	limits limits
	q      queue
	quit   chan struct{}
	done   chan struct{}
	once   sync.Once

	start      time.Time
	now        time.Time // when the observations at hand were taken from the queue
	nextConn   uint64
	n          uint64 // ordinal of events that belong to no connection
	conns      map[event.Flow]*conn
	byEndpoint map[uint64]*conn
	all        *list.List         // of *conn, the one silent for longest first
	embryonic  *list.List         // of *conn whose handshake is not complete, without an endpoint of ours, likewise
	halfOpen   *list.List         // of *conn whose handshake is not complete, with one, likewise
	ended      *list.List         // of *conn that are kept for stray segments, oldest end first
	waiting    map[*conn]struct{} // those that wait for a word of our TLS endpoint
	heldBytes  int                // of the packets that are held for a key
	pkt        tcptrack.Packet

	histories histories // for readers on other goroutines
}

// New starts a Tracer.
func New(cfg Config) *Tracer { return newTracer(cfg, defaultLimits) }

func newTracer(cfg Config, l limits) *Tracer {
	now := time.Now()
	t := &Tracer{
		cfg:        cfg,
		limits:     l,
		quit:       make(chan struct{}),
		done:       make(chan struct{}),
		start:      now,
		now:        now,
		conns:      make(map[event.Flow]*conn),
		byEndpoint: make(map[uint64]*conn),
		all:        list.New(),
		embryonic:  list.New(),
		halfOpen:   list.New(),
		ended:      list.New(),
		waiting:    make(map[*conn]struct{}),
	}
	t.q.limits, t.q.wake = &t.limits, make(chan struct{}, 1)
	t.histories.limits, t.histories.byFlow = &t.limits, make(map[event.Flow]*history)
	go t.run()
	return t
}

// Close tells what is queued, ends the connections that are still open with a
// conn.close each, and waits for the tracer's goroutine. Sinks get no event
// after it returns. It is idempotent.
func (t *Tracer) Close() error {
	t.once.Do(func() {
		t.q.close()
		close(t.quit)
	})
	<-t.done
	return nil
}

func (t *Tracer) run() {
	defer close(t.done)
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	var spare []observation
	for {
		quit := false
		select {
		case <-t.quit:
			quit = true
		case <-t.q.wake:
		case <-tick.C:
			t.now = time.Now()
			t.housekeep()
		}
		t.now = time.Now()
		items, lost := t.q.take(spare)
		for i := range items {
			t.observe(&items[i])
		}
		t.tellLost("packets", lost.packets)
		t.tellLost("observations", lost.observations)
		clear(items)
		spare = items[:0]
		if quit {
			t.closeAll("shutdown")
			return
		}
	}
}

// observe makes events of one observation.
func (t *Tracer) observe(o *observation) {
	switch {
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
	case o.device != nil:
		t.tell(o.at, o.device)
	case o.barrier != nil:
		close(o.barrier)
	}
}

// observePacket finds the connection of a packet, or makes it.
func (t *Tracer) observePacket(o *observation) {
	p := &t.pkt
	if o.packet.stray || p.Parse(o.packet.buf) != nil || p.Protocol != tcptrack.ProtocolTCP || p.Fragment {
		t.capture(o, 0)
		o.packet.release()
		return
	}
	o.flow = event.Flow{Client: p.Src, Server: p.Dst}
	if o.packet.from == event.Server {
		o.flow = event.Flow{Client: p.Dst, Server: p.Src}
	}
	c := t.conns[o.flow]
	syn := p.Flags.Has(event.SYN) && !p.Flags.Has(event.ACK)
	if c != nil && syn && o.packet.from == event.Client && (c.closed || c.epState == event.StateClosed || c.tcp.Reuse(p)) {
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

func (t *Tracer) capture(o *observation, conn uint64) {
	if t.cfg.Capture == nil {
		return
	}
	p := o.packet
	t.cfg.Capture.Packet(p.frame, conn, event.Packet{
		Time: o.at, From: p.from, Views: [][]byte{p.buf}, Len: len(p.buf),
		SegmentSize: p.segment, PartialChecksum: p.partial,
	})
}

// ready tells the capture that no secret of a connection is to be waited for.
func (t *Tracer) ready(conn uint64) {
	if t.cfg.Capture != nil {
		t.cfg.Capture.Ready(conn)
	}
}

// connOfEndpoint finds the connection of an endpoint of ours. One that is not
// known yet belongs to the newest connection of its flow.
func (t *Tracer) connOfEndpoint(o *observation) *conn {
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

// open begins a connection.
func (t *Tracer) open(o *observation, midStream bool) *conn {
	if t.all.Len() >= t.limits.conns {
		t.evict(t.all.Front().Value.(*conn))
	}
	if t.embryonic.Len() >= t.limits.embryonic {
		t.evict(t.embryonic.Front().Value.(*conn))
	}
	t.nextConn++
	c := newConn(t, t.nextConn, o.flow, o.at)
	c.midStream = midStream
	t.conns[o.flow] = c
	c.place = t.all.PushBack(c)
	c.embryo = t.embryonic.PushBack(c)
	open := &event.Open{Client: o.flow.Client, Server: o.flow.Server, Device: t.cfg.Device, MidStream: midStream}
	if t.cfg.Name != nil {
		open.Name = t.cfg.Name(o.flow.Server.Addr())
	}
	c.emit(o.at, event.Wire, event.NoSide, open)
	return c
}

func (t *Tracer) evict(c *conn) {
	c.close(t.now, "evicted")
	c.forget()
}

// housekeep lets go of what nothing more is to come of. The lists are in the
// order of the times, so that each pass ends at the first that is to stay.
func (t *Tracer) housekeep() {
	for c := range t.waiting {
		if t.now.Sub(c.since) >= maxHold {
			c.stopWaiting()
		}
	}
	t.sweep(t.ended, linger, func(c *conn) time.Time { return c.closedAt }, func(c *conn) {
		if !c.inTimeWait() || t.now.Sub(c.closedAt) >= maxTimeWait {
			c.forget()
		}
	})
	heard := func(c *conn) time.Time { return c.heard }
	t.sweep(t.embryonic, embryonicTimeout, heard, func(c *conn) {
		c.close(t.now, "timeout")
		c.forget()
	})
	t.sweep(t.all, idleTimeout, heard, t.evict)
}

// sweep calls f for the connections of a list whose time is longer than d ago.
func (t *Tracer) sweep(l *list.List, d time.Duration, at func(*conn) time.Time, f func(*conn)) {
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
func (t *Tracer) closeAll(how string) {
	for e := t.all.Front(); e != nil; e = t.all.Front() {
		c := e.Value.(*conn)
		c.close(t.now, how)
		c.forget()
	}
}

func (t *Tracer) tellLost(what string, n uint64) {
	if n > 0 {
		t.tell(t.now, &event.Gap{Lost: n, What: what, Reason: "the tracer's queue was full"})
	}
}

// logKey gives a secret that is known to be used to the key log, and to the
// capture if it is of a connection that is followed.
func (t *Tracer) logKey(conn uint64, s tlswire.Secret) {
	if t.cfg.Capture != nil && conn != 0 {
		t.cfg.Capture.Secret(conn, s)
	}
	if t.cfg.KeyLog != nil {
		t.cfg.KeyLog.Secret(s)
	}
}

// tell emits an event that belongs to no connection.
func (t *Tracer) tell(at time.Time, body event.Body) {
	t.n++
	t.send(&event.Event{Time: at, T: at.Sub(t.start), N: t.n, View: event.Wire, Body: body})
}

func (t *Tracer) send(e *event.Event) {
	for _, s := range t.cfg.Sinks {
		s.Event(e)
	}
}

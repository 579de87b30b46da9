package trace

import (
	"container/list"
	"sync"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

const (
	// housekeeping is how often the tracer looks for connections to let go of.
	housekeeping = 250 * time.Millisecond
	// linger is how long a connection that ended is kept for stray segments.
	linger = 2 * time.Second
	// maxConns bounds the connections followed at once. The oldest gives way.
	maxConns = 1 << 17
	// maxEmbryonic bounds those whose handshake is not complete: in a SYN
	// flood each costs about 2 KB.
	maxEmbryonic = 4096
	// embryonicTimeout is how long a handshake without an endpoint of ours is
	// waited for: its SYN was dropped or answered with a cookie.
	embryonicTimeout = 64 * time.Second
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

// Config says what a Tracer is to do.
type Config struct {
	// Device names the interface, for conn.open.
	Device string
	// Endpoint is the side whose TCP states the endpoint itself tells, so
	// that they are not inferred: Server for a stack of ours, NoSide for
	// packets of others.
	Endpoint event.Side
	// Sinks take the events, in this order.
	Sinks []Sink
	// KeyLog takes the secrets. Nil means nobody.
	KeyLog KeyLog
}

// A Tracer makes events of observations. Its exported methods may be called
// from any goroutine. All state but the queue is owned by the run goroutine.
type Tracer struct {
	cfg  Config
	q    queue
	quit chan struct{}
	done chan struct{}
	once sync.Once

	start      time.Time
	nextConn   uint64
	n          uint64 // ordinal of events that belong to no connection
	conns      map[event.Flow]*conn
	byEndpoint map[uint64]*conn
	byAge      *list.List         // of *conn, oldest first
	embryonic  *list.List         // of *conn, oldest first
	ended      *list.List         // of *conn that are kept for stray segments
	blocked    map[*conn]struct{} // those that hold observations for a key
	pkt        tcptrack.Packet

	histories // for readers on other goroutines
}

// New starts a Tracer.
func New(cfg Config) *Tracer {
	t := &Tracer{
		cfg:        cfg,
		quit:       make(chan struct{}),
		done:       make(chan struct{}),
		start:      time.Now(),
		conns:      make(map[event.Flow]*conn),
		byEndpoint: make(map[uint64]*conn),
		byAge:      list.New(),
		embryonic:  list.New(),
		ended:      list.New(),
		blocked:    make(map[*conn]struct{}),
	}
	t.q.wake = make(chan struct{}, 1)
	t.histories.init()
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
		case now := <-tick.C:
			t.housekeep(now)
		}
		items, lost := t.q.take(spare)
		for i := range items {
			t.observe(&items[i])
		}
		for what, n := range lost {
			t.tell(time.Now(), &event.Gap{Lost: n, What: what, Reason: "the tracer's queue was full"})
		}
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
	if o.packet.stray {
		o.packet.release()
		return
	}
	if err := p.Parse(o.packet.buf); err != nil || p.Protocol != tcptrack.ProtocolTCP || p.Fragment {
		o.packet.release()
		return
	}
	o.flow = event.Flow{Client: p.Src, Server: p.Dst}
	if o.packet.from == event.Server {
		o.flow = event.Flow{Client: p.Dst, Server: p.Src}
	}
	c := t.conns[o.flow]
	syn := p.Flags.Has(event.SYN) && !p.Flags.Has(event.ACK)
	if c != nil && syn && o.packet.from == event.Client && (c.epState == event.StateClosed || c.tcp.Reuse(p)) {
		c.close(o.at, "")
		if c.endpoint == 0 || c.epState == event.StateClosed {
			c.forget()
		} // else its endpoint leaves TIME-WAIT for the new one, and is still to say so
		c = nil
	}
	if c == nil {
		c = t.open(o, !syn)
	}
	c.take(o)
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
	c.endpoint = o.state.Endpoint
	t.byEndpoint[c.endpoint] = c
	return c
}

// open begins a connection.
func (t *Tracer) open(o *observation, midStream bool) *conn {
	if t.byAge.Len() >= maxConns {
		t.evict(t.byAge.Front().Value.(*conn), o.at)
	}
	if t.embryonic.Len() >= maxEmbryonic {
		t.evict(t.embryonic.Front().Value.(*conn), o.at)
	}
	t.nextConn++
	c := newConn(t, t.nextConn, o.flow, o.at)
	t.conns[o.flow] = c
	c.age = t.byAge.PushBack(c)
	c.embryo = t.embryonic.PushBack(c)
	c.emit(o.at, event.Wire, event.NoSide, &event.Open{
		Client: o.flow.Client, Server: o.flow.Server, Device: t.cfg.Device, MidStream: midStream,
	})
	return c
}

func (t *Tracer) evict(c *conn, at time.Time) {
	c.close(at, "evicted")
	c.forget()
}

// housekeep lets go of connections that ended, and of handshakes that nothing
// came of.
func (t *Tracer) housekeep(now time.Time) {
	for e := t.ended.Front(); e != nil; e = t.ended.Front() {
		c := e.Value.(*conn)
		if now.Sub(c.closedAt) < linger {
			break
		}
		if c.endpoint != 0 && c.epState != event.StateClosed {
			// TIME-WAIT: its end is still to come, and forgets it.
			t.ended.Remove(e)
			c.end = nil
			continue
		}
		c.forget()
	}
	for e := t.embryonic.Front(); e != nil; {
		next := e.Next()
		c := e.Value.(*conn)
		if now.Sub(c.last) < embryonicTimeout {
			break
		}
		if c.endpoint == 0 {
			c.close(now, "timeout")
			c.forget()
		}
		e = next
	}
	for c := range t.blocked {
		c.unblock(now)
	}
}

// closeAll ends every connection.
func (t *Tracer) closeAll(how string) {
	for e := t.byAge.Front(); e != nil; e = t.byAge.Front() {
		c := e.Value.(*conn)
		c.close(time.Now(), how)
		c.forget()
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

package trace

import (
	"sync"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// shards is how many players a Replay has. It does not depend on the machine, so
// that the events do not either.
const shards = 4

// The sizes at which a batch is handed on, and how many may wait.
const (
	batchPackets = 1024
	batchBytes   = 1 << 20
	batchesAhead = 4
)

// A Replay makes events of recorded packets, on several processors: each
// connection belongs to one of its players, and what they tell is put together
// in the order of the packets. Both sides' states are inferred. Checksums are not
// verified: a sender that leaves them to its device is captured before they are
// made.
//
// Its methods are for one goroutine, and block while the sinks, which are called
// on another one, are behind.
type Replay struct {
	sinks   []Sink
	work    [shards]chan *batch
	merge   chan *batch
	free    chan *batch    // those that were told, to be filled again
	running sync.WaitGroup // players and the merger

	batch *batch // that is being filled
	pkt   tcptrack.Packet
}

// A batch is what is handed on at once. It is filled by the caller of the
// Replay, then read by the players, each writing its own steps, then by the
// merger.
type batch struct {
	items  []item
	bytes  []byte    // of the packets
	newest time.Time // of the packets so far, also of those before
	steps  [shards][]step
	played sync.WaitGroup
	last   bool          // after it, what is open is closed
	told   chan struct{} // if not nil, closed when the sinks have had everything
}

// An item is one packet, secret or loss.
type item struct {
	shard  int // of a packet, else allShards
	packet Recorded
	secret *tlswire.Secret
	lost   *event.Gap
}

const allShards = -1

// A step is an event that a player made of an item, or, if there is none, the
// end of a connection's being followed.
type step struct {
	item  int
	event *event.Event
	conn  uint64
}

// NewReplay starts a Replay that tells sinks. It is to be closed.
func NewReplay(sinks ...Sink) *Replay { return newReplay(replayLimits, sinks...) }

func newReplay(l limits, sinks ...Sink) *Replay {
	r := &Replay{
		sinks: sinks, batch: new(batch),
		merge: make(chan *batch, batchesAhead), free: make(chan *batch, batchesAhead),
	}
	l = l.shared(shards)
	for i := range shards {
		r.work[i] = make(chan *batch, batchesAhead)
		r.running.Go(func() { play(i, l, r.work[i]) })
	}
	r.running.Go(r.tell)
	return r
}

// Packet tells what a packet means. It reports whether it is one of TCP; others
// are passed over, and so is one whose headers are malformed.
//
// The client of a connection is who sent its SYN. Where the capture begins
// later, it is who sent a ClientHello or was sent a ServerHello, if the first
// segment seen has one of them, and else the side with the higher port.
func (r *Replay) Packet(p Recorded) bool {
	if !isTCP(&r.pkt, &p) {
		return false
	}
	b := r.batch
	start := len(b.bytes)
	b.bytes = append(b.bytes, p.IP...)
	p.IP = b.bytes[start:]
	if p.Time.After(b.newest) {
		b.newest = p.Time
	}
	b.items = append(b.items, item{shard: shardOf(&r.pkt), packet: p})
	if len(b.items) >= batchPackets || len(b.bytes) >= batchBytes {
		r.handOn()
	}
	return true
}

// shardOf returns the shard of a packet, the same for both directions.
func shardOf(p *tcptrack.Packet) int {
	end := func(a [16]byte, port uint16) uint64 {
		h := uint64(port)
		for _, c := range a[8:] {
			h = h<<5 ^ h>>7 ^ uint64(c)
		}
		return h
	}
	h := end(p.Src.Addr().As16(), p.Src.Port()) + end(p.Dst.Addr().As16(), p.Dst.Port())
	return int(h * 0x9e3779b97f4a7c15 >> 62)
}

// Secret takes a secret, for whatever connection has its client random. It is to
// come before the packets that it opens. The secret is the Replay's from then
// on.
func (r *Replay) Secret(s tlswire.Secret) {
	r.batch.items = append(r.batch.items, item{shard: allShards, secret: &s})
	if len(r.batch.items) >= batchPackets {
		r.handOn()
	}
}

// Lost tells that n of something could not be read.
func (r *Replay) Lost(n uint64, what, reason string) {
	r.batch.items = append(r.batch.items, item{shard: allShards, lost: &event.Gap{Lost: n, What: what, Reason: reason}})
}

// Flush waits until the sinks have been told everything so far.
func (r *Replay) Flush() {
	if len(r.batch.items) == 0 && len(r.merge) == 0 {
		return
	}
	r.batch.told = make(chan struct{})
	told := r.batch.told
	r.handOn()
	<-told
}

// Close ends the connections that the recording left open, each with a
// conn.close, and waits until the sinks have been told.
func (r *Replay) Close() {
	r.batch.last = true
	r.handOn()
	for i := range r.work {
		close(r.work[i])
	}
	close(r.merge)
	r.running.Wait()
}

// handOn gives the batch to the players and the merger, and begins another.
func (r *Replay) handOn() {
	b := r.batch
	newest := b.newest
	b.played.Add(shards) // for play
	for i := range r.work {
		r.work[i] <- b
	}
	r.merge <- b
	select {
	case r.batch = <-r.free:
	default:
		r.batch = new(batch)
	}
	r.batch.newest = newest
}

// reset empties a batch. What it refers to is let go.
func (b *batch) reset() {
	clear(b.items)
	b.items, b.bytes, b.told = b.items[:0], b.bytes[:0], nil
	for i, steps := range b.steps {
		clear(steps)
		b.steps[i] = steps[:0]
	}
}

// play runs one player.
func play(shard int, l limits, work <-chan *batch) {
	s := &steps{}
	p := newPlayer(Config{Sinks: []Sink{s}}, l)
	p.engine.forgotten = s.forgotten
	for b := range work {
		s.list = b.steps[shard]
		for i := range b.items {
			s.item = i
			switch it := &b.items[i]; {
			case it.shard == shard:
				p.packet(it.packet)
			case it.secret != nil:
				p.secret(*it.secret)
			}
		}
		s.item = len(b.items)
		p.clock(b.newest)
		if b.last {
			p.close()
		}
		if n := p.engine.keys.takeDropped(); n > 0 && shard == 0 { // the others drop the same
			p.engine.tell(p.engine.now, &event.Gap{Lost: n, What: "secrets", Reason: "more client randoms than are kept"})
		}
		b.steps[shard] = s.list
		b.played.Done()
	}
}

// steps is a sink that keeps the steps of a batch.
type steps struct {
	item int
	list []step
}

func (s *steps) Event(e *event.Event) {
	s.list = append(s.list, step{item: s.item, event: e, conn: e.Conn})
}

func (s *steps) forgotten(conn uint64) { s.list = append(s.list, step{item: s.item, conn: conn}) }

// A merger numbers what the players tell as one run.
type merger struct {
	sinks    []Sink
	conns    [shards]map[uint64]uint64 // the connection's number, by its player's
	nextConn uint64
	n        uint64    // ordinal of events that belong to no connection
	start    time.Time // of the first event
	now      time.Time // of the newest
}

// tell runs the merger.
func (r *Replay) tell() {
	m := &merger{sinks: r.sinks}
	for i := range m.conns {
		m.conns[i] = make(map[uint64]uint64)
	}
	for b := range r.merge {
		b.played.Wait()
		m.batch(b)
		if b.told != nil {
			close(b.told)
		}
		b.reset()
		select {
		case r.free <- b:
		default:
		}
	}
}

// batch tells the steps of a batch, in the order of the items.
func (m *merger) batch(b *batch) {
	var next [shards]int
	for i := range len(b.items) + 1 {
		if i < len(b.items) && b.items[i].lost != nil {
			m.send(&event.Event{Time: m.now, View: event.Wire, Body: b.items[i].lost})
		}
		for shard := range shards {
			list := b.steps[shard]
			for ; next[shard] < len(list) && list[next[shard]].item == i; next[shard]++ {
				m.step(m.conns[shard], list[next[shard]])
			}
		}
	}
}

func (m *merger) step(conns map[uint64]uint64, s step) {
	if s.event == nil {
		delete(conns, s.conn)
		return
	}
	if s.conn != 0 {
		id, ok := conns[s.conn]
		if !ok {
			m.nextConn++
			id = m.nextConn
			conns[s.conn] = id
		}
		s.event.Conn = id
	}
	m.send(s.event)
}

func (m *merger) send(e *event.Event) {
	if m.start.IsZero() {
		m.start = e.Time
	}
	if e.Time.After(m.now) {
		m.now = e.Time
	}
	if e.Conn == 0 {
		m.n++
		e.N, e.T = m.n, max(m.now.Sub(m.start), 0)
	}
	for _, s := range m.sinks {
		s.Event(e)
	}
}

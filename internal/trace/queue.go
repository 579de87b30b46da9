package trace

import (
	"slices"
	"sync"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// An observation is one thing that the data path told. Which of the pointers is
// set says what it is.
type observation struct {
	at   time.Time
	flow event.Flow // of all but packets
	leg  *Upstream  // nil: it is not of an upstream leg

	packet      *packet // of a leg, bytes of its stream
	state       *event.EndpointState
	drop        *event.PacketDrop
	unreachable *event.Unreachable
	other       event.Body // what belongs to no connection
	tls         *tlsObservation
	upstream    *legObservation
	barrier     chan<- struct{} // closed when all before it is done
}

// A packet is a copy of an event.Packet, or of bytes of a leg. Of a long packet
// only the beginning is a copy, and the rest is where the data path has it.
type packet struct {
	frame   uint64
	from    event.Side
	buf     []byte       // the bytes, or the first of them: all headers
	rest    [][]byte     // the bytes after buf, in memory
	memory  event.Memory // held; nil if there is no rest
	pool    *sync.Pool   // that it and its buf are from, nil if they are from none
	size    int          // of the memory that it keeps
	length  int          // of the packet, more than there are bytes where it was cut
	segment int
	partial bool
	cookie  bool
	stray   bool
}

// A tlsObservation is what our TLS endpoint told.
type tlsObservation struct {
	start, end bool
	err        string // of end
	secret     *tlswire.Secret
	step       *event.TLSStep
}

// bufferSizes are those of the pooled packets: for segments without payload,
// for ordinary ones, and for super-packets that cannot be held.
var bufferSizes = [...]int{256, maxCopied, 16 << 10, 64 << 10}

var packets = func() (pools [len(bufferSizes)]sync.Pool) {
	for i, size := range bufferSizes {
		pools[i].New = func() any { return &packet{buf: make([]byte, size)} }
	}
	return
}()

// maxCopied is the longest packet that is copied though it could be held: to copy
// it costs less than to hold it.
const maxCopied = 2 << 10

// minCopied is how much is copied at least of a packet that is held: netstack has
// the headers in a view of their own, and something is to follow them.
const minCopied = 256

// keepPacket copies a packet, or what is not held of it.
func keepPacket(p *event.Packet) *packet {
	if !worthHolding(p) {
		return copyPacket(p)
	}
	n := min(max(len(p.Views[0]), minCopied), maxCopied)
	c := newPacket(p, n)
	c.memory = p.Memory
	c.memory.Hold()
	for _, v := range p.Views {
		k := min(len(v), n-len(c.buf))
		c.buf = append(c.buf, v[:k]...)
		if v = v[k:]; len(v) > 0 {
			c.rest = append(c.rest, v)
			c.size += len(v)
		}
	}
	return c
}

// worthHolding reports whether a packet is to be held, because it is long and the
// memory that it is in is not much longer. (The rest of that is usually of the
// packets that follow, and counts with them.)
func worthHolding(p *event.Packet) bool {
	if p.Memory == nil || p.Len <= maxCopied {
		return false
	}
	n := 0
	for _, v := range p.Views {
		n += cap(v)
	}
	return n <= 2*p.Len
}

// copyPacket copies a packet. Of one that is longer than any IP packet can be
// the rest is left out.
func copyPacket(p *event.Packet) *packet {
	c := newPacket(p, p.Len)
	for _, v := range p.Views {
		c.buf = append(c.buf, v[:min(len(v), cap(c.buf)-len(c.buf))]...)
	}
	return c
}

// newPacket returns a packet with an empty buffer for n bytes, if that is not
// longer than any packet.
func newPacket(p *event.Packet, n int) *packet {
	i := 0
	for i < len(bufferSizes)-1 && n > bufferSizes[i] {
		i++
	}
	pool := &packets[i]
	c := pool.Get().(*packet)
	*c = packet{
		from: p.From, buf: c.buf[:0], rest: c.rest[:0], pool: pool, size: bufferSizes[i], length: p.Len, segment: p.SegmentSize,
		partial: p.PartialChecksum, cookie: p.SYNCookie, stray: p.Stray,
	}
	return c
}

// join makes one piece of a packet, which holds nothing then.
func (p *packet) join() {
	p.buf = slices.Concat(append([][]byte{p.buf}, p.rest...)...)
	p.pool = nil // whose buffers are shorter
	p.letGo()
}

// letGo gives back the memory that is held.
func (p *packet) letGo() {
	if p.memory != nil {
		p.memory.Release()
		clear(p.rest)
		p.memory, p.rest = nil, p.rest[:0]
	}
}

// release gives the packet back. It is called once, and the packet not used
// after it.
func (p *packet) release() {
	p.letGo()
	if pool := p.pool; pool != nil {
		p.pool = nil
		pool.Put(p)
	}
}

// A legObservation is what is told of an upstream leg besides its bytes and its
// TLS.
type legObservation struct {
	dial *event.Dial // it was dialled for the client of the flow
	lost [3]int      // bytes of each side that found no room
	from event.Side  // whose direction ended
	end  string      // how
	info *event.TransportInfo
}

// A queue hands observations from the data path to the tracer's goroutine.
type queue struct {
	limits *limits
	*waker

	mu      sync.Mutex
	items   []observation
	packets int
	bytes   int
	frames  uint64
	lost    lost
	closed  bool
}

// lost counts what found no room.
type lost struct{ packets, observations uint64 }

// muchBytes are so many that they are not to wait for more: they should still be
// in the processor's cache when they are decoded.
const muchBytes = 512 << 10

// pushPacket numbers a packet and queues it.
func (q *queue) pushPacket(p *event.Packet) uint64 {
	c := keepPacket(p)
	size := c.size
	q.mu.Lock()
	q.frames++
	frame := q.frames
	full := q.packets >= q.limits.queuedPackets || q.bytes+size > q.limits.queuedBytes
	if q.closed || full {
		if !q.closed {
			q.lost.packets++
		}
		q.mu.Unlock()
		c.release()
		return frame
	}
	c.frame = frame
	much := q.addPacket(observation{at: p.Time, packet: c}, size)
	q.mu.Unlock()
	q.notify(much)
	return frame
}

// addPacket queues a packet of size bytes, and reports whether with it there are
// so many that they are not to wait. The lock is held.
func (q *queue) addPacket(o observation, size int) (much bool) {
	q.packets++
	q.bytes += size
	q.items = append(q.items, o)
	return q.bytes >= muchBytes && q.bytes-size < muchBytes
}

func (q *queue) notify(much bool) {
	if much {
		q.hurry()
	} else {
		q.wake()
	}
}

// pushBytes queues a copy of bytes of a leg. What finds no room is counted, and
// told before what comes next of the leg.
func (q *queue) pushBytes(leg *Upstream, at time.Time, from event.Side, b []byte) {
	for piece := range slices.Chunk(b, bufferSizes[len(bufferSizes)-1]) {
		c := copyPacket(&event.Packet{From: from, Views: [][]byte{piece}, Len: len(piece)})
		size := c.size
		q.mu.Lock()
		full := q.packets >= q.limits.queuedPackets || q.bytes+size > q.limits.queuedBytes
		if q.closed || full {
			leg.lost[from] += len(piece)
			q.mu.Unlock()
			c.release()
			continue
		}
		q.tellLost(leg, at)
		much := q.addPacket(observation{at: at, leg: leg, packet: c}, size)
		q.mu.Unlock()
		q.notify(much)
	}
}

// tellLost queues what was lost of a leg. The lock is held.
func (q *queue) tellLost(leg *Upstream, at time.Time) {
	if leg != nil && leg.lost != [3]int{} {
		q.items = append(q.items, observation{at: at, leg: leg, upstream: &legObservation{lost: leg.lost}})
		leg.lost = [3]int{}
	}
}

// push queues an observation that is not a packet. It reports whether the queue
// is open. A barrier always finds room: its caller waits, and makes no second. So
// does the end of a leg, of which there is one.
func (q *queue) push(o observation) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	last := o.barrier != nil || o.upstream != nil && o.upstream.info != nil
	if len(q.items)-q.packets >= q.limits.queuedOthers && !last {
		q.lost.observations++
	} else {
		q.tellLost(o.leg, o.at)
		q.items = append(q.items, o)
	}
	q.mu.Unlock()
	q.notify(o.barrier != nil)
	return true
}

// take swaps the queued observations for the empty slice into.
func (q *queue) take(into []observation) (items []observation, l lost) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items = q.items, into
	q.packets, q.bytes = 0, 0
	l, q.lost = q.lost, lost{}
	return items, l
}

// close has everything that is pushed from now on ignored.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.hurry()
}

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

// A packet is a copy of an event.Packet, or of bytes of a leg.
type packet struct {
	frame   uint64
	from    event.Side
	buf     []byte     // the bytes
	pool    *sync.Pool // that it and its buf are from, nil if they are from none
	length  int        // of the packet, more than len(buf) where it was cut
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
// for ordinary ones, for super-packets.
var bufferSizes = [...]int{256, 2 << 10, 16 << 10, 64 << 10}

var packets = func() (pools [len(bufferSizes)]sync.Pool) {
	for i, size := range bufferSizes {
		pools[i].New = func() any { return &packet{buf: make([]byte, size)} }
	}
	return
}()

// copyPacket copies a packet. Of one that is longer than any IP packet can be
// the rest is left out.
func copyPacket(p *event.Packet) *packet {
	i := 0
	for i < len(bufferSizes)-1 && p.Len > bufferSizes[i] {
		i++
	}
	pool := &packets[i]
	c := pool.Get().(*packet)
	buf := c.buf[:0]
	for _, v := range p.Views {
		buf = append(buf, v[:min(len(v), cap(buf)-len(buf))]...)
	}
	*c = packet{
		from: p.From, buf: buf, pool: pool, length: p.Len, segment: p.SegmentSize,
		partial: p.PartialChecksum, cookie: p.SYNCookie, stray: p.Stray,
	}
	return c
}

// release gives the packet back. It is called once, and the packet not used
// after it.
func (p *packet) release() {
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

// pushPacket numbers a packet and queues a copy of it.
func (q *queue) pushPacket(p *event.Packet) uint64 {
	c := copyPacket(p)
	size := cap(c.buf)
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
		size := cap(c.buf)
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

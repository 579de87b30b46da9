package trace

import (
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

	packet      *packet
	state       *event.EndpointState
	drop        *event.PacketDrop
	unreachable *event.Unreachable
	other       event.Body // what belongs to no connection
	tls         *tlsObservation
	barrier     chan<- struct{} // closed when all before it is done
}

// A packet is a copy of an event.Packet.
type packet struct {
	frame   uint64
	from    event.Side
	buf     []byte     // the bytes
	pool    *sync.Pool // of buf, nil if it is another's
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

// bufferSizes are those of the pooled buffers: for segments without payload,
// for ordinary ones, for super-packets.
var bufferSizes = [...]int{256, 2 << 10, 16 << 10, 64 << 10}

var buffers = func() (pools [len(bufferSizes)]sync.Pool) {
	for i, size := range bufferSizes {
		pools[i].New = func() any { b := make([]byte, size); return &b }
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
	pool := &buffers[i]
	buf := (*pool.Get().(*[]byte))[:0]
	for _, v := range p.Views {
		buf = append(buf, v[:min(len(v), cap(buf)-len(buf))]...)
	}
	return &packet{from: p.From, buf: buf, pool: pool, length: p.Len, segment: p.SegmentSize, partial: p.PartialChecksum, cookie: p.SYNCookie, stray: p.Stray}
}

// release gives the buffer back. It is called once.
func (p *packet) release() {
	if p.pool == nil {
		return
	}
	b := p.buf[:cap(p.buf)]
	p.buf = nil
	p.pool.Put(&b)
}

// A queue hands observations from the data path to the tracer's goroutine.
type queue struct {
	limits *limits
	wake   chan struct{} // capacity 1

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

// pushPacket numbers a packet and queues a copy of it.
func (q *queue) pushPacket(p *event.Packet) uint64 {
	c := copyPacket(p)
	q.mu.Lock()
	q.frames++
	frame := q.frames
	full := q.packets >= q.limits.queuedPackets || q.bytes+cap(c.buf) > q.limits.queuedBytes
	if q.closed || full {
		if !q.closed {
			q.lost.packets++
		}
		q.mu.Unlock()
		c.release()
		return frame
	}
	c.frame = frame
	q.packets++
	q.bytes += cap(c.buf)
	q.items = append(q.items, observation{at: p.Time, packet: c})
	q.mu.Unlock()
	q.signal()
	return frame
}

// push queues an observation that is not a packet. It reports whether the queue
// is open. A barrier always finds room: its caller waits, and makes no second.
func (q *queue) push(o observation) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	if len(q.items)-q.packets >= q.limits.queuedOthers && o.barrier == nil {
		q.lost.observations++
	} else {
		q.items = append(q.items, o)
	}
	q.mu.Unlock()
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
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
	q.signal()
}

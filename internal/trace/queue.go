package trace

import (
	"sync"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

const (
	// maxQueuedBytes bounds the copies of packets that wait for the tracer.
	maxQueuedBytes = 64 << 20
	// maxQueuedPackets bounds their number.
	maxQueuedPackets = 1 << 17
	// maxQueuedOthers bounds the other observations: a connection makes about
	// a dozen, so that packets hit their bound first.
	maxQueuedOthers = 1 << 18

	smallBuffer = 2048
	largeBuffer = 1 << 16
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
	device      *event.Device
	tls         *tlsObservation
	barrier     chan<- struct{} // closed when all before it is done
}

// A packet is a copy of an event.Packet.
type packet struct {
	frame   uint64
	from    event.Side
	buf     []byte // the bytes; pooled
	pool    *sync.Pool
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

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

func copyPacket(p *event.Packet) *packet {
	pool := &smallBuffers
	if p.Len > smallBuffer {
		pool = &largeBuffers
	}
	buf := (*pool.Get().(*[]byte))[:0]
	for _, v := range p.Views {
		buf = append(buf, v[:min(len(v), cap(buf)-len(buf))]...)
	}
	return &packet{from: p.From, buf: buf, pool: pool, segment: p.SegmentSize, partial: p.PartialChecksum, cookie: p.SYNCookie, stray: p.Stray}
}

func (p *packet) release() {
	b := p.buf[:cap(p.buf)]
	p.buf = nil
	p.pool.Put(&b)
}

// A queue hands observations from the data path to the tracer's goroutine.
type queue struct {
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	items   []observation
	packets int
	bytes   int
	frames  uint64
	lost    map[string]uint64 // by what
	closed  bool
}

// pushPacket numbers a packet and queues a copy of it, unless it is a stray one.
func (q *queue) pushPacket(p *event.Packet) uint64 {
	if p.Stray {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.frames++
		return q.frames
	}
	c := copyPacket(p)
	q.mu.Lock()
	q.frames++
	frame := q.frames
	if q.closed || q.packets >= maxQueuedPackets || q.bytes+len(c.buf) > maxQueuedBytes {
		q.lose("packets")
		q.mu.Unlock()
		c.release()
		return frame
	}
	c.frame = frame
	q.packets++
	q.bytes += len(c.buf)
	q.items = append(q.items, observation{at: p.Time, packet: c})
	q.mu.Unlock()
	q.signal()
	return frame
}

// push queues an observation that is not a packet.
func (q *queue) push(o observation) bool {
	q.mu.Lock()
	if q.closed || len(q.items)-q.packets >= maxQueuedOthers {
		q.lose("observations")
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, o)
	q.mu.Unlock()
	q.signal()
	return true
}

// lose counts something that found no room. The lock is held.
func (q *queue) lose(what string) {
	if q.lost == nil {
		q.lost = make(map[string]uint64)
	}
	q.lost[what]++
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take swaps the queued observations for the empty slice into.
func (q *queue) take(into []observation) (items []observation, lost map[string]uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items, q.items = q.items, into
	q.packets, q.bytes = 0, 0
	lost, q.lost = q.lost, nil
	return items, lost
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

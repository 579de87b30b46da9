package pcapng

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"synscope/event"
)

// limits bound what a Writer keeps. They are fields for the tests' sake.
type limits struct {
	// queued are the bytes of the packets in the queue, with the rest of their
	// buffers, and of their comments. Packets that find no room are lost.
	queued int
	// keys are the bytes of secrets that may be queued beyond that.
	keys int
	// held are the bytes of the queue, and hold is the time, after which
	// secrets are not waited for.
	held int
	hold time.Duration
	// grace is the time in which a packet's comments may come, while there are
	// fewer bytes than settle.
	grace  time.Duration
	settle int
	// batch are the bytes taken out of the queue at once, which are in memory
	// besides it.
	batch int
	// tick is how often packets are looked at that wait. With grace, it is the
	// delay of a capture that nothing else delays.
	tick time.Duration
	// conns are the connections followed at once: as many as a tracer does.
	conns int
}

var defaultLimits = limits{
	queued: 64 << 20,
	keys:   1 << 20,
	held:   32 << 20,
	hold:   2 * time.Second,
	grace:  50 * time.Millisecond,
	settle: 1 << 20,
	batch:  1 << 20,
	tick:   50 * time.Millisecond,
	conns:  1 << 17,
}

// An entry is a packet that waits.
type entry struct {
	time    time.Time
	queued  time.Time // when it came
	frame   uint64
	missing uint64 // packets before it that are not in the capture
	from    event.Side
	conn    *conn // nil: none that is followed
	length  int   // of the packet
	segment int
	data    []byte // what is kept of it, in a buffer of the pool
	pool    *sync.Pool

	keys  []byte // key log lines that go before it
	notes notes
}

// entryOverhead is what an entry costs besides its buffer, about.
const entryOverhead = 256

// size is what the entry counts for in the queue.
func (e *entry) size() int {
	return entryOverhead + cap(e.data) + len(e.keys) + e.notes.size
}

// waits reports whether secrets are waited for before the packet is written.
func (e *entry) waits() bool { return e.conn != nil && e.conn.from != 0 && e.frame >= e.conn.from }

// release gives the buffer back. It is called once.
func (e *entry) release() {
	pool := e.pool
	*e = entry{data: e.data[:0]}
	pool.Put(e)
}

// maxPacket is the length of the longest IP packet: an IPv6 header and the
// longest payload. Of one that is longer, the rest is left out.
const maxPacket = 40 + 1<<16 - 1

// bufferSizes are those of the pooled buffers: for segments without payload,
// for ordinary ones, for super-packets.
var bufferSizes = [...]int{256, 2 << 10, 16 << 10, maxPacket}

var pools = func() (ps [len(bufferSizes)]sync.Pool) {
	for i, size := range bufferSizes {
		ps[i].New = func() any { return &entry{data: make([]byte, 0, size)} }
	}
	return
}()

// A conn is what is known of a connection from its conn.open to its conn.close.
type conn struct {
	id     uint64
	from   uint64 // the frame from which on it waits for secrets, 0: it does not
	ready  bool   // there are none to wait for
	recent [8]segment
	next   int   // in recent
	notes  notes // for its next packet
}

// A segment says which frame the event of a segment tells of. States and drops
// tell of one of the last few.
type segment struct{ n, frame uint64 }

// frame returns the frame of the n-th event, 0 where that is not known.
func (c *conn) frame(n uint64) uint64 {
	for _, s := range c.recent {
		if s.n == n && n != 0 {
			return s.frame
		}
	}
	return 0
}

// A queue holds packets until they can be written. It is guarded by the Writer.
type queue struct {
	limits  *limits
	entries []*entry // ascending by frame
	bytes   int      // sum of their sizes
	conns   map[uint64]*conn
	legs    map[uint64]uint64 // upstream legs, and the clients that they are for
	frame   uint64            // of the newest packet queued
	seen    uint64            // of the newest packet, queued or lost
	keys    []byte            // for the next packet, while the queue is empty
	notes   notes             // for the next packet of any connection
	joined  []byte            // a packet of which not all is kept; used again

	lostPackets, lostSecrets uint64 // not told yet
}

func newQueue(l *limits) queue {
	return queue{limits: l, conns: make(map[uint64]*conn), legs: make(map[uint64]uint64)}
}

// add queues a copy of a packet, of at most snap bytes if that is not 0.
func (q *queue) add(p *Packet, snap int, now time.Time) {
	q.seen = p.Frame
	length := len(p.IP)
	for _, b := range p.More {
		length += len(b)
	}
	keep := min(length, maxPacket)
	if snap > 0 {
		keep = min(keep, snap)
	}
	i := 0
	for keep > bufferSizes[i] {
		i++
	}
	if q.bytes+entryOverhead+bufferSizes[i] > q.limits.queued {
		q.lostPackets++
		return
	}
	e := pools[i].Get().(*entry)
	*e = entry{
		time: p.Time, queued: now, frame: p.Frame, from: p.From, conn: q.conns[p.Conn],
		length: length, segment: p.SegmentSize, data: appendPieces(e.data, keep, p), pool: &pools[i],
	}
	if p.Frame > q.frame {
		e.missing = p.Frame - q.frame - 1
	}
	q.frame = p.Frame
	if p.Partial && !completeChecksum(e.data, q.whole(e, p)) {
		e.notes.add("checksum: left to the device, and not completed here")
	}
	counted := q.notes.size
	if c := e.conn; c != nil {
		if !c.ready && c.from == 0 && p.From == event.Client && beginsHandshake(q.whole(e, p)) {
			c.from = p.Frame
		}
		counted += c.notes.size
		e.notes.take(&c.notes)
	}
	e.notes.take(&q.notes)
	e.keys, q.keys = q.keys, nil
	q.entries = append(q.entries, e)
	q.bytes += e.size() - counted
}

// appendPieces appends the first n bytes of a packet.
func appendPieces(to []byte, n int, p *Packet) []byte {
	n += len(to)
	to = append(to, p.IP[:min(len(p.IP), n-len(to))]...)
	for _, b := range p.More {
		to = append(to, b[:min(len(b), n-len(to))]...)
	}
	return to
}

// whole returns the whole of a packet in one piece, of which e has a copy or the
// beginning.
func (q *queue) whole(e *entry, p *Packet) []byte {
	switch {
	case len(p.More) == 0:
		return p.IP
	case len(e.data) == e.length:
		return e.data
	}
	q.joined = appendPieces(q.joined[:0], e.length, p)
	return q.joined
}

// find returns the queued packet of a frame, or nil.
func (q *queue) find(frame uint64) *entry {
	if i := q.search(frame); i < len(q.entries) && q.entries[i].frame == frame {
		return q.entries[i]
	}
	return nil
}

// search returns the index of the first packet from a frame on.
func (q *queue) search(frame uint64) int {
	return sort.Search(len(q.entries), func(i int) bool { return q.entries[i].frame >= frame })
}

// secret puts a key log line before the packets that wait for it. If the
// connection does not wait (any more), it goes before all.
func (q *queue) secret(id uint64, line []byte) {
	if q.bytes+len(q.keys)+len(line) > q.limits.queued+q.limits.keys {
		q.lostSecrets++
		return
	}
	i := 0
	if c := q.conns[id]; c != nil && c.from != 0 {
		i = q.search(c.from)
	}
	if i == len(q.entries) {
		q.keys = append(q.keys, line...)
		return
	}
	e := q.entries[i]
	e.keys = append(e.keys, line...)
	q.bytes += len(line)
}

// ready ends the wait of a connection for good.
func (q *queue) ready(id uint64) {
	if c := q.conns[id]; c != nil {
		c.ready, c.from = true, 0
	}
}

// open begins to follow a connection.
func (q *queue) open(id uint64) {
	if id == 0 || q.conns[id] != nil {
		return
	}
	if len(q.conns) >= q.limits.conns {
		q.note(&q.notes, fmt.Sprintf("connection %d is not followed: the limit of %d is reached", id, q.limits.conns))
		return
	}
	q.conns[id] = &conn{id: id}
}

// close ends that. What it was yet to say is said with another's packet.
func (q *queue) close(id uint64) {
	c := q.conns[id]
	if c == nil {
		return
	}
	q.ready(id)
	delete(q.conns, id)
	for _, s := range c.notes.list {
		q.note(&q.notes, fmt.Sprintf("connection %d: %s", id, s))
	}
	q.notes.more += c.notes.more
	q.bytes -= c.notes.size
}

// take moves the packets that wait for nothing to the batch, in order. Those up
// to the frame force wait for nothing.
func (q *queue) take(batch []*entry, now time.Time, force uint64) []*entry {
	n := 0
	for i := 0; i < len(q.entries) && n < q.limits.batch; i++ {
		e := q.entries[i]
		age, forced := now.Sub(e.queued), e.frame <= force
		switch {
		case e.waits():
			if !forced && age < q.limits.hold && q.bytes <= q.limits.held {
				return q.drop(batch)
			}
			e.conn.from = 0
			q.note(&e.notes, "tls: written before the secrets of the connection were known")
		case !forced && age < q.limits.grace && q.bytes <= q.limits.settle:
			return q.drop(batch)
		}
		batch = append(batch, e)
		n += e.size()
		q.bytes -= e.size()
	}
	return q.drop(batch)
}

// drop removes the packets of the batch, which are the first ones.
func (q *queue) drop(batch []*entry) []*entry {
	q.entries = slices.Delete(q.entries, 0, len(batch))
	return batch
}

// note adds a note, and counts it as part of the queue.
func (q *queue) note(to *notes, s string) {
	if q.bytes > q.limits.queued {
		to.more++
		return
	}
	q.bytes -= to.size
	to.add(s)
	q.bytes += to.size
}

// behind reports whether the first packet could be written at once.
func (q *queue) behind() bool {
	return q.bytes > q.limits.held || q.bytes > q.limits.settle && len(q.entries) > 0 && !q.entries[0].waits()
}

// takeLost returns what was lost since it was called last.
func (q *queue) takeLost() (packets, secrets uint64) {
	packets, secrets = q.lostPackets, q.lostSecrets
	q.lostPackets, q.lostSecrets = 0, 0
	return packets, secrets
}

// trailing is the number of packets that were lost after the newest queued.
func (q *queue) trailing() uint64 { return q.seen - min(q.seen, q.frame) }

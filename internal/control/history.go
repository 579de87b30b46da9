package control

import (
	"container/list"
	"fmt"
	"slices"
	"sync"

	"synscope/event"
	"synscope/internal/pack"
)

// Limits bound what a history keeps.
type Limits struct {
	Ended int // connections that have ended
	Bytes int // of events in memory, estimated; the oldest ended connections give way first
}

// keptOf is how many of a connection's first events are kept, and how many of
// its last. A handshake has some fifty.
const keptOf = 1024

// A history is the events of the connections that are open and of those that
// ended last. It is a sink, and hands what it gets on to readers.
type history struct {
	limits Limits

	mu      sync.Mutex
	records map[uint64]*record
	all     *list.List // of *record, by the numbers of the connections
	ended   *list.List // of *record, by their ends
	newest  uint64     // the newest connection heard of
	status  HistoryStatus
	readers map[*reader]struct{}
	waiting int // events at most that wait for a reader; a field for the tests' sake
}

func newHistory(l Limits) *history {
	return &history{
		limits: l, records: make(map[uint64]*record), all: list.New(), ended: list.New(),
		readers: make(map[*reader]struct{}), waiting: readerQueue,
	}
}

// A record is what is kept of one connection.
type record struct {
	summary event.Summary
	n       uint64 // ordinal of the newest event
	packed  []*pack.Packed
	nPacked int            // events in packed
	first   []*event.Event // those after them
	last    []*event.Event // a ring once it is full
	next    int            // where the oldest of last is
	bytes   int

	inAll, inEnded *list.Element // the latter nil while it is open
}

// Event takes an event, keeps it and hands it on. It never blocks.
func (h *history) Event(e *event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Conn != 0 {
		h.keep(e)
	} else if gap, ok := e.Body.(*event.Gap); ok && gap.What == "events" {
		h.status.LostEvents += gap.Lost // by the queue before us
	}
	for r := range h.readers {
		r.offer(e)
	}
}

// keep adds an event to the record of its connection. Connections begin in the
// order of their numbers: an old number without a record is of one that was
// dropped.
func (h *history) keep(e *event.Event) {
	r := h.records[e.Conn]
	if r == nil {
		if e.Conn <= h.newest {
			h.status.DroppedEvents++
			return
		}
		h.newest = e.Conn
		r = &record{}
		r.inAll = h.all.PushBack(r)
		h.records[e.Conn] = r
	}
	r.summary.Add(e)
	r.summary.Lost += e.N - r.n - 1
	r.n = e.N
	before := r.bytes
	if r.add(e) {
		h.status.DroppedEvents++
	} else {
		h.status.Events++
	}
	h.status.Bytes += r.bytes - before
	if r.inEnded == nil && e.Kind() == (*event.Close)(nil).Kind() {
		r.inEnded = h.ended.PushBack(r)
	}
	for h.ended.Len() > h.limits.Ended || h.status.Bytes > h.limits.Bytes {
		h.drop()
	}
}

// add keeps an event, and reports whether another one had to go for it.
func (r *record) add(e *event.Event) (dropped bool) {
	r.bytes += e.Size()
	switch {
	case r.nPacked+len(r.first) < keptOf:
		r.first = append(r.first, e)
	case len(r.last) < keptOf:
		r.last = append(r.last, e)
	default:
		r.bytes -= r.last[r.next].Size()
		r.last[r.next] = e
		r.next = (r.next + 1) % keptOf
		return true
	}
	return false
}

// drop forgets the connection whose end, or else whose begin, is longest ago.
func (h *history) drop() {
	oldest := h.ended.Front()
	if oldest == nil {
		oldest = h.all.Front()
	}
	r := oldest.Value.(*record)
	h.all.Remove(r.inAll)
	if r.inEnded != nil {
		h.ended.Remove(r.inEnded)
	}
	delete(h.records, r.summary.Conn)
	n := r.nPacked + len(r.first) + len(r.last)
	h.status.Events -= n
	h.status.Bytes -= r.bytes
	h.status.DroppedEvents += uint64(n)
	h.status.DroppedConnections++
}

// pack has events packed take the place of the same events, if the record has them
// all and there is no hole in either.
func (h *history) pack(conn uint64, p *pack.Packed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, n := h.records[conn], p.Len()
	if r == nil || len(r.first) < n || r.first[0].N != p.First() || r.first[n-1].N != p.Last() || p.Last()-p.First()+1 != uint64(n) {
		return
	}
	before := r.bytes
	for _, e := range r.first[:n] {
		r.bytes -= e.Size()
	}
	r.bytes += p.Size()
	h.status.Bytes += r.bytes - before
	r.packed, r.nPacked = append(r.packed, p), r.nPacked+n
	r.first = append([]*event.Event(nil), r.first[n:]...) // slices.Clone of none keeps the array
}

// A past is what was kept of a connection at some time.
type past struct {
	packed []*pack.Packed
	events []*event.Event // after those
}

// past returns what is kept.
func (r *record) past() past {
	return past{slices.Clone(r.packed), slices.Concat(r.first, r.last[r.next:], r.last[:r.next])}
}

// each calls f for all events, with a trace.gap wherever something is missing.
func (p past) each(f func(*event.Event)) {
	n := uint64(0)
	tell := func(es []*event.Event) {
		for _, e := range es {
			if e.N > n+1 {
				f(&event.Event{
					Time: e.Time, T: e.T, Conn: e.Conn, N: e.N - 1, View: event.Wire,
					Body: &event.Gap{Lost: e.N - 1 - n, What: "events", Reason: "the daemon's history does not have them"},
				})
			}
			f(e)
			n = e.N
		}
	}
	for _, packed := range p.packed {
		tell(packed.Events())
	}
	tell(p.events)
}

// connection returns what is kept of a connection, and whether it is known.
func (h *history) connection(id uint64) (past, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.records[id]
	if r == nil {
		return past{}, false
	}
	return r.past(), true
}

// newestOf returns at most max records, the newest of those that are as asked,
// by their numbers. The lock is held.
func (h *history) newestOf(max int, is func(*record) bool) []*record {
	var rs []*record
	for e := h.all.Back(); e != nil && len(rs) < max; e = e.Prev() {
		if r := e.Value.(*record); is(r) {
			rs = append(rs, r)
		}
	}
	slices.Reverse(rs)
	return rs
}

// connections sums up at most max connections, the newest.
func (h *history) connections(max int, is func(*record) bool) Connections {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := Connections{
		Open: h.all.Len() - h.ended.Len(), Ended: h.ended.Len(), Dropped: h.status.DroppedConnections,
		Connections: []event.Summary{},
	}
	for _, r := range h.newestOf(max, is) {
		c.Connections = append(c.Connections, r.summary)
	}
	return c
}

// snapshot returns what the history holds.
func (h *history) snapshot() HistoryStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	s.Open, s.Ended = h.all.Len()-h.ended.Len(), h.ended.Len()
	return s
}

// missing says why a connection is not known.
func (h *history) missing(id uint64) *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := &Error{Err: fmt.Errorf("there is no connection %d", id), Hint: "there was none yet"}
	if h.newest > 0 {
		err.Hint = fmt.Sprintf("the newest is %d; synscope ls lists them", h.newest)
	}
	if id > 0 && id <= h.newest {
		err.Err = fmt.Errorf("connection %d is no longer kept", id)
		err.Hint = fmt.Sprintf("the history keeps %d that ended, of %d bytes in all (limits.history, limits.history_bytes)", h.limits.Ended, h.limits.Bytes)
	}
	return err
}

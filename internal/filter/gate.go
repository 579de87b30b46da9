package filter

import (
	"container/list"
	"time"

	"synscope/event"
)

// A Sink takes events.
type Sink interface {
	Event(e *event.Event)
}

// limits bound what a Gate keeps. They are fields for the tests' sake.
type limits struct {
	conns int // connections followed that have not ended
	held  int // events held of one connection
	total int // events held in all
	ended int // connections that ended, kept for their late events
}

var defaultLimits = limits{conns: 1 << 14, held: 1 << 12, total: 1 << 17, ended: 1 << 14}

// A Gate hands on the events that match a filter, in their order within each
// connection. An event that cannot be decided before the end of its connection
// is held until then. It is for one goroutine.
//
// Where a bound is hit, what is held is decided by what is known so far. If that
// keeps back an event that might have matched later, a trace.gap of no
// connection counts it.
type Gate struct {
	filter *Filter
	next   Sink
	framed bool
	limits limits
	row    *row

	conns  map[uint64]*conn
	oldest *list.List // of *conn, by the first event or the last time that a bound was hit
	held   int        // events held in conns
	ended  map[uint64]*conn
	ring   []uint64 // the keys of ended, a ring
	place  int      // in the ring

	start time.Time // of the run, as the first event tells it
	early loss      // decided before the end of the connection
	cost  loss      // not decided, because that took too many steps
}

// A conn is one connection.
type conn struct {
	id      uint64
	summary event.Summary
	held    []*event.Event
	open    *event.Event // conn.open, as long as it is kept for a match
	shown   bool         // an event of it was handed on
	early   loss         // kept back before its end
	forced  bool         // it was decided before its end and is no longer followed
	place   *list.Element
}

// A loss counts events that were kept back without being decided.
type loss struct {
	n     uint64
	since time.Time
}

func (l *loss) add(m loss) {
	if l.n == 0 {
		l.since = m.since
	}
	l.n += m.n
}

// NewGate returns a Gate that hands on to next. If it is framed, the conn.open
// and conn.close of a connection are handed on with any other event of it: a
// ladder has a head and an end.
func NewGate(f *Filter, next Sink, framed bool) *Gate {
	return &Gate{
		filter: f, next: next, framed: framed, limits: defaultLimits, row: f.newRow(),
		conns: make(map[uint64]*conn), oldest: list.New(), ended: make(map[uint64]*conn),
	}
}

// Event takes the next event.
func (g *Gate) Event(e *event.Event) {
	if g.start.IsZero() {
		g.start = e.Time.Add(-e.T)
	}
	ended := g.ended[e.Conn]
	switch {
	case e.Conn == 0, !g.filter.conn && !g.framed:
		g.alone(e)
	case ended != nil:
		if v := g.decide(e, &ended.summary); !g.pass(ended, e, v) && ended.forced {
			g.early.add(loss{1, e.Time})
		}
	case g.conns[e.Conn] == nil && endsTimeWait(e):
		g.alone(e) // its connection ended too long ago
	default:
		g.follow(e)
	}
}

// endsTimeWait reports whether an event is the end of TIME-WAIT, which comes
// long after that of its connection.
func endsTimeWait(e *event.Event) bool {
	s, ok := e.Body.(*event.TCPState)
	return ok && s.Old == event.StateTimeWait
}

// alone decides an event by itself.
func (g *Gate) alone(e *event.Event) {
	switch g.decide(e, nil) {
	case yes:
		g.hand(e)
	case costly:
		g.cost.add(loss{1, e.Time})
	}
}

func (g *Gate) decide(e *event.Event, s *event.Summary) verdict {
	return g.filter.decide(g.row, e, s)
}

// follow takes an event of a connection that has not ended.
func (g *Gate) follow(e *event.Event) {
	c := g.conns[e.Conn]
	if c == nil {
		c = &conn{id: e.Conn}
		c.place = g.oldest.PushBack(c)
		g.conns[e.Conn] = c
	}
	_, last := e.Body.(*event.Close)
	if g.filter.conn {
		c.summary.Add(e)
	}
	if v := g.first(c, e, last); v == undecided {
		c.held = append(c.held, e)
		g.held++
	} else {
		g.pass(c, e, v)
	}
	if last {
		g.end(c)
	} else if len(c.held) >= g.limits.held {
		g.decideEarly(c)
	}
	for g.held > g.limits.total {
		g.decideEarly(g.oldest.Front().Value.(*conn))
	}
	for len(g.conns) > g.limits.conns {
		g.giveUp(g.oldest.Front().Value.(*conn))
	}
}

// first decides an event before its connection has ended, if that can be.
func (g *Gate) first(c *conn, e *event.Event, last bool) verdict {
	switch {
	case !g.filter.conn:
		return g.decide(e, nil)
	case last, !g.filter.event:
		return undecided
	}
	// What is decided without the connection needs no holding, but a match
	// keeps its place behind what is held.
	v := g.decide(e, nil)
	if v == yes && len(c.held) > 0 {
		return undecided
	}
	return v
}

// release decides what is held of a connection by its summary, and returns what
// it kept back.
func (g *Gate) release(c *conn) (kept loss) {
	v := no
	for i, e := range c.held {
		if i == 0 || g.filter.event {
			v = g.decide(e, &c.summary)
		}
		if !g.pass(c, e, v) {
			kept.add(loss{1, e.Time})
		}
	}
	g.held -= len(c.held)
	c.held = nil
	return kept
}

// end takes the end of a connection.
func (g *Gate) end(c *conn) {
	// Where the connection alone decides, what was kept back before its end is
	// lost only if it matches after all.
	if c.early.n > 0 && (g.filter.event || g.decide(nil, &c.summary) == yes) {
		g.early.add(c.early)
	}
	g.release(c)
	g.forget(c)
}

// decideEarly decides what is held of a connection and goes on with it.
func (g *Gate) decideEarly(c *conn) {
	c.early.add(g.release(c))
	g.oldest.MoveToBack(c.place)
}

// giveUp decides a connection and follows it no longer.
func (g *Gate) giveUp(c *conn) {
	g.decideEarly(c)
	g.early.add(c.early)
	c.forced = g.filter.conn
	g.forget(c)
}

// forget takes a connection from those that are followed. Its late events are
// decided by its summary, as long as there is room.
func (g *Gate) forget(c *conn) {
	delete(g.conns, c.id)
	g.oldest.Remove(c.place)
	if len(g.ring) < g.limits.ended {
		g.ring = append(g.ring, c.id)
	} else {
		delete(g.ended, g.ring[g.place])
		g.ring[g.place] = c.id
		g.place = (g.place + 1) % g.limits.ended
	}
	g.ended[c.id] = c
}

// pass hands an event on, if it matches or belongs to the frame, and reports
// whether it did, or will, or told of it.
func (g *Gate) pass(c *conn, e *event.Event, v verdict) bool {
	match := v == yes
	switch e.Body.(type) {
	case *event.Open:
		if g.framed && !match {
			c.open = e
			return true
		}
	case *event.Close:
		match = match || g.framed && c.shown
	}
	if v == costly {
		g.cost.add(loss{1, e.Time})
		return true // it is told, if not shown
	}
	if !match {
		return false
	}
	if c.open != nil {
		g.hand(c.open)
		c.open = nil
	}
	c.shown = true
	g.hand(e)
	return true
}

// hand hands an event on, after a word of what was lost before.
func (g *Gate) hand(e *event.Event) {
	g.tell()
	g.next.Event(e)
}

// tell tells of what was kept back without being decided.
func (g *Gate) tell() {
	for _, l := range []struct {
		*loss
		reason string
	}{
		{&g.early, "the filter had to decide before the end of the connection"},
		{&g.cost, "the filter takes too many steps"},
	} {
		if l.n > 0 {
			g.next.Event(&event.Event{
				Time: l.since, T: l.since.Sub(g.start), View: event.Wire,
				Body: &event.Gap{Lost: l.n, What: "events", Reason: l.reason},
			})
			*l.loss = loss{}
		}
	}
}

// Flush decides the connections that have not ended by what is known of them.
// It is called after the last event.
func (g *Gate) Flush() {
	for f := g.oldest.Front(); f != nil; f = g.oldest.Front() {
		g.end(f.Value.(*conn))
	}
	g.tell()
}

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
	whole  bool
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
	shown   bool // where connections are handed on whole: it is
	early   loss // kept back before its end
	forced  bool // it was decided before its end and is no longer followed
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

// NewGate returns a Gate that hands on to next. If whole is set, a connection of
// which any event matches is handed on with all its events: a ladder without
// some of its rungs would tell another story.
func NewGate(f *Filter, next Sink, whole bool) *Gate {
	return &Gate{
		filter: f, next: next, whole: whole, limits: defaultLimits, row: f.newRow(),
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
	case e.Conn == 0, !g.filter.conn && !g.whole:
		g.alone(e)
	case ended != nil:
		g.late(ended, e)
	case g.conns[e.Conn] == nil && endsTimeWait(e):
		if !g.whole {
			g.alone(e) // its connection ended too long ago
		}
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
func (g *Gate) alone(e *event.Event) { g.pass(e, g.decide(e, nil)) }

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
	if g.filter.conn {
		c.summary.Add(e)
	}
	g.take(c, e)
	if _, last := e.Body.(*event.Close); last {
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

// take decides an event before its connection has ended, or holds it.
func (g *Gate) take(c *conn, e *event.Event) {
	if c.shown {
		g.hand(e)
		return
	}
	v := undecided
	if g.filter.event || !g.filter.conn {
		v = g.decide(e, nil)
	}
	switch {
	case g.whole:
		c.shown = v == yes
		if v == costly && !g.filter.conn { // else it is decided again
			g.cost.add(loss{1, e.Time})
		}
	case v == no, v == costly, v == undecided && !g.filter.conn, v == yes && len(c.held) == 0:
		g.pass(e, v)
		return
	}
	// A match keeps its place behind what is held.
	c.held = append(c.held, e)
	g.held++
	if c.shown {
		g.release(c)
	}
}

// late takes an event of a connection that has ended, or is followed no longer.
func (g *Gate) late(c *conn, e *event.Event) {
	if c.shown {
		g.hand(e)
		return
	}
	lost := c.forced
	if v := g.decide(e, &c.summary); g.whole {
		lost = lost || v == yes
	} else if g.pass(e, v) {
		lost = false
	}
	if lost {
		g.early.add(loss{1, e.Time})
	}
}

// release decides what is held of a connection by its summary, and returns what
// it kept back.
func (g *Gate) release(c *conn) (kept loss) {
	v := no
	if g.whole {
		if c.shown = c.shown || g.matches(c); c.shown {
			v = yes
		}
	}
	for i, e := range c.held {
		if !g.whole && (i == 0 || g.filter.event) {
			v = g.decide(e, &c.summary)
		}
		if !g.pass(e, v) {
			kept.add(loss{1, e.Time})
		}
	}
	g.held -= len(c.held)
	c.held = nil
	return kept
}

// matches reports whether any event that is held of a connection matches.
func (g *Gate) matches(c *conn) bool {
	switch {
	case !g.filter.conn:
		return false // each was decided when it came
	case !g.filter.event:
		return g.decide(nil, &c.summary) == yes
	}
	for _, e := range c.held {
		switch g.decide(e, &c.summary) {
		case yes:
			return true
		case costly:
			g.cost.add(loss{1, e.Time})
		}
	}
	return false
}

// end takes the end of a connection. What was kept back before is lost only if
// it might have matched after all.
func (g *Gate) end(c *conn) {
	if c.early.n > 0 {
		lost := g.filter.event
		if g.whole {
			c.shown = c.shown || g.matches(c)
			lost = c.shown
		} else if !lost {
			lost = g.matches(c)
		}
		if lost {
			g.early.add(c.early)
		}
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
	c.forced = true
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

// pass hands an event on if it matches, and reports whether it did or counted
// it.
func (g *Gate) pass(e *event.Event, v verdict) bool {
	switch v {
	case yes:
		g.hand(e)
	case costly:
		g.cost.add(loss{1, e.Time})
	}
	return v == yes || v == costly
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

// Package expect holds a run against what was expected of it.
//
// A [Recorder] is a sink: it sums up the connections of a run, and keeps their
// events if that is needed. When the run is over it says of each expectation, an
// expression of package filter, whether it was met and, if not, what happened
// instead. An expectation over one connection is met if there was one at least
// and it is true of all; one over the run (conns, timeline) if it is true of
// that.
//
// What is kept is bounded. An expectation that only what was not kept, or was
// lost by the tracer, could disprove is not met: it says that it could not be
// decided.
package expect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"synscope/event"
	"synscope/internal/filter"
)

// The bounds of what is kept.
const (
	maxConns  = 16_384
	maxEvents = 131_072
)

// A Recorder keeps what a run is held against. Event is called on one goroutine;
// the other methods when the run is over.
type Recorder struct {
	expected []expectation
	keep     bool // the events

	conns    []*conn
	byID     map[uint64]*conn
	timeline []*event.Event

	connsLost  uint64 // that were not kept
	eventsLost uint64
	gaps       []*event.Gap // of the tracer
}

type expectation struct {
	text string
	*filter.Expectation
}

// A conn is a connection of the run.
type conn struct {
	event.Summary
	name string // of the server, as a ladder has it; "" if there is none
}

// An Error is a mistake in an expression.
type Error struct {
	Expr string
	Err  error // usually a filter.Errors
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// New compiles expressions. With keepEvents the events of the run are kept, also
// if no expression asks for them, for Events. An error is an *Error.
func New(exprs []string, keepEvents bool) (*Recorder, error) {
	r := &Recorder{keep: keepEvents, byID: make(map[uint64]*conn)}
	for _, expr := range exprs {
		x, err := filter.CompileExpectation(expr)
		if err != nil {
			return nil, &Error{expr, err}
		}
		r.expected = append(r.expected, expectation{expr, x})
		r.keep = r.keep || x.Timeline()
	}
	return r, nil
}

// Event takes the next event of the run. It implements synscope.Sink.
func (r *Recorder) Event(e *event.Event) {
	if r.keep {
		if len(r.timeline) < maxEvents {
			r.timeline = append(r.timeline, e)
		} else {
			r.eventsLost++
		}
	}
	if e.Conn == 0 {
		if g, ok := e.Body.(*event.Gap); ok {
			r.gap(g)
		}
		return
	}
	open, opens := e.Body.(*event.Open)
	c := r.byID[e.Conn]
	if c == nil {
		if len(r.conns) == maxConns {
			if opens {
				r.connsLost++
			}
			return
		}
		c = &conn{}
		r.conns = append(r.conns, c)
		r.byID[e.Conn] = c
	}
	if opens {
		c.name = open.Name
	}
	c.Add(e)
}

// gap takes what the tracer lost, by its kinds, of which there are few.
func (r *Recorder) gap(g *event.Gap) {
	for _, known := range r.gaps {
		if known.What == g.What {
			known.Lost += g.Lost
			return
		}
	}
	r.gaps = append(r.gaps, &event.Gap{Lost: g.Lost, What: g.What})
}

// A Result is what became of an expectation.
type Result struct {
	Expr string
	// Failure says in one line what was expected and what happened instead, ""
	// if the expectation was met. What peers chose is escaped in it.
	Failure string
	// Conns are the connections that the failure names.
	Conns []uint64
}

// Results returns what became of each expectation, in their order.
func (r *Recorder) Results() []Result {
	results := make([]Result, len(r.expected))
	for i := range r.expected {
		results[i] = r.result(&r.expected[i])
	}
	return results
}

// Check holds the run, as far as it went, against one more expression.
func (r *Recorder) Check(expr string) (Result, error) {
	x, err := filter.CompileExpectation(expr)
	if err != nil {
		return Result{}, &Error{expr, err}
	}
	return r.result(&expectation{expr, x}), nil
}

// Events returns the events of a connection, as far as they were kept.
func (r *Recorder) Events(conn uint64) []*event.Event {
	var es []*event.Event
	for _, e := range r.timeline {
		if e.Conn == conn {
			es = append(es, e)
		}
	}
	return es
}

// Conns returns the connections of the run as they are so far, in the order of
// their opening.
func (r *Recorder) Conns() []event.Summary {
	conns := make([]event.Summary, len(r.conns))
	for i, c := range r.conns {
		conns[i] = c.Summary
	}
	return conns
}

// Timeline returns the events of the run, as far as they were kept.
func (r *Recorder) Timeline() []*event.Event { return slices.Clone(r.timeline) }

// Lost returns an error that says what of the run was lost or not kept, nil if
// nothing was.
func (r *Recorder) Lost() error {
	if what := r.missing(true); what != "" {
		return errors.New(what)
	}
	return nil
}

// result decides on an expectation.
func (r *Recorder) result(x *expectation) Result {
	what, conns := r.offence(x)
	if what == "" {
		if what = r.missing(x.Timeline()); what != "" {
			what = "it could not be decided: " + what
		}
	}
	if what == "" {
		return Result{Expr: x.text}
	}
	return Result{Expr: x.text, Failure: fmt.Sprintf("expected %s: %s", oneLine(x.text), what), Conns: conns}
}

// missing says what of the connections of the run, and of its events, was lost
// or not kept.
func (r *Recorder) missing(events bool) string {
	switch {
	case len(r.gaps) > 0:
		return fmt.Sprintf("%d %s were lost", r.gaps[0].Lost, r.gaps[0].What)
	case r.connsLost > 0:
		return fmt.Sprintf("%d connections after the first %d were not kept", r.connsLost, maxConns)
	case events && r.eventsLost > 0:
		return fmt.Sprintf("%d events after the first %d were not kept", r.eventsLost, maxEvents)
	}
	return ""
}

// oneLine shows an expression, which is the user's own, in one line.
func oneLine(expr string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, expr)
}

package ladder

import (
	"container/list"
	"fmt"
	"io"
	"strings"

	"synscope/event"
	"synscope/internal/typeset"
)

// The bounds of a Writer. Beyond each, something is drawn early or left out,
// and the output says so.
const (
	maxOpen   = 1024    // connections kept until they end
	maxEvents = 4096    // events kept of one connection
	maxKept   = 1 << 17 // events kept in all
	maxClosed = 4096    // ended connections whose late events are recognized
)

// A Writer draws each connection of a stream of events when it has ended, and
// events that belong to no connection at once, as one line. It is for one
// goroutine.
type Writer struct {
	w      io.Writer
	o      Options
	err    error
	drawn  bool // something was written: a further ladder stands apart
	conns  map[uint64]*pending
	oldest *list.List // of *pending, by the first event
	kept   int        // events in conns
	closed map[uint64]struct{}
	ring   []uint64 // the keys of closed, a ring
	next   int
	late   uint64
}

// A pending connection has not ended.
type pending struct {
	id     uint64
	events []*event.Event
	lost   uint64
	place  *list.Element
}

// NewWriter returns a Writer that draws on w.
func NewWriter(w io.Writer, o Options) *Writer {
	return &Writer{
		w: w, o: o, conns: make(map[uint64]*pending), oldest: list.New(),
		closed: make(map[uint64]struct{}),
	}
}

// Event takes the next event. It keeps it until its connection has ended.
// Errors of writing are kept for Flush.
func (w *Writer) Event(e *event.Event) {
	if e.Conn == 0 {
		w.single(e)
		return
	}
	c := w.conns[e.Conn]
	if s, ok := e.Body.(*event.TCPState); ok && c == nil && s.Old == event.StateTimeWait {
		return // no news of a connection that was drawn, or that ended before the stream began
	}
	if _, ended := w.closed[e.Conn]; ended {
		w.late++ // a stray segment
		return
	}
	if c == nil {
		c = &pending{id: e.Conn}
		c.place = w.oldest.PushBack(c)
		w.conns[e.Conn] = c
	}
	if len(c.events) >= maxEvents && !lasting(e) {
		c.lost++
	} else {
		c.events = append(c.events, e)
		w.kept++
	}
	if e.Kind() == (*event.Close)(nil).Kind() {
		w.end(c, "")
	}
	for len(w.conns) > maxOpen || w.kept > maxKept {
		w.end(w.oldest.Front().Value.(*pending), "drawn before its end: too many connections are open")
	}
}

// lasting reports whether an event is kept even beyond the bound: there is one
// of each at most.
func lasting(e *event.Event) bool {
	switch e.Body.(type) {
	case *event.Close, *event.Established, *event.Failed:
		return true
	}
	return false
}

// Flush draws the connections that are still open and returns the first error
// of writing.
func (w *Writer) Flush() error {
	for f := w.oldest.Front(); f != nil; f = w.oldest.Front() {
		w.end(f.Value.(*pending), "")
	}
	if w.late > 0 {
		w.write(fmt.Sprintf("\n%s came after the connection had been drawn\n", typeset.Count(w.late, "event")))
		w.late = 0
	}
	return w.err
}

// end draws a connection and forgets it.
func (w *Writer) end(c *pending, why string) {
	delete(w.conns, c.id)
	w.oldest.Remove(c.place)
	w.kept -= len(c.events)
	w.remember(c.id)
	var b strings.Builder
	if w.drawn {
		b.WriteByte('\n')
	}
	if err := Render(&b, c.events, w.o); err != nil {
		w.err = err
		return
	}
	if c.lost > 0 {
		fmt.Fprintf(&b, "  not kept   %s beyond the first %s of this connection\n", typeset.Count(c.lost, "event"), typeset.Thousands(maxEvents))
	}
	if why != "" {
		fmt.Fprintf(&b, "  not ended  %s\n", why)
	}
	w.write(b.String())
}

func (w *Writer) remember(id uint64) {
	if len(w.ring) < maxClosed {
		w.ring = append(w.ring, id)
	} else {
		delete(w.closed, w.ring[w.next])
		w.ring[w.next] = id
		w.next = (w.next + 1) % maxClosed
	}
	w.closed[id] = struct{}{}
}

// single writes an event that belongs to no connection.
func (w *Writer) single(e *event.Event) {
	o := w.o.withDefaults()
	p := newPrinter(o)
	marked := false
	switch e.Body.(type) {
	case *event.Gap, *event.CaptureEnd:
		marked = true
	}
	at := e.Time.Format("15:04:05.000")
	for i, l := range typeset.Wrap(p.escape(noteText(e.Body)), o.Width-typeset.Columns(at)-4) {
		mark := span{"  ", plain}
		if i > 0 {
			at = strings.Repeat(" ", typeset.Columns(at))
		} else if marked {
			mark = span{"! ", warning}
		}
		p.print(line{mark, {at + "  ", faint}, {l, plain}})
	}
	w.write(p.out.String())
}

func (w *Writer) write(s string) {
	w.drawn = true
	if w.err != nil {
		return
	}
	if _, err := io.WriteString(w.w, s); err != nil {
		w.err = fmt.Errorf("writing the ladder: %w", err)
	}
}

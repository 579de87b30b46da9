package ladder

import (
	"io"

	"synscope/event"
)

const (
	defaultWidth = 100
	minWidth     = 72
)

// Options say how to draw. The zero value is plain ASCII in 100 columns.
type Options struct {
	Width   int  // columns; 0 means 100, fewer than 72 mean 72
	Color   bool // use ANSI colours
	Unicode bool // draw lines and arrows with Unicode characters instead of ASCII
	Explain bool // say below each step what it is for
}

func (o Options) withDefaults() Options {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, minWidth)
	return o
}

// Render writes the ladder of one connection. The events are those of one
// connection in the order of their ordinals; they may be incomplete: still open,
// or with gaps. Of no events it writes nothing. The error is that of w.
func Render(w io.Writer, events []*event.Event, o Options) error {
	if len(events) == 0 {
		return nil
	}
	p := newPrinter(o)
	p.story = tell(events)
	p.header()
	p.ladder()
	p.footer()
	_, err := w.Write(p.out.Bytes())
	return err
}

// Package jsonlines writes events as JSON lines: one object, one line.
package jsonlines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"synscope/event"
)

// A Writer is a sink that writes each event as one line. It is used by one
// goroutine. After the first error it writes no more.
type Writer struct {
	w   *bufio.Writer
	err error
	// onError is called once, with the first error.
	onError func(error)
}

// NewWriter returns a Writer to w. OnError, which may be nil, is called once if
// an event cannot be written.
func NewWriter(w io.Writer, onError func(error)) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, 64<<10), onError: onError}
}

// Event writes e.
func (w *Writer) Event(e *event.Event) {
	if w.err != nil {
		return
	}
	b, err := json.Marshal(e)
	if err != nil {
		w.fail(fmt.Errorf("encode event %d of connection %d: %w", e.N, e.Conn, err))
		return
	}
	w.w.Write(b)
	if err := w.w.WriteByte('\n'); err != nil {
		w.fail(err)
	}
}

// Flush writes what is buffered. Only whole lines are ever buffered.
func (w *Writer) Flush() error {
	if w.err == nil {
		if err := w.w.Flush(); err != nil {
			w.fail(err)
		}
	}
	return w.err
}

func (w *Writer) fail(err error) {
	w.err = err
	if w.onError != nil {
		w.onError(err)
	}
}

// Package jsonlines writes events as JSON lines: one object, one line.
package jsonlines

import (
	"io"

	"synscope/event"
)

// flushAt is how many bytes are gathered before they are written.
const flushAt = 64 << 10

// A Writer is a sink that writes each event as one line. It is used by one
// goroutine. After the first error it writes no more.
type Writer struct {
	w   io.Writer
	buf []byte // whole lines
	err error
	// onError is called once, with the first error.
	onError func(error)
}

// NewWriter returns a Writer to w. OnError, which may be nil, is called once if
// events cannot be written.
func NewWriter(w io.Writer, onError func(error)) *Writer {
	return &Writer{w: w, buf: make([]byte, 0, 2*flushAt), onError: onError}
}

// Event writes e.
func (w *Writer) Event(e *event.Event) {
	if w.err != nil {
		return
	}
	w.buf = append(e.AppendJSON(w.buf), '\n')
	if len(w.buf) >= flushAt {
		w.Flush()
	}
}

// Flush writes what is buffered. Only whole lines are ever buffered.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	_, w.err = w.w.Write(w.buf)
	w.buf = w.buf[:0]
	if w.err != nil && w.onError != nil {
		w.onError(w.err)
	}
	return w.err
}

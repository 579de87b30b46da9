package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"synscope/internal/config"
	"synscope/internal/filter"
	"synscope/internal/jsonlines"
	"synscope/internal/ladder"
	"synscope/internal/trace"
)

// An eventWriter is a sink that writes events, those that match a filter, as
// text. It is for one goroutine, as the sinks that it consists of.
type eventWriter struct {
	trace.Sink
	flush  func() error // writes what is whole
	finish func() error // writes what is left, after the last event
}

// newEventWriter returns an eventWriter to w. All events match if match is nil.
// Failed, which may be nil, is called once if JSON cannot be written.
func newEventWriter(w io.Writer, format config.Format, explain bool, match *filter.Filter, failed func(error)) *eventWriter {
	e := &eventWriter{}
	if format == config.FormatJSON {
		j := jsonlines.NewWriter(w, failed)
		e.Sink, e.flush, e.finish = j, j.Flush, j.Flush
	} else {
		b := bufio.NewWriterSize(w, 64<<10)
		l := ladder.NewWriter(b, ladderOptions(w, explain))
		e.Sink, e.flush = l, b.Flush
		e.finish = func() error { return errors.Join(l.Flush(), b.Flush()) }
	}
	if match != nil {
		gate, finish := filter.NewGate(match, e.Sink, format == config.FormatLadder), e.finish
		e.Sink = gate
		e.finish = func() error {
			gate.Flush()
			return finish()
		}
	}
	return e
}

// compileExpression compiles the value of --filter, nil if there is none.
func compileExpression(expression string) (*filter.Filter, error) {
	if expression == "" {
		return nil, nil
	}
	f, err := filter.Compile(expression)
	if err != nil {
		return nil, usageError{fmt.Errorf("--filter: %w", err)}
	}
	return f, nil
}

// openEvents opens a file for events with further flags, or takes stdout if the
// path is "-". The file is nil then.
func openEvents(path string, flags int, stdout io.Writer) (w io.Writer, file *os.File, err error) {
	if path == "-" {
		return stdout, nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o640)
	if err != nil {
		return nil, nil, hinted{fmt.Errorf("events %s: %w", path, reason(err)), "give a file in a directory that you can write to, or - for the standard output"}
	}
	return f, f, nil
}

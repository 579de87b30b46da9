package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"synscope/event"
	"synscope/internal/diff"
	"synscope/internal/typeset"
)

// The bounds of what is kept of a file of any size.
const (
	maxListed     = 20      // connections that an error lists
	maxConnEvents = 1 << 16 // events of a connection that is compared
	maxLine       = 8 << 20 // bytes of a line of JSON
)

// A connection is one of a file, with its events if it is wanted.
type connection struct {
	summary event.Summary
	events  []*event.Event
	last    uint64 // the ordinal of its last event
	wanted  bool
}

// A loaded file is what loadConnections keeps of it: the connections that are
// wanted, with their events, and the first maxListed of all to choose from.
type loaded struct {
	path  string
	conns []*connection // in the order of their first events
	total uint64        // how many there are, kept or not
}

// loadConnections reads a file of events as JSON lines, or a capture. Wanted are
// the connections with the id, or, if it is 0, the first two.
func (c *comparison) loadConnections(path string, id uint64) (*loaded, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	}
	defer f.Close()
	l := &loader{loaded: loaded{path: path}, id: id, kept: make(map[uint64]*connection)}
	r := bufio.NewReaderSize(f, 1<<16)
	start, err := r.Peek(4)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	case len(start) == 0:
		return nil, usageError{fmt.Errorf("%s is empty", path)}
	case isCapture(start):
		capture := &recording{files: []string{path}, keyLogs: c.keyLogs, stderr: c.stderr}
		if err := capture.play(c.ctx, l); err != nil {
			return nil, err
		}
		return &l.loaded, l.err
	case start[0] != '{':
		return nil, usageError{hinted{fmt.Errorf("%s is neither a capture nor a file of events: it begins with %q", path, start),
			"give pcap, pcapng, or events as JSON lines (serve --events FILE --format json)"}}
	}
	if err := l.lines(r); err != nil {
		return nil, err
	}
	return &l.loaded, nil
}

// isCapture reports whether a file that begins so is a pcap or pcapng file, or
// one that is gzipped.
func isCapture(start []byte) bool {
	for _, magic := range []string{"\x0a\x0d\x0d\x0a", "\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1", "\x1f\x8b"} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return true
		}
	}
	return false
}

// A loader keeps of the events of a file what is wanted. It is a sink.
type loader struct {
	loaded
	id      uint64
	kept    map[uint64]*connection // by their ids; a later run in the same file has them again
	highest uint64                 // the id of the last connection that began
	err     error
}

// Event takes the next event of the file.
func (l *loader) Event(e *event.Event) {
	if e.Conn == 0 {
		return
	}
	if l.begins(e.Conn, e.N) {
		l.begin(e.Conn)
	}
	c := l.kept[e.Conn]
	if c == nil {
		return
	}
	c.last = e.N
	c.summary.Add(e)
	switch {
	case !c.wanted || !diff.Uses(e):
	case len(c.events) < maxConnEvents:
		c.events = append(c.events, e)
	case l.err == nil:
		l.err = fmt.Errorf("%s: connection %d has more than %d events that are compared", l.path, e.Conn, maxConnEvents)
	}
}

// begins reports whether an event is the first of a connection in the file. It
// need not be the first that there was: a log may be cut or filtered.
func (l *loader) begins(id, n uint64) bool {
	c := l.kept[id]
	return n == 1 || id > l.highest || c != nil && n <= c.last
}

// begin counts a connection, and keeps it if it is wanted or among the first.
func (l *loader) begin(id uint64) {
	c := &connection{wanted: id == l.id || l.id == 0 && l.total < 2}
	l.total++
	l.highest = id
	delete(l.kept, id)
	if len(l.conns) < maxListed || c.wanted && len(l.conns) < 2*maxListed {
		l.conns = append(l.conns, c)
		l.kept[id] = c
	}
}

// lines takes each line as an event. The last one may be cut off, as a daemon
// that was killed leaves it.
func (l *loader) lines(r *bufio.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	var cut error // of the line before, if it is no JSON
	n := 0
	for ; lines.Scan() && l.err == nil; n++ {
		if cut != nil {
			return cut
		}
		line := bytes.TrimSpace(lines.Bytes())
		if err := l.line(line); err != nil && len(line) > 0 {
			err = fmt.Errorf("%s:%d: not an event: %w", l.path, n+1, err)
			if json.Valid(line) {
				return err
			}
			cut = err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", l.path, n+1, reason(err))
	}
	if l.total == 0 {
		return cut
	}
	return l.err
}

// line takes one event. It decodes in full only those of connections that are
// kept.
func (l *loader) line(line []byte) error {
	var h struct {
		Conn uint64 `json:"conn"`
		N    uint64 `json:"n"`
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return err
	}
	if l.kept[h.Conn] == nil && !l.begins(h.Conn, h.N) {
		return nil
	}
	e := new(event.Event)
	if err := json.Unmarshal(line, e); err != nil {
		return err
	}
	l.Event(e)
	return nil
}

// wanted returns the places in conns of the connections that may be meant.
func (l *loaded) wanted() []int {
	var is []int
	for i, c := range l.conns {
		if c.wanted {
			is = append(is, i)
		}
	}
	return is
}

// subject names a connection and returns its events.
func (l *loaded) subject(i int) diff.Subject {
	c := l.conns[i]
	return diff.Subject{Name: fmt.Sprintf("%s#%d", l.path, c.summary.Conn), Events: c.events}
}

// choose is the error that lists what there is.
func (l *loaded) choose(what, todo string) error {
	var b strings.Builder
	b.WriteString(what)
	shown := l.conns[:min(len(l.conns), maxListed)]
	for _, c := range shown {
		name := typeset.Escape(c.summary.TLS.ServerName, 40, false)
		if name == "" {
			name = c.summary.Server.String()
		}
		fmt.Fprintf(&b, "\n  #%d  %s > %s  %s", c.summary.Conn, c.summary.Client, name,
			typeset.Escape(diff.Outcome(&c.summary), typeset.MaxText, false))
	}
	if more := l.total - uint64(len(shown)); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	if l.total == 0 {
		return usageError{errors.New(what)}
	}
	return usageError{hinted{errors.New(b.String()), fmt.Sprintf("%s, as %s#%d", todo, l.path, l.conns[0].summary.Conn)}}
}

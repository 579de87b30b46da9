package pcapng

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"synscope/event"
)

const (
	// maxNote is the length of a comment in bytes. An option of pcapng has
	// 65,535 at most.
	maxNote = 1024
	// maxNotes is how many comments a packet carries; the rest are counted.
	maxNotes = 32
)

// notes are the comments for one packet.
type notes struct {
	list []string
	more int // that found no room
	size int // of the list, in bytes
}

// add adds a comment. What does not print in it is replaced: a part of it may
// be from the peer.
func (n *notes) add(s string) {
	if len(n.list) >= maxNotes {
		n.more++
		return
	}
	s = printable(s)
	n.list = append(n.list, s)
	n.size += len(s)
}

// take moves all comments of another.
func (n *notes) take(from *notes) {
	if len(n.list) == 0 {
		more := n.more
		*n, *from = *from, notes{}
		n.more += more
		return
	}
	for _, s := range from.list {
		n.add(s)
	}
	n.more += from.more
	*from = notes{}
}

// strings returns the comments, with a word on those that are missing.
func (n *notes) strings() []string {
	if n.more == 0 {
		return n.list
	}
	return append(n.list, fmt.Sprintf("comments that found no room: %d", n.more))
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
	if len(s) <= maxNote {
		return s
	}
	end := maxNote - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// event takes what an event says of packets.
func (q *queue) event(e *event.Event) {
	if client, ok := q.legs[e.Conn]; ok {
		q.legEvent(client, e)
		return
	}
	c := q.conns[e.Conn]
	switch b := e.Body.(type) {
	case *event.Open:
		switch {
		case !b.Upstream:
			q.open(e.Conn)
		case len(q.legs) < q.limits.conns:
			q.legs[e.Conn] = b.UpstreamOf
		}
	case *event.Close:
		q.close(e.Conn)
	case *event.Segment:
		if c != nil {
			c.recent[c.next] = segment{e.N, b.Frame}
			c.next = (c.next + 1) % len(c.recent)
		}
	case *event.TCPState:
		if e.View == event.Endpoint {
			q.comment(e.Conn, c, b.Cause.N, stateComment(b))
		}
	case *event.Drop:
		q.comment(e.Conn, c, b.N, "tcp.drop: "+b.Reason)
	case *event.Fault:
		q.comment(e.Conn, c, 0, fmt.Sprintf("fault: %s at %s: %s", b.Scenario, b.At, b.Action))
	case *event.Failed:
		var newest uint64 // its alert, or what ended the connection
		if c != nil {
			newest = c.recent[(c.next+len(c.recent)-1)%len(c.recent)].n
		}
		q.comment(e.Conn, c, newest, failedComment(b))
	case *event.Gap:
		q.comment(e.Conn, c, 0, gapComment(b))
	}
}

// legEvent takes an event of an upstream leg. It has no packets: what went wrong
// with it is for the next one of its client.
func (q *queue) legEvent(client uint64, e *event.Event) {
	what := ""
	switch b := e.Body.(type) {
	case *event.Close:
		delete(q.legs, e.Conn)
		if b.Cause != "" {
			what = "conn.close: " + b.Cause
		}
	case *event.Failed:
		what = failedComment(b)
	case *event.Gap:
		what = gapComment(b)
	}
	if what != "" {
		q.comment(client, q.conns[client], 0, fmt.Sprintf("upstream leg %d: %s", e.Conn, what))
	}
}

// comment puts a comment on the packet of the connection's n-th event, or on
// the next one if that is not known or written already.
func (q *queue) comment(id uint64, c *conn, n uint64, s string) {
	var frame uint64
	if c != nil {
		frame = c.frame(n)
	}
	if e := q.find(frame); e != nil && frame != 0 {
		q.note(&e.notes, s)
		return
	}
	if frame != 0 {
		s += fmt.Sprintf(" (of frame %d)", frame)
	}
	switch {
	case c != nil:
		q.note(&c.notes, s)
	case id != 0:
		q.note(&q.notes, fmt.Sprintf("connection %d: %s", id, s))
	default:
		q.note(&q.notes, s)
	}
}

func stateComment(b *event.TCPState) string {
	s := fmt.Sprintf("tcp.state: %v %v > %v", b.Side, b.Old, b.New)
	if b.Cause.By != event.BySegment || b.Cause.What != "" {
		s += ", " + strings.TrimSpace(string(b.Cause.By)+" "+b.Cause.What)
	}
	return s
}

func gapComment(b *event.Gap) string {
	return fmt.Sprintf("trace.gap: %d %s lost: %s", b.Lost, b.What, b.Reason)
}

func failedComment(b *event.Failed) string {
	s := fmt.Sprintf("tls.failed: %v: %s", b.Side, b.Cause)
	if b.Error != "" {
		s += " (" + b.Error + ")"
	}
	if b.Hint != "" {
		s += "; " + b.Hint
	}
	return s
}

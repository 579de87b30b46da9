package expect

import (
	"cmp"
	"fmt"
	"strings"

	"synscope/event"
	"synscope/internal/typeset"
)

// What of an expectation that is not met fits into a line.
const (
	maxNamed = 4  // connections
	maxValue = 80 // columns of a value, and of a name
)

// offence says what an expectation is not met by, "" if it is met, and which
// connections that names.
func (r *Recorder) offence(x *expectation) (string, []uint64) {
	if x.OfRun() {
		return r.ofRun(x)
	}
	return r.ofConns(x)
}

// ofConns finds the connections of which an expectation is not true.
func (r *Recorder) ofConns(x *expectation) (string, []uint64) {
	if len(r.conns) == 0 && r.connsLost == 0 {
		return "there was no connection", nil
	}
	var named []string
	var ids []uint64
	more := 0
	for _, c := range r.conns {
		met, err := x.MetBy(&c.Summary)
		switch {
		case met:
		case len(named) == maxNamed:
			more++
		default:
			named = append(named, c.tell(x, err))
			ids = append(ids, c.Conn)
		}
	}
	return list(named, more), ids
}

// ofRun says what the run is, where an expectation is not true of it.
func (r *Recorder) ofRun(x *expectation) (string, []uint64) {
	conns := make([]*event.Summary, len(r.conns))
	for i, c := range r.conns {
		conns[i] = &c.Summary
	}
	met, err := x.Met(conns, r.timeline)
	of := typeset.Count(len(conns), "connection")
	if x.Timeline() {
		of = typeset.Count(len(r.timeline), "event") + " of " + of
	}
	switch {
	case met:
		return "", nil
	case err != nil:
		return fmt.Sprintf("of %s it cannot be said: %s", of, typeset.Escape(err.Error(), typeset.MaxText, false)), nil
	case len(conns) == 0:
		return "there was no connection", nil
	}
	var named []string
	var ids []uint64
	for _, c := range r.conns[:min(len(r.conns), maxNamed)] {
		ids = append(ids, c.Conn)
		if len(x.Values(&c.Summary)) > 0 {
			named = append(named, c.tell(x, nil))
		}
	}
	if len(named) == 0 {
		return "it is not so of " + of, ids
	}
	return fmt.Sprintf("of %s, %s", of, list(named, len(conns)-len(named))), ids
}

// list joins what is said of connections.
func list(named []string, more int) string {
	s := strings.Join(named, "; ")
	if more > 0 {
		s += fmt.Sprintf("; and %s more", typeset.Thousands(uint64(more)))
	}
	return s
}

// tell says what a connection has where something else was expected.
func (c *conn) tell(x *expectation, err error) string {
	who := fmt.Sprintf("#%d", c.Conn)
	if name := c.peer(); name != "" {
		who += " " + name
	}
	var has []string
	for _, v := range x.Values(&c.Summary) {
		has = append(has, v.Field+" "+short(v.Text))
	}
	switch {
	case err != nil:
		return who + ": " + typeset.Escape(err.Error(), typeset.MaxText, false)
	case len(has) == 0:
		return who + " is not so"
	}
	return who + " has " + strings.Join(has, ", ")
}

// peer names the server: as the client did, or as its address was asked for, or
// by its address.
func (c *conn) peer() string {
	if name := cmp.Or(c.TLS.ServerName, c.name); name != "" {
		return typeset.Escape(name, maxValue, false)
	}
	if c.Server.IsValid() {
		return c.Server.String()
	}
	return ""
}

func short(value string) string {
	if typeset.Columns(value) <= maxValue {
		return value
	}
	return typeset.Cut(value, maxValue-2) + ".."
}

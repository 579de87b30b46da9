package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// A story is the events of one connection.
type story []*event.Event

// stories ends the daemon and returns its connections, in their order.
func (l *lab) stories() []story {
	l.t.Helper()
	l.stop()
	return byConnection(l.events)
}

// byConnection returns the connections of a stream of events, in their order.
func byConnection(events []*event.Event) []story {
	var all []story
	byConn := make(map[uint64]int)
	for _, e := range events {
		if e.Conn == 0 {
			continue
		}
		i, ok := byConn[e.Conn]
		if !ok {
			i = len(all)
			byConn[e.Conn] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], e)
	}
	return all
}

// story ends the daemon and returns the one connection that there must be.
func (l *lab) story() story {
	l.t.Helper()
	all := l.stories()
	if len(all) != 1 {
		for _, s := range all {
			l.t.Logf("%s\n%s", s.open(), s.transitions())
		}
		l.t.Fatalf("%d connections, want 1", len(all))
	}
	return all[0]
}

func (s story) open() string {
	o := s[0].Body.(*event.Open)
	return fmt.Sprintf("#%d %v > %v", s[0].Conn, o.Client, o.Server)
}

// transitions lists all transitions of both layers, of both sides.
func (s story) transitions() string {
	var paths [4]string
	labels := [4]string{"tcp client", "tcp server", "tls client", "tls server"}
	step := func(i int, old, new string) {
		if paths[i] == "" {
			paths[i] = old
		} else if !strings.HasSuffix(paths[i], old) {
			paths[i] += " ?? " + old // a hole: a transition from where it was not
		}
		paths[i] += " > " + new
	}
	for _, e := range s {
		i := 0
		if e.From == event.Server {
			i = 1
		}
		switch b := e.Body.(type) {
		case *event.TCPState:
			step(i, b.Old.String(), b.New.String())
		case *event.TLSState:
			step(2+i, string(b.Old), string(b.New))
		}
	}
	var b strings.Builder
	for i, p := range paths {
		if p != "" {
			fmt.Fprintf(&b, "%s  %s\n", labels[i], p)
		}
	}
	return b.String()
}

// wantTransitions compares the complete list; leading tabs of want are cut.
func (s story) wantTransitions(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(unindent(want), s.transitions()); diff != "" {
		t.Errorf("transitions of %s (-want +got):\n%s", s.open(), diff)
	}
}

func unindent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(s)) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// find returns the bodies of one kind, in order.
func find[T event.Body](s story) []T {
	var bodies []T
	for _, e := range s {
		if b, ok := e.Body.(T); ok {
			bodies = append(bodies, b)
		}
	}
	return bodies
}

// one returns the one body of a kind that there must be.
func one[T event.Body](t *testing.T, s story) T {
	t.Helper()
	bodies := find[T](s)
	if len(bodies) != 1 {
		var zero T
		t.Fatalf("%s: %d events of kind %s, want 1", s.open(), len(bodies), zero.Kind())
	}
	return bodies[0]
}

// messages lists the handshake messages, ChangeCipherSpecs and alerts, as
// "client client_hello", encrypted ones in braces.
func (s story) messages() string {
	var b strings.Builder
	line := func(e *event.Event, encrypted bool, what string) {
		if encrypted {
			what = "{" + what + "}"
		}
		fmt.Fprintf(&b, "%s %s\n", e.From, what)
	}
	for _, e := range s {
		switch m := e.Body.(type) {
		case *event.Message:
			line(e, m.Encrypted, m.Type.String())
		case *event.ChangeCipherSpec:
			line(e, false, "change_cipher_spec")
		case *event.Alert:
			line(e, m.Encrypted, "alert "+m.Description.String())
		}
	}
	return b.String()
}

// wantMessages compares the complete list.
func (s story) wantMessages(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(unindent(want), s.messages()); diff != "" {
		t.Errorf("messages of %s (-want +got):\n%s", s.open(), diff)
	}
}

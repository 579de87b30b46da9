package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

// A passage is a Gate and what came out of it.
type passage struct {
	*Gate
	t   *testing.T
	out []string
	ns  map[uint64]uint64
}

func newPassage(t *testing.T, expr string, whole bool) *passage {
	p := &passage{t: t, ns: make(map[uint64]uint64)}
	p.Gate = NewGate(mustCompile(t, expr), sinkFunc(p.take), whole)
	return p
}

var began = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

// put gives the gate an event of a connection.
func (p *passage) put(conn uint64, body event.Body) {
	p.ns[conn]++
	t := time.Duration(p.ns[conn]) * time.Millisecond
	p.Gate.Event(&event.Event{Time: began.Add(t), T: t, Conn: conn, N: p.ns[conn], View: event.Wire, Body: body})
}

// want says what came out since the last call, as "CONN KIND" or, of a gap, as
// what it says.
func (p *passage) want(why string, events ...string) {
	p.t.Helper()
	if !slices.Equal(p.out, events) {
		p.t.Errorf("%s:\n got %s\nwant %s", why, strings.Join(p.out, ", "), strings.Join(events, ", "))
	}
	p.out = nil
}

type sinkFunc func(*event.Event)

func (f sinkFunc) Event(e *event.Event) { f(e) }

func (p *passage) take(e *event.Event) {
	s := fmt.Sprintf("%d %s", e.Conn, e.Kind())
	if g, ok := e.Body.(*event.Gap); ok {
		s = fmt.Sprintf("%d %s: %s", g.Lost, g.What, g.Reason)
		if e.Conn != 0 || e.N != 0 || e.Time.IsZero() || e.T < 0 {
			p.t.Errorf("the gap is of connection %d, number %d, at %v, %v", e.Conn, e.N, e.Time, e.T)
		}
	}
	p.out = append(p.out, s)
}

const early = "the filter had to decide before the end of the connection"

var (
	opening     = &event.Open{Client: clientAddr, Server: serverAddr}
	segment     = &event.Segment{}
	fatal       = &event.Alert{Level: "fatal", Description: 48}
	established = &event.Established{Version: event.VersionTLS13}
	closing     = &event.Close{How: "fin"}
	timeWait    = &event.TCPState{Old: event.StateTimeWait, New: event.StateClosed}
)

// What only the event decides is handed on at once.
func TestEventDecides(t *testing.T) {
	p := newPassage(t, `event.kind == "tls.alert"`, false)
	p.put(1, opening)
	p.put(1, segment)
	p.want("no alert")
	p.put(1, fatal)
	p.want("an alert", "1 tls.alert")
	p.put(1, closing)
	p.put(1, fatal)
	p.want("a late one", "1 tls.alert")
	p.Flush()
	p.want("the end")
}

// What the connection decides is held until that has ended.
func TestConnectionDecides(t *testing.T) {
	p := newPassage(t, `alert == "unknown_ca"`, false)
	p.put(1, opening)
	p.put(2, opening)
	p.put(1, fatal)
	p.put(2, segment)
	p.want("both are open")
	p.put(2, closing)
	p.want("the other has ended")
	p.put(1, closing)
	p.want("it has ended", "1 conn.open", "1 tls.alert", "1 conn.close")
	p.put(1, segment)
	p.put(2, segment)
	p.want("late segments of both", "1 tcp.segment")
	p.put(3, opening)
	p.put(3, fatal)
	p.Flush()
	p.want("the end of the run", "3 conn.open", "3 tls.alert")
}

// Of an expression that uses both, each event is decided when it can be, and
// the order stays.
func TestBothDecide(t *testing.T) {
	p := newPassage(t, `event.kind == "tls.alert" && tls.version == "TLS 1.3" || event.kind == "conn.open"`, false)
	p.put(1, opening)
	p.want("decided by the event", "1 conn.open")
	p.put(1, segment)
	if p.held != 0 {
		t.Error("a segment is held, which cannot match")
	}
	p.put(1, fatal)
	p.put(1, opening)
	p.want("a match waits behind what is held")
	p.put(1, established)
	p.put(1, closing)
	p.want("the end", "1 tls.alert", "1 conn.open")
	p.put(1, fatal)
	p.want("a late alert", "1 tls.alert")
	p.put(2, fatal)
	p.put(2, closing)
	p.Flush()
	p.want("another version")
}

// An event of no connection matches only by itself.
func TestNoConnection(t *testing.T) {
	p := newPassage(t, `tcp.retransmits == 0`, false)
	p.put(0, &event.Gap{Lost: 1, What: "packets"})
	p.Flush()
	p.want("it has no retransmits")

	p = newPassage(t, `tcp.retransmits == 0 || event.kind == "device"`, true)
	p.put(0, &event.Unreachable{})
	p.put(0, &event.Device{})
	p.want("at once", "0 device")

	p = newPassage(t, `event.conn == 0`, true)
	p.put(0, &event.Device{})
	p.put(1, opening)
	p.put(1, closing)
	p.want("at once", "0 device")
}

// A connection of which any event matches is handed on whole.
func TestWhole(t *testing.T) {
	p := newPassage(t, `event.kind == "tls.alert"`, true)
	p.put(1, opening)
	p.put(2, opening)
	p.put(1, segment)
	p.want("no alert yet")
	p.put(1, fatal)
	p.want("an alert", "1 conn.open", "1 tcp.segment", "1 tls.alert")
	p.put(2, segment)
	p.put(1, segment)
	p.put(1, closing)
	p.put(2, closing)
	p.put(1, segment)
	p.put(2, segment)
	p.want("all that follows", "1 tcp.segment", "1 conn.close", "1 tcp.segment")
	p.put(2, fatal)
	p.Flush()
	p.want("an alert that comes too late is told", "1 events: "+early)

	p = newPassage(t, `event.kind == "tls.alert" && tls.version == "TLS 1.3"`, true)
	p.put(1, opening)
	p.put(2, opening)
	p.put(1, fatal)
	p.put(2, established)
	p.put(1, established)
	p.put(1, closing)
	p.put(2, closing)
	p.put(1, timeWait)
	p.want("decided at the end", "1 conn.open", "1 tls.alert", "1 tls.established", "1 conn.close", "1 tcp.state")

	p = newPassage(t, `tls.version == "TLS 1.3"`, true)
	p.put(1, opening)
	p.put(2, opening)
	p.put(2, established)
	p.put(1, closing)
	p.put(2, closing)
	p.want("decided by the connection", "2 conn.open", "2 tls.established", "2 conn.close")
}

// What was let go of a connection that is shown whole after all is told.
func TestWholeBounds(t *testing.T) {
	p := newPassage(t, `event.kind == "tls.alert"`, true)
	p.limits.held = 3
	for range 4 {
		p.put(1, segment)
		p.put(2, segment)
	}
	p.put(2, closing)
	p.put(1, fatal)
	p.want("from the fourth on", "1 tcp.segment", "1 tls.alert")
	p.put(1, closing)
	p.Flush()
	p.want("the end", "1 conn.close", "3 events: "+early)
}

// Beyond the bound on a connection, what is held is decided by what is known.
// It is lost only if the connection matches in the end.
func TestHeldOfAConnection(t *testing.T) {
	p := newPassage(t, `alert == "unknown_ca"`, false)
	p.limits.held = 3
	for range 3 {
		p.put(1, segment)
		p.put(2, segment)
	}
	p.put(1, fatal)
	p.put(1, closing)
	p.put(2, closing)
	p.want("the first three of one are lost", "3 events: "+early, "1 tls.alert", "1 conn.close")
	p.put(3, fatal)
	p.put(3, segment)
	p.put(3, segment)
	p.want("the alert is known already", "3 tls.alert", "3 tcp.segment", "3 tcp.segment")
	p.put(3, closing)
	p.Flush()
	p.want("nothing was lost", "3 conn.close")
}

// Beyond the bound on all, the connection that waited for longest is decided.
func TestHeldInAll(t *testing.T) {
	p := newPassage(t, `alert == "unknown_ca"`, false)
	p.limits.total = 4
	p.put(1, fatal)
	p.put(2, segment)
	p.put(2, segment)
	p.put(3, segment)
	p.want("there is room")
	p.put(3, segment)
	p.want("the first connection matches so far", "1 tls.alert")
	p.put(3, segment)
	p.put(3, fatal)
	p.put(2, closing)
	p.put(3, closing)
	p.put(1, closing)
	p.want("of the second, which does not match, nothing is lost", "3 tcp.segment", "3 tcp.segment", "3 tcp.segment", "3 tls.alert", "3 conn.close", "1 conn.close")
	p.Flush()
	p.want("the end")
	if p.held != 0 || len(p.conns) != 0 || p.oldest.Len() != 0 {
		t.Errorf("%d events of %d connections are held", p.held, len(p.conns))
	}
}

// Beyond the bound on connections, the oldest is no longer followed, and what
// it loses by that is told.
func TestConnections(t *testing.T) {
	p := newPassage(t, `alert == "unknown_ca"`, false)
	p.limits.conns = 2
	p.put(1, opening)
	p.put(1, segment)
	p.put(2, fatal)
	p.put(3, opening)
	p.want("the first is given up")
	p.put(1, fatal)
	p.put(1, closing)
	p.put(2, closing)
	p.want("its events are counted", "4 events: "+early, "2 tls.alert", "2 conn.close")
	p.Flush()
	p.want("the end")
}

// The connections that ended are known for a time.
func TestEnded(t *testing.T) {
	p := newPassage(t, `tls.state == ""`, false)
	p.limits.ended = 2
	for conn := range uint64(3) {
		p.put(conn+1, closing)
	}
	p.want("all end", "1 conn.close", "2 conn.close", "3 conn.close")
	p.put(3, timeWait)
	p.put(2, timeWait)
	p.want("known", "3 tcp.state", "2 tcp.state")
	p.put(1, timeWait)
	if len(p.ended) != 2 || len(p.conns) != 0 {
		t.Errorf("%d connections are known to have ended and %d to be open", len(p.ended), len(p.conns))
	}
	p.Flush()
	p.want("forgotten")
}

// What takes too many steps is told.
func TestTooCostly(t *testing.T) {
	p := newPassage(t, `event.client_hello.cipher_suites.all(x, event.client_hello.cipher_suites.all(y, x == y))`, false)
	p.put(1, &event.Message{ClientHello: &event.ClientHello{CipherSuites: make([]event.CipherSuite, 1000)}})
	p.put(1, &event.Message{ClientHello: &event.ClientHello{CipherSuites: make([]event.CipherSuite, 3)}})
	p.want("the second is told after the first", "1 events: the filter takes too many steps", "1 tls.message")
}

// A filter that all events match changes nothing but the time of some.
func TestAllMatch(t *testing.T) {
	for _, expr := range []string{`true`, `open || !open`, `event.n > 0`, `event.n > 0 && conn > 0`} {
		for _, whole := range []bool{false, true} {
			var want, got []*event.Event
			g := NewGate(mustCompile(t, expr), sinkFunc(func(e *event.Event) { got = append(got, e) }), whole)
			for conn := range uint64(3) {
				for _, e := range handshake(conn + 1) {
					want = append(want, e)
					g.Event(e)
				}
			}
			g.Flush()
			if !slices.Equal(got, want) {
				t.Errorf("%s, whole %v: %d events come out of %d, or in another order", expr, whole, len(got), len(want))
			}
		}
	}
}

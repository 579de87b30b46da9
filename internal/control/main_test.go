package control

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synscope/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A feed makes the events of connections as a tracer numbers them.
type feed struct {
	sink interface{ Event(*event.Event) }
	n    map[uint64]uint64
	told int
}

func newFeed(sink interface{ Event(*event.Event) }) *feed {
	return &feed{sink: sink, n: make(map[uint64]uint64)}
}

func (f *feed) tell(conn uint64, body event.Body) {
	f.skip(conn)
	f.told++
	f.sink.Event(&event.Event{Time: time.Unix(1, 0).UTC(), Conn: conn, N: f.n[conn], View: event.Wire, Body: body})
}

// skip numbers an event that nobody is told of.
func (f *feed) skip(conn uint64) { f.n[conn]++ }

func (f *feed) open(conn uint64) {
	f.tell(conn, &event.Open{Client: netip.MustParseAddrPort("198.18.0.1:40000"), Server: netip.MustParseAddrPort("198.18.3.4:443")})
}

func (f *feed) segments(conn uint64, n int) {
	for range n {
		f.tell(conn, &event.Segment{Flags: event.ACK})
	}
}

func (f *feed) close(conn uint64) { f.tell(conn, &event.Close{How: "fin"}) }

// whole tells a connection of three events.
func (f *feed) whole(conn uint64) {
	f.open(conn)
	f.segments(conn, 1)
	f.close(conn)
}

// story is a list of events for comparing: "7: 1-1024 lost 5 1030".
func story(es []*event.Event) string {
	var parts []string
	conn := uint64(0)
	for i := 0; i < len(es); i++ {
		e := es[i]
		if e.Conn != conn {
			conn = e.Conn
			parts = append(parts, fmt.Sprintf("%d:", conn))
		}
		if gap, ok := e.Body.(*event.Gap); ok {
			parts = append(parts, fmt.Sprintf("lost %d", gap.Lost))
			continue
		}
		first := e.N
		for i+1 < len(es) && es[i+1].Conn == conn && es[i+1].N == es[i].N+1 && es[i+1].Kind() != "trace.gap" {
			i++
		}
		if es[i].N == first {
			parts = append(parts, fmt.Sprint(first))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, es[i].N))
		}
	}
	return strings.Join(parts, " ")
}

package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// bothVersions runs a test for a server of each IP version, with its address and
// port 7.
func bothVersions(t *testing.T, f func(t *testing.T, server netip.AddrPort)) {
	t.Helper()
	for name, addr := range map[string]string{"IPv4": server4, "IPv6": server6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, netip.AddrPortFrom(netip.MustParseAddr(addr), 7))
		})
	}
}

// dial connects with the kernel's TCP.
func (l *lab) dial(server netip.AddrPort) *net.TCPConn {
	l.t.Helper()
	conn, err := l.tryDial(server, clientTimeout)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func (l *lab) tryDial(server netip.AddrPort, timeout time.Duration) (conn net.Conn, err error) {
	l.inside(func() {
		if conn, err = net.DialTimeout("tcp", server.String(), timeout); err == nil {
			conn.SetDeadline(time.Now().Add(clientTimeout))
		}
	})
	return conn, err
}

// await waits for an event of the running daemon. It asks of each event once, in
// order, from the first.
func (l *lab) await(what string, is func(e *event.Event) bool) {
	l.t.Helper()
	f, err := os.Open(l.path("events.jsonl"))
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	var line []byte
	for deadline := time.Now().Add(startTimeout); ; {
		part, err := lines.ReadBytes('\n')
		line = append(line, part...)
		if err == io.EOF { // what is there of a line will be continued
			if time.Now().After(deadline) {
				l.t.Fatalf("not told within %v: %s", startTimeout, what)
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		e := new(event.Event)
		if err == nil {
			err = json.Unmarshal(line, e)
		}
		if err != nil {
			l.t.Fatalf("%v\n%s", err, line)
		}
		if is(e) {
			return
		}
		line = nil
	}
}

// awaitClose waits for the end of n connections.
func (l *lab) awaitClose(n int) {
	l.t.Helper()
	l.await("conn.close", func(e *event.Event) bool {
		if _, ok := e.Body.(*event.Close); ok {
			n--
		}
		return n == 0
	})
}

// awaitState waits until our endpoint is in a state.
func (l *lab) awaitState(s event.State) {
	l.t.Helper()
	l.await(s.String(), func(e *event.Event) bool {
		b, ok := e.Body.(*event.TCPState)
		return ok && b.Side == event.Server && b.New == s
	})
}

// causes lists the transitions of one side's TCP with what each was due to. A
// segment is told by its sender and flags.
func (s story) causes(side event.Side) string {
	byN := make(map[uint64]*event.Event)
	for _, e := range s {
		byN[e.N] = e
	}
	var b strings.Builder
	for _, e := range s {
		t, ok := e.Body.(*event.TCPState)
		if !ok || t.Side != side {
			continue
		}
		cause := t.Cause.String()
		if due := byN[t.Cause.N]; t.Cause.By == event.BySegment && due != nil {
			if seg, ok := due.Body.(*event.Segment); ok {
				cause = due.From.String() + "'s " + (seg.Flags &^ event.PSH).String()
			}
		}
		b.WriteString(t.New.String() + ": " + cause + "\n")
	}
	return b.String()
}

// wantCauses compares the complete list.
func (s story) wantCauses(t *testing.T, side event.Side, want string) {
	t.Helper()
	if diff := cmp.Diff(unindent(want), s.causes(side)); diff != "" {
		t.Errorf("causes of the %v's states in %s (-want +got):\n%s", side, s.open(), diff)
	}
}

// segments returns those that a side sent.
func (s story) segments(from event.Side) []*event.Segment {
	var segs []*event.Segment
	for _, e := range s {
		if seg, ok := e.Body.(*event.Segment); ok && e.From == from {
			segs = append(segs, seg)
		}
	}
	return segs
}

// end is the relative sequence number after a segment.
func end(seg *event.Segment) int64 {
	n := seg.SeqRel + int64(seg.Len)
	if seg.Flags&(event.SYN|event.FIN) != 0 {
		n++
	}
	return n
}

// retransmits counts the segments of a side that are told as retransmitted.
func (s story) retransmits(from event.Side) int {
	n := 0
	for _, seg := range s.segments(from) {
		if seg.Retransmit {
			n++
		}
	}
	return n
}

// wantClose checks how and by whom the connection ended.
func (s story) wantClose(t *testing.T, how string, by event.Side) *event.Close {
	t.Helper()
	c := one[*event.Close](t, s)
	for _, e := range s {
		if e.Body == c && (c.How != how || e.From != by) {
			t.Errorf("%s closed by %q: %q, want by %q: %q", s.open(), e.From, c.How, by, how)
		}
	}
	return c
}

// writeConfig writes the configuration file of the lab, in a directory that the
// daemon can read, and returns its path.
func (l *lab) writeConfig(yaml string) string {
	l.t.Helper()
	dir := l.path("config")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	path := filepath.Join(dir, "synscope.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

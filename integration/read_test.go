package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// judgeRead has synscope read the daemon's own capture, and compares what it
// tells with what was told live: the transitions of both layers and both sides,
// the messages, and the outcome.
func (l *lab) judgeRead() {
	l.t.Helper()
	live, read := l.stories(), l.readCapture(ownCapture)
	if len(live) != len(read) {
		l.t.Errorf("%d connections live, %d read", len(live), len(read))
		return
	}
	for i := range live {
		want, got := live[i].seen(), read[i].seen()
		const waits = "tcp server  LISTEN > SYN-RECEIVED"
		if len(find[*event.Drop](live[i])) > 0 && strings.Contains(want, waits+"\n") {
			// That our endpoint ignored the handshake's ACK no packet shows.
			got = strings.Replace(got, waits+" > ESTABLISHED\n", waits+"\n", 1)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			l.t.Errorf("%s is read otherwise than it was told (-live +read):\n%s", live[i].open(), diff)
		}
	}
}

// readCapture returns the connections that synscope read tells of a file in the
// lab's folder.
func (l *lab) readCapture(name string, flags ...string) []story {
	l.t.Helper()
	events := l.path(name + ".jsonl")
	args := append([]string{"read", "--events", events}, flags...)
	cmd := exec.Command(binary, append(args, l.path(name))...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		l.t.Fatalf("%v: %v\n%s", cmd.Args, err, &stderr)
	}
	defer os.Remove(events)
	return byConnection(readEvents(l.t, events))
}

// seen is what a capture tells of a story: all but the transitions of our
// endpoint that no segment shows, and what only it knows of the end.
func (s story) seen() string {
	var visible story
	for _, e := range s {
		if b, ok := e.Body.(*event.TCPState); ok && (b.Cause.By == event.ByTimer || b.Old == event.StateTimeWait) {
			continue
		}
		visible = append(visible, e)
	}
	var b strings.Builder
	b.WriteString(visible.transitions())
	b.WriteString(visible.messages())
	for _, e := range find[*event.Established](s) {
		fmt.Fprintf(&b, "established: %s %s %s %s, resumed %t\n", e.Version, e.CipherSuite, e.Group, e.ALPN, e.Resumed)
	}
	for _, e := range find[*event.Close](s) {
		how := e.How
		switch how {
		case "timeout", "dropped", "end_of_capture":
			how = "without a segment"
		}
		fmt.Fprintf(&b, "close: %s, %d and %d bytes, %d segments, %d retransmitted\n", how, e.BytesClient, e.BytesServer, e.SegmentsSeen, e.Retransmits)
	}
	return b.String()
}

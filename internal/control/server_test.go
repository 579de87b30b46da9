package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope/event"
	"synscope/internal/jsonlines"
)

// A log is what the daemon logged.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// socketPath is a path in a directory that is not there yet.
func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "run", "s") }

func mustListen(t *testing.T, path string) (*Listener, *logText) {
	t.Helper()
	log := &logText{}
	l, err := Listen(path, os.Getuid(), os.Getgid(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l, log
}

// newServer starts a server, a client of it, and a feed of its events.
func newServer(t *testing.T) (*Server, *Client, *feed) {
	t.Helper()
	path := socketPath(t)
	l, _ := mustListen(t, path)
	s := NewServer(l, Limits{Ended: 100, Bytes: roomy})
	started := time.Now()
	s.Serve(func() Status { return Status{Started: started, Device: "syn9", PID: 7} })
	t.Cleanup(func() { s.Close() })
	c, err := NewClient(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c, newFeed(s)
}

// sync waits until the history has all that it was told.
func (s *Server) sync(t *testing.T, f *feed) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if st := s.history.snapshot(); st.Events+int(st.DroppedEvents)+int(st.LostEvents) >= f.told {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the history has %+v of %d events", s.history.snapshot(), f.told)
		}
	}
}

// follow opens a stream; next returns its next n events.
func follow(t *testing.T, c *Client, f Follow) (next func(n int) []*event.Event, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	body, err := c.Events(ctx, f)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	events := make(chan *event.Event)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		for e, err := range jsonlines.Read(body) {
			if err != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	end = sync.OnceFunc(func() { cancel(); body.Close(); <-done })
	t.Cleanup(end)
	return func(n int) (es []*event.Event) {
		t.Helper()
		for range n {
			select {
			case e, ok := <-events:
				if !ok {
					return es
				}
				es = append(es, e)
			case <-time.After(20 * time.Second):
				t.Fatalf("no further event after %s", story(es))
			}
		}
		return es
	}, end
}

const all = 1 << 20

func TestConnections(t *testing.T) {
	s, c, f := newServer(t)
	ctx := t.Context()
	cs, err := c.Connections(ctx, Query{})
	if err != nil || cs.Connections == nil || len(cs.Connections) != 0 {
		t.Errorf("at first: %+v, %v, want an empty list", cs, err)
	}
	f.open(1)
	f.whole(2)
	f.open(3)
	f.whole(4)
	s.sync(t, f)
	for _, q := range []struct {
		Query
		want string
	}{
		{Query{}, "1 2 3 4"}, {Query{State: "open"}, "1 3"}, {Query{State: "ended"}, "2 4"},
		{Query{Newest: 3}, "2 3 4"}, {Query{State: "open", Newest: 1}, "3"},
	} {
		cs, err := c.Connections(ctx, q.Query)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range cs.Connections {
			ids = append(ids, fmt.Sprint(s.Conn))
		}
		if got := strings.Join(ids, " "); got != q.want || cs.Open != 2 || cs.Ended != 2 {
			t.Errorf("%+v: connections %s, %d open, %d ended, want %s, 2, 2", q.Query, got, cs.Open, cs.Ended, q.want)
		}
	}
	cs, _ = c.Connections(ctx, Query{Newest: 1})
	if got := cs.Connections[0]; got.Open || got.TCP.How != "fin" || got.Server.Port() != 443 || got.Events != 3 {
		t.Errorf("summary %+v", got)
	}

	es, err := c.Connection(ctx, 2)
	if err != nil || story(es) != "2: 1-3" {
		t.Errorf("connection 2: %s, %v", story(es), err)
	}
	_, err = c.Connection(ctx, 9)
	var e *Error
	if !errors.As(err, &e) || e.Error() != "there is no connection 9" || e.Hint != "the newest is 4; synscope ls lists them" {
		t.Errorf("connection 9: %#v", err)
	}
	st, err := c.Status(ctx)
	if err != nil || st.PID != 7 || st.Device != "syn9" || st.Uptime <= 0 || st.Readers != 1 || st.History.Events != 8 {
		t.Errorf("status %+v, %v", st, err)
	}
}

// What is asked wrongly is answered in JSON, with the code that says so.
func TestRefusals(t *testing.T) {
	_, c, _ := newServer(t)
	for target, code := range map[string]int{
		"/": 404, "/v1/statu": 404, "/v1/connections/7": 404, "/v1/events?conn=7": 404,
		"/v1/connections/x": 400, "/v1/connections?state=x": 400, "/v1/connections?newest=-1": 400,
		"/v1/events?history=x": 400, "/v1/events?conn=-1": 400,
	} {
		resp, err := c.http.Get("http://synscope" + target)
		if err != nil {
			t.Fatal(err)
		}
		var f failure
		err = json.NewDecoder(resp.Body).Decode(&f)
		resp.Body.Close()
		if err != nil || resp.StatusCode != code || f.Error == "" || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, %+v, %v, want %d", target, resp.Status, f, err, code)
		}
	}
	resp, err := c.http.Post("http://synscope/v1/status", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("POST: %s", resp.Status)
	}
}

// A reader of all gets what comes from now on; one who asks for the past gets
// the open connections whole, and of those that ended the newest.
func TestEvents(t *testing.T) {
	s, c, f := newServer(t)
	f.open(1)
	f.whole(2)
	f.whole(3)
	s.sync(t, f)
	live, _ := follow(t, c, Follow{})
	open, _ := follow(t, c, Follow{Past: true})
	past, _ := follow(t, c, Follow{Past: true, Ended: 1})
	f.close(1)
	f.open(4)
	for name, r := range map[string]struct {
		next func(int) []*event.Event
		n    int
		want string
	}{
		"live": {live, 2, "1: 2 4: 1"},
		"open": {open, 3, "1: 1-2 4: 1"},
		"past": {past, 6, "1: 1 3: 1-3 1: 2 4: 1"},
	} {
		if got := story(r.next(r.n)); got != r.want {
			t.Errorf("%s: %s, want %s", name, got, r.want)
		}
	}
}

// The stream of a connection has all of it and ends with it.
func TestEventsOfConnection(t *testing.T) {
	s, c, f := newServer(t)
	f.open(1)
	f.open(2)
	s.sync(t, f)
	next, _ := follow(t, c, Follow{Conn: 2})
	f.segments(1, 5)
	f.segments(2, 5)
	f.close(2)
	f.segments(2, 1)
	if got := story(next(all)); got != "2: 1-7" && got != "2: 1-8" { // the late one may come
		t.Errorf("followed %s, want 2: 1-7", got)
	}
	s.sync(t, f)
	next, _ = follow(t, c, Follow{Conn: 2})
	if got := story(next(all)); got != "2: 1-8" {
		t.Errorf("followed after its end: %s, want 2: 1-8", got)
	}
}

// A reader who does not read costs the others nothing, and learns what it lost,
// and where.
func TestSlowReader(t *testing.T) {
	s, c, f := newServer(t)
	const waiting = 1000
	s.history.mu.Lock()
	s.history.waiting = waiting
	s.history.mu.Unlock()
	conn, err := net.Dial("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: synscope\r\n\r\n")
	slow := bufio.NewReader(conn)
	resp, err := http.ReadResponse(slow, nil) // it is subscribed, and stops reading
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Events(t.Context(), Follow{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	fast := bufio.NewScanner(body)
	f.open(1)
	for range 20 { // what the socket holds, and more than may wait
		f.segments(1, 500)
		for n := f.n[1] - 500; n < f.n[1]; n++ { // it gets everything meanwhile
			if !fast.Scan() || !strings.Contains(fast.Text(), fmt.Sprintf(`"n":%d,`, n)) {
				t.Fatalf("the fast reader got %q, %v, want event %d", fast.Text(), fast.Err(), n)
			}
		}
	}

	// The slow one begins to read.
	received, lost, n := 0, 0, uint64(0)
	for e, err := range jsonlines.Read(resp.Body) {
		if err != nil {
			t.Fatal(err)
		}
		if gap, ok := e.Body.(*event.Gap); ok {
			lost += int(gap.Lost)
			n += gap.Lost
			continue
		}
		received++
		if n++; e.N != n {
			t.Fatalf("event %d comes where %d was to come", e.N, n)
		}
		if e.Kind() == "conn.close" {
			break
		}
		if received == waiting { // there is room: the gap and the end find their place
			f.close(1)
		}
	}
	if lost == 0 || received+lost != f.told {
		t.Errorf("the slow reader got %d events and lost %d, but %d were told", received, lost, f.told)
	}
	if st := s.history.snapshot(); st.LostEvents != 0 {
		t.Errorf("the history lost %d events", st.LostEvents)
	}
}

// A daemon that ends gives its readers the last events and ends their streams in
// order, whether a reader reads or not.
func TestCloseEndsStreams(t *testing.T) {
	s, c, f := newServer(t)
	f.open(1)
	f.segments(1, 3000) // more than the socket holds: who does not read them is stuck there
	s.sync(t, f)
	stuck, err := net.Dial("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	fmt.Fprintf(stuck, "GET /v1/events?history=0 HTTP/1.1\r\nHost: synscope\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReaderSize(stuck, 16), nil); err != nil {
		t.Fatal(err)
	}
	body, err := c.Events(t.Context(), Follow{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	before := f.told
	f.segments(1, 5000)
	f.close(1)
	ended := make(chan error, 1)
	var n int
	go func() {
		b, err := io.ReadAll(body)
		n = bytes.Count(b, []byte("\n"))
		ended <- err
	}()
	s.Close()
	if err := <-ended; err != nil || n != f.told-before {
		t.Errorf("the stream ended with %v after %d lines, want %d", err, n, f.told-before)
	}
	if _, err := os.Lstat(c.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "no daemon is running there") {
		t.Errorf("asked afterwards: %v", err)
	}
}

// A server that never served is closed as well.
func TestCloseBeforeServe(t *testing.T) {
	path := socketPath(t)
	l, _ := mustListen(t, path)
	s := NewServer(l, Limits{Ended: 1, Bytes: roomy})
	newFeed(s).whole(1)
	s.Close()
	s.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// There is a bound on requests at once; who is beyond learns of it.
func TestTooManyReaders(t *testing.T) {
	_, c, _ := newServer(t)
	var ends []func()
	for range maxRequests {
		_, end := follow(t, c, Follow{})
		ends = append(ends, end)
	}
	_, err := c.Status(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Error() != "32 requests are being answered, and that is the bound" || e.Hint == "" {
		t.Errorf("one more: %v", err)
	}
	ends[0]()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err = c.Status(t.Context()); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("after one went away: %v", err)
	}
}

package tlsbridge

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

// A leg is an UpstreamObserver that remembers.
type leg struct {
	nobody // of the rest
	mu     sync.Mutex
	said   []string
	info   event.TransportInfo
}

func (l *leg) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *leg) Bytes(from event.Side, b []byte) { l.add("%s %s", from, b) }
func (l *leg) End(from event.Side, how string) { l.add("%s %s", from, how) }
func (l *leg) Close(info event.TransportInfo)  { l.add("close"); l.info = info }

func (l *leg) want(t *testing.T, story ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.said, story) {
		t.Errorf("told %q, want %q", l.said, story)
	}
}

// tapped returns both ends of a connection of the kernel's, the client's in a Tap.
func tapped(t *testing.T) (*Tap, *net.TCPConn, *leg) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	told := new(leg)
	tap := NewTap(client, told)
	t.Cleanup(func() {
		tap.Close()
		server.Close()
	})
	return tap, server.(*net.TCPConn), told
}

// read reads until the end of a connection.
func read(t *testing.T, conn net.Conn) error {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, conn)
	return err
}

// What crosses is told in order, the question before the answer, and then what
// the kernel counted.
func TestTap(t *testing.T) {
	tap, server, told := tapped(t)
	io.WriteString(tap, "ping")
	io.ReadFull(server, make([]byte, 4))
	io.WriteString(server, "pong")
	io.ReadFull(tap, make([]byte, 4))
	tap.CloseWrite()
	read(t, server)
	server.Close()
	if err := read(t, tap); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is idempotent
		if err := tap.Close(); err != nil {
			t.Error(err)
		}
	}
	told.want(t, "client ping", "server pong", "client fin", "server fin", "close")
	// SYN, ACK, data and FIN at least.
	if i := told.info; i.RTT <= 0 || i.SegmentsOut < 4 || i.SegmentsIn < 3 || i.Retransmits != 0 {
		t.Errorf("the kernel counted %+v", i)
	}
}

// How the other side ended is told by the kernel even if nobody has read it.
func TestTapEnds(t *testing.T) {
	reset := func(c *net.TCPConn) {
		c.SetLinger(0)
		c.Close()
	}
	for _, c := range []struct {
		name  string
		story func(t *testing.T, tap *Tap, server *net.TCPConn)
		want  []string
	}{
		{"the server's RST, read", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			reset(server)
			if err := read(t, tap); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
			tap.Close()
		}, []string{"server rst", "close"}},
		{"the server's FIN, read", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			server.Close()
			read(t, tap)
			tap.Close()
		}, []string{"server fin", "client fin", "close"}},
		{"ours", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			tap.Close()
			if err := read(t, server); err != nil {
				t.Errorf("server: %v", err)
			}
		}, []string{"client fin", "close"}},
		{"ours, abrupt", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			tap.Abort()
			if err := read(t, server); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("server: %v", err)
			}
		}, []string{"client rst", "close"}},
		{"ours, abrupt after our FIN", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			tap.CloseWrite()
			read(t, server)
			tap.Abort()
		}, []string{"client fin", "client rst", "close"}},
		{"the server's FIN, unread", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			server.Close()
			for !errors.Is(askKernel(tap.Conn).err, io.EOF) {
				time.Sleep(time.Millisecond)
			}
			tap.Close()
		}, []string{"server fin", "client fin", "close"}},
		{"ours, with bytes unread", func(t *testing.T, tap *Tap, server *net.TCPConn) {
			io.WriteString(server, "unread")
			for !askKernel(tap.Conn).unread {
				time.Sleep(time.Millisecond)
			}
			tap.Close()
			if err := read(t, server); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("server: %v", err)
			}
		}, []string{"client rst", "close"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tap, server, told := tapped(t)
			c.story(t, tap, server)
			told.want(t, c.want...)
		})
	}
}

// A conn that writes short, fails, or ends as a test says.
type brokenConn struct {
	net.Conn
	takes int // bytes of each Write
	err   error
}

func (c brokenConn) Write(b []byte) (int, error) { return min(len(b), c.takes), c.err }
func (c brokenConn) Read([]byte) (int, error)    { return 0, c.err }
func (c brokenConn) Close() error                { return nil }

// What a Write was cut short of is told once, however often it is tried again.
func TestTapShortWrites(t *testing.T) {
	told := new(leg)
	tap := NewTap(brokenConn{takes: 3, err: os.ErrDeadlineExceeded}, told)
	for b := []byte("question"); len(b) > 0; {
		n, err := tap.Write(b)
		if err == nil || n > 3 {
			t.Fatalf("Write = %d, %v", n, err)
		}
		b = b[n:]
	}
	tap.Write([]byte("next"))
	told.want(t, "client question", "client next")
}

func TestTapErrors(t *testing.T) {
	wrap := func(err error) error { return &net.OpError{Op: "read", Err: os.NewSyscallError("read", err)} }
	for _, c := range []struct {
		err  error
		want string
	}{
		{io.EOF, "server fin"},
		{wrap(syscall.ECONNRESET), "server rst"},
		{wrap(syscall.EPIPE), "server fin, server rst"},
		{wrap(syscall.ETIMEDOUT), "client timeout"},
		{os.ErrDeadlineExceeded, ""},
		{net.ErrClosed, ""},
	} {
		told := new(leg)
		tap := NewTap(brokenConn{err: c.err}, told)
		if _, err := tap.Read(make([]byte, 1)); err != c.err {
			t.Errorf("Read: %v, want %v", err, c.err)
		}
		if got := strings.Join(told.said, ", "); got != c.want {
			t.Errorf("%v: told %q, want %q", c.err, got, c.want)
		}
		if err := tap.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CloseWrite of a connection that cannot: %v", err)
		}
		tap.Close() // of which the kernel knows nothing
		NewTap(brokenConn{err: c.err}, nil).Read(nil)
	}
}

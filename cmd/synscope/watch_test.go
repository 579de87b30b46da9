package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synscope/event"
	"synscope/internal/control"
)

// A pty is a terminal whose user the test is.
type pty struct {
	t        *testing.T
	user     *os.File // what a person sees and types
	terminal *os.File // what the program has

	mu   sync.Mutex
	seen strings.Builder
}

func newPTY(t *testing.T) *pty {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{t: t, user: user, terminal: terminal}
	p.resize(120, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := user.Read(b)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.seen.Write(b[:n])
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		terminal.Close() // ends the read
		<-done
		user.Close()
	})
	return p
}

func (p *pty) resize(width, height uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// await waits until something stands on the terminal.
func (p *pty) await(want string) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.text(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%q does not appear in:\n%q", want, p.text())
		}
	}
}

func (p *pty) mode() unix.Termios {
	p.t.Helper()
	m, err := unix.IoctlGetTermios(int(p.terminal.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *m
}

// newDaemon is what a daemon has of a control socket.
func newDaemon(t *testing.T) (*control.Server, *control.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(path, os.Getuid(), os.Getgid(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(l, control.Limits{Ended: 10, Bytes: 1 << 20})
	s.Serve(func() control.Status { return control.Status{Device: "syn9"} })
	t.Cleanup(func() { s.Close() })
	c, err := control.NewClient(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

func openEvent(conn uint64, client string) *event.Event {
	return &event.Event{Time: time.Now(), Conn: conn, N: 1, View: event.Wire,
		Body: &event.Open{Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort("198.18.3.4:443")}}
}

// The table follows the daemon and the window, ends by q or Ctrl-C, and leaves
// the terminal as it was.
func TestWatch(t *testing.T) {
	for name, key := range map[string]string{"q": "q", "Ctrl-C": "\x03"} {
		t.Run(name, func(t *testing.T) {
			s, c := newDaemon(t)
			p := newPTY(t)
			before := p.mode()
			done := make(chan error, 1)
			go func() { done <- watch(t.Context(), c, control.Query{}, p.terminal, p.terminal) }()
			p.await("synscope on syn9")
			s.Event(openEvent(1, "198.18.0.1:11111"))
			p.await("198.18.0.1:11111")
			p.resize(20, 4)
			p.await("ID  STATE  CLIENT ..")
			s.Event(openEvent(2, "198.18.0.1:22222"))
			p.await("\r\n2   -      198.18") // the newest, for which alone there is room
			p.user.WriteString("x" + key)
			if err := <-done; err != nil {
				t.Errorf("ended with %v", err)
			}
			p.await(leaveScreen)
			if got := p.text(); strings.Index(got, enterScreen) != 0 || !strings.HasSuffix(got, leaveScreen) {
				t.Errorf("the terminal got %q", got)
			}
			if after := p.mode(); after != before {
				t.Errorf("the terminal's mode is %+v, and was %+v", after, before)
			}
		})
	}
}

// A daemon that ends while one looks is told after the terminal is as it was; one
// that is not there leaves the terminal alone.
func TestWatchWithoutDaemon(t *testing.T) {
	s, c := newDaemon(t)
	p := newPTY(t)
	before := p.mode()
	done := make(chan error, 1)
	go func() { done <- watch(t.Context(), c, control.Query{}, p.terminal, p.terminal) }()
	p.await("synscope on syn9")
	s.Close()
	if err := <-done; err == nil || hintOf(err) == "" {
		t.Errorf("ended with %v, want an error with a hint", err)
	}
	p.await(leaveScreen)
	if after := p.mode(); after != before {
		t.Errorf("the terminal's mode is %+v, and was %+v", after, before)
	}
	seen := p.text()
	if err := watch(t.Context(), c, control.Query{}, p.terminal, p.terminal); err == nil || p.text() != seen {
		t.Errorf("without a daemon: %v, and the terminal got %q", err, p.text()[len(seen):])
	}
}

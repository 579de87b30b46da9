package control

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The socket is for its owner alone from the first moment, whatever the umask.
func TestListenMode(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	path := socketPath(t)
	l, _ := mustListen(t, path)
	defer l.Close()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fs.ModeSocket | 0o600; st.Mode() != want {
		t.Errorf("mode %v, want %v", st.Mode(), want)
	}
}

// What a killed daemon left is replaced, and that is told.
func TestListenReplacesLeftover(t *testing.T) {
	path := socketPath(t)
	l, log := mustListen(t, path)
	if log.String() != "" {
		t.Errorf("logged at first: %s", log)
	}
	l.UnixListener.Close() // as the kernel does
	l, log = mustListen(t, path)
	defer l.Close()
	if !strings.Contains(log.String(), "did not end in order is replaced") {
		t.Errorf("logged: %q", log)
	}
}

func TestListenErrors(t *testing.T) {
	dir := t.TempDir()
	living := filepath.Join(dir, "living")
	l, _ := mustListen(t, living)
	defer l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	locked := t.TempDir()
	lock, err := os.Open(locked)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		living:                               "serves it",
		file:                                 "there is something else, with mode -rw-------",
		filepath.Join(file, "s"):             "not a directory",
		filepath.Join(dir, "no", "no", "s"):  "no such file or directory",
		filepath.Join(locked, "s"):           "another process holds the lock",
		"/" + strings.Repeat("x", MaxPath):   "the path has 108 bytes, and a socket's can have 107",
		filepath.Join(dir, "s\x00"):          "invalid argument",
		"/proc/" + strings.Repeat("x", 1000): "the path has 1006 bytes",
	} {
		_, err := Listen(path, os.Getuid(), os.Getgid(), slog.New(slog.DiscardHandler))
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), "control socket "+path) || !strings.Contains(e.Error(), want) || e.Hint == "" {
			t.Errorf("%s: %v, want %q and a hint", path, err, want)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Errorf("the file that was in the way is now %q, %v", b, err)
	}
}

// A path of 107 bytes is one that the kernel takes.
func TestLongestPath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("x", MaxPath-len(dir)-1))
	l, _ := mustListen(t, path)
	l.Close()
}

// A peer who is neither root, nor who started the daemon, nor its user is turned
// away before anything is read of it.
func TestForeignPeer(t *testing.T) {
	path := socketPath(t)
	l, log := mustListen(t, path)
	l.uids = []int{os.Getuid() + 1}
	s := NewServer(l, Limits{Ended: 1, Bytes: roomy})
	defer s.Close()
	s.Serve(func() Status { return Status{} })
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes, want the end", n)
	}
	c, err := NewClient(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Status(t.Context())
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Error(), ": the daemon gave no answer: ") {
		t.Errorf("asked: %v", err)
	}
	if !strings.Contains(log.String(), "peer refused") {
		t.Errorf("logged: %s", log)
	}
}

func TestNoDaemon(t *testing.T) {
	c, err := NewClient(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Status(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Hint != "start synscope serve, or give its --control here too" {
		t.Errorf("asked: %v", err)
	}
	if _, err := NewClient(strings.Repeat("x", 200)); err == nil {
		t.Error("a path of 200 bytes is taken")
	}
}

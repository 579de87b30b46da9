package sandbox

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

var addresses = []netip.Prefix{netip.MustParsePrefix("198.18.0.2/15"), netip.MustParsePrefix("2001:2::2/48")}

// run runs a command in a sandbox, with its output to a file, and returns the
// status and the output.
func run(t *testing.T, spec Spec, name string, args ...string) (syscall.WaitStatus, string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	spec.Path, spec.Args, spec.Env = path, append([]string{name}, args...), os.Environ()
	if spec.Addresses == nil {
		spec.Addresses = addresses
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stdout := os.Stdout
	_ = stdout
	out := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		out <- string(bytes.TrimSpace(b))
	}()
	s, err := newOn(w)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.Prepare(spec)
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	defer link.Device.Close()
	if err := s.Exec(); err != nil {
		s.Close()
		t.Fatal(err)
	}
	status, err := s.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return status, <-out
}

// newOn is New, with the standard output of the command on a file.
func newOn(w *os.File) (*Sandbox, error) {
	saved, err := syscall.Dup(1)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(saved)
	if err := syscall.Dup3(int(w.Fd()), 1, 0); err != nil {
		return nil, err
	}
	s, err := New()
	return s, errors.Join(err, syscall.Dup3(saved, 1, 0))
}

func TestCommandSeesItsInterface(t *testing.T) {
	status, out := run(t, Spec{}, "sh", "-c", "ip -o addr; ip route; ip -6 route; ip link; cat /proc/self/status | grep -i cap; ls -l /proc/self/fd")
	if status.ExitStatus() != 0 || !strings.Contains(out, "198.18.0.2/15") {
		t.Errorf("exit %v\n%s", status, out)
	}
	t.Log(out)
}

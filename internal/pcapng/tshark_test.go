package pcapng

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// tshark makes a command that knows no secrets but those in the capture, and
// verifies checksums.
func tshark(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"-o", "tls.keylog_file:", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)
	cmd := exec.Command("tshark", args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "SSLKEYLOGFILE=")
	return cmd
}

// readFields returns the given fields of the packets of a capture: a row for
// each packet, tabs between fields, bars between values.
func readFields(t *testing.T, capture []byte, filter string, fields ...string) []string {
	t.Helper()
	rows, warning := tryFields(t, capture, filter, fields...)
	if warning != "" {
		t.Errorf("tshark says %q", warning)
	}
	return rows
}

// tryFields returns besides what tshark finds wrong with the file.
func tryFields(t *testing.T, capture []byte, filter string, fields ...string) (rows []string, warning string) {
	t.Helper()
	args := []string{"-r", "-", "-Y", filter, "-T", "fields", "-E", "aggregator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := tshark(t, args...)
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = bytes.NewReader(capture), &stderr
	out, _ := cmd.Output() // it says on stderr what is wrong
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, "Running as user") {
			warning += line
		}
	}
	if len(out) > 0 {
		rows = strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	}
	return rows, warning
}

// values joins the rows of one field: all its values, in order.
func values(rows []string) string {
	var vs []string
	for _, r := range rows {
		if r != "" {
			vs = append(vs, r)
		}
	}
	return strings.ReplaceAll(strings.Join(vs, ","), "|", ",")
}

// A file is a capture file in memory.
type file struct {
	room int // after which the disk is full; 0: never

	mu     sync.Mutex // of what follows
	b      []byte
	writes int
	closed bool
}

func (f *file) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if f.room > 0 && len(f.b)+len(b) > f.room {
		n := f.room - len(f.b)
		f.b = append(f.b, b[:n]...)
		return n, syscall.ENOSPC
	}
	f.b = append(f.b, b...)
	return len(b), nil
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Bytes returns what was written.
func (f *file) Bytes() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.b[:len(f.b):len(f.b)]
}

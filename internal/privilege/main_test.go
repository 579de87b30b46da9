package privilege

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// The test process keeps its privileges: what drops is the test binary, started
// again as a child that runs one of the roles of child_test.go.

// A task is what a child is asked to do, as JSON in the variable taskVariable.
type task struct {
	Role string
	Plan Plan
	// Bounding are the capabilities that the child limits itself to before it
	// starts again, as a container does; nil leaves all.
	Bounding []string
	// Allowed is a path in the plan, Forbidden a directory that everybody can
	// write, outside of it, and SetUID a set-user-ID file of root.
	Allowed, Forbidden, SetUID string
}

const taskVariable = "SYNSCOPE_PRIVILEGE_TEST"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(taskVariable); ok {
		runChild(text) // does not return
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "privilege: the tests drop the privileges of root: run them as root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A child is a running test binary. Its standard output is a line for each
// finding; it waits for its standard input to end before it does.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
	errs  bytes.Buffer
}

// start starts a child from a binary (its own if empty) as a user.
func start(t *testing.T, binary string, credential *syscall.Credential, do task) *child {
	t.Helper()
	if binary == "" {
		binary = "/proc/self/exe"
	}
	text, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(binary)}
	// Under the race detector a process would sleep a second before it ends.
	c.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", taskVariable+"="+string(text))
	c.cmd.Dir = "/"
	c.cmd.Stderr = &c.errs
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGKILL}
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin, c.lines = stdin, bufio.NewScanner(stdout)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	return c
}

// await returns the lines up to the one that begins with prefix, and that one
// without it.
func (c *child) await(prefix string) (before []string, rest string) {
	c.t.Helper()
	for c.lines.Scan() {
		if rest, ok := strings.CutPrefix(c.lines.Text(), prefix); ok {
			return before, rest
		}
		before = append(before, c.lines.Text())
	}
	c.cmd.Wait()
	c.t.Fatalf("the child ended without %q: %v\nit said %q\n%s", prefix, c.cmd.ProcessState, before, c.errs.String())
	return nil, ""
}

// end lets the child end and returns its last lines.
func (c *child) end() (lines []string) {
	c.t.Helper()
	c.stdin.Close()
	for c.lines.Scan() {
		lines = append(lines, c.lines.Text())
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the child: %v\n%s", err, c.errs.String())
	}
	return lines
}

// status returns the fields of every thread of the child, as the kernel shows
// them to root.
func (c *child) status() (threads []map[string]string) {
	c.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no threads of the child: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			c.t.Fatal(err)
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.Join(strings.Fields(value), " ")
		}
		threads = append(threads, fields)
	}
	return threads
}

// wantStatus holds every thread of the child against the fields given.
func (c *child) wantStatus(want map[string]string) {
	c.t.Helper()
	threads := c.status()
	if len(threads) < manyThreads {
		c.t.Errorf("the child has %d threads only", len(threads))
	}
	for _, thread := range threads {
		for name, value := range want {
			if got, ok := thread[name]; !ok || got != value {
				c.t.Errorf("thread %s of the child: %s is %q, want %q", thread["Pid"], name, got, value)
			}
		}
	}
}

// openDir returns a new directory that everybody can reach.
func openDir(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "synscope-privilege-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, mode); err != nil { // not subject to the umask
		t.Fatal(err)
	}
	return dir
}

// copySelf copies the test binary into a directory that everybody can reach.
func copySelf(t *testing.T, mode uint32) string {
	t.Helper()
	path := filepath.Join(openDir(t, 0o755), "child")
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// bounding returns the names of the capabilities in the bounding set of the test
// process, without some.
func bounding(without ...cap.Value) (names []string) {
	for v := range cap.MaxBits() {
		if has, err := cap.GetBound(v); err == nil && has && !slices.Contains(without, v) {
			names = append(names, v.String())
		}
	}
	return names
}

// bits returns a set of capabilities as /proc shows it.
func bits(names []string) string {
	var set uint64
	for _, name := range names {
		if v, err := cap.FromName(name); err == nil {
			set |= 1 << v
		}
	}
	return fmt.Sprintf("%016x", set)
}

func four(n int) string {
	s := strconv.Itoa(n)
	return s + " " + s + " " + s + " " + s
}

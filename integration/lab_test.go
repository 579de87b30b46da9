package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synscope/event"
)

// How long the tests wait before they call something stuck. Nothing is measured
// by these.
const (
	startTimeout  = 20 * time.Second
	clientTimeout = 60 * time.Second
	stopTimeout   = 30 * time.Second
)

// The addresses of every lab.
const (
	hostIP4  = "198.18.0.1"
	hostIP6  = "2001:2::1"
	server4  = "198.18.3.4"
	server6  = "2001:2::3:4"
	hostname = "shop.example"
)

// A lab is a network namespace with a daemon in it, and what it told.
//
//	+-------------------- namespace synt-PID-N --------------------+
//	|                                                              |
//	|  client --- 198.18.0.1/15 --- syn0 (TUN) --- synscope serve  |
//	|             2001:2::1/48       |                             |
//	|                             dumpcap                          |
//	+--------------------------------------------------------------+
type lab struct {
	t      *testing.T
	ns     string
	dir    string
	state  string // the daemon's state directory
	daemon *process
	dump   *process
	held   int // how many clients were held until the server had closed

	stopped bool
	events  []*event.Event
}

// A process is one that the lab started and ends.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *transcript
	done   chan struct{}
	err    error // of Wait; read after done
}

// A transcript is what a process has said so far.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
	seen int // bytes up to the line that awaitLine found last
}

func (tr *transcript) WriteString(s string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.text.WriteString(s)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

// awaitLine waits for a line that begins so, after those found before, and
// returns it.
func (p *process) awaitLine(t *testing.T, prefix string) string {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		rest := p.stderr.String()[p.stderr.seen:]
		for line := range strings.Lines(rest) {
			p.stderr.seen += len(line)
			if strings.HasPrefix(line, prefix) && strings.HasSuffix(line, "\n") {
				return line
			}
		}
	}
	t.Fatalf("%q was not said within %v:\n%s", prefix, startTimeout, p.stderr)
	return ""
}

var labs atomic.Int64

// ownCapture is the name of the daemon's own capture, in the lab's folder.
const ownCapture = "own.pcapng"

// newLab starts a daemon with the given flags in a new namespace, and a capture
// of its interface. Everything is gone when the test ends.
func newLab(t *testing.T, flags ...string) *lab {
	t.Helper()
	l := newNamespace(t)
	l.serveCaptured(flags...)
	return l
}

// newNamespace makes a lab without a daemon.
func newNamespace(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, ns: fmt.Sprintf("synt-%d-%d", os.Getpid(), labs.Add(1)), dir: t.TempDir()}
	l.state = filepath.Join(l.dir, "state")
	for _, dir := range []string{l.dir, filepath.Dir(l.dir)} { // for a daemon that is not root any more
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.host("ip", "netns", "add", l.ns)
	t.Cleanup(l.remove)
	l.host("ip", "-n", l.ns, "link", "set", "lo", "up")
	return l
}

// remove ends what still runs in the namespace, and the namespace.
func (l *lab) remove() {
	for _, p := range []*process{l.daemon, l.dump} {
		if p != nil {
			p.kill()
		}
	}
	if l.t.Failed() && l.daemon != nil {
		l.t.Logf("the daemon's stderr:\n%s", l.daemon.stderr)
	}
	exec.Command("ip", "netns", "del", l.ns).Run()
}

// host runs a command of set-up outside the namespace.
func (l *lab) host(name string, args ...string) {
	l.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// must runs a command of set-up in the namespace.
func (l *lab) must(name string, args ...string) {
	l.t.Helper()
	if r := l.run(nil, name, args...); r.code != 0 {
		l.t.Fatalf("%s %s: exit %d\n%s", name, strings.Join(args, " "), r.code, r.out)
	}
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// start starts a command in the namespace and returns when it has written ready
// to its standard error.
func (l *lab) start(ready, name string, args ...string) *process {
	l.t.Helper()
	p := &process{stderr: new(transcript), done: make(chan struct{})}
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", l.ns, name}, args...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StderrPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	started, seen := make(chan error, 1), make(chan bool, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread() // Pdeathsig is sent when the thread ends
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewReader(out)
		told := false
		for {
			line, err := lines.ReadString('\n')
			p.stderr.WriteString(line)
			if !told && strings.Contains(line, ready) {
				told = true
				seen <- true
			}
			if err != nil {
				break
			}
		}
		p.err = p.cmd.Wait()
		if !told {
			seen <- false
		}
	}()
	if err := <-started; err != nil {
		l.t.Fatal(err)
	}
	select {
	case ok := <-seen:
		if !ok {
			l.t.Fatalf("%s ended before it was ready: %v\n%s", name, p.err, p.stderr)
		}
	case <-time.After(startTimeout):
		p.kill()
		l.t.Fatalf("%s was not ready after %v\n%s", name, startTimeout, p.stderr)
	}
	return p
}

// stop sends a signal and waits for the end.
func (p *process) stop(sig os.Signal) error {
	p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("did not end %v after %v", stopTimeout, sig)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// serve starts the daemon.
func (l *lab) serve(flags ...string) {
	l.t.Helper()
	l.serveUnder(nil, flags...)
}

// serveUnder starts the daemon by another command.
func (l *lab) serveUnder(command []string, flags ...string) {
	l.t.Helper()
	args := append(command, []string{
		binary, "serve", "--state-dir", l.state, "--events", l.path("events.jsonl"), "--format", "json",
		"--keylog", l.path("keys"), "--time-wait", "2s", "--drain-timeout", "2s",
		"--control", "none", // a test of the socket gives its own
	}...)
	args = append(args, flags...)
	l.daemon = l.start("synscope: ready", args[0], args[1:]...)
}

// serveCaptured starts the daemon, with a capture of its own, and dumpcap on its
// interface: what judge needs.
func (l *lab) serveCaptured(flags ...string) {
	l.t.Helper()
	l.serve(append([]string{"--pcap", l.path(ownCapture)}, flags...)...)
	// A buffer for bursts of super-packets: what finds no room is not judged.
	l.dump = l.start("File: ", "dumpcap", "-B", "64", "-i", "syn0", "-w", l.path("capture.pcapng"), "-q")
}

// A run is what a command did.
type run struct {
	out  string // standard output and error
	code int
}

// run runs a client in the namespace, with stdin if it is not nil.
func (l *lab) run(stdin io.Reader, name string, args ...string) run {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.ns, name}, args...)...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		l.t.Fatalf("%s %s: stuck\n%s", name, strings.Join(args, " "), out)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatalf("%s: %v", name, err)
	}
	return run{string(out), cmd.ProcessState.ExitCode()}
}

// inside runs f on a thread in the namespace, for clients in Go.
func (l *lab) inside(f func()) {
	l.t.Helper()
	ns, err := os.Open("/run/netns/" + l.ns)
	if err != nil {
		l.t.Fatal(err)
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		f()
		done <- nil
	}()
	if err := <-done; err != nil {
		l.t.Fatalf("entering %s: %v", l.ns, err)
	}
}

// ca is the path of the authority's certificate.
func (l *lab) ca() string { return filepath.Join(l.state, "ca.pem") }

// stop ends the capture and the daemon, in this order, and reads the events. It
// fails the test if the daemon did not end as it should.
func (l *lab) stop() {
	l.t.Helper()
	if l.stopped {
		return
	}
	l.stopped = true
	if l.dump != nil {
		l.awaitCapture()
		if err := l.dump.stop(syscall.SIGINT); err != nil {
			l.t.Fatalf("dumpcap: %v\n%s", err, l.dump.stderr)
		}
	}
	if err := l.daemon.stop(syscall.SIGTERM); err != nil {
		l.t.Fatalf("synscope serve: %v\n%s", err, l.daemon.stderr)
	}
	l.events = readEvents(l.t, l.path("events.jsonl"))
}

// readEvents reads JSON lines and checks what holds for all of them.
func readEvents(t *testing.T, path string) []*event.Event {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []*event.Event
	last := make(map[uint64]uint64)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		e := new(event.Event)
		if err := json.Unmarshal(lines.Bytes(), e); err != nil {
			t.Fatalf("%s:%d: %v\n%s", path, n, err, lines.Text())
		}
		if e.N != last[e.Conn]+1 {
			t.Errorf("%s:%d: connection %d goes from event %d to %d", path, n, e.Conn, last[e.Conn], e.N)
		}
		last[e.Conn] = e.N
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

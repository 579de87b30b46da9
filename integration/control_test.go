package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

// socket is where the lab's daemon listens if a test gives it controlFlags.
func (l *lab) socket() string { return filepath.Join(l.dir, "run", "control.sock") }

func (l *lab) controlFlags() []string { return []string{"--control", l.socket()} }

// ask runs a command that asks the daemon, outside of its namespace: the socket
// is a matter of the file system.
func (l *lab) ask(args ...string) run {
	l.t.Helper()
	return l.askAs(nil, args...)
}

// askAs runs it by another command.
func (l *lab) askAs(command []string, args ...string) run {
	l.t.Helper()
	argv := append(append(command, binary), args...)
	cmd := exec.Command(argv[0], append(argv[1:], l.controlFlags()...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	return run{strings.ReplaceAll(string(out), l.dir, "DIR"), cmd.ProcessState.ExitCode()}
}

// A follower is a synscope tail.
type follower struct {
	out  bytes.Buffer // standard output and error; read after done
	done chan error
}

// follow starts a tail, and returns when the daemon has it as a reader.
func (l *lab) follow(args ...string) *follower {
	l.t.Helper()
	before := l.readers()
	f := &follower{done: make(chan error, 1)}
	cmd := exec.Command(binary, append(append([]string{"tail"}, args...), l.controlFlags()...)...)
	cmd.Stdout, cmd.Stderr = &f.out, &f.out
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { cmd.Process.Kill() })
	go func() { f.done <- cmd.Wait() }()
	l.eventually("another reader", func() bool { return l.readers() > before })
	return f
}

// wait returns how the tail ended.
func (f *follower) wait(t *testing.T) run {
	t.Helper()
	select {
	case err := <-f.done:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return run{f.out.String(), exit.ExitCode()}
		}
		return run{f.out.String(), 0}
	case <-time.After(stopTimeout):
		t.Fatal("synscope tail does not end")
		return run{}
	}
}

// readers is how many requests the daemon answers, by curl: the socket is for
// any client of HTTP.
func (l *lab) readers() int {
	l.t.Helper()
	out, err := exec.Command("curl", "-sS", "--fail", "--unix-socket", l.socket(), "http://synscope/v1/status").Output()
	if err != nil {
		l.t.Fatalf("curl: %v", err)
	}
	var status struct {
		Readers int      `json:"readers"`
		Device  string   `json:"device"`
		PID     int      `json:"pid"`
		Served  []string `json:"prefixes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		l.t.Fatalf("%v in %s", err, out)
	}
	if status.Device != "syn0" || status.PID != l.pid() || fmt.Sprint(status.Served) != "[198.18.0.0/15 2001:2::/48]" {
		l.t.Errorf("status %s, but the daemon is %d", out, l.pid())
	}
	return status.Readers
}

// ls, show and tail tell of the running daemon what it logs.
func TestControl(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	l.serve(l.controlFlags()...)
	lines, ladders := l.follow("--format", "json"), l.follow("--explain")
	if r := l.curl("https://" + hostname + "/"); r.code != 0 {
		t.Fatalf("curl: exit %d\n%s", r.code, r.out)
	}
	if r := l.run(nil, "curl", "-sS", "--max-time", "30", "https://"+server4+"/"); r.code == 0 {
		t.Fatalf("curl without our authority: %s", r.out)
	}
	open := l.dial(echoPort)
	l.await("three connections", func(e *event.Event) bool { return e.Conn == 3 && e.Kind() == "tcp.state" })
	l.eventually("two connections that ended", func() bool {
		return strings.Count(l.ask("ls", "--format", "json").out, `"open":false`) == 2
	})

	r := l.ask("ls")
	rows := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != 0 || len(rows) != 4 {
		t.Fatalf("ls: exit %d, want a header and three connections:\n%s", r.code, r.out)
	}
	for i, want := range [][]string{
		{"ID", "STATE", "CLIENT", "SERVER", "NAME", "VERSION", "SUITE", "DURATION", "CAUSE"},
		{"1  ", server4 + ":443", hostname, "TLS 1.3", "TLS_AES_128_GCM_SHA256"},
		{"2  ", server4 + ":443", "client refused the server's certificate: it does not trust the issuer"},
		{"3   ESTABLISHED", open.LocalAddr().String(), echoPort.String()},
	} {
		for _, w := range want {
			if !strings.Contains(rows[i], w) {
				t.Errorf("ls has the row %q, want %q in it", rows[i], w)
			}
		}
	}
	if r := l.ask("ls", "--open"); !strings.Contains(r.out, "\n3   ESTABLISHED") || strings.Count(r.out, "\n") != 2 {
		t.Errorf("ls --open:\n%s", r.out)
	}

	shown := l.ask("show", "2")
	if shown.code != 0 || !strings.HasPrefix(shown.out, "#2  ") || !strings.Contains(shown.out, "! failed   client refused the server's certificate") {
		t.Errorf("show 2: exit %d\n%s", shown.code, shown.out)
	}
	if r := l.ask("show", "3"); r.code != 0 || !strings.Contains(r.out, "ESTABLISHED") {
		t.Errorf("show 3, which is open: exit %d\n%s", r.code, r.out)
	}
	r = l.ask("show", "77")
	if want := "synscope: there is no connection 77\nhint: the newest is 3; synscope ls lists them\n"; r.code != 1 || r.out != want {
		t.Errorf("show 77: exit %d, %q, want 1, %q", r.code, r.out, want)
	}
	json2 := l.ask("show", "2", "--format", "json")

	one := l.follow("--conn", "3")
	open.Close()
	if r := one.wait(t); r.code != 0 || !strings.HasPrefix(r.out, "#3  ") || !strings.Contains(r.out, "SYN-RECEIVED") || !strings.Contains(r.out, "ended") {
		t.Errorf("tail --conn 3: exit %d, want the whole ladder:\n%s", r.code, r.out)
	}

	// The daemon ends, and its readers have all that it logged.
	l.stop()
	log := l.read("events.jsonl")
	if r := lines.wait(t); r.code != 0 || !strings.HasSuffix(log, r.out) || !strings.HasPrefix(r.out[strings.Index(r.out, `"conn":1,`):], `"conn":1,"n":1,`) {
		t.Errorf("tail: exit %d, want what the daemon logged:\n%s\nlogged:\n%s", r.code, r.out, log)
	}
	if r := ladders.wait(t); r.code != 0 || strings.Count(r.out, "  ended  ") != 3 || !strings.Contains(r.out, "#2  ") {
		t.Errorf("tail: exit %d, want three ladders:\n%s", r.code, r.out)
	}
	var want strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, `,"conn":2,`) {
			want.WriteString(line)
		}
	}
	if json2.code != 0 || json2.out == "" || !strings.HasPrefix(want.String(), json2.out) {
		t.Errorf("show 2: exit %d\n%slogged:\n%s", json2.code, json2.out, want.String())
	}
}

// The socket is for root and the daemon's own user. Its mode keeps others away,
// and where that was changed their credentials do.
func TestControlAccess(t *testing.T) {
	t.Parallel()
	for _, path := range []string{binary, filepath.Dir(binary)} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := newNamespace(t)
	l.serve(append(l.controlFlags(), "--user", "54321")...)
	as := func(uid string) []string {
		return []string{"setpriv", "--reuid=" + uid, "--regid=" + uid, "--clear-groups"}
	}
	wantMode := func(mode os.FileMode) {
		t.Helper()
		if st, err := os.Stat(l.socket()); err != nil || st.Mode().Perm() != mode {
			t.Errorf("the socket has mode %v, %v, want %v", st.Mode(), err, mode)
		}
	}
	wantMode(0o600)
	if r := l.ask("ls"); r.code != 0 {
		t.Errorf("root: exit %d\n%s", r.code, r.out)
	}
	if r := l.askAs(as("54321"), "ls"); r.code != 0 {
		t.Errorf("the daemon's user: exit %d\n%s", r.code, r.out)
	}
	const denied = "synscope: control socket DIR/run/control.sock: permission denied\n" +
		"hint: ask as root, or as the user that the daemon runs as\n"
	if r := l.askAs(as("54322"), "ls"); r.code != 1 || r.out != denied {
		t.Errorf("another user: exit %d\n%swant 1\n%s", r.code, r.out, denied)
	}
	if err := os.Chmod(l.socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	const closed = "synscope: control socket DIR/run/control.sock: the daemon gave no answer: "
	const hint = "\nhint: it answers root and its own user, and nobody once it ends\n"
	if r := l.askAs(as("54322"), "ls"); r.code != 1 || !strings.HasPrefix(r.out, closed) || !strings.HasSuffix(r.out, hint) {
		t.Errorf("another user, let in by the mode: exit %d\n%swant 1\n%s%s", r.code, r.out, closed, hint)
	}
	l.daemon.awaitLine(t, "synscope: warn: control socket: peer refused; uid: 54322; pid: ")
	l.stop()
}

// SIGTERM removes the socket, although the daemon is no longer who made it. What
// SIGKILL leaves is replaced by the next start.
func TestControlSocketEnds(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	gone := func() bool {
		_, err := os.Lstat(l.socket())
		return errors.Is(err, os.ErrNotExist)
	}
	l.serve(l.controlFlags()...)
	if err := l.daemon.stop(syscall.SIGTERM); err != nil || !gone() {
		t.Errorf("after SIGTERM: %v, the socket is gone: %v", err, gone())
	}

	l.serve(l.controlFlags()...)
	tail := l.follow()
	l.daemon.stop(syscall.SIGKILL)
	if r := tail.wait(t); r.code != 1 || r.out != "synscope: the daemon is gone, without a word\n" {
		t.Errorf("tail of a killed daemon: exit %d\n%s", r.code, r.out)
	}
	if gone() {
		t.Error("the socket of a killed daemon is gone: the test shows nothing")
	}
	const none = "synscope: control socket DIR/run/control.sock: no daemon is running there\n" +
		"hint: start synscope serve, or give its --control here too\n"
	if r := l.ask("ls"); r.code != 1 || r.out != none {
		t.Errorf("ls: exit %d\n%swant 1\n%s", r.code, r.out, none)
	}

	l.serve(l.controlFlags()...)
	const replaced = "synscope: the control socket of a daemon that did not end in order is replaced; path: "
	if !strings.HasPrefix(l.daemon.stderr.String(), replaced+l.socket()+"\n") {
		t.Errorf("stderr:\n%swant first:\n%s", l.daemon.stderr, replaced)
	}

	// Another daemon, in another namespace, does not get it.
	r := newNamespace(t).run(nil, binary, "serve", "--state-dir", l.state, "--control", l.socket())
	want := fmt.Sprintf("synscope: control socket %s: another daemon, process %d, serves it\n"+
		"hint: give each daemon its own with --control, or none for no socket\n", l.socket(), l.pid())
	if r.code != 1 || r.out != want {
		t.Errorf("a second daemon: exit %d\n%swant 1\n%s", r.code, r.out, want)
	}
	if err := l.daemon.stop(syscall.SIGTERM); err != nil || !gone() {
		t.Errorf("after SIGTERM: %v, the socket is gone: %v", err, gone())
	}
}

// In a directory that is not its user's the daemon cannot remove the socket, and
// says so; the next start replaces it.
func TestControlInForeignDirectory(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	path := l.path("s")
	l.serve("--control", path)
	if err := l.daemon.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	want := "synscope: warn: the control socket is left, and the next start replaces it; path: " + path + "; error: permission denied\n"
	if !strings.HasSuffix(l.daemon.stderr.String(), want) {
		t.Errorf("stderr:\n%swant last:\n%s", l.daemon.stderr, want)
	}
	l.serve("--control", path)
	l.stop()
}

package synscope_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synscope"
	"synscope/event"
)

// ordinaryUser need not be known to the system.
const ordinaryUser = 54321

// The tests that follow hold for root, and for an ordinary user: they are run
// again as one.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to become another user")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, tmp := filepath.Join(dir, "synscope.test"), filepath.Join(dir, "tmp")
	if err := exec.Command("cp", self, binary).Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, ordinaryUser, ordinaryUser); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run", "^(Test|Example)Run", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestRun") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

var mirror = synscope.RunConfig{Mirror: true}

func shell(script string) *exec.Cmd { return exec.Command("sh", "-c", script) }

// mustRun runs a command that is to succeed.
func mustRun(t *testing.T, cmd *exec.Cmd, cfg synscope.RunConfig) synscope.RunResult {
	t.Helper()
	var stderr bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	result, err := synscope.Run(t.Context(), cmd, cfg)
	if err != nil || result.Status != 0 {
		t.Fatalf("%v: status %#x, %v\n%s", cmd, int(result.Status), err, &stderr)
	}
	return result
}

// A kinds is a sink that keeps what kinds of events there were.
type kinds map[event.Kind]int

func (k kinds) Event(e *event.Event) { k[e.Kind()]++ }

// Connections are told while they are made, and summed up.
func TestRunTells(t *testing.T) {
	told := kinds{}
	cfg := mirror
	cfg.Sinks = []synscope.Sink{told}
	cmd := exec.Command("curl", "-sS", "https://shop.example/", "http://plain.example/")
	var page bytes.Buffer
	cmd.Stdout = &page
	result := mustRun(t, cmd, cfg)
	if !strings.Contains(page.String(), "ClientHello") {
		t.Errorf("curl gets\n%s", &page)
	}
	if len(result.Conns) != 2 || result.ConnsLost != 0 || len(result.LeftBehind) != 0 {
		t.Fatalf("the result is %+v", result)
	}
	if s := result.Conns[0]; s.Conn != 1 || s.TLS.Version != "TLS 1.3" || s.TLS.ServerName != "shop.example" || s.Open {
		t.Errorf("the first connection is %+v", s)
	}
	if s := result.Conns[1]; s.Conn != 2 || s.TLS.State != event.TLSPlain || s.Server.Port() != 80 {
		t.Errorf("the second connection is %+v", s)
	}
	if told["conn.open"] != 2 || told["conn.close"] != 2 || told["tls.established"] != 1 {
		t.Errorf("told are %v", told)
	}
}

// The Cmd is honoured as its own Run would.
func TestRunHonoursCmd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("extra\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	extra, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	dir := filepath.Dir(file)
	newCommand := func(out io.Writer) *exec.Cmd {
		cmd := shell(`cat; cat <&3; pwd; echo $PWD $A; cd /proc/$$/fd; echo *; echo end >&2; exit 37`)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("in\n"), out, out
		cmd.Dir, cmd.Env, cmd.ExtraFiles = dir, append(os.Environ(), "A=1", "A=2", "PWD="+dir), []*os.File{extra}
		return cmd
	}
	var want, got bytes.Buffer
	plain := newCommand(&want)
	plain.Run()
	if _, err := extra.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	cmd := newCommand(&got)
	result, err := synscope.Run(t.Context(), cmd, mirror)
	if err != nil || result.Status.ExitStatus() != 37 {
		t.Errorf("status %#x, %v", int(result.Status), err)
	}
	if got.String() != want.String() || !strings.HasPrefix(got.String(), "in\nextra\n"+dir+"\n"+dir+" 2\n") {
		t.Errorf("it prints\n%swithout synscope\n%s", &got, &want)
	}
	if cmd.ProcessState.ExitCode() != 37 || cmd.Path != plain.Path || len(cmd.Args) != 3 || len(cmd.ExtraFiles) != 1 || cmd.SysProcAttr != nil {
		t.Errorf("after it the Cmd is %+v", cmd)
	}

	// A file is the command's own. (A pipe of the Cmd's would be closed at its end,
	// read or not, as by its own Run.)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd = shell("echo out")
	cmd.Stdout = in
	result, err = synscope.Run(t.Context(), cmd, mirror)
	in.Close()
	if err != nil || result.Status != 0 {
		t.Errorf("with a pipe: status %#x, %v", int(result.Status), err)
	}
	if b, err := io.ReadAll(out); string(b) != "out\n" {
		t.Errorf("the pipe has %q, %v", b, err)
	}
}

// A signaller closes a channel when it is written to.
type signaller struct {
	written chan struct{}
	once    sync.Once
}

func (s *signaller) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.written) })
	return len(b), nil
}

// A context that ends kills the command, or has it ended as its Cmd says.
func TestRunIsCancelled(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ready := &signaller{written: make(chan struct{})}
	go func() { // ends with the command's first word
		<-ready.written
		cancel(cause)
	}()
	cmd := shell("curl -sS http://plain.example/; exec sleep 1000")
	cmd.Stdout = ready
	result, err := synscope.Run(ctx, cmd, mirror)
	if !errors.Is(err, cause) || !result.Status.Signaled() || result.Status.Signal() != unix.SIGKILL || len(result.Conns) != 1 {
		t.Errorf("killed: %+v, %v", result, err)
	}
	if _, err := synscope.Run(ctx, shell("true"), mirror); !errors.Is(err, cause) {
		t.Errorf("after it: %v", err)
	}

	gentle, stop := context.WithCancel(t.Context())
	ready = &signaller{written: make(chan struct{})}
	go func() {
		<-ready.written
		stop()
	}()
	cmd = exec.CommandContext(gentle, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done")
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.Stdout = ready
	result, err = synscope.Run(t.Context(), cmd, mirror)
	if err != nil || result.Status.ExitStatus() != 5 {
		t.Errorf("ended: status %#x, %v", int(result.Status), err)
	}
}

// What the command leaves running is waited for, if that is wanted.
func TestRunLeavesJobs(t *testing.T) {
	result := mustRun(t, shell("exec >/dev/null 2>&1; sleep 1000 &"), mirror)
	if len(result.LeftBehind) != 1 {
		t.Fatalf("left behind are %v", result.LeftBehind)
	}
	unix.Kill(result.LeftBehind[0], unix.SIGKILL)

	var asked []int
	cfg := mirror
	cfg.LeftBehind = func(pids []int) <-chan struct{} {
		asked = pids
		return nil // whatever it takes
	}
	result = mustRun(t, shell("exec >/dev/null 2>&1; (sleep 0.2; exec curl http://plain.example/) &"), cfg)
	if len(asked) == 0 || len(result.LeftBehind) != 0 || len(result.Conns) != 1 {
		t.Errorf("asked about %v, the result is %+v", asked, result)
	}

	cfg.LeftBehind = func([]int) <-chan struct{} {
		stop := make(chan struct{})
		close(stop)
		return stop
	}
	result = mustRun(t, shell("exec >/dev/null 2>&1; sleep 1000 &"), cfg)
	if len(result.LeftBehind) != 1 {
		t.Fatalf("left behind are %v", result.LeftBehind)
	}
	unix.Kill(result.LeftBehind[0], unix.SIGKILL)
}

// Several run at once, in a program that has other children and signals.
func TestRunBesideOthers(t *testing.T) {
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			cmd := exec.Command("curl", "-sS", "-o", "/dev/null", "https://shop.example/")
			cmd.Stderr = os.Stderr
			result, err := synscope.Run(t.Context(), cmd, mirror)
			if err != nil || result.Status != 0 || len(result.Conns) != 1 {
				t.Errorf("status %#x, %d connections, %v", int(result.Status), len(result.Conns), err)
			}
		})
		running.Go(func() {
			if err := exec.Command("true").Run(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	child.Process.Kill()
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) {
		t.Errorf("the other child ended with %v", err)
	}
}

// A command that cannot be run as it says is not run otherwise.
func TestRunRefuses(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/nowhere/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	inDir, withAttr := shell("true"), shell("true")
	inDir.Dir = "/nowhere"
	withAttr.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, c := range []struct {
		cmd  *exec.Cmd
		cfg  synscope.RunConfig
		is   error
		says string
	}{
		{exec.Command("synscope-has-no-such-program"), mirror, exec.ErrNotFound, "synscope-has-no-such-program"},
		{exec.Command(script), mirror, fs.ErrNotExist, script},
		{exec.Command("/etc/passwd"), mirror, fs.ErrPermission, "/etc/passwd"},
		{inDir, mirror, fs.ErrNotExist, "/nowhere"},
		{&exec.Cmd{}, mirror, nil, "no Path"},
		{withAttr, mirror, nil, "SysProcAttr"},
		{shell("true"), synscope.RunConfig{Mirror: true, BlockUDP: true}, nil, "BlockUDP"},
	} {
		_, err := synscope.Run(t.Context(), c.cmd, c.cfg)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %v and %q", c.cmd, err, c.is, c.says)
		}
	}
}

// Main, which starts the program again for Run, is the first thing in main.
func ExampleRun() {
	cmd := exec.Command("curl", "-sS", "-o", "/dev/null", "https://shop.example/")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := synscope.Run(ctx, cmd, synscope.RunConfig{Mirror: true})
	if err != nil {
		panic(err)
	}
	fmt.Println("exit code", result.Status.ExitStatus())
	for _, c := range result.Conns {
		fmt.Println(c.TLS.ServerName, c.TLS.Version, c.TLS.State)
	}
	// Output:
	// exit code 0
	// shop.example TLS 1.3 established
}

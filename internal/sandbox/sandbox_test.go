package sandbox

import (
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"synscope/tun"
)

func TestMain(m *testing.M) {
	Main()
	goleak.VerifyTestMain(m)
}

// An ordinary user, whom the system need not know.
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
	binary, tmp := filepath.Join(dir, "sandbox.test"), filepath.Join(dir, "tmp")
	if err := exec.Command("cp", self, binary).Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run", "^TestCommand", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestCommand") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

var addresses = []netip.Prefix{netip.MustParsePrefix("198.18.0.2/15"), netip.MustParsePrefix("2001:2::2/48")}

// A shell is a sandbox in which sh runs a script, with its output to a file.
type shell struct {
	*Sandbox
	t      *testing.T
	out    string
	device tun.Device
}

// command is as this process is.
func command() *exec.Cmd { return &exec.Cmd{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr} }

// start starts a script.
func start(t *testing.T, spec Spec, script string) *shell {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	spec.Path, spec.Args = sh, []string{"sh", "-c", `exec >"$0" 2>&1; ` + script, out}
	spec.Env = append(os.Environ(), spec.Env...)
	if spec.Addresses == nil {
		spec.Addresses = addresses
	}
	s, err := New(command(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	link, err := s.Prepare(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Device.Close() })
	if err := s.Exec(); err != nil {
		t.Fatal(err)
	}
	return &shell{s, t, out, link.Device}
}

// wait waits for the end of the script, and returns what it printed.
func (s *shell) wait() (syscall.WaitStatus, string) {
	s.t.Helper()
	status, err := s.Wait()
	if err != nil {
		s.t.Fatal(err)
	}
	return status, s.printed()
}

func (s *shell) printed() string {
	b, err := os.ReadFile(s.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(b)
}

// await waits until the script has printed something.
func (s *shell) await(want string) {
	s.t.Helper()
	await(s.t, want, func() bool { return strings.Contains(s.printed(), want) })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// run runs a script that is to succeed, and returns what it printed.
func run(t *testing.T, spec Spec, script string) string {
	t.Helper()
	status, out := start(t, spec, script).wait()
	if status != 0 {
		t.Fatalf("status %#x:\n%s", int(status), out)
	}
	return out
}

func wantAll(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("it has no %q:\n%s", w, text)
		}
	}
}

func TestCommandHasItsNetwork(t *testing.T) {
	out := run(t, Spec{}, "ip -o addr; ip -4 route; ip -6 route")
	wantAll(t, out, "127.0.0.1/8", " syn0 ", "198.18.0.2/15", "2001:2::2/48", "default dev syn0 scope link", "default dev syn0 metric")
	if strings.Contains(out, "eth") {
		t.Errorf("it has interfaces of the host:\n%s", out)
	}
}

// A packet of the command comes out of the device.
func TestCommandSendsToTheDevice(t *testing.T) {
	s, err := New(command(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	link, err := s.Prepare(Spec{
		Path: "/bin/sh", Args: []string{"sh", "-c", "ip route get 192.0.2.1 >/dev/null; ip -4 neigh; exec python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"hello\", (\"192.0.2.1\", 7))'"},
		Env: os.Environ(), Addresses: addresses,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		defer close(got)
		for {
			b := make([]byte, 65535)
			n, _, err := link.Device.Read([][]byte{b})
			if err != nil {
				return
			}
			got <- b[:n]
		}
	}()
	for b := range got {
		if b[0]>>4 == 4 && strings.HasSuffix(string(b), "hello") {
			break
		}
	}
	if status, err := s.Wait(); err != nil || status != 0 {
		t.Errorf("status %#x, %v", int(status), err)
	}
	link.Device.Close()
	for range got {
	}
}

func TestCommandSeesReplacedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	out := run(t, Spec{Files: []File{{Name: "new", Data: []byte("new"), Over: []string{link}}}},
		"cat "+path+" "+FilesDir+"/new; ! (echo changed >"+path+") 2>/dev/null")
	if out != "newnew" {
		t.Errorf("it printed %q", out)
	}
	if b, err := os.ReadFile(path); string(b) != "old" {
		t.Errorf("outside, it is %q, %v", b, err)
	}
	if _, err := os.Stat(FilesDir + "/new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("outside, there is %s/new: %v", FilesDir, err)
	}
}

// What a resolv.conf leads to is often in a directory that is to be empty.
func TestCommandSeesEmptyDirectories(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"stub.conf", "socket"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("host"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.Symlink(filepath.Join(dir, "stub.conf"), link); err != nil {
		t.Fatal(err)
	}
	out := run(t, Spec{
		Empty: []string{dir, filepath.Join(dir, "missing")},
		Files: []File{{Name: "resolv.conf", Data: []byte("ours"), Over: []string{link}}},
	}, "ls "+dir+"; cat "+link)
	if out != "stub.conf\nours" {
		t.Errorf("it printed %q", out)
	}
}

// It is who started it, without a capability more or less.
func TestCommandIsItsUser(t *testing.T) {
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	status := run(t, Spec{}, "cat /proc/self/status")
	for _, field := range []string{"Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"} {
		if got, want := statusField(status, field), statusField(string(own), field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if got, want := statusField(status, "NSpid"), strconv.Itoa(os.Getpid()); got == want {
		t.Errorf("the command is this process")
	}
}

func statusField(status, name string) string {
	_, rest, _ := strings.Cut("\n"+status, "\n"+name+":\t")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// Files that this process inherited reach the command, its own do not.
func TestCommandInheritsOnlyWhatWeInherited(t *testing.T) {
	own, err := os.Open("/dev/null") // close-on-exec, as all of Go's are
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	inherited, err := unix.FcntlInt(own.Fd(), unix.F_DUPFD, 77)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	before := inheritable(t)
	// Not in a pipeline, for which the shell would have a file itself.
	out := run(t, Spec{}, "ls /proc/$$/fd")
	var got []int
	for f := range strings.FieldsSeq(out) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	for _, fd := range got {
		if !before[fd] {
			t.Errorf("the command has file %d, which was not inherited", fd)
		}
	}
	if !before[inherited] || !strings.Contains("\n"+out, "\n"+strconv.Itoa(inherited)+"\n") {
		t.Errorf("the command does not have file %d, which was:\n%s", inherited, out)
	}
}

// inheritable returns the files of this process that a child gets.
func inheritable(t *testing.T) map[int]bool {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	fds := make(map[int]bool)
	for _, n := range names {
		fd, err := strconv.Atoi(n.Name())
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds[fd] = true
		}
	}
	return fds
}

func TestCommandExits(t *testing.T) {
	for script, want := range map[string]syscall.WaitStatus{
		"exit 0": 0, "exit 37": 37 << 8,
		"kill -TERM $$": syscall.WaitStatus(unix.SIGTERM), "kill -KILL $$": syscall.WaitStatus(unix.SIGKILL),
	} {
		if got, out := start(t, Spec{}, script).wait(); got != want {
			t.Errorf("%s: status %#x, want %#x\n%s", script, int(got), int(want), out)
		}
	}
}

func TestCommandCannotBeExecuted(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/nowhere/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{script: fs.ErrNotExist, "/etc/passwd": fs.ErrPermission} {
		s, err := New(command(), true)
		if err != nil {
			t.Fatal(err)
		}
		link, err := s.Prepare(Spec{Path: path, Args: []string{"it"}, Addresses: addresses})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Exec()
		var e *ExecError
		if !errors.As(err, &e) || e.Path != path || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		s.Close()
		link.Device.Close()
	}
}

// A program that would not know that it is the helper is not started again.
func TestNewNeedsMain(t *testing.T) {
	mainCalled.Store(false)
	defer mainCalled.Store(true)
	_, err := New(command(), false)
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "main") {
		t.Errorf("%v", err)
	}
}

// A signal for this process alone is passed on, once it is not from a terminal.
func TestCommandGetsSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGQUIT} {
		name := strings.TrimPrefix(unix.SignalName(sig), "SIG")
		s := start(t, Spec{}, "trap 'echo got "+name+"; exit' "+name+"; echo ready; while :; do sleep 0.01; done")
		s.await("ready")
		unix.Kill(os.Getpid(), sig)
		if _, out := s.wait(); !strings.Contains(out, "got "+name) {
			t.Errorf("%v: it printed %q", sig, out)
		}
	}
}

func TestCommandLeavesProcessesBehind(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, Spec{}, "cat "+fifo+" & echo $!; setsid sleep 100 & echo $!")
	_, out := s.wait()
	f := strings.Fields(out)
	if len(f) != 2 {
		t.Fatalf("it printed %q", out)
	}
	daemon, _ := strconv.Atoi(f[1])
	defer unix.Kill(daemon, unix.SIGKILL)
	// It is in its own session once setsid has run.
	await(t, "one process", func() bool { return len(s.LeftBehind()) == 1 })
	if got := s.LeftBehind(); len(got) != 1 || strconv.Itoa(got[0]) != f[0] {
		t.Errorf("left behind are %v, want %s", got, f[0])
	}
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	await(t, "none", func() bool { return len(s.LeftBehind()) == 0 })
}

// A packet socket is closed by another process, which is in nobody's way and ends
// soon; a TUN is not.
func TestCommandLeavesItsPacketSocket(t *testing.T) {
	s := start(t, Spec{}, "true")
	s.wait()
	_, lingers := s.device.(lingering)
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err == nil {
		f.Close()
		if lingers {
			t.Error("there is a packet socket where a TUN may be made")
		}
	} else if !lingers {
		t.Error("there is no packet socket, and a TUN may not be made")
	}
	s.device.Close()
	closer := int(s.closer.Load())
	if (closer != 0) != lingers {
		t.Fatalf("the process that closes it is %d", closer)
	}
	if lingers {
		if sid, err := unix.Getsid(closer); err != nil || sid != closer {
			t.Errorf("its session is %d, %v, want one of its own", sid, err)
		}
	}
	if left := s.LeftBehind(); len(left) > 0 {
		t.Errorf("processes %d are waited for", left)
	}
	s.device.Close()
	if again := int(s.closer.Load()); again != closer {
		t.Errorf("closed twice, another process closes it: %d", again)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if lingers && unix.Kill(closer, 0) != unix.ESRCH {
		t.Error("the process that closes it is still there")
	}
}

// Whose other end has gone receives io.EOF.
func TestControlEnds(t *testing.T) {
	ours, theirs, err := controlPair()
	if err != nil {
		t.Fatal(err)
	}
	theirs.close()
	if _, _, err := ours.receive(); !errors.Is(err, io.EOF) {
		t.Errorf("the other end is closed: %v", err)
	}
	ours.close()
}

func TestErrorsCross(t *testing.T) {
	err := tellable("replace files", &Error{Op: "mount over /x", Err: unix.EPERM, Hint: "do this"}).error()
	var e *Error
	if !errors.As(err, &e) || e.Op != "mount over /x" || e.Hint != "do this" || !errors.Is(err, unix.EPERM) {
		t.Errorf("%#v", err)
	}
	err = tellable("replace files", unix.EPERM).error()
	if !errors.As(err, &e) || e.Hint == "" || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%#v", err)
	}
	long := tellable("x", errors.New(strings.Repeat("x", 1<<16)))
	if len(long.Text) > maxMessage {
		t.Errorf("a text of %d bytes does not fit", len(long.Text))
	}
}

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal with an interactive shell, into which the test
// types.
type terminal struct {
	t    *testing.T
	ptm  *os.File
	mu   sync.Mutex
	text strings.Builder
	seen int // of text, up to what expect found last
}

// newTerminal starts bash as the user of the bench.
func newTerminal(t *testing.T, b *bench) *terminal {
	t.Helper()
	ptm, pts := openPTY(t)
	if err := unix.IoctlSetWinsize(int(pts.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	if err := pts.Chown(int(b.user.id), int(b.user.id)); err != nil {
		t.Fatal(err)
	}
	bash := exec.Command("bash", "--norc", "--noprofile", "-i")
	bash.Dir, bash.Env = b.dir, append(b.environ(), "PS1=$ ", "TERM=dumb", "S="+binary)
	bash.Stdin, bash.Stdout, bash.Stderr = pts, pts, pts
	bash.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Setctty: true, Credential: &syscall.Credential{Uid: b.user.id, Gid: b.user.id},
	}
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	pts.Close()
	term := &terminal{t: t, ptm: ptm}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := ptm.Read(buf)
			term.mu.Lock()
			term.text.Write(buf[:n])
			term.mu.Unlock()
			if err != nil { // EIO: nobody has the other end any more
				return
			}
		}
	}()
	t.Cleanup(func() {
		bash.Process.Kill()
		bash.Wait()
		ptm.Close()
		<-read
	})
	term.expect("$ ")
	return term
}

// openPTY opens both ends of a pseudo-terminal (pts(4)).
func openPTY(t *testing.T) (ptm, pts *os.File) {
	t.Helper()
	ptm, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var n uint32
	conn, err := ptm.SyscallConn()
	if err == nil {
		conn.Control(func(fd uintptr) {
			if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
				n, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
			}
		})
	}
	if err == nil {
		pts, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ptm, pts
}

func (term *terminal) send(keys string) {
	term.t.Helper()
	if _, err := term.ptm.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
}

// expect waits for text after what was found before, and returns all up to it.
func (term *terminal) expect(want string) string {
	term.t.Helper()
	var rest string
	for deadline := time.Now().Add(stopTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		term.mu.Lock()
		rest = term.text.String()[term.seen:]
		term.mu.Unlock()
		if before, _, ok := strings.Cut(rest, want); ok {
			term.seen += len(before) + len(want)
			return before
		}
	}
	term.t.Fatalf("%q did not come:\n%s", want, rest)
	return ""
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// At a terminal a command under synscope run is interrupted, stopped and brought
// back as it would be without. Words of the output are broken in what is typed,
// so that the echo is not taken for them.
func TestRunTerminal(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		term := newTerminal(t, b)

		// It sees the terminal itself.
		term.send("$S run -- sh -c 'test -t 0 && test -t 1 && test -t 2 && stty size; tty'; echo st''atus=$?\n")
		out := term.expect("status=0")
		if !strings.Contains(out, "33 77\r\n/dev/pts/") {
			t.Errorf("it sees another terminal: %q", out)
		}

		// Ctrl-C comes to it once.
		term.send("$S run -- sh -c 'trap \"echo g''ot\" INT; echo re''ady; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; done; exit 9'; echo st''atus=$?\n")
		term.expect("ready")
		term.send(ctrlC)
		if out := term.expect("status=9"); strings.Count(out, "got") != 1 {
			t.Errorf("Ctrl-C came otherwise than once: %q", out)
		}

		// And ends it, if it lets it.
		term.send("$S run -- sh -c 'echo re''ady; exec sleep 1000'\n")
		term.expect("ready")
		term.send(ctrlC)
		term.expect("$ ")
		term.send("echo st''atus=$?\n")
		term.expect("status=130")

		// Ctrl-Z stops it, fg has it go on. It reads: a shell that has just begun to
		// start a command (vfork) is not stopped where that is, whoever runs it.
		term.send("$S run -- sh -c 'echo re''ady; read line; echo do''ne'\n")
		term.expect("ready")
		term.send(ctrlZ)
		term.expect("Stopped")
		term.send("echo sh''ell\n")
		term.expect("shell")
		term.send("fg; echo st''atus=$?\n")
		term.expect("read line") // fg says what it has go on
		term.send("\n")
		term.expect("done")
		term.expect("status=0")

		// Stopped by itself, likewise.
		term.send("$S run -- sh -c 'kill -STOP $$; echo go''es on'\n")
		term.expect("Stopped")
		term.send("fg; echo st''atus=$?\n")
		term.expect("goes on")
		term.expect("status=0")

		// In the background it may not read.
		term.send("set -b; $S run -- cat &\n")
		term.expect("Stopped")
		term.send("kill %%; wait; echo ga''ther; jobs; echo jo''bs\n")
		term.expect("gather")
		term.expect("jobs")
	})
}

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The exit code is the command's own, and so is its death by a signal.
func TestRunStatus(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		for script, want := range map[string]syscall.WaitStatus{
			"exit 0": 0, "exit 37": 37 << 8, "exit 125": 125 << 8,
			"kill -TERM $$": syscall.WaitStatus(unix.SIGTERM), "kill -INT $$": syscall.WaitStatus(unix.SIGINT),
			"kill -KILL $$": syscall.WaitStatus(unix.SIGKILL), "kill -SEGV $$": syscall.WaitStatus(unix.SIGSEGV),
			"kill -QUIT $$": syscall.WaitStatus(unix.SIGQUIT),
		} {
			if o := b.runFlags("--", "sh", "-c", script); o.status != want {
				t.Errorf("%s: status %#x, want %#x\n%s", script, int(o.status), int(want), o.stderr)
			}
		}
		b.write("script", "#!/nowhere/sh\n")
		if err := os.Chmod(b.path("script"), 0o755); err != nil {
			t.Fatal(err)
		}
		for code, program := range map[int]string{126: "/etc/passwd", 127: b.path("script")} {
			if o := b.runFlags("--", program); o.status.ExitStatus() != code || !strings.HasPrefix(o.stderr, "synscope: "+program+": ") {
				t.Errorf("%s: exit %d, want %d\n%s", program, o.status.ExitStatus(), code, o.stderr)
			}
		}
	})
}

// A runningCommand is a command that was started under synscope run.
type runningCommand struct {
	*exec.Cmd
	t    *testing.T
	done chan struct{}
	pid  int // of the command itself
}

// start starts a shell script that prints its process id first, and waits for
// that.
func (b *bench) start(script string) *runningCommand {
	b.t.Helper()
	file := b.path(fmt.Sprintf("pid-%d", time.Now().UnixNano()))
	cmd := b.command(context.Background(), "--", "sh", "-c", script+"\n", file)
	cmd.Args[len(cmd.Args)-2] = `echo $$ >"$0.new"; mv "$0.new" "$0"; ` + script
	c := &runningCommand{Cmd: cmd, t: b.t, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		cmd.Wait()
	}()
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		<-c.done
	})
	eventually(b.t, "the command's process id", func() bool {
		text, _ := os.ReadFile(file) // not there yet
		c.pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return c.pid != 0
	})
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(stopTimeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, stopTimeout)
		}
	}
}

// running reports whether a process runs: not, if it is a zombie.
func running(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !bytes.Contains(status, []byte("State:\tZ"))
}

// A signal for synscope alone is passed on to the command.
func TestRunSignals(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1} {
			c := b.start("exec sleep 1000")
			c.Process.Signal(sig)
			<-c.done
			if got := c.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.Signal() != sig || got.CoreDump() {
				t.Errorf("%v: status %#x", sig, int(got))
			}
		}
		// What was ignored stays ignored.
		cmd := exec.Command("sh", "-c", `trap "" INT HUP; exec "$@"`, "sh", binary, "run", "--to", "mirror", "--", "sh", "-c", "kill -INT $$; kill -HUP $$; echo alive")
		out, err := cmd.Output()
		if string(out) != "alive\n" {
			t.Errorf("with ignored signals: %q, %v", out, err)
		}
	})
}

// Killed, synscope takes the command with it, and leaves nothing.
func TestRunIsKilled(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		c := b.start("exec sleep 1000")
		net, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", c.pid))
		if err != nil {
			t.Fatal(err)
		}
		c.Process.Kill()
		<-c.done
		eventually(t, "the end of the command", func() bool { return !running(c.pid) })
		for _, file := range []string{"/proc/self/mountinfo", "/proc/net/dev"} {
			if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "/proc/fs/nfsd") || strings.Contains(string(text), "syn0p") {
				t.Errorf("%s has something left, %v:\n%s", file, err, text)
			}
		}
		eventually(t, "the end of all in its network namespace", func() bool { return inNamespace(t, net) == nil })
		if names, err := os.ReadDir(b.dir); err != nil || len(names) != 1 { // the process id
			t.Errorf("%v are left in its directory, %v", names, err)
		}
	})
}

// inNamespace returns the processes in a network namespace.
func inNamespace(t *testing.T, net string) (pids []string) {
	t.Helper()
	procs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if to, err := os.Readlink("/proc/" + p.Name() + "/ns/net"); err == nil && to == net {
			pids = append(pids, p.Name())
		}
	}
	return pids
}

// The command's background jobs keep their network, a daemon does not.
func TestRunLeavesJobs(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		o := b.run("sh", "-c", "(sleep 0.5; exec curl -sS -o /dev/null "+page+") & setsid sleep 3 & exit 5")
		if o.status.ExitStatus() != 5 || !strings.Contains(o.stderr, "sh has ended; waiting for what it left running") {
			t.Errorf("exit %d\n%s", o.status.ExitStatus(), o.stderr)
		}
		wantComplete(t, o.story(t))
	})
}

// The world of a run inside another is what that one has it meet, and its TLS is
// opened once by each.
func TestRunNestedAndAtOnce(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		o := b.run(binary, "run", "--", binary, "run", "--events", "inner", "--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", page)
		if o.status != 0 || o.stdout != "200" {
			t.Errorf("nested: status %#x, %q\n%s", int(o.status), o.stdout, o.stderr)
		}
		wantComplete(t, o.story(t))
		outcomes := make(chan *outcome)
		for range 4 {
			go func() { outcomes <- b.runFlags("--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", page) }()
		}
		for range 4 {
			if o := <-outcomes; o.status != 0 || o.stdout != "200" || strings.Count(o.stderr, "> "+hostname) != 1 {
				t.Errorf("at once: status %#x, %q\n%s", int(o.status), o.stdout, o.stderr)
			}
		}
	})
}

// The command has the files that synscope was given, and none of its own.
func TestRunInheritance(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		const list = "ls /proc/self/fd"
		want, err := exec.Command("sh", "-c", "exec 7</dev/null; "+list).Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", "exec 7</dev/null; "+binary+" run -- "+list)
		cmd.Dir, cmd.Env = b.dir, b.environ()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: b.user.id, Gid: b.user.id}}
		got, err := cmd.Output()
		if err != nil || string(got) != string(want) {
			t.Errorf("the command has the files %q, %v; without synscope %q", got, err, want)
		}
	})
}

package privilege

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// manyThreads is how many threads a child has at least.
const manyThreads = 6

// runChild does what the text of a task says, and exits.
func runChild(text string) {
	var do task
	if err := json.Unmarshal([]byte(text), &do); err != nil {
		panic(err)
	}
	if do.Bounding != nil {
		limit(do)
	}
	switch do.Role {
	case "drop":
		childDrop(do)
	case "exec":
		childExec(do)
	case "who":
		fmt.Println(who())
	}
	os.Exit(0)
}

// limit takes all capabilities but some out of the bounding set, and starts
// again: root then has these.
func limit(do task) {
	for v := range cap.MaxBits() {
		if !strings.Contains(" "+strings.Join(do.Bounding, " ")+" ", " "+v.String()+" ") {
			must(cap.DropBound(v))
		}
	}
	do.Bounding = nil
	text, err := json.Marshal(do)
	must(err)
	must(os.Setenv(taskVariable, string(text)))
	must(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// childDrop drops, tells what it can do before and after, and waits.
func childDrop(do task) {
	manyBusyThreads()
	for _, p := range probes(do) {
		if err := p.do(); err != nil {
			fmt.Printf("before: %s: %v\n", p.name, err)
		}
	}
	report, err := Drop(do.Plan)
	if err != nil {
		fmt.Println("failed " + err.Error())
		io.Copy(io.Discard, os.Stdin)
		return
	}
	told, err := json.Marshal(report)
	must(err)
	fmt.Println("dropped " + string(told))
	io.Copy(io.Discard, os.Stdin) // while the test looks at /proc

	check := func(where string) {
		for _, p := range probes(do) {
			switch err := p.do(); {
			case err == nil && !p.kept:
				fmt.Printf("%s: can still: %s\n", where, p.name)
			case err != nil && p.kept:
				fmt.Printf("%s: can no longer: %s: %v\n", where, p.name, err)
			case err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES):
				fmt.Printf("%s: %s fails for another reason: %v\n", where, p.name, err)
			}
		}
	}
	check("after")
	onNewThread(func() { check("on a new thread") })
	fmt.Println(who())
}

// removableFiles is how many files there are to remove, one a try.
const removableFiles = 5

// A probe is something that root can do.
type probe struct {
	name string
	kept bool // by the plan
	do   func() error
}

func probes(do task) []probe {
	open := func(path string, flags int) func() error {
		return func() error {
			f, err := os.OpenFile(path, flags, 0o600)
			if err == nil {
				f.Close()
			}
			return err
		}
	}
	return []probe{
		{"read /etc/shadow", false, open("/etc/shadow", os.O_RDONLY)},
		{"read /etc/passwd, which is not in the plan", false, open("/etc/passwd", os.O_RDONLY)},
		{"open /dev/net/tun", false, open("/dev/net/tun", os.O_RDWR)},
		{"write outside of the plan", false, open(filepath.Join(do.Forbidden, "file"), os.O_WRONLY|os.O_CREATE)},
		{"open a raw socket", false, func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}},
		{"be root", false, func() error { return syscall.Setuid(0) }},
		{"be in the group root", false, func() error { return syscall.Setgroups([]int{0}) }},
		{"run a program", false, func() error {
			cmd := exec.Command(do.SetUID)
			cmd.Env = []string{taskVariable + `={"Role":"who"}`}
			return cmd.Run()
		}},

		{"write in the plan", true, open(filepath.Join(do.Allowed, "file"), os.O_RDWR|os.O_CREATE|os.O_TRUNC)},
		{"rename in the plan", true, func() error {
			return os.Rename(filepath.Join(do.Allowed, "file"), filepath.Join(do.Allowed, "file.1"))
		}},
		{"remove in the plan", true, func() error { return os.Remove(filepath.Join(do.Allowed, "file.1")) }},
		{"remove where the plan allows nothing else", true, func() (err error) {
			for i := range removableFiles {
				if err = os.Remove(filepath.Join(do.Plan.RemoveIn[0], itoa(i))); err == nil {
					return nil
				}
			}
			return err
		}},
		{"write where the plan allows removing", false, open(filepath.Join(do.Plan.RemoveIn[0], "file"), os.O_WRONLY|os.O_CREATE)},
		{"list the plan", true, func() error { _, err := os.ReadDir(do.Allowed); return err }},
		{"read a file of the plan", true, open(do.Plan.ReadPaths[0], os.O_RDONLY)},
		{"listen on loopback", true, func() error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err == nil {
				l.Close()
			}
			return err
		}},
	}
}

// manyBusyThreads starts goroutines that keep their threads.
func manyBusyThreads() {
	var started sync.WaitGroup
	for range manyThreads {
		started.Add(1)
		go func() {
			runtime.LockOSThread()
			started.Done()
			select {}
		}()
	}
	started.Wait()
}

// onNewThread runs f on a thread that starts now: those that run are taken.
func onNewThread(f func()) {
	done := make(chan struct{})
	manyBusyThreads()
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// childExec drops all but the access to files, and runs a set-user-ID program.
func childExec(do task) {
	manyBusyThreads()
	id, err := Resolve(do.Plan.User)
	must(err)
	held, err := heldCapabilities(id)
	must(err)
	_, err = dropCredentials(id, held)
	must(err)
	cmd := exec.Command(do.SetUID)
	cmd.Env = []string{taskVariable + `={"Role":"who"}`}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		fmt.Println("failed", err)
	}
	os.Stdout.Write(out)
}

// who tells the effective user and the capabilities of the thread that runs it.
func who() string {
	return fmt.Sprintf("who: euid %d, egid %d, capabilities %q", os.Geteuid(), os.Getegid(), cap.GetProc())
}

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wait waits until the command has ended, and as exec.Cmd.Wait for what it
// prints; an error is about that, or of the command's context. In place, this
// process stops whenever the command stops meanwhile, and after it the signals
// that were passed on are still caught, and do nothing.
func (s *Sandbox) Wait() (syscall.WaitStatus, error) {
	if s.signals != nil {
		s.stopAlong()
	}
	err := s.cmd.Wait()
	s.ended = true
	s.signals.stop()
	s.control.close()
	runtime.UnlockOSThread()
	if s.cmd.ProcessState == nil {
		return 0, &Error{Op: "wait for the command", Err: err}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil // the status says it
	}
	return s.cmd.ProcessState.Sys().(syscall.WaitStatus), err
}

// stopAlong stops this process whenever the command stops, until that ends. It
// does not take the news of the end, which is exec.Cmd's.
func (s *Sandbox) stopAlong() {
	for {
		if c, err := s.change(unix.WEXITED | unix.WSTOPPED | unix.WNOWAIT); err != nil || c.code != stopped {
			return
		}
		// It may have been let go on meanwhile.
		if c, err := s.change(unix.WSTOPPED | unix.WNOHANG); err == nil && c.pid != 0 {
			s.signals.stopLike(syscall.Signal(c.status))
		}
	}
}

const stopped = 5 // CLD_STOPPED

// A change is of the state of a child: siginfo_t of the kernel.
type change struct {
	signo, errno, code int32
	_                  [0]uintptr // what follows is aligned so
	pid, uid, status   int32
	_                  [104]byte // up to the size of unix.Siginfo, at least
}

func (s *Sandbox) change(options int) (change, error) {
	var c change
	err := retry(func() error {
		return unix.Waitid(unix.P_PID, s.cmd.Process.Pid, (*unix.Siginfo)(unsafe.Pointer(&c)), options, nil)
	})
	return c, err
}

// networkOf returns what the network namespace of a process is called. A process
// that has ended has none.
func networkOf(pid int) (string, error) { return os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)) }

// LeftBehind returns the processes that the ended command left running in its
// network and in the session of this process, as the background jobs of a shell
// are. What made a session of its own, as daemons do, is not counted.
func (s *Sandbox) LeftBehind() []int {
	session, err := unix.Getsid(0)
	if err != nil {
		return nil
	}
	gone := func(pid int) bool {
		if sid, err := unix.Getsid(pid); err != nil || sid != session {
			return true
		}
		netns, err := networkOf(pid)
		return err != nil || netns != s.netns
	}
	// To look at all processes takes its time. They may start further ones.
	if s.left = slices.DeleteFunc(s.left, gone); len(s.left) == 0 {
		s.left = slices.DeleteFunc(processes(), gone)
	}
	return slices.Clone(s.left)
}

// processes returns all processes that can be seen.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // as many as it has
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

package sandbox

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Wait waits until the command has ended. Meanwhile it stops this process
// whenever the command stops. After it the signals that were passed on are still
// caught, and do nothing.
func (s *Sandbox) Wait() (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		err := retry(func() error {
			_, err := syscall.Wait4(s.pid, &status, syscall.WUNTRACED, nil)
			return toErrno(err)
		})
		if err != nil {
			return 0, &Error{Op: "wait for the command", Err: os.NewSyscallError("wait4", err)}
		}
		if !status.Stopped() {
			break
		}
		s.signals.stopLike(status.StopSignal())
	}
	s.ended = true
	s.signals.stop()
	s.control.close()
	runtime.UnlockOSThread()
	return status, nil
}

func toErrno(err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return unix.Errno(errno)
	}
	return err
}

// LeftBehind returns the processes that the ended command left running in the
// session of this process, as the background jobs of a shell are. What made a
// session of its own, as daemons do, is not counted. Those that ended are
// reaped.
func (s *Sandbox) LeftBehind() []int {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
			break
		}
	}
	session, err := unix.Getsid(0)
	if err != nil {
		return nil
	}
	var pids []int
	for _, pid := range children() {
		if sid, err := unix.Getsid(pid); err == nil && sid == session {
			pids = append(pids, pid)
		}
	}
	return pids
}

// children returns the processes whose parent this process is: orphans of the
// command's, whose reaper it is.
func children() []int {
	var pids []int
	tasks, _ := os.ReadDir("/proc/self/task") // none: there are no threads to ask
	for _, t := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + t.Name() + "/children") // a thread that has ended has none
		for _, word := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

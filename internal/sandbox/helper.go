package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitFailed is the exit code of a helper that could not become the command.
const exitFailed = 125

var mainCalled atomic.Bool

// Main is the helper, or the closer, if this process is one: it does not return
// then. Otherwise it does nothing. It is to be called before anything else in
// main, on its goroutine.
func Main() {
	mainCalled.Store(true)
	if len(os.Args) == 1 && os.Args[0] == closerName {
		runCloser()
	}
	if len(os.Args) != 2 || os.Args[0] != helperName {
		return
	}
	fd, err := strconv.Atoi(os.Args[1])
	if err != nil {
		os.Exit(exitFailed)
	}
	// Namespaces are a matter of the process, but capabilities and the signal
	// of the parent's death are one of the thread that executes the command.
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // it lives for milliseconds
	unix.CloseOnExec(fd)
	h := helper{control: control{fd}}
	if err := h.run(); err != nil {
		h.control.tell(message{Failed: err}, noFile) // else nobody is left to be told
	}
	os.Exit(exitFailed)
}

// A helper is a process on its way from this program to the command.
type helper struct {
	control control
	order   order
	spec    *os.File // at what the files of the order hold
}

// run returns only what kept it from becoming the command.
func (h *helper) run() *failed {
	for _, step := range []struct {
		op string
		do func() error
	}{
		{"receive the spec", h.receive},
		{"replace files", h.replaceFiles},
		{"make the interface", h.makeInterface},
		{"wait for the word", h.await},
		{"give up capabilities", h.dropCapabilities},
		{"die with the parent", h.dieWithParent},
	} {
		if err := step.do(); err != nil {
			return tellable(step.op, err)
		}
	}
	path := string(h.order.Path)
	f := tellable(path, syscall.Exec(path, texts(h.order.Args), texts(h.order.Env)))
	f.Exec = true
	return f
}

func (h *helper) receive() error {
	_, fd, err := h.control.receive()
	if err != nil {
		return err
	}
	if fd == noFile {
		return errors.New("no spec came")
	}
	h.spec = os.NewFile(uintptr(fd), "spec") // closed at exec
	h.order, err = unpack(h.spec)
	return err
}

func (h *helper) await() error {
	_, _, err := h.control.receive()
	return err
}

// dropCapabilities gives up the capabilities that this process has as the first
// one in its user namespace. Without a user namespace the command keeps what its
// caller had. The bounding set stays: a program with file capabilities that are
// not bound could not be executed at all, and in its namespace they are harmless.
func (h *helper) dropCapabilities() error {
	// Without those in the ambient set they are lost at exec, unless the user
	// is root there.
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if os.Geteuid() == 0 {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return os.NewSyscallError("capset", unix.Capset(&header, &none[0]))
}

// dieWithParent has the kernel kill the command when the parent ends: changed
// credentials have undone what the parent asked for.
func (h *helper) dieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if parent := os.Getppid(); parent != h.order.Parent {
		return fmt.Errorf("the parent has gone: it is %d now", parent)
	}
	return nil
}

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"synscope/tun"
)

// A Sandbox is one command in its namespaces. It is for one goroutine, that
// which called New, but for Kill.
type Sandbox struct {
	cmd     *exec.Cmd
	control control
	netns   string       // its network namespace, as networkOf has it
	signals *relay       // nil: none are passed on
	left    []int        // what LeftBehind found last
	ended   bool         // the process was waited for
	closer  atomic.Int64 // of the lingering device, once it was closed; 0: none
}

// New starts the helper, in namespaces of its own. Cmd says how: its standard
// files, its directory, its extra files and its context are those of the
// command; what is executed, and with what environment, is said by the Spec. It
// is started and waited for by the Sandbox. The calling goroutine is locked to
// its thread until Wait or Close: the command dies with that thread.
//
// In place, the command takes the place of this process: see the package's
// documentation.
func New(cmd *exec.Cmd, inPlace bool) (*Sandbox, error) {
	if !mainCalled.Load() {
		return nil, &Error{
			Op: "start the helper", Err: errors.New("this program does not call synscope.Main"),
			Hint: "call it before anything else in main, and in a test in TestMain",
		}
	}
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, &Error{Op: "start the helper", Err: err}
	}
	runtime.LockOSThread()
	s := &Sandbox{cmd: cmd, control: ours}
	if inPlace {
		s.signals = newRelay()
		err = s.startInPlace(theirs)
	} else {
		err = s.startBeside(theirs)
	}
	if err != nil {
		ours.close()
		s.signals.stop()
		s.signals.release()
		runtime.UnlockOSThread()
		return nil, err
	}
	if inPlace {
		s.signals.start(cmd.Process.Pid)
	}
	return s, nil
}

// helperName is the name by which this program knows that it is the helper.
const helperName = "synscope: sandbox"

// firstFree is a number that no inherited file is likely to have: those are to
// reach the command in place.
const firstFree = 200

// startInPlace starts the helper so that files that this process inherited keep
// their numbers. ExtraFiles would number the control socket 3. No other process
// is started meanwhile, which would inherit it as well.
func (s *Sandbox) startInPlace(theirs control) error {
	defer theirs.close()
	fd, err := unix.FcntlInt(uintptr(theirs.fd), unix.F_DUPFD, firstFree)
	if err != nil {
		return &Error{Op: "start the helper", Err: os.NewSyscallError("fcntl", err)}
	}
	defer unix.Close(fd)
	return s.start(fd)
}

// startBeside starts the helper while other goroutines may start processes.
func (s *Sandbox) startBeside(theirs control) error {
	f := os.NewFile(uintptr(theirs.fd), "control")
	defer f.Close()
	extra := s.cmd.ExtraFiles
	defer func() { s.cmd.ExtraFiles = extra }()
	s.cmd.ExtraFiles = append(slices.Clip(extra), f)
	return s.start(3 + len(extra))
}

// start executes this program again, as the helper with its end of the control
// socket at fd.
func (s *Sandbox) start(fd int) error {
	if dir := s.cmd.Dir; dir != "" { // the error of Start would not say what it is about
		if _, err := os.Stat(dir); err != nil {
			return err
		}
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	userNamespace := !privileged()
	if userNamespace {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		attr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN}
	}
	path, args, env, old := s.cmd.Path, s.cmd.Args, s.cmd.Env, s.cmd.SysProcAttr
	s.cmd.Path, s.cmd.Args, s.cmd.Env, s.cmd.SysProcAttr = "/proc/self/exe", []string{helperName, strconv.Itoa(fd)}, os.Environ(), attr
	err := s.cmd.Start()
	s.cmd.Path, s.cmd.Args, s.cmd.Env, s.cmd.SysProcAttr = path, args, env, old
	var failed *fs.PathError
	if errors.As(err, &failed) && failed.Op == "fork/exec" {
		return cloneError(failed.Err, userNamespace)
	}
	return err
}

// privileged reports whether this process can make the namespaces and what is
// in them without a user namespace.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if unix.Capget(&header, &sets[0]) != nil {
		return false
	}
	const need = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SYS_ADMIN
	return sets[0].Effective&need == need
}

// A Link is the command's network interface, as it was made.
type Link struct {
	Device tun.Device // owned by the caller
	IPv6   bool       // whether it has the IPv6 addresses of the Spec
}

// Prepare has the helper make everything of the spec, and returns the interface.
// The command waits for Exec. If the helper was ended by a signal meanwhile, the
// error is a Killed.
func (s *Sandbox) Prepare(spec Spec) (Link, error) {
	if err := s.order(spec); err != nil {
		return Link{}, &Error{Op: "hand over the spec", Err: err}
	}
	r, fd, err := s.control.hear()
	if err != nil {
		return Link{}, s.gone(err)
	}
	if r == nil || fd == noFile {
		return Link{}, &Error{Op: "receive the interface", Err: errors.New("the helper sent none")}
	}
	if err := unix.SetNonblock(fd, true); err != nil { // before NewFile, which looks
		unix.Close(fd)
		return Link{}, &Error{Op: "receive the interface", Err: err}
	}
	s.netns = r.NetNS
	queue := os.NewFile(uintptr(fd), r.Name)
	socket := isSocket(fd)
	dev, err := tun.Adopt(queue, r.Name, r.MTU)
	if err != nil {
		queue.Close()
		return Link{}, err
	}
	if socket {
		dev = lingering{dev, queue, &s.closer}
	}
	return Link{dev, r.IPv6}, nil
}

// order sends the helper its spec. That the helper has gone is no error here: it
// may have said why.
func (s *Sandbox) order(spec Spec) error {
	f, err := pack(spec)
	if err != nil {
		return err
	}
	defer f.Close()
	err = s.control.send([]byte("spec"), int(f.Fd()))
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}

// Exec lets the command begin. If its program cannot be executed the error is
// an *ExecError.
func (s *Sandbox) Exec() error {
	if err := s.control.send([]byte("go"), noFile); err != nil {
		return s.gone(io.EOF)
	}
	// The helper's end closes at exec.
	_, _, err := s.control.hear()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = errors.New("unexpected message of the helper")
	}
	return err
}

// A Killed error says that a signal ended the helper before there was a command.
type Killed struct{ Signal syscall.Signal }

func (e Killed) Error() string { return fmt.Sprintf("sandbox: ended by %v", e.Signal) }

// gone says why the helper cannot be heard any more.
func (s *Sandbox) gone(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	status, werr := s.Wait()
	switch {
	case werr != nil:
		return werr
	case status.Signaled():
		return Killed{status.Signal()}
	}
	return &Error{Op: "run the helper", Err: fmt.Errorf("it ended with exit code %d", status.ExitStatus())}
}

// Close kills what was not waited for, and has signals do what they did before
// New. A process that is about to end can do without it after Wait. The Device is
// to be closed before.
func (s *Sandbox) Close() error {
	defer s.signals.release()
	if pid := s.closer.Swap(0); pid != 0 {
		retry(func() error {
			_, err := syscall.Wait4(int(pid), nil, 0, nil) // who was waited for already is no error
			return err
		})
	}
	if s.ended {
		return nil
	}
	s.Kill()
	_, err := s.Wait()
	return err
}

// Kill ends the command, or the helper, if it has not ended. It may be called by
// any goroutine.
func (s *Sandbox) Kill() error { return s.cmd.Process.Kill() }

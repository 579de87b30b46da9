package sandbox

import (
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// relayed are the signals that are passed on to the command. The first ones are
// those that a terminal sends, to all processes of its foreground group.
var relayed = []os.Signal{
	syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGWINCH,
	syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
}

const fromTerminal = 5 // so many of relayed

// A relay passes signals on. Its goroutine runs from start to stop. A nil one is
// stopped and released.
type relay struct {
	pid  int
	in   chan os.Signal
	quit chan struct{}
	done sync.WaitGroup // run
	once sync.Once
}

// newRelay begins to catch signals. Those that are ignored stay so, here and in
// the command.
func newRelay() *relay {
	r := &relay{in: make(chan os.Signal, 16), quit: make(chan struct{})}
	signal.Notify(r.in, slices.DeleteFunc(slices.Clone(relayed), signal.Ignored)...)
	return r
}

func (r *relay) start(pid int) {
	r.pid = pid
	r.done.Add(1) // for run
	go r.run()
}

func (r *relay) run() {
	defer r.done.Done()
	for {
		select {
		case <-r.quit:
			return
		case sig := <-r.in:
			if slices.Index(relayed, sig) < fromTerminal && (inForeground() || sig == syscall.SIGTTIN) {
				continue // it has it already
			}
			unix.Kill(r.pid, sig.(syscall.Signal)) // it may just have ended
		}
	}
}

// stop ends the passing on. The signals are still caught, and lost.
func (r *relay) stop() {
	if r == nil {
		return
	}
	r.once.Do(func() {
		close(r.quit)
		r.done.Wait()
	})
}

// release has signals do what they did before newRelay. That takes milliseconds.
func (r *relay) release() {
	if r != nil {
		signal.Stop(r.in)
	}
}

// stopLike stops this process by the signal that stopped the command, and
// returns when it goes on. It then has the command go on too: who let only this
// process go on did not know better. The goroutine is locked to its thread.
func (r *relay) stopLike(sig syscall.Signal) {
	var caught disposition
	setDisposition(sig, &disposition{}, &caught)
	raise(sig)
	setDisposition(sig, &caught, nil)
	unix.Kill(r.pid, unix.SIGCONT)
}

// inForeground reports whether this process group is the one that its
// controlling terminal sends signals to.
func inForeground() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // it has none
	}
	defer unix.Close(fd)
	pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && pgrp == unix.Getpgrp()
}

// Die ends this process by the signal that ended the command, without a core,
// so that whoever waits for it sees what it would have seen of the command. It
// does not return.
func Die(sig syscall.Signal) {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // the core would be ours
	setDisposition(sig, &disposition{}, nil)
	runtime.LockOSThread()
	raise(sig)
	os.Exit(128 + int(sig)) // as a shell would tell it, should the signal be blocked
}

// raise sends a signal to the calling thread, which does not return before it
// has had it.
func raise(sig syscall.Signal) { unix.Tgkill(unix.Getpid(), unix.Gettid(), sig) }

// A disposition is what becomes of a signal: struct sigaction of the kernel. The
// zero value is the default.
type disposition struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// setDisposition sets what becomes of a signal and stores what it was in old. It
// goes round package signal, which cannot set a default that Go does not have.
func setDisposition(sig syscall.Signal, d, old *disposition) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(d)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(d.mask), 0, 0)
}

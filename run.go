package synscope

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"synscope/event"
	"synscope/internal/sandbox"
)

// Main is to be called by a program that uses Run before anything else in main,
// and by its tests in TestMain. Run starts the program again, to set up from
// inside what the command is to see; in that process Main does not return.
// Otherwise it does nothing.
func Main() { sandbox.Main() }

// A RunConfig says what the command of Run meets, and who is told of it. The zero
// value has it go to the world, with TLS opened.
type RunConfig struct {
	// Mirror has our own endpoint answer all of it: every name, address and
	// port. Nothing of the world is needed, or reached.
	Mirror bool

	// Watch has all TLS to the world pass untouched, and WatchName TLS with
	// servers of that name, possibly hostile and possibly empty; it must not
	// block. Else it is opened: terminated with a likeness of the server's
	// certificate, that the command is made to trust, and made anew.
	Watch     bool
	WatchName func(serverName string) bool
	// Roots are the authorities that servers of the world are judged by where
	// TLS is opened. Nil: those of the system.
	Roots *x509.CertPool
	// HostLoopback has the name host.internal lead to the loopback of this
	// host, which is not reached otherwise.
	HostLoopback bool
	// BlockUDP refuses datagrams to the world but those of DNS, which are
	// forwarded otherwise.
	BlockUDP bool

	// Sinks, KeyLog and Capture are as those of a Config.
	Sinks   []Sink
	KeyLog  KeyLog
	Capture Capture
	// Log takes what is amiss and keeps nothing from going on. Nil: nobody.
	Log *slog.Logger

	// LeftBehind is called when the command has ended and left processes
	// running, as a shell does its background jobs. They are waited for until
	// the channel that it returns is closed, or the context of Run is done.
	// Nil: they are not waited for. Daemons, which have a session of their
	// own, never are.
	LeftBehind func(pids []int) (stop <-chan struct{})

	// InPlace is for a program that has nothing else to do and ends with the
	// command, as env(1) does: signals sent to this process alone are passed
	// on to the command, and stay caught when Run has returned; it stops when
	// the command stops; all files that it inherited reach the command by
	// their numbers. No other process may be started meanwhile.
	InPlace bool
}

// A RunResult is what became of a command.
type RunResult struct {
	// Status is how the command ended, zero if it did not begin.
	Status syscall.WaitStatus
	// Conns are its connections, and those that were made for it to the world,
	// in the order of their opening. ConnsLost counts those that there was no
	// room for, beyond 16,384.
	Conns     []event.Summary
	ConnsLost uint64
	// LeftBehind are the processes in this session that the command left
	// running. They have lost their network.
	LeftBehind []int
}

// maxConns bounds the connections of a RunResult.
const maxConns = 16_384

// Run runs a command whose network is ours, as `synscope run` does, and waits for
// its end: in namespaces of its own, of which docs/run.md tells more. It takes no
// privileges where user namespaces are allowed, changes nothing outside, and
// leaves nothing behind. Several may run at once. [Main] has to be called before.
//
// The command is what cmd says, all of which is honoured as its own Run would, but
// SysProcAttr, which must be nil. That it was not successful is no error: the
// result's Status says so. When ctx is done the command is killed, and the error
// is the cause of that; a gentler end, and a bound on waiting for output of what
// the command started, are Cancel and WaitDelay of cmd. The result has what was
// until then also where there is an error. An error that says what to do about it
// is a [*RunError].
//
// The calling goroutine is locked to its thread meanwhile, so that the kernel
// kills the command when this process is killed.
func Run(ctx context.Context, cmd *exec.Cmd, cfg RunConfig) (RunResult, error) {
	r := &run{cfg: cfg, cmd: cmd}
	if err := r.check(); err != nil {
		return RunResult{}, err
	}
	if err := context.Cause(ctx); err != nil {
		return RunResult{}, err
	}
	var err error
	if r.box, err = sandbox.New(cmd, cfg.InPlace); err != nil {
		return RunResult{}, err
	}
	defer context.AfterFunc(ctx, func() { r.box.Kill() })()
	err = r.execute(ctx)
	if err != nil || !cfg.InPlace { // else it would only take its time
		r.box.Close()
	}
	var killed sandbox.Killed
	if ctx.Err() != nil && (errors.As(err, &killed) || r.result.Status.Signaled() && r.result.Status.Signal() == unix.SIGKILL) {
		err = context.Cause(ctx)
	}
	return r.result, err
}

// A RunError says what Run could not make for a command (Op, Err) and, where it is
// known, what to do about it (Hint).
type RunError = sandbox.Error

// A run is one call of Run.
type run struct {
	cfg    RunConfig
	cmd    *exec.Cmd
	box    *sandbox.Sandbox
	place  *place
	scope  *Scope
	conns  summaries
	result RunResult
}

func (r *run) check() error {
	switch c := &r.cfg; {
	case c.Mirror && (c.Watch || c.WatchName != nil || c.Roots != nil || c.HostLoopback || c.BlockUDP):
		return errors.New("synscope: Watch, WatchName, Roots, HostLoopback and BlockUDP of a RunConfig are about the world: there is none with Mirror")
	case r.cmd.Path == "" && r.cmd.Err == nil:
		return errors.New("synscope: the Cmd of Run has no Path")
	case r.cmd.SysProcAttr != nil:
		return errors.New("synscope: Run cannot honour SysProcAttr of its Cmd: it has one of its own")
	}
	if r.cfg.Log == nil {
		r.cfg.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// execute goes from a sandbox to the end of the command, and of what answers it.
func (r *run) execute(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	defer r.end()
	if err := r.box.Exec(); err != nil {
		return err
	}
	var err error
	r.result.Status, err = r.box.Wait()
	r.awaitLeftBehind(ctx)
	return err
}

// begin prepares the sandbox and starts what answers in it.
func (r *run) begin() error {
	var err error
	if r.place, err = newPlace(r.cfg); err != nil {
		return err
	}
	spec := r.place.spec(r.cmd.Environ())
	spec.Path, spec.Args = r.cmd.Path, r.cmd.Args
	if len(spec.Args) == 0 {
		spec.Args = []string{spec.Path}
	}
	link, err := r.box.Prepare(spec)
	if err != nil {
		return err
	}
	cfg := r.place.config(link)
	cfg.Sinks = append(slices.Clip(r.cfg.Sinks), &r.conns)
	cfg.KeyLog, cfg.Capture = r.cfg.KeyLog, r.cfg.Capture
	if r.scope, err = Start(cfg); err != nil {
		return err
	}
	if err := r.place.serve(r.scope); err != nil {
		r.end()
		return err
	}
	return nil
}

const (
	// settleTimeout is how long the connections of a command that has ended are
	// waited for. Its sockets are closed by then, and the segments on their way.
	settleTimeout = 500 * time.Millisecond
	drainTimeout  = 500 * time.Millisecond
)

// end ends what answers, when nothing more can come.
func (r *run) end() {
	for deadline := time.Now().Add(settleTimeout); r.scope.Stats().Open > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	r.place.endForwarding()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	r.scope.Shutdown(ctx) // what is still open then is reset, which is told
	r.place.wait()
	r.result.Conns, r.result.ConnsLost = r.conns.list, r.conns.lost
}

// leftBehindInterval is how often what the command left running is looked for.
const leftBehindInterval = 20 * time.Millisecond

// awaitLeftBehind waits for what the command left running, if it is to: that
// still needs its network.
func (r *run) awaitLeftBehind(ctx context.Context) {
	left := r.box.LeftBehind()
	defer func() { r.result.LeftBehind = left }()
	if len(left) == 0 || r.cfg.LeftBehind == nil || ctx.Err() != nil {
		return
	}
	for stop := r.cfg.LeftBehind(left); len(left) > 0; left = r.box.LeftBehind() {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-time.After(leftBehindInterval):
		}
	}
}

// summaries is a sink that sums up connections.
type summaries struct {
	list []event.Summary
	at   map[uint64]int // in list, by connection
	lost uint64
}

// Event implements Sink.
func (s *summaries) Event(e *event.Event) {
	if e.Conn == 0 {
		return
	}
	i, known := s.at[e.Conn]
	if !known {
		if len(s.list) == maxConns {
			if _, opens := e.Body.(*event.Open); opens {
				s.lost++
			}
			return
		}
		if s.at == nil {
			s.at = make(map[uint64]int)
		}
		i = len(s.list)
		s.at[e.Conn] = i
		s.list = append(s.list, event.Summary{})
	}
	s.list[i].Add(e)
}

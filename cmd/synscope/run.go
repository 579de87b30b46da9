package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"synscope"
	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/sandbox"
	"synscope/stack"
)

// Exit codes of run that are not the command's, as env and docker have them.
const (
	exitRunFailed   = 125 // it could not do what was asked, or was asked wrongly
	exitNotExecuted = 126 // the program is there, but cannot be executed
	exitNotFound    = 127 // there is no such program
)

// exitUnmet is the exit code where the command ended with 0, but not as was
// expected (--expect).
const exitUnmet = 3

func newRunCommand() *cobra.Command {
	r := &runner{output: config.Default().Output}
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command and tell its handshakes",
		Long: "Run runs a command whose network is ours. Its connections go to where they would\n" +
			"go without it, and meet what they would meet; TLS is opened on the way, with a\n" +
			"certificate like the real one, of an authority that the command is made to trust.\n" +
			"Each connection is told on the standard error, from SYN to Finished, when the\n" +
			"command has ended. It takes no privileges, and leaves nothing behind.\n\n" +
			"The exit code is that of the command; a signal that ends it ends run too. 125 says\n" +
			"that run itself failed, 126 that the command cannot be executed, 127 that it was\n" +
			"not found. Where it is 0 and an expectation (--expect) is not met, it is 3.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exitError{usageError{hinted{errors.New("no command given"), "synscope run -- COMMAND [ARGUMENT...]"}}, exitRunFailed}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.args, r.stderr = args, cmd.ErrOrStderr()
			return r.run()
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exitError{usageError{hinted{err, cmd.CommandPath() + " --help lists the flags"}}, exitRunFailed}
	})
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the command's name is its own
	flags.StringVar(&r.place.to, "to", toWorld, "where the traffic goes: world (the real destinations) or mirror (our own endpoint answers everything)")
	flags.StringVar(&r.place.tls, "tls", tlsOpen, "what is done with TLS to the world: open (to see inside) or watch (it passes untouched)")
	flags.StringArrayVar(&r.place.watch, "watch", nil, "have TLS with this server name pass untouched; *.NAME for all below it (repeatable)")
	flags.BoolVar(&r.place.loopback, "host-loopback", false, "have the name "+hostName+" lead to the loopback of the host")
	flags.BoolVar(&r.place.blockUDP, "block-udp", false, "refuse datagrams but those of DNS, so that clients of QUIC take TCP")
	flags.StringVar(&r.output.Events, "events", "", "write the events to this file, not to the standard error")
	flags.StringVar((*string)(&r.output.Format), "format", string(r.output.Format), "how events are written: ladder or json")
	flags.StringVar(&r.output.PCAP, "pcap", "", "write the packets to this new file, with the TLS secrets inside")
	flags.StringVar(&r.output.KeyLog, "keylog", "", "write the TLS secrets to this new file")
	flags.BoolVar(&r.output.Explain, "explain", false, "say of each step what it is for")
	flags.BoolVar(&r.live, "live", false, "tell each connection when it ends, not when the command has ended")
	r.expected.flags(flags)
	return cmd
}

// A runner is one run of a command.
type runner struct {
	place  place
	output config.Output
	live   bool
	args   []string
	stderr io.Writer

	expected expectations

	log     *slog.Logger
	held    *held
	outputs *outputs
	box     *sandbox.Sandbox
	world   *world
	scope   *synscope.Scope
	conns   counter

	executed bool // there was a command
}

// run runs the command. It returns an exitError, or does not return where a
// signal ended the command.
func (r *runner) run() error {
	status, err := r.execute()
	unmet := r.expected.unmet()
	var killed sandbox.Killed
	var failed *sandbox.ExecError
	switch {
	case errors.As(err, &killed):
		sandbox.Die(killed.Signal)
	case errors.As(err, &failed):
		return exitError{err, execCode(err)}
	case err != nil:
		return exitError{err, exitRunFailed}
	case status.Signaled():
		if unmet != nil {
			report(r.stderr, unmet)
		}
		sandbox.Die(status.Signal())
	case status.ExitStatus() != 0:
		return exitError{unmet, status.ExitStatus()}
	case unmet != nil:
		return exitError{unmet, exitUnmet}
	}
	return nil
}

// execute goes from the flags to the end of the command, and of everything that
// was started for it.
func (r *runner) execute() (status syscall.WaitStatus, err error) {
	r.log = slog.New(newLineHandler(r.stderr))
	stack.LogTo(func(text string) { r.log.Warn("netstack: " + text) })
	if err := r.check(); err != nil {
		return 0, usageError{err}
	}
	if err := r.expected.open(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.expected.close(r.args, status, err)) }()
	path, err := lookPath(r.args[0])
	if err != nil {
		return 0, err
	}
	if err := r.openOutputs(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.closeOutputs()) }()
	if r.box, err = sandbox.New(); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			r.box.Close()
		}
	}()
	if err := r.begin(path); err != nil {
		return 0, err
	}
	defer r.end()
	if err := r.box.Exec(); err != nil {
		return 0, err
	}
	r.executed = true
	if status, err = r.box.Wait(); err != nil {
		return 0, err
	}
	r.awaitLeftBehind()
	return status, nil
}

// check checks the values of the flags.
func (r *runner) check() error {
	if err := r.place.check(); err != nil {
		return err
	}
	out := &r.output
	switch {
	case out.Format != config.FormatLadder && out.Format != config.FormatJSON:
		return hinted{fmt.Errorf("--format: unknown format %q", out.Format), "it is one of ladder and json"}
	case out.PCAP == "-" || out.KeyLog == "-" || out.Events == "-":
		return hinted{errors.New("- is the standard output, which is the command's own"), "give a file"}
	}
	return r.expected.compile()
}

// lookPath finds a program as a shell does.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	var e *exec.Error
	if errors.As(err, &e) {
		err = reason(e.Err)
	}
	return "", &sandbox.ExecError{Path: name, Err: err}
}

// execCode returns the exit code for a program that could not be executed.
func execCode(err error) int {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return exitNotFound
	}
	return exitNotExecuted
}

// begin prepares the sandbox and starts what answers in it.
func (r *runner) begin(path string) error {
	var err error
	if r.world, err = newWorld(r.place); err != nil {
		return err
	}
	spec := r.world.spec(os.Environ())
	for _, store := range r.world.untouched {
		r.log.Warn("trust store not read: what uses it will not trust our root", "file", store)
	}
	spec.Path, spec.Args = path, r.args
	link, err := r.box.Prepare(spec)
	if err != nil {
		return err
	}
	config := r.world.config(link)
	config.Sinks = append(r.outputs.sinks(), &r.conns)
	if r.expected.wanted() {
		config.Sinks = append(config.Sinks, r.expected.recorder)
	}
	config.KeyLog, config.Capture = r.outputs.keyLog(), r.outputs.capture()
	if r.scope, err = synscope.Start(config); err != nil {
		return err
	}
	if err := errors.Join(r.world.serveNames(r.scope), r.world.forward(r.scope)); err != nil {
		r.scope.Close()
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
func (r *runner) end() {
	for deadline := time.Now().Add(settleTimeout); r.scope.Stats().Open > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	r.world.endForwarding()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	r.scope.Shutdown(ctx) // what is still open then is reset, which is told
	r.world.wait()
	if r.executed {
		r.expected.decide()
	}
	if r.executed && r.conns.n == 0 && r.output.Events == "" && r.output.Format == config.FormatLadder {
		r.log.Info(fmt.Sprintf("%s made no connection", r.args[0]))
	}
}

// leftBehindInterval is how often what the command left running is looked for.
const leftBehindInterval = 20 * time.Millisecond

// awaitLeftBehind waits for what the command left running, as a shell does its
// background jobs: it still needs its network. A signal ends the waiting.
func (r *runner) awaitLeftBehind() {
	left := r.box.LeftBehind()
	if len(left) == 0 {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	r.log.Info(fmt.Sprintf("%s has ended; waiting for what it left running", r.args[0]), "processes", left)
	for ctx.Err() == nil && len(left) > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(leftBehindInterval):
			left = r.box.LeftBehind()
		}
	}
}

// openOutputs opens what the flags name.
func (r *runner) openOutputs() error {
	out := r.output
	if out.Events == "" {
		out.Events = "-"
	}
	r.held = &held{w: r.stderr, live: r.live}
	cfg := config.Default()
	cfg.Output = out
	var err error
	r.outputs, err = openOutputs(cfg, r.held, r.log)
	return err
}

func (r *runner) closeOutputs() error {
	return errors.Join(r.outputs.close(), r.held.flush())
}

// A counter is a sink that counts connections, and flows of datagrams.
type counter struct{ n int }

// Event implements synscope.Sink.
func (c *counter) Event(e *event.Event) {
	switch e.Body.(type) {
	case *event.Open, *event.UDPFlow:
		c.n++
	}
}

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
	r.place.flags(flags)
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
	told    counter
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
	keepHeadroom()
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
	result, err := synscope.Run(context.Background(), &exec.Cmd{
		Path: path, Args: r.args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}, r.config())
	if err != nil {
		return 0, err
	}
	r.expected.decide()
	if r.told.n == 0 && r.output.Events == "" && r.output.Format == config.FormatLadder {
		r.log.Info(fmt.Sprintf("%s made no connection", r.args[0]))
	}
	return result.Status, nil
}

// config returns what the command is to meet, and who is told of it.
func (r *runner) config() synscope.RunConfig {
	c := r.place.config()
	c.Sinks = append(r.outputs.sinks(), &r.told)
	if r.expected.wanted() {
		c.Sinks = append(c.Sinks, r.expected.recorder)
	}
	c.KeyLog, c.Capture = r.outputs.keyLog(), r.outputs.capture()
	c.Log, c.LeftBehind, c.InPlace = r.log, r.leftBehind, true
	return c
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

// leftBehind tells what the command left running, which is waited for until a
// signal comes.
func (r *runner) leftBehind(pids []int) <-chan struct{} {
	ctx, _ := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP) // this process ends then
	r.log.Info(fmt.Sprintf("%s has ended; waiting for what it left running", r.args[0]), "processes", pids)
	return ctx.Done()
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

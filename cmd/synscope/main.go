// Synscope is a TCP and TLS endpoint in user space that shows its work: every
// step from SYN to Finished, on a TUN interface, as one timeline.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"synscope"
)

// Exit codes. Those of a command's own are its matter.
const (
	exitFailed = 1 // it could not do what was asked
	exitUsage  = 2 // it was asked wrongly; nothing was started
)

// A usageError is the user's mistake: a flag, an argument, a configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// A hinted is an error with a word on what to do about it.
type hinted struct {
	err  error
	hint string
}

func (e hinted) Error() string { return e.err.Error() }
func (e hinted) Unwrap() error { return e.err }

// An exitError is an error with an exit code of its own. Without an error there
// is nothing to say.
type exitError struct {
	err  error
	code int
}

func (e exitError) Error() string { return fmt.Sprint(e.err) }
func (e exitError) Unwrap() error { return e.err }

func main() {
	synscope.Main()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		return report(stderr, err)
	}
	return 0
}

// report prints an error as one line, or a line for each of several, with each
// hint on a line of its own, and returns the exit code.
func report(w io.Writer, err error) int {
	exit := exitError{code: exitFailed}
	if errors.As(err, &usageError{}) {
		exit.code = exitUsage
	}
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintf(w, "synscope: %s\n", line)
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
	return exit.code
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "synscope",
		Short:         "Every step from SYN to Finished",
		Long:          "Synscope is a TCP and TLS endpoint in user space that shows its work:\nwhat exactly happened between SYN and Finished, as one timeline.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{hinted{errors.New("no command given"), "synscope --help lists them"}}
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{hinted{err, cmd.CommandPath() + " --help lists the flags"}}
	})
	root.AddCommand(
		newServeCommand(), newRunCommand(), newTailCommand(), newLsCommand(), newShowCommand(),
		newReadCommand(), newDiffCommand(),
		newExplainCommand(), newCACommand(), newManCommand(),
	)
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		what := "argument"
		if !cmd.HasParent() {
			what = "command"
		}
		return usageError{hinted{fmt.Errorf("unknown %s %q", what, args[0]), cmd.CommandPath() + " --help shows what there is"}}
	}
	return nil
}

// usage makes what an argument check of cobra's finds a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{hinted{err, cmd.CommandPath() + " --help shows how it is used"}}
		}
		return nil
	}
}

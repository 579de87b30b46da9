package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/trace"
)

func newReadCommand() *cobra.Command {
	var r reading
	cmd := &cobra.Command{
		Use:   "read FILE...",
		Short: "Tell the connections of a capture",
		Long: "Read tells the TCP and TLS connections of pcap and pcapng files, gzipped or not,\n" +
			"as serve tells those it answers. Several files are read as one, in their order;\n" +
			"- is the standard input. TLS is decrypted with the secrets in the files\n" +
			"(Decryption Secrets Blocks) and in key logs.\n\n" +
			"Of a damaged file, what is whole is told; the exit code is 1 then.",
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.files, r.stdin = args, cmd.InOrStdin()
			r.stdout, r.stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&r.keyLogs, "keylog", nil, "`FILE` with TLS secrets, in the format of RFC 9850 (repeatable)")
	f.StringVar(&r.events, "events", "-", "`FILE` to write events to; - is the standard output")
	f.StringVar(&r.format, "format", "", "how events are written: `ladder|json` (default json with --events, else ladder)")
	f.BoolVar(&r.explain, "explain", false, "say for each step of the ladder what it is for")
	f.StringVar(&r.filter, "filter", "", "tell only the events that match a CEL `EXPRESSION` over them and their connection")
	f.Uint64Var(&r.conn, "conn", 0, "tell only the connection with this `ID`")
	f.BoolVar(&r.follow, "follow", false, "go on when the last file grows, until interrupted")
	return cmd
}

// A reading is one run of read.
type reading struct {
	recording
	events, format, filter string
	explain                bool
	conn                   uint64
}

func (r *reading) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	format, err := r.outputFormat()
	if err != nil {
		return err
	}
	match, err := compileExpression(r.filter)
	if err != nil {
		return err
	}
	w, file, err := openEvents(r.events, os.O_TRUNC, r.stdout)
	if err != nil {
		return err
	}
	fewerCollections()
	out := newEventWriter(w, format, r.explain, match, nil)
	var sink trace.Sink = out
	if r.conn != 0 {
		sink = oneConn{r.conn, out}
	}
	r.flush = out.flush
	err = r.play(ctx, sink)
	err = errors.Join(out.finish(), err)
	if file != nil {
		err = errors.Join(file.Close(), err)
	}
	return err
}

// fewerCollections has garbage collected less often than usual, while there is
// memory: what is kept of a recording is little beside what is made of it, and
// soon let go.
func fewerCollections() {
	const percent, enough = 300, 1 << 30
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(enough)
}

// outputFormat is what was asked for, or what suits where the events go.
func (r *reading) outputFormat() (config.Format, error) {
	switch f := config.Format(r.format); {
	case f == config.FormatLadder, f == config.FormatJSON:
		return f, nil
	case f != "":
		return "", usageError{fmt.Errorf("--format: want ladder or json, not %q", r.format)}
	case r.events != "-":
		return config.FormatJSON, nil
	}
	return config.FormatLadder, nil
}

// oneConn is a sink for the events of one connection.
type oneConn struct {
	id   uint64
	next trace.Sink
}

func (o oneConn) Event(e *event.Event) {
	if e.Conn == o.id {
		o.next.Event(e)
	}
}

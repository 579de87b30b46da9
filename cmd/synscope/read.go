package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/jsonlines"
	"synscope/internal/ladder"
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
	f.Uint64Var(&r.conn, "conn", 0, "tell only the connection with this `ID`")
	f.BoolVar(&r.follow, "follow", false, "go on when the last file grows, until interrupted")
	return cmd
}

// A reading is one run of read.
type reading struct {
	recording
	events, format string
	explain        bool
	conn           uint64
}

func (r *reading) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	out, err := r.openOutput()
	if err != nil {
		return err
	}
	var sink trace.Sink = out
	if r.conn != 0 {
		sink = oneConn{r.conn, out}
	}
	r.flush = out.flush
	err = r.play(ctx, sink)
	return errors.Join(out.close(), err)
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

// A textOutput is where events are written as they come, as text.
type textOutput struct {
	trace.Sink
	flush func() error // writes what is whole
	close func() error // writes what is left
}

// openOutput opens where the events go. Nothing is written to it yet.
func (r *reading) openOutput() (*textOutput, error) {
	format := r.format
	switch {
	case format == "" && r.events != "-":
		format = string(config.FormatJSON)
	case format == "":
		format = string(config.FormatLadder)
	case format != string(config.FormatLadder) && format != string(config.FormatJSON):
		return nil, usageError{fmt.Errorf("--format: want ladder or json, not %q", format)}
	}
	w, closeFile := r.stdout, func() error { return nil }
	if r.events != "-" {
		f, err := os.OpenFile(r.events, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
		if err != nil {
			return nil, hinted{fmt.Errorf("events %s: %w", r.events, reason(err)), "give a file in a directory that you can write to, or - for the standard output"}
		}
		w, closeFile = f, f.Close
	}
	if format == string(config.FormatJSON) {
		j := jsonlines.NewWriter(w, nil)
		return &textOutput{Sink: j, flush: j.Flush, close: func() error { return errors.Join(j.Flush(), closeFile()) }}, nil
	}
	b := bufio.NewWriterSize(w, 64<<10)
	l := ladder.NewWriter(b, ladderOptions(w, r.explain))
	return &textOutput{Sink: l, flush: b.Flush, close: func() error {
		return errors.Join(l.Flush(), b.Flush(), closeFile())
	}}, nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"synscope/event"
	"synscope/internal/control"
	"synscope/internal/diff"
)

func newDiffCommand() *cobra.Command {
	var c comparison
	var all bool
	var format string
	var path *string // of the control socket
	cmd := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Two connections side by side: where they part, and what bears on it",
		Long: "Diff compares two connections: what the hellos offer, what was agreed on, where\n" +
			"the handshakes part, and how long each took.\n\n" +
			"A and B are FILE or FILE#ID, where FILE is a capture, or has events as JSON\n" +
			"lines (serve --events FILE --format json), or ID or #ID of a connection of the\n" +
			"running daemon. A file of one connection needs no ID, and neither does the only\n" +
			"argument if it is a file of two.",
		Example: "  synscope diff curl.pcapng java.pcapng\n  synscope diff events.jsonl#3 events.jsonl#7",
		Args:    usage(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return usageError{hinted{fmt.Errorf("unknown format %q", format), "--format is text or json"}}
			}
			c.ctx, c.stderr, c.control = cmd.Context(), cmd.ErrOrStderr(), *path
			a, b, err := c.subjects(args)
			if err != nil {
				return err
			}
			r, out := diff.Compare(a, b), cmd.OutOrStdout()
			if format == "json" {
				enc := json.NewEncoder(out)
				enc.SetEscapeHTML(false)
				return enc.Encode(r)
			}
			o := ladderOptions(out, false)
			return diff.Render(out, r, diff.Options{Width: o.Width, Color: o.Color, Unicode: o.Unicode, All: all})
		},
	}
	path = controlFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "show also what does not differ")
	cmd.Flags().StringArrayVar(&c.keyLogs, "keylog", nil, "`FILE` with TLS secrets for captures, in the format of RFC 9850 (repeatable)")
	cmd.Flags().StringVar(&format, "format", "text", "text for a person, json for a machine (which has always all)")
	return cmd
}

// A comparison is one run of diff.
type comparison struct {
	ctx     context.Context // of the run
	keyLogs []string
	control string // the daemon's socket
	stderr  io.Writer
}

// A reference is what an argument names: a connection of a file, or, without a
// file, of the running daemon.
type reference struct {
	arg  string
	path string
	id   uint64 // 0: the only one
}

// parseReference reads FILE, FILE#ID, ID or #ID. A file whose name ends like an
// ID is taken by its name.
func parseReference(arg string) (reference, error) {
	path, digits := arg, ""
	if i := strings.LastIndexByte(arg, '#'); i >= 0 && !exists(arg) {
		path, digits = arg[:i], arg[i+1:]
	} else if _, err := strconv.ParseUint(arg, 10, 64); err == nil && !exists(arg) {
		path, digits = "", arg
	} else {
		return reference{arg: arg, path: path}, nil
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || id == 0 {
		return reference{}, usageError{hinted{fmt.Errorf("%q is no connection: after # comes its number", arg), "FILE#ID, as in events.jsonl#3"}}
	}
	return reference{arg: arg, path: path, id: id}, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// subjects finds the two connections that the arguments name.
func (c *comparison) subjects(args []string) (a, b diff.Subject, err error) {
	if len(args) == 1 {
		return c.both(args[0])
	}
	var refs [2]reference
	for i, arg := range args {
		if refs[i], err = parseReference(arg); err != nil {
			return a, b, err
		}
	}
	if a, err = c.subject(refs[0]); err != nil {
		return a, b, err
	}
	b, err = c.subject(refs[1])
	return a, b, err
}

// both returns the two connections of a file that has no more.
func (c *comparison) both(arg string) (a, b diff.Subject, err error) {
	ref, err := parseReference(arg)
	if err != nil {
		return a, b, err
	}
	if ref.path == "" || ref.id != 0 {
		return a, b, usageError{hinted{fmt.Errorf("%s is one connection, and two are compared", arg), "synscope diff A B"}}
	}
	l, err := c.loadConnections(ref.path, 0)
	if err != nil {
		return a, b, err
	}
	if l.total != 2 {
		return a, b, l.choose(fmt.Sprintf("%s has %s, not two", ref.path, connections(l.total)), "name two of them")
	}
	return l.subject(0), l.subject(1), nil
}

// subject returns the one connection that is meant.
func (c *comparison) subject(ref reference) (diff.Subject, error) {
	if ref.path == "" {
		return c.daemonConnection(ref)
	}
	l, err := c.loadConnections(ref.path, ref.id)
	if err != nil {
		return diff.Subject{}, err
	}
	switch is := l.wanted(); {
	case len(is) == 1:
		return l.subject(is[0]), nil
	case ref.id == 0:
		return diff.Subject{}, l.choose(fmt.Sprintf("%s has %s", ref.path, connections(l.total)), "name one of them")
	case len(is) == 0:
		return diff.Subject{}, l.choose(fmt.Sprintf("%s has no connection %d", ref.path, ref.id), "name one of them")
	}
	return diff.Subject{}, usageError{hinted{fmt.Errorf("%s has more than one connection %d", ref.path, ref.id),
		"the events of several runs are in it; split it where the numbers begin again"}}
}

// daemonConnection asks the running daemon for a connection.
func (c *comparison) daemonConnection(ref reference) (diff.Subject, error) {
	client, err := control.NewClient(c.control)
	if err != nil {
		return diff.Subject{}, err
	}
	defer client.Close()
	es, err := client.Connection(c.ctx, ref.id)
	if err != nil {
		return diff.Subject{}, err
	}
	used := slices.DeleteFunc(es, func(e *event.Event) bool { return !diff.Uses(e) })
	return diff.Subject{Name: fmt.Sprintf("#%d", ref.id), Events: used}, nil
}

func connections(n uint64) string {
	switch n {
	case 0:
		return "no connection"
	case 1:
		return "one connection"
	}
	return fmt.Sprintf("%d connections", n)
}

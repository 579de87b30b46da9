package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"synscope/internal/control"
)

func newLsCommand() *cobra.Command {
	var open, once bool
	var newest int
	format := "table"
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "The connections of the running daemon",
		Long: "Ls lists the connections of the running daemon that are open, and those that\n" +
			"ended and are kept. On a terminal that is a table that follows what happens,\n" +
			"until q or Ctrl-C; elsewhere, and with --once, it is written once.",
		Args: noArgs,
	}
	path := controlFlag(cmd)
	cmd.Flags().Func("format", "`table|json` (default table); json writes a line for each connection, once", func(text string) error {
		if text != "table" && text != "json" {
			return fmt.Errorf("want table or json")
		}
		format = text
		return nil
	})
	cmd.Flags().BoolVar(&open, "open", false, "open connections only")
	cmd.Flags().BoolVar(&once, "once", false, "write the table once, also on a terminal")
	cmd.Flags().IntVar(&newest, "newest", 0, "at most the newest `NUMBER` of connections, 0 for all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if newest < 0 {
			return usageError{fmt.Errorf("--newest: want a number of connections, not %d", newest)}
		}
		client, err := control.NewClient(*path)
		if err != nil {
			return err
		}
		defer client.Close()
		q := control.Query{Newest: newest}
		if open {
			q.State = "open"
		}
		out, in := terminal(cmd.OutOrStdout()), terminal(cmd.InOrStdin())
		if format == "table" && !once && out != nil && in != nil {
			return watch(cmd.Context(), client, q, in, out)
		}
		return list(cmd.Context(), client, q, format, cmd.OutOrStdout())
	}
	return cmd
}

// list writes the connections once.
func list(ctx context.Context, client *control.Client, q control.Query, format string, w io.Writer) error {
	cs, err := client.Connections(ctx, q)
	if err != nil {
		return err
	}
	if format == "json" {
		lines := json.NewEncoder(w)
		for _, s := range cs.Connections {
			if err := lines.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	for _, line := range table(cs.Connections, time.Now(), 0) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

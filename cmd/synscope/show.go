package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/control"
	"synscope/internal/jsonlines"
	"synscope/internal/ladder"
)

func newShowCommand() *cobra.Command {
	var explain bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "The timeline of a connection of the running daemon",
		Long: "Show asks the running daemon for one connection, open or ended, by the number\n" +
			"that stands in its ladder and in synscope ls.",
		Args: usage(cobra.ExactArgs(1)),
	}
	path, format := controlFlag(cmd), formatFlag(cmd)
	cmd.Flags().BoolVar(&explain, "explain", false, "add to each step of the ladder what it is for")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := connectionID(args[0])
		if err != nil {
			return err
		}
		client, err := control.NewClient(*path)
		if err != nil {
			return err
		}
		defer client.Close()
		es, err := client.Connection(cmd.Context(), id)
		if err != nil {
			return err
		}
		if *format == config.FormatJSON {
			return writeLines(cmd, es)
		}
		return ladder.Render(cmd.OutOrStdout(), es, ladderOptions(cmd.OutOrStdout(), explain))
	}
	return cmd
}

// connectionID parses the number of a connection, with or without its #.
func connectionID(text string) (uint64, error) {
	if len(text) > 1 && text[0] == '#' {
		text = text[1:]
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		return 0, usageError{hinted{fmt.Errorf("%q is not the number of a connection", text), "synscope ls lists them"}}
	}
	return id, nil
}

func writeLines(cmd *cobra.Command, es []*event.Event) error {
	w := jsonlines.NewWriter(cmd.OutOrStdout(), nil)
	for _, e := range es {
		w.Event(e)
	}
	return w.Flush()
}

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"synscope/internal/config"
	"synscope/internal/control"
	"synscope/internal/jsonlines"
)

func newTailCommand() *cobra.Command {
	var conn, expression string
	var history int
	var explain bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "The events of the running daemon as they come",
		Long: "Tail follows the running daemon until that ends: the ladder of each connection\n" +
			"when it has ended, or, with --format json, each event. The ladders of connections\n" +
			"that are open already are whole.",
		Args: noArgs,
	}
	path, format := controlFlag(cmd), formatFlag(cmd)
	cmd.Flags().StringVar(&conn, "conn", "", "follow the connection with this `ID` only, from its begin to its end")
	cmd.Flags().IntVar(&history, "history", 0, "begin with the open connections and the newest `NUMBER` that ended (json: none without this flag)")
	cmd.Flags().StringVar(&expression, "filter", "", "tell only the events that match a CEL `EXPRESSION` over them and their connection")
	cmd.Flags().BoolVar(&explain, "explain", false, "add to each step of the ladder what it is for")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		f := control.Follow{Past: *format == config.FormatLadder || cmd.Flags().Changed("history"), Ended: history}
		if history < 0 {
			return usageError{fmt.Errorf("--history: want a number of connections, not %d", history)}
		}
		if conn != "" {
			if cmd.Flags().Changed("history") {
				return usageError{errors.New("--conn and --history exclude each other: a connection comes with its history")}
			}
			var err error
			if f.Conn, err = connectionID(conn); err != nil {
				return err
			}
		}
		match, err := compileExpression(expression)
		if err != nil {
			return err
		}
		client, err := control.NewClient(*path)
		if err != nil {
			return err
		}
		defer client.Close()
		stream, err := client.Events(cmd.Context(), f)
		if err != nil {
			return err
		}
		defer stream.Close()
		if *format == config.FormatJSON && match == nil {
			_, err = io.Copy(cmd.OutOrStdout(), stream) // at once, and as it is
		} else {
			err = writeStream(newEventWriter(cmd.OutOrStdout(), *format, explain, match, nil), stream)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the daemon is gone, without a word")
		}
		return err
	}
	return cmd
}

// writeStream writes the events of a stream of JSON lines as they come.
func writeStream(to *eventWriter, stream io.Reader) error {
	for e, err := range jsonlines.Read(stream) {
		if err != nil {
			return errors.Join(to.finish(), err)
		}
		to.Event(e)
		if err := to.flush(); err != nil {
			return err
		}
	}
	return to.finish()
}

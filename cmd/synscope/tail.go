package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"synscope/internal/config"
	"synscope/internal/control"
	"synscope/internal/jsonlines"
	"synscope/internal/ladder"
)

func newTailCommand() *cobra.Command {
	var conn string
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
		if *format == config.FormatJSON {
			_, err = io.Copy(cmd.OutOrStdout(), stream)
		} else {
			err = drawStream(cmd.OutOrStdout(), stream, explain)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the daemon is gone, without a word")
		}
		return err
	}
	return cmd
}

// drawStream draws the connections of a stream of JSON lines as they end, and at
// its end those that did not.
func drawStream(w io.Writer, stream io.Reader, explain bool) error {
	l := ladder.NewWriter(w, ladderOptions(w, explain))
	for e, err := range jsonlines.Read(stream) {
		if err != nil {
			return errors.Join(l.Flush(), err)
		}
		l.Event(e)
	}
	return l.Flush()
}

package main

import (
	"github.com/spf13/cobra"

	"synscope/internal/explain"
)

func newExplainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [STEP]",
		Short: "What the steps of both handshakes are for",
		Long: "Explain lists the steps of the TCP and TLS handshakes in their order, or tells\n" +
			"what one of them is for. The same texts stand in the ladder with --explain.",
		Args: usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, s := range explain.Steps() {
				names = append(names, s.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return explain.WriteList(cmd.OutOrStdout(), textWidth(cmd.OutOrStdout()))
			}
			if err := explain.WriteStep(cmd.OutOrStdout(), args[0], textWidth(cmd.OutOrStdout())); err != nil {
				return usageError{err}
			}
			return nil
		},
	}
}

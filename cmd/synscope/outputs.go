package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"synscope"
	"synscope/internal/config"
	"synscope/internal/jsonlines"
	"synscope/internal/keylog"
	"synscope/internal/ladder"
	"synscope/internal/trace"
)

// outputs are where the events and the secrets go.
type outputs struct {
	events *trace.Queue
	ladder *ladder.Writer // behind events, or nil
	file   *os.File       // of events, nil if it is the standard output
	keys   *keylog.Writer
}

// openOutputs opens what the configuration names, or nothing.
func openOutputs(cfg *config.Config, stdout io.Writer, log *slog.Logger) (*outputs, error) {
	o := &outputs{}
	w := stdout
	if path := cfg.Output.Events; path != "-" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
		if err != nil {
			return nil, hinted{fmt.Errorf("events %s: %w", path, reason(err)), "give a file in a directory that you can write to, or - for the standard output"}
		}
		o.file, w = f, f
	}
	if path := cfg.Output.KeyLog; path != "" {
		var err error
		o.keys, err = keylog.Open(path, func(err error) { log.Error("key log stopped", "error", err) })
		if err != nil {
			o.close()
			return nil, err
		}
	}
	failed := func(err error) { log.Error("events are no longer written", "error", err) }
	if cfg.Output.Format == config.FormatJSON {
		j := jsonlines.NewWriter(w, failed)
		o.events = trace.NewQueue(j, j.Flush, trace.DefaultQueue)
	} else {
		l := ladder.NewWriter(w, ladderOptions(w, cfg.Output.Explain))
		o.events = trace.NewQueue(l, nil, trace.DefaultQueue)
		o.ladder = l
	}
	return o, nil
}

func (o *outputs) sinks() []synscope.Sink { return []synscope.Sink{o.events} }

func (o *outputs) keyLog() synscope.KeyLog {
	if o.keys == nil {
		return nil
	}
	return o.keys
}

// close writes what is queued and closes the files.
func (o *outputs) close() error {
	var errs []error
	if o.events != nil {
		errs = append(errs, o.events.Close())
	}
	if o.ladder != nil {
		errs = append(errs, o.ladder.Flush())
	}
	if o.file != nil {
		errs = append(errs, o.file.Close())
	}
	if o.keys != nil {
		errs = append(errs, o.keys.Close())
	}
	return errors.Join(errs...)
}

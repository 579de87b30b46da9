package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"synscope"
	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/filter"
	"synscope/internal/jsonlines"
	"synscope/internal/keylog"
	"synscope/internal/ladder"
	"synscope/internal/pcapng"
	"synscope/internal/trace"
)

// outputs are where the events and the secrets go.
type outputs struct {
	events *trace.Queue
	gate   *filter.Gate // behind events, or nil
	flush  func() error // of what writes the events
	file   *os.File     // of events, nil if it is the standard output
	keys   *keylog.Writer
	pcap   *pcapng.Writer
}

// openOutputs opens what the configuration names, or nothing.
func openOutputs(cfg *config.Config, stdout io.Writer, log *slog.Logger) (*outputs, error) {
	match, err := compileFilter(cfg)
	if err != nil {
		return nil, usageError{err}
	}
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
		o.keys, err = keylog.Open(path, func(err error) { log.Error("key log stopped", "error", err) })
		if err != nil {
			o.close()
			return nil, err
		}
	}
	if cfg.Output.PCAP != "" {
		if o.pcap, err = openCapture(cfg, stdout, log); err != nil {
			o.close()
			return nil, err
		}
	}
	o.openEvents(w, cfg, match, log)
	return o, nil
}

// openEvents makes what writes the events that match to w. All match if there
// is no filter.
func (o *outputs) openEvents(w io.Writer, cfg *config.Config, match *filter.Filter, log *slog.Logger) {
	var (
		sink  trace.Sink
		empty func() error // for when the queue is
	)
	if cfg.Output.Format == config.FormatJSON {
		j := jsonlines.NewWriter(w, func(err error) { log.Error("events are no longer written", "error", err) })
		sink, empty = j, j.Flush
		o.flush = func() error { j.Flush(); return nil } // it tells of its errors itself
	} else {
		l := ladder.NewWriter(w, ladderOptions(w, cfg.Output.Explain))
		sink, o.flush = l, l.Flush
	}
	if match != nil {
		o.gate = filter.NewGate(match, sink, cfg.Output.Format == config.FormatLadder)
		sink = o.gate
	}
	o.events = trace.NewQueue(sink, empty, trace.DefaultQueue)
}

// compileFilter compiles the filter of the events, nil if there is none.
func compileFilter(cfg *config.Config) (*filter.Filter, error) {
	if cfg.Output.Filter == "" {
		return nil, nil
	}
	f, err := filter.Compile(cfg.Output.Filter)
	var mistakes filter.Errors
	if !errors.As(err, &mistakes) {
		return f, err
	}
	var errs config.Errors
	for _, m := range mistakes {
		errs = append(errs, cfg.Errorf("output.filter", "%v", m))
	}
	return nil, errs
}

// openCapture opens the capture. On the standard output it ends with its reader,
// and the daemon goes on.
func openCapture(cfg *config.Config, stdout io.Writer, log *slog.Logger) (*pcapng.Writer, error) {
	out := &cfg.Output
	c := pcapng.Config{
		Device: cfg.TUN.Name, SnapLen: out.SnapLen,
		MaxSize: int64(out.PCAPSize), MaxAge: out.PCAPAge, MaxFiles: out.PCAPFiles,
		OnError: func(err error) { log.Error("capture ended", "error", err) },
		OnLost: func(packets, secrets uint64) {
			log.Warn("the capture could not keep up", "packets lost", packets, "secrets lost", secrets)
		},
	}
	if out.PCAP != "-" {
		return pcapng.Create(out.PCAP, c)
	}
	signal.Ignore(syscall.SIGPIPE)
	return pcapng.New(nopCloser{stdout}, c)
}

// A nopCloser leaves the standard output open.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// A capture is a pcapng.Writer as the tracer wants it.
type capture struct{ *pcapng.Writer }

// Packet implements synscope.Capture.
func (c capture) Packet(frame, conn uint64, p event.Packet) {
	c.Writer.Packet(pcapng.Packet{
		Time: p.Time, Frame: frame, From: p.From, Conn: conn, IP: p.Views[0],
		Partial: p.PartialChecksum, SegmentSize: p.SegmentSize,
	})
}

func (o *outputs) sinks() []synscope.Sink {
	sinks := []synscope.Sink{o.events}
	if o.pcap != nil {
		sinks = append(sinks, o.pcap)
	}
	return sinks
}

func (o *outputs) capture() synscope.Capture {
	if o.pcap == nil {
		return nil
	}
	return capture{o.pcap}
}

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
		if o.gate != nil {
			o.gate.Flush()
		}
		errs = append(errs, o.flush())
	}
	if o.file != nil {
		errs = append(errs, o.file.Close())
	}
	if o.pcap != nil {
		errs = append(errs, o.pcap.Close())
	}
	if o.keys != nil {
		errs = append(errs, o.keys.Close())
	}
	return errors.Join(errs...)
}

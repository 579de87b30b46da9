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
	"synscope/internal/jsonlines"
	"synscope/internal/keylog"
	"synscope/internal/ladder"
	"synscope/internal/pcapng"
	"synscope/internal/trace"
)

// outputs are where the events and the secrets go.
type outputs struct {
	events *trace.Queue
	ladder *ladder.Writer // behind events, or nil
	file   *os.File       // of events, nil if it is the standard output
	keys   *keylog.Writer
	pcap   *pcapng.Writer
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
	if cfg.Output.PCAP != "" {
		var err error
		if o.pcap, err = openCapture(cfg, stdout, log); err != nil {
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

// A packetSink is a pcapng.Writer as the tracer wants it.
type packetSink struct{ *pcapng.Writer }

// Packet implements synscope.Capture.
func (c packetSink) Packet(frame, conn uint64, p event.Packet) {
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
	return packetSink{o.pcap}
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
	}
	if o.ladder != nil {
		errs = append(errs, o.ladder.Flush())
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

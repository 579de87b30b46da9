package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"synscope"
	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/filter"
	"synscope/internal/keylog"
	"synscope/internal/pcapng"
	"synscope/internal/trace"
)

// outputs are where the events and the secrets go.
type outputs struct {
	events *trace.Queue // nil for none
	writer *eventWriter // behind events
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
	var w io.Writer
	if cfg.Output.Events != config.NoEvents {
		if w, o.file, err = openEvents(cfg.Output.Events, os.O_APPEND, stdout); err != nil {
			return nil, err
		}
	}
	if path := cfg.Output.KeyLog; path != "" {
		o.keys, err = keylog.Open(path, func(err error) { log.Error("key log stopped", "error", err) })
		if err != nil {
			o.close()
			return nil, err
		}
	}
	if cfg.Output.PCAP != "" {
		if o.pcap, err = o.openCapture(cfg, stdout, log); err != nil {
			o.close()
			return nil, err
		}
	}
	if w == nil {
		return o, nil
	}
	o.writer = newEventWriter(w, cfg.Output.Format, cfg.Output.Explain, match, func(err error) {
		log.Error("events are no longer written", "error", err)
	})
	o.events = trace.NewQueue(o.writer, o.writer.flush, trace.DefaultQueue)
	return o, nil
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
func (o *outputs) openCapture(cfg *config.Config, stdout io.Writer, log *slog.Logger) (*pcapng.Writer, error) {
	out := &cfg.Output
	c := pcapng.Config{
		Device: cfg.TUN.Name, SnapLen: out.SnapLen,
		MaxSize: int64(out.PCAPSize), MaxAge: out.PCAPAge, MaxFiles: out.PCAPFiles,
		OnError: func(err error) {
			log.Error("capture ended", "error", err)
			o.tell(&event.CaptureEnd{File: out.PCAP, Reason: strings.TrimPrefix(err.Error(), "capture: ")})
		},
		OnLost: func(packets, secrets uint64) {
			log.Warn("the capture could not keep up", "packets lost", packets, "secrets lost", secrets)
			for what, n := range map[string]uint64{"packets": packets, "secrets": secrets} {
				if n > 0 {
					o.tell(&event.Gap{Lost: n, What: what, Reason: "the capture could not keep up"})
				}
			}
		},
	}
	if out.PCAP != "-" {
		return pcapng.Create(out.PCAP, c)
	}
	signal.Ignore(syscall.SIGPIPE)
	return pcapng.New(nopCloser{stdout}, c)
}

// tell puts an event of the outputs themselves among the others, without an
// ordinal. It is called on the goroutine of a capture, which has packets only
// after all outputs are open.
func (o *outputs) tell(body event.Body) {
	if o.events == nil {
		return
	}
	o.events.Event(&event.Event{Time: time.Now(), View: event.Wire, Body: body})
}

// A nopCloser leaves the standard output open.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// A packetSink is a pcapng.Writer as the tracer wants it.
type packetSink struct{ *pcapng.Writer }

// Packet implements synscope.Capture.
func (c packetSink) Packet(frame, conn uint64, p event.Packet) {
	c.Writer.Packet(pcapng.Packet{
		Time: p.Time, Frame: frame, From: p.From, Conn: conn, IP: p.Views[0], More: p.Views[1:],
		Partial: p.PartialChecksum, SegmentSize: p.SegmentSize,
	})
}

func (o *outputs) sinks() []synscope.Sink {
	var sinks []synscope.Sink
	if o.events != nil {
		sinks = append(sinks, o.events)
	}
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
		errs = append(errs, o.events.Close(), o.writer.finish())
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

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"synscope/internal/capture"
	"synscope/internal/trace"
	"synscope/tlsbridge/tlswire"
)

// A recording is one or more captures that are told as one.
type recording struct {
	files   []string // - is stdin
	keyLogs []string
	follow  bool // the last file
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	// flush, if not nil, is called before more of a pipe or of a file that grows
	// is waited for.
	flush func() error

	frames  uint64            // of the files before the current one
	tcp     uint64            // packets of TCP
	skipped map[string]uint64 // others, by what they are
}

// play gives the events of the recording to a sink. What is damaged is told
// when the rest has been read.
func (r *recording) play(ctx context.Context, sink trace.Sink) error {
	r.skipped = make(map[string]uint64)
	replay := trace.NewReplay(sink)
	for _, path := range r.keyLogs {
		if err := r.readKeyLog(path, replay); err != nil {
			replay.Close()
			return err
		}
	}
	var errs []error
	for i, path := range r.files {
		if err := r.playFile(ctx, path, r.follow && i == len(r.files)-1, replay); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	replay.Close()
	if r.tcp == 0 && len(errs) == 0 {
		r.warn("no TCP in %s: %s", strings.Join(r.files, ", "), r.others())
	}
	return errors.Join(errs...)
}

func (r *recording) warn(format string, args ...any) {
	fmt.Fprintf(r.stderr, "synscope: "+format+"\n", args...)
}

// others says what the packets are that are not TCP.
func (r *recording) others() string {
	if len(r.skipped) == 0 {
		return "it holds no packets"
	}
	var names []string
	for name := range r.skipped {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		return r.skipped[a] > r.skipped[b] || r.skipped[a] == r.skipped[b] && a < b
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d × %s", r.skipped[name], name)
	}
	return strings.Join(names, ", ")
}

// readKeyLog reads a whole key log.
func (r *recording) readKeyLog(path string, to *trace.Replay) error {
	f, err := os.Open(path)
	if err != nil {
		return hinted{fmt.Errorf("key log %s: %w", path, reason(err)), "give the file that the client or server wrote, as with SSLKEYLOGFILE"}
	}
	defer f.Close()
	keys := tlswire.NewKeyLogReader(f)
	for malformed := 0; ; {
		s, err := keys.Read()
		var line *tlswire.KeyLogError
		switch {
		case errors.Is(err, io.EOF):
			if malformed > 1 {
				r.warn("%s: %d lines are not of a key log", path, malformed)
			}
			return nil
		case errors.As(err, &line):
			if malformed++; malformed == 1 {
				r.warn("%s: %v", path, err)
			}
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		default:
			to.Secret(s)
		}
	}
}

// playFile tells one file.
func (r *recording) playFile(ctx context.Context, path string, follow bool, to *trace.Replay) error {
	name, in := path, r.stdin
	if path == "-" {
		name, in = "standard input", r.flushing(in, to)
	} else {
		f, err := os.Open(path)
		if err != nil {
			return hinted{fmt.Errorf("capture %s: %w", path, reason(err)), "give a pcap or pcapng file"}
		}
		defer f.Close()
		in = f
		if follow {
			in = growing{ctx, r.flushing(f, to)}
		}
	}
	c, err := capture.NewReader(in, name)
	if err != nil {
		return err
	}
	var last uint64
	for {
		item, err := c.Next()
		if err != nil {
			r.frames += last
			r.tellLost(c.Stats(), name, to)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if item.Secrets != nil {
			for _, s := range item.Secrets {
				to.Secret(s)
			}
			continue
		}
		p := &item.Packet
		last = p.Number
		switch {
		case p.IP == nil:
			r.skip(p.Skipped)
		case to.Packet(trace.Recorded{Time: p.Time.Local(), Frame: r.frames + p.Number, IP: p.IP, Len: p.Len}):
			r.tcp++
		default:
			r.skip("IP that is not TCP")
		}
		if last&1023 == 0 && ctx.Err() != nil {
			return nil
		}
	}
}

// maxSkipped bounds the kinds of packets that are counted apart: some name a
// number out of the packet.
const maxSkipped = 100

func (r *recording) skip(what string) {
	if _, ok := r.skipped[what]; !ok && len(r.skipped) >= maxSkipped {
		what = "others"
	}
	r.skipped[what]++
}

// tellLost tells what of a file could not be put together.
func (r *recording) tellLost(s capture.Stats, name string, to *trace.Replay) {
	if s.MalformedSecrets > 0 {
		r.warn("%s: %d lines of its secrets are not of a key log", name, s.MalformedSecrets)
	}
	f := s.Fragments
	for _, lost := range []struct {
		n      uint64
		reason string
	}{
		{uint64(f.Waiting), "other fragments of the datagram are not in the capture"},
		{f.Expired, "other fragments of the datagram did not come within 60 s"},
		{f.Evicted, "too many datagrams waited for fragments"},
		{f.Overlapped, "fragments overlapped (RFC 5722)"},
		{f.TooLong, "its fragments make it too long"},
	} {
		if lost.n > 0 {
			to.Lost(lost.n, "datagrams", lost.reason)
		}
	}
	if f.Refused > 0 {
		to.Lost(f.Refused, "fragments", "cut short, malformed, in conflict, or of a dropped datagram")
	}
}

// A flushing reader has what was read told before it waits for more.
type flushing struct {
	io.Reader
	flush func()
}

func (f flushing) Read(b []byte) (int, error) {
	f.flush()
	return f.Reader.Read(b)
}

func (r *recording) flushing(in io.Reader, to *trace.Replay) io.Reader {
	return flushing{in, func() {
		to.Flush()
		if r.flush != nil {
			r.flush() // an error stays with the output
		}
	}}
}

// A growing reader reads a file that another process appends to, until its
// context is done.
type growing struct {
	ctx context.Context
	io.Reader
}

// growth is how often a file is looked at again.
const growth = 100 * time.Millisecond

func (g growing) Read(b []byte) (int, error) {
	for {
		n, err := g.Reader.Read(b)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		select {
		case <-g.ctx.Done():
			return 0, io.EOF
		case <-time.After(growth):
		}
	}
}

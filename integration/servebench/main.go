// Servebench measures synscope beside the kernel: the same client, a Go
// program, against net.Listen with crypto/tls, against synscope serve with its
// tracing off, on, and with a capture, and, for handshakes, against nginx,
// haproxy and openssl s_server where they are installed. Bridges, synscope run
// and where they are installed sslsplit and mitmdump, are measured between that
// client and the kernel's server, each handshake being made twice, and compared
// with the two alone.
//
// Each is measured in network namespaces of its own, which are removed at the
// end; place.go shows them. The contestants of a measure are measured in turns,
// round by round, so that what else the machine does meets all of them. A number
// is the median of the rounds, a ratio that of the medians, and its spread the
// least and the greatest ratio in a round. CPU time is that of the client, the
// server and the bridge together, from their CPU clocks. On a busy machine it
// says more than the rates; kernel threads are not in it.
//
// It needs root, and Linux.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// The roles that the program has in processes that it starts, each the first
// argument.
const (
	roleClient = "client"
	roleServer = "server"
	roleFlood  = "flood"
)

func init() {
	// The main goroutine stays on the main thread: a child that is to be killed
	// when its parent ends is killed when the thread that started it does.
	runtime.LockOSThread()
}

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == roleClient:
		err = runClient()
	case len(args) >= 4 && args[0] == roleServer:
		err = runServer(args[1], args[2], args[3], args[4:])
	case len(args) == 2 && args[0] == roleFlood:
		err = runFlood(args[1])
	default:
		err = benchmark(args, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "servebench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	synscope          string
	rounds            int
	window            time.Duration
	only, contestants string
	link              string
	flood             int
	idle              int
	dir               string
	json, svg         string
}

func benchmark(args []string, stdout, stderr io.Writer) error {
	var o options
	f := flag.NewFlagSet("servebench", flag.ExitOnError)
	f.StringVar(&o.synscope, "synscope", "bin/synscope", "the `binary` to measure")
	f.IntVar(&o.rounds, "rounds", 5, "how often each contestant is measured in each measure")
	f.DurationVar(&o.window, "time", 500*time.Millisecond, "how long it is, each time")
	f.StringVar(&o.only, "only", "", "only the measures whose names match this `regexp`")
	f.StringVar(&o.contestants, "contestants", "", "only these, separated by commas; the kernel is always one")
	f.StringVar(&o.link, "link", "veth", "between the client and the kernel's server: `veth|loopback`")
	f.IntVar(&o.flood, "flood", 13_000, "SYNs a second in the SYN flood, at most 100000")
	f.IntVar(&o.idle, "idle", 10_000, "idle connections, at most 15000")
	f.StringVar(&o.dir, "dir", "", "put logs, events and captures below this `folder` (default: /dev/shm if there is one)")
	f.StringVar(&o.json, "json", "", "write what was measured to this `file`")
	f.StringVar(&o.svg, "svg", "", "plot the ratios into this `file`")
	f.Parse(args)

	ms, cs, err := o.choose()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("namespaces need root: run it with sudo")
	}
	b := &bench{rounds: o.rounds, window: o.window, floodRate: o.flood, link: linkVeth, places: make(map[string]*place)}
	if o.link == "loopback" {
		b.link = linkLoopback
	}
	if err := b.prepare(o); err != nil {
		return err
	}
	defer b.cleanUp()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	rep := newReport(b, o, cs)
	if cs = rep.installed(cs); len(cs) < 2 {
		return errors.New("there is nobody to compare: give -synscope")
	}
	started, done, total := time.Now(), 0, cells(ms, cs, o.rounds)
	var runErr error
	rep.Rows, runErr = b.run(ctx, ms, cs, func(m measure, c *contestant, round int, r result) {
		done++
		v := mainMetric(m.what).value(m.what, r)
		fmt.Fprintf(stderr, "%3.0fs %d/%d %s: round %d, %s: %.4g\n", time.Since(started).Seconds(), done, total, m.name, round+1, c.name, v)
	})
	rep.finish(started)
	if err := rep.write(stdout, o); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return runErr
}

// cells is how many results there will be.
func cells(ms []measure, cs []*contestant, rounds int) (n int) {
	for _, m := range ms {
		for _, c := range cs {
			if !m.takes(c) {
				continue
			}
			if m.once {
				n++
			} else {
				n += rounds * len(m.parts())
			}
		}
	}
	return n
}

// choose returns the measures and contestants that the flags select.
func (o *options) choose() (ms []measure, cs []*contestant, err error) {
	switch {
	case o.rounds < 1 || o.rounds > 100:
		return nil, nil, fmt.Errorf("-rounds %d: want 1 to 100", o.rounds)
	case o.window < 10*time.Millisecond || o.window > time.Minute:
		return nil, nil, fmt.Errorf("-time %v: want 10ms to 1m", o.window)
	case o.link != "veth" && o.link != "loopback":
		return nil, nil, fmt.Errorf("-link %q: want veth or loopback", o.link)
	case o.flood < 1 || o.flood > 100_000:
		return nil, nil, fmt.Errorf("-flood %d: want 1 to 100000", o.flood)
	case o.idle < 1 || o.idle > 15_000:
		return nil, nil, fmt.Errorf("-idle %d: want 1 to 15000", o.idle)
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, nil, fmt.Errorf("-only: %w", err)
	}
	for _, m := range measures() {
		if !only.MatchString(m.name) || m.flooded && o.link == "loopback" { // there, answers to the flood have no way
			continue
		}
		if m.what == memory {
			m.job.AtOnce = o.idle
			m.name = fmt.Sprintf("idle tls, %d", o.idle)
		}
		ms = append(ms, m)
	}
	if len(ms) == 0 {
		return nil, nil, fmt.Errorf("-only %q: no measure has such a name", o.only)
	}
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(o.contestants, ",") {
		wanted[name] = true
	}
	for _, c := range contestants() {
		if o.contestants == "" || wanted[c.name] || c.name == kernelName {
			cs = append(cs, c)
		}
		delete(wanted, c.name)
	}
	for name := range wanted {
		if name != "" {
			return nil, nil, fmt.Errorf("-contestants: nobody is called %q", name)
		}
	}
	return ms, cs, nil
}

// prepare makes what all measures need. CleanUp undoes it.
func (b *bench) prepare(o options) error {
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.synscope, err = filepath.Abs(o.synscope); err != nil {
		return err
	}
	if err := raiseFileLimit(o.idle + 1000); err != nil {
		return err
	}
	parent := o.dir
	if info, err := os.Stat("/dev/shm"); parent == "" && err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	if b.dir, err = os.MkdirTemp(parent, "servebench"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return err
	}
	b.pki, err = writePKI(b.dir)
	return err
}

func (b *bench) cleanUp() {
	for _, p := range b.places {
		p.remove()
	}
	os.RemoveAll(b.dir)
}

// write writes the table, and the files that are wanted.
func (rep *report) write(stdout io.Writer, o options) error {
	rep.writeHead(stdout)
	if err := writeTable(stdout, rep.Rows); err != nil {
		return err
	}
	if o.json != "" {
		text, err := json.MarshalIndent(rep, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.svg != "" {
		return os.WriteFile(o.svg, rep.plot(), 0o644)
	}
	return nil
}

// Readbench measures how fast synscope reads captures: one of nothing but
// handshakes, beside tshark on the same file, and one of bulk transfers. It makes
// both, with crypto/tls on both ends, and puts the secrets into the file.
//
// The programs run one at a time, in turns; a row gives the medians of the
// rounds. The output goes to /dev/null. Before, each connection of the first
// capture must be told as established, so that it is all decrypted.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	var b bench
	flag.StringVar(&b.binary, "synscope", "bin/synscope", "the `binary` to measure")
	flag.StringVar(&b.dir, "dir", "", "keep the captures in this `directory`, and use those that are there (default: a temporary one)")
	flag.IntVar(&b.connections, "connections", 100_000, "of the capture of handshakes")
	flag.Int64Var(&b.megabytes, "megabytes", 1000, "of content in the capture of bulk transfers")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each program reads each capture")
	flag.Parse()
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, "readbench:", err)
		os.Exit(1)
	}
}

type bench struct {
	binary, dir string
	connections int
	megabytes   int64
	rounds      int
}

func (b *bench) run() error {
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "readbench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		b.dir = dir
	}
	handshakes := filepath.Join(b.dir, fmt.Sprintf("handshakes-%d.pcapng", b.connections))
	bulk := filepath.Join(b.dir, fmt.Sprintf("bulk-%dMB.pcapng", b.megabytes))
	for path, make := range map[string]func(string) error{
		handshakes: func(path string) error { return writeHandshakes(path, b.connections) },
		bulk:       func(path string) error { return writeBulk(path, b.megabytes*1e6) },
	} {
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := make(path + ".part"); err != nil {
			return err
		}
		if err := os.Rename(path+".part", path); err != nil {
			return err
		}
	}
	if err := b.verify(handshakes); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "capture\tMB\tprogram\tseconds\tCPU s\tMB/s\tRSS MB\tspeed-up\t")
	if err := b.compare(w, handshakes, tshark(handshakes), b.synscope(handshakes)); err != nil {
		return err
	}
	return b.compare(w, bulk, b.synscope(bulk))
}

// A program is a command to measure.
type program struct {
	name string
	args []string
}

func (b *bench) synscope(path string) program {
	return program{"synscope", []string{b.binary, "read", "--format", "json", path}}
}

// tshark has to print less of each packet than synscope does.
func tshark(path string) program {
	return program{"tshark", []string{"tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.number", "-e", "ip.src", "-e", "tcp.srcport",
		"-e", "tcp.flags", "-e", "tls.handshake.type", "-e", "tls.handshake.extensions_server_name", "-e", "tls.alert_message.desc"}}
}

// verify reports an error unless every handshake is told.
func (b *bench) verify(path string) error {
	p := b.synscope(path)
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	n := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte(`"kind":"tls.established"`)) {
			n++
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if n != b.connections {
		return fmt.Errorf("%d of the %d handshakes in %s were told", n, b.connections, path)
	}
	return nil
}

// compare measures programs with one capture, in turns. The speed-up is over the
// first.
func (b *bench) compare(w *tabwriter.Writer, path string, programs ...program) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	runs := make([][]usage, len(programs))
	for range b.rounds {
		for i, p := range programs {
			u, err := measure(p.args)
			if err != nil {
				return err
			}
			runs[i] = append(runs[i], u)
		}
	}
	megabytes := float64(info.Size()) / 1e6
	base := median(runs[0], wall)
	for i, p := range programs {
		seconds := median(runs[i], wall)
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%.2f\t%.2f\t%.0f\t%.0f\t%.1f\t\n", filepath.Base(path), megabytes, p.name, seconds,
			median(runs[i], cpu), megabytes/seconds, median(runs[i], resident), base/seconds)
	}
	return w.Flush()
}

// A usage is what one run took.
type usage struct {
	wall, cpu time.Duration
	resident  int64 // bytes, at most
}

func wall(u usage) float64     { return u.wall.Seconds() }
func cpu(u usage) float64      { return u.cpu.Seconds() }
func resident(u usage) float64 { return float64(u.resident) / 1e6 }

func median(us []usage, of func(usage) float64) float64 {
	var vs []float64
	for _, u := range us {
		vs = append(vs, of(u))
	}
	slices.Sort(vs)
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}

// measure runs a command with its output to /dev/null.
func measure(args []string) (usage, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return usage{}, fmt.Errorf("%s: %w", args[0], err)
	}
	u := usage{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.resident = r.Maxrss << 10 // Linux counts in KB
	}
	return u, nil
}

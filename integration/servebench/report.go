package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A report is one run, for machines too.
type report struct {
	Started     time.Time `json:"started"`
	Seconds     float64   `json:"seconds"`
	Machine     machine   `json:"machine"`
	Rounds      int       `json:"rounds"`
	Window      string    `json:"window"`
	Link        string    `json:"link"`   // between the client and the kernel's server
	Output      string    `json:"output"` // type of the file system that events and captures were written to
	Contestants []entrant `json:"contestants"`
	Rows        []*row    `json:"rows"`
}

// A machine is what it was run on.
type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	LoadBefore float64 `json:"loadBefore"` // average of a minute
	LoadAfter  float64 `json:"loadAfter"`
}

// An entrant is a contestant as it was found.
type entrant struct {
	Name    string `json:"name"`
	What    string `json:"what"`
	Version string `json:"version"` // "": not installed
}

func newReport(b *bench, o options, cs []*contestant) *report {
	r := &report{
		Started: time.Now().UTC().Truncate(time.Second), Rounds: o.rounds, Window: o.window.String(), Link: o.link, Output: fileSystem(b.dir),
		Machine: machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Kernel: kernelRelease(), Go: runtime.Version(), LoadBefore: loadAverage()},
	}
	for _, c := range cs {
		r.Contestants = append(r.Contestants, entrant{c.name, c.what, c.version(b)})
	}
	return r
}

// installed returns those contestants that there are.
func (rep *report) installed(cs []*contestant) (there []*contestant) {
	for _, c := range cs {
		if slices.ContainsFunc(rep.Contestants, func(e entrant) bool { return e.Name == c.name && e.Version != "" }) {
			there = append(there, c)
		}
	}
	return there
}

func (rep *report) finish(started time.Time) {
	rep.Seconds = time.Since(started).Round(100 * time.Millisecond).Seconds()
	rep.Machine.LoadAfter = loadAverage()
}

// writeHead writes what has to be known about the numbers.
func (rep *report) writeHead(w io.Writer) {
	m := rep.Machine
	fmt.Fprintf(w, "%s, %d cores, Linux %s, load %.2f before and %.2f after\n", m.CPU, m.Cores, m.Kernel, m.LoadBefore, m.LoadAfter)
	fmt.Fprintf(w, "%d rounds of %s; client and kernel's server: %s; events and captures on %s\n", rep.Rounds, rep.Window, rep.Link, rep.Output)
	for _, e := range rep.Contestants {
		version := e.Version
		if version == "" {
			version = "not installed"
		}
		fmt.Fprintf(w, "%-8s %s (%s)\n", e.Name, e.What, version)
	}
	fmt.Fprintln(w, "CPU is the time of client, bridge and server together; × and min..max are ratios to the kernel's")
	fmt.Fprintln(w)
}

// revision is the version of a Go binary, "" if there is none.
func revision(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return ""
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "-pgo" {
			text += " with PGO"
		}
	}
	return text + ", " + info.GoVersion
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}

func loadAverage() (minute float64) {
	b, _ := os.ReadFile("/proc/loadavg")
	fmt.Sscan(string(b), &minute)
	return minute
}

// fileSystem is the type of the file system that a folder is on.
func fileSystem(dir string) string {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return "?"
	}
	switch s.Type {
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

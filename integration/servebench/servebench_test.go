package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		given := slices.Clone(test.of)
		if got := median(test.of); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.of, got, test.want)
		}
		if !slices.Equal(given, test.of) {
			t.Errorf("median changed %v to %v", given, test.of)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v, want NaN", got)
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i)*time.Microsecond)
	}
	for _, test := range []struct {
		of   []time.Duration
		q    float64
		want float64
	}{
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred[:1], 0.5, 1}, {nil, 0.5, 0},
	} {
		if got := quantile(slices.Clone(test.of), test.q); len(test.of) > 1 && got != test.want || len(test.of) == 0 && got != 0 {
			t.Errorf("quantile %v of %d is %v, want %v", test.q, len(test.of), got, test.want)
		}
	}
}

func TestCompare(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		what     string
		vs, base []float64
		want     ratio
		ok       bool
	}{
		{"the ratio is that of the medians, the spread of the rounds", []float64{90, 100, 120}, []float64{100, 80, 120}, ratio{1, 0.9, 1.25}, true},
		{"a round that one of them does not have is left out", []float64{50, nan, 60}, []float64{100, 1, nan}, ratio{0.5, 0.5, 0.5}, true},
		{"nothing in common", []float64{nan}, []float64{1}, ratio{}, false},
		{"nothing to compare with", []float64{1}, []float64{0}, ratio{}, false},
	} {
		got, ok := compare(test.vs, test.base)
		if got != test.want || ok != test.ok {
			t.Errorf("%s: %v, %v; want %v, %v", test.what, got, ok, test.want, test.ok)
		}
	}
}

// The rows of measures of every unit, with targets that are met and missed, a
// server that cannot take part, and failures.
func exampleReport() *report {
	byName := make(map[string]*contestant)
	for _, c := range contestants() {
		byName[c.name] = c
	}
	rep := &report{
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 12, Rounds: 2, Window: "1s", Link: "veth", Output: "tmpfs",
		Machine:     machine{CPU: "a <CPU>", Cores: 2, Kernel: "6.18", Go: "go1.26", LoadBefore: 0.1, LoadAfter: 1.5},
		Contestants: []entrant{{"kernel", "the kernel", "go1.26"}, {"json", "told", "v1"}, {"nginx", "nginx", ""}},
	}
	add := func(m measure, of map[string][]result) {
		turns := &turns{measure: m}
		for _, name := range []string{"nginx", "json", "kernel"} { // they are put in order
			for i, r := range of[name] {
				turns.add(byName[name], m.parts()[i%len(m.parts())], r)
			}
		}
		turns.judge()
		rep.Rows = append(rep.Rows, turns.rows...)
	}
	hs := func(n, cpu, p50 float64) result {
		return result{Count: n, Seconds: 1, ClientCPU: cpu / 2, ServerCPU: cpu / 2, P50: p50, P99: 3 * p50}
	}
	add(measure{name: "handshake <tls>, 32", targets: []target{
		{contestant: "json", metric: metricRate, over: kernelName, bound: 1},
		{contestant: "json", metric: metricRate, over: "off", bound: 0.97},
	}}, map[string][]result{
		"kernel": {hs(2000, 2, 800), hs(2200, 2, 820)},
		"json":   {hs(2100, 2, 850), hs(1900, 2, 790)},
		"nginx":  {{Rejected: "X25519, it has\nno other"}, {Rejected: "X25519, it has\nno other"}},
	})
	add(measure{name: "echo, 1", targets: []target{{contestant: "json", metric: metricP50, over: kernelName, bound: 1.2}}},
		map[string][]result{"kernel": {hs(40000, 1, 24), hs(40000, 1, 24)}, "json": {hs(39000, 1, 25), hs(38000, 1, 27)}})
	add(measure{name: "download, 8", what: content}, map[string][]result{
		"kernel": {{Count: 2e9, Seconds: 1, ClientCPU: 1, ServerCPU: 1}}, "json": {{Count: 9e9, Seconds: 2, ClientCPU: 2, ServerCPU: 2}},
	})
	add(measure{name: "idle, 100", what: memory, targets: []target{{contestant: "json", metric: metricMemory, bound: 25}}}, map[string][]result{
		"kernel": {{Count: 100, Seconds: 1, Resident: 2e6}}, "json": {{Count: 100, Seconds: 1, Resident: 2.4e6, Goroutines: 208}},
	})
	failed := hs(900, 1, 900)
	failed.Failed, failed.Failure = 2, "i/o timeout"
	add(measure{name: "flood", flooded: true, targets: []target{
		{contestant: "json", part: partDuring, metric: metricRate, overPart: partBefore, bound: 0.5},
		{contestant: "json", part: partDuring, metric: metricFailed, bound: 0},
	}}, map[string][]result{
		"kernel": {hs(2000, 1, 800), hs(1900, 1, 800), hs(2000, 1, 800)},
		"json":   {hs(2000, 1, 800), failed, hs(1990, 1, 800)},
	})
	rep.Rows[len(rep.Rows)-1].Lost = map[string]uint64{"packets: the queue was full": 3, "bytes: too many": 1}
	return rep
}

// What a tracer lost is summed up by what and why, also from a line that is
// longer than the reader's buffer.
func TestLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	var b bytes.Buffer
	for _, line := range []string{
		`{"kind":"tcp.state"}`,
		`{"kind":"trace.gap","lost":3,"what":"packets","reason":"full"}`,
		`{"kind":"http","text":"` + strings.Repeat("x", 2<<20) + `"}`,
		`{"kind":"trace.gap","lost":4,"what":"packets","reason":"full"}`,
		`{"kind":"trace.gap","lost":1,"what":"events","reason":"full"}`,
	} {
		b.WriteString(line + "\n")
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := lost(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"events: full": 1, "packets: full": 7}, got); diff != "" {
		t.Errorf("lost (-want +got):\n%s", diff)
	}
	if got, err := lost(path + " that is not there"); got != nil || err != nil {
		t.Errorf("of no file: %v, %v", got, err)
	}
}

func TestTable(t *testing.T) {
	rep := exampleReport()
	var b bytes.Buffer
	rep.writeHead(&b)
	if err := writeTable(&b, rep.Rows); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", b.Bytes())
}

func TestPlot(t *testing.T) {
	svg := exampleReport().plot()
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the plot is not XML: %v", err)
		}
	}
	golden(t, "plot.svg", svg)
}

// A SYN is one that the kernel takes: its checksum, with that of its
// pseudo-header, sums up to nothing.
func TestSYN(t *testing.T) {
	to := netip.MustParseAddr("198.18.3.7").As4()
	for range 100 {
		b := syn(to)
		if from := netip.AddrFrom4([4]byte(b[12:16])); !netip.MustParsePrefix("10.0.0.0/8").Contains(from) {
			t.Fatalf("a SYN comes from %v", from)
		}
		if got := netip.AddrFrom4([4]byte(b[16:20])); got != netip.AddrFrom4(to) {
			t.Fatalf("a SYN goes to %v", got)
		}
		tcp := b[20:]
		pseudo := append([]byte{0, unix.IPPROTO_TCP, 0, byte(len(tcp))}, b[12:20]...)
		if sum := checksum(append(pseudo, tcp...)); sum != 0xffff {
			t.Fatalf("the checksum of a SYN sums up to %#04x, want 0xffff", sum)
		}
	}
}

// The flags choose measures and contestants, and refuse what cannot be.
func TestChoose(t *testing.T) {
	valid := options{rounds: 1, window: time.Second, link: "veth", flood: 1000, idle: 100}
	for _, test := range []struct {
		what         string
		change       func(*options)
		measures     int
		contestants  int
		wantErrStart string
	}{
		{"all", func(*options) {}, len(measures()), len(contestants()), ""},
		{"some", func(o *options) { o.only, o.contestants = "idle", "json,nginx" }, 1, 3, ""},
		{"on loopback there is no flood", func(o *options) { o.link = "loopback" }, len(measures()) - 1, len(contestants()), ""},
		{"no such measure", func(o *options) { o.only = "x y" }, 0, 0, `-only "x y": no measure has such a name`},
		{"no such contestant", func(o *options) { o.contestants = "apache" }, 0, 0, `-contestants: nobody is called "apache"`},
		{"too many rounds", func(o *options) { o.rounds = 101 }, 0, 0, `-rounds 101: want 1 to 100`},
	} {
		o := valid
		test.change(&o)
		ms, cs, err := o.choose()
		if test.wantErrStart != "" {
			if err == nil || err.Error() != test.wantErrStart {
				t.Errorf("%s: error %v, want %s", test.what, err, test.wantErrStart)
			}
			continue
		}
		if err != nil || len(ms) != test.measures || len(cs) != test.contestants {
			t.Errorf("%s: %d measures of %d contestants, %v; want %d of %d", test.what, len(ms), len(cs), err, test.measures, test.contestants)
		}
	}
}

// The CPU clock of a process is that which the process sees itself.
func TestProcessCPU(t *testing.T) {
	pid := os.Getpid()
	before := processCPU(pid)
	var own unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &own); err != nil {
		t.Fatal(err)
	}
	after := processCPU(pid)
	if got := time.Duration(own.Nano()); before > got || got > after || before == 0 {
		t.Errorf("%v CPU time before and %v after the process saw %v", before, after, got)
	}
}

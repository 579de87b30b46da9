package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The benchmark, as short as it can be: each kind of measure gives a number of
// each contestant, every target is judged, and no namespace stays. How large the
// numbers are is not looked at.
func TestBenchmark(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "servebench")
	if out, err := exec.Command("go", "build", "-o", program, "./servebench").CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-synscope", binary, "-contestants", "json,nginx,run", "-rounds", "1", "-time", "50ms", "-idle", "20",
		"-only", "tls1.3 x25519, 32|p256|resumed, 1$|1 byte, close|download tls, 1|upload plain, 8|echo|idle|flood",
		"-json", filepath.Join(dir, "bench.json"), "-svg", filepath.Join(dir, "bench.svg"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pid := cmd.ProcessState.Pid()
	text, err := os.ReadFile(filepath.Join(dir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Rows []struct {
			Measure, Contestant string
			Medians             map[string]float64
			Rejected            string
			Targets             []struct{ Metric string }
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	byMeasure, targets := make(map[string]int), make(map[string]int)
	for _, r := range report.Rows {
		byMeasure[r.Measure]++
		targets[r.Measure] += len(r.Targets)
		if r.Rejected != "" {
			t.Errorf("%s, %s: %s", r.Measure, r.Contestant, r.Rejected)
		}
		if r.Medians["rate"] == 0 && r.Medians["memory"] == 0 {
			t.Errorf("%s, %s: measured %v", r.Measure, r.Contestant, r.Medians)
		}
	}
	for measure, want := range map[string]struct{ rows, targets int }{
		"handshake tls1.3 x25519, 32":                 {3, 2},
		"bridged handshake tls1.3 p256, 32":           {2, 1},
		"handshake tls1.3 x25519 resumed, 1":          {2, 0},
		"connect, 1 byte, close, 32":                  {2, 0},
		"download tls, 1":                             {2, 1},
		"upload plain, 8":                             {2, 0},
		"echo of a byte tls, 1":                       {2, 1},
		"idle tls, 20":                                {2, 1},
		"handshake tls1.3 in a SYN flood, 32, before": {2, 0},
		"handshake tls1.3 in a SYN flood, 32, during": {2, 2},
		"handshake tls1.3 in a SYN flood, 32, after":  {2, 1},
	} {
		if got := byMeasure[measure]; got != want.rows {
			t.Errorf("%s has %d rows, want %d", measure, got, want.rows)
		}
		if got := targets[measure]; got != want.targets {
			t.Errorf("%s has %d targets judged, want %d", measure, got, want.targets)
		}
		delete(byMeasure, measure)
	}
	for measure := range byMeasure {
		t.Errorf("%s was not asked for", measure)
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "bench.svg")); err != nil || !strings.HasPrefix(string(svg), "<svg ") {
		t.Errorf("the plot is %.60q, %v", svg, err)
	}
	if left, err := filepath.Glob(fmt.Sprintf("/run/netns/synb-%d-*", pid)); err != nil || len(left) > 0 {
		t.Errorf("namespaces stay: %v, %v", left, err)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

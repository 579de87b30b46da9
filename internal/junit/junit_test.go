package junit

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// A report with a case of each kind, and texts that are hostile to XML.
func TestWrite(t *testing.T) {
	var b bytes.Buffer
	err := Write(&b, Suite{
		Name: `run -- sh -c "exit 7" <&>`, Start: time.Date(2026, 11, 25, 11, 0, 0, 5, time.FixedZone("", 3600)), Duration: 1234567 * time.Microsecond,
		Cases: []Case{
			{Class: "synscope", Name: "passed", Duration: 1500 * time.Microsecond},
			{Class: "synscope", Name: "failed\nin two lines", Failure: "#1 \xff\x00\x1b[31m]]> \ufffe\U0001f4a5 has \"x\"\r\n", Output: "a ladder\n  <--->\n"},
			{Class: "synscope", Name: "erred", Error: "no such file"},
			{Class: "synscope", Name: "skipped", Skipped: "the command did not run"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/report.xml"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for d := xml.NewDecoder(&b); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("no valid XML: %v", err)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteError(t *testing.T) {
	if err := Write(full{}, Suite{}); err != os.ErrClosed {
		t.Errorf("got %v, want that of the writer", err)
	}
}

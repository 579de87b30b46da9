package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is committed is what go generate makes.
func TestUpToDate(t *testing.T) {
	const dir = "../../event"
	want, err := generate(dir)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]byte)
	for _, name := range committed {
		if got[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run go generate ./event: (-want +got):\n%s", diff)
	}
}

// What cannot be encoded is told when the code is made, with the field.
func TestErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"type header struct { F float64 `json:\"f\"` }", "header.F: float64 cannot be encoded"},
		{"type header struct { F map[string]int `json:\"f\"` }", "header.F: *ast.MapType cannot be encoded"},
		{"type header struct { F []byte `json:\"f\"` }", "header.F: []byte cannot be encoded"},
		{"type header struct { F []uint8 `json:\"f\"` }", "header.F: []uint8 cannot be encoded"},
		{"type header struct { F int `json:\"f,string\"` }", `header: a field with the tag`},
		{"type header struct { F int `json:\"-\"` }", `header: a field with the tag`},
		{"type header struct { F, G int `json:\"f\"` }", `header: a field with the tag`},
		{"type header struct { F int `json:\"f\"`; G int }", "header: the field G has no json tag"},
		{"type header struct { F time.Time `json:\"f,omitempty\"` }", "header.F: omitempty never omits it"},
		{"type header struct { F X `json:\"f\"` }; type X int; func (X) MarshalJSON() {}", "header.F: X encodes itself: it needs a method appendJSON"},
		{"type header struct { F Inner `json:\"f\"` }; type Inner struct { G func() `json:\"g\"` }", "Inner.G: *ast.FuncType cannot be encoded"},
		{"type header struct {", "expected"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("package event\n"+tt.src), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := generate(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %s", tt.src, err, tt.want)
		}
	}
}

package event

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	causeHeading = regexp.MustCompile("^### `([a-z0-9_]+)`$")
	causeTest    = regexp.MustCompile(`\[.(Test\w+).\]\(\.\./([\w/]+_test\.go)\)`)
)

// docs/causes.md has a section of each code, and none of another, in the order of
// the table; each names the tests that produce it, which exist and look for it.
func TestCauses(t *testing.T) {
	b, err := os.ReadFile("../docs/causes.md")
	if err != nil {
		t.Fatal(err)
	}
	var codes []CauseCode
	tested := make(map[CauseCode]int)
	for line := range strings.Lines(string(b)) {
		if m := causeHeading.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			codes = append(codes, CauseCode(m[1]))
		}
		if !strings.HasPrefix(line, "Test: ") {
			continue
		}
		code := codes[len(codes)-1]
		for _, m := range causeTest.FindAllStringSubmatch(line, -1) {
			tested[code]++
			// In a table, or in a story of package tlswire.
			source := function(t, m[2], m[1])
			if !strings.Contains(source, `"`+string(code)+`"`) && !strings.Contains(source, "failed, "+string(code)+":") {
				t.Errorf("%s: %s in %s does not look for it", code, m[1], m[2])
			}
		}
	}
	if diff := cmp.Diff(CauseCodes(), codes); diff != "" {
		t.Errorf("codes (-table +docs):\n%s", diff)
	}
	for _, c := range CauseCodes() {
		if tested[c] == 0 {
			t.Errorf("docs/causes.md names no test of %s", c)
		}
	}
}

// function returns the source of a function of a file of this module.
func function(t *testing.T, file, name string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == name {
			return string(source[set.Position(fn.Pos()).Offset:set.Position(fn.End()).Offset])
		}
	}
	t.Errorf("%s has no function %s", file, name)
	return ""
}

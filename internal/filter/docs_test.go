package filter

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"
)

// docs/filter.md has expressions that compile, and lists each variable with its
// type.
func TestDoc(t *testing.T) {
	b, err := os.ReadFile("../../docs/filter.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	examples := 0
	for _, block := range regexp.MustCompile("(?s)```cel\n(.*?)```").FindAllStringSubmatch(doc, -1) {
		for expr := range strings.Lines(block[1]) {
			examples++
			if _, err := Compile(strings.TrimSuffix(expr, "\n")); err != nil {
				t.Errorf("%s%v", expr, err)
			}
		}
	}
	if examples < 15 {
		t.Errorf("only %d examples", examples)
	}
	_, err = Compile(`tls.verson == "TLS 1.3"`)
	if shown := "synscope: --filter: " + strings.ReplaceAll(err.Error(), "\n", "\nsynscope: "); !strings.Contains(doc, shown) {
		t.Errorf("the error is not shown as it is:\n%s", shown)
	}

	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\| ([a-z]+) \\| .+ \\|$").FindAllStringSubmatch(doc, -1) {
		got = append(got, row[1]+" "+row[2])
	}
	s, err := newSchema()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	var add func(prefix string, typ *structType)
	add = func(prefix string, typ *structType) {
		for _, name := range typ.names {
			if inner := s.structs[typ.fields[name].typ.TypeName()]; inner != nil {
				add(prefix+name+".", inner)
			} else {
				want = append(want, prefix+name+" "+cel.FormatCELType(typ.fields[name].typ))
			}
		}
	}
	add("", s.summary)
	if !slices.Equal(got, want) {
		t.Errorf("the variables are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

package diff

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// docs/diff.md is the reference of the JSON encoding: every field is in it.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/diff.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reference, ok := strings.Cut(string(b), "\n## JSON\n")
	if !ok {
		t.Fatal("docs/diff.md has no section JSON")
	}
	for _, v := range []any{Report{}, Head{}, Section{}, Field{}, Step{}, Moment{}, Timing{}, Verdict{}} {
		for f := range fieldsOf(v) {
			if !strings.Contains(reference, "`"+f+"`") {
				t.Errorf("%T: the field %s is not documented", v, f)
			}
		}
	}
}

// fieldsOf yields the names of the exported fields of a struct in its JSON
// encoding.
func fieldsOf(v any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && !yield(name) {
				return
			}
		}
	}
}

package diff

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"synscope/event"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// pool is every event of testdata.
func pool(t testing.TB) []*event.Event {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var events []*event.Event
	for _, f := range files {
		events = append(events, recorded(t, strings.TrimSuffix(filepath.Base(f), ".jsonl")).Events...)
	}
	return events
}

// mixture draws events of several connections, in any order.
func mixture(t *rapid.T, pool []*event.Event, name string) Subject {
	events := rapid.SliceOfN(rapid.SampledFrom(pool), 0, 60).Draw(t, name)
	return Subject{Name: name, Events: events}
}

func TestAnyTwo(t *testing.T) {
	all := pool(t)
	rapid.Check(t, func(t *rapid.T) { checkTwo(t, mixture(t, all, "a"), mixture(t, all, "b")) })
}

type fataler interface{ Fatalf(string, ...any) }

// checkTwo holds what is true of any two connections.
func checkTwo(t fataler, a, b Subject) {
	r := Compare(a, b)
	if s := Compare(a, a); !s.Same || s.PartAt != nil {
		t.Fatalf("a connection differs from itself:\n%s", drawn(t, s, Options{}))
	}
	other := Compare(b, a)
	if d := cmp.Diff(r.Sections, exchanged(other.Sections)); d != "" {
		t.Fatalf("the sections of B against A are not those of A against B:\n%s", d)
	}
	steps := slices.Clone(other.Steps)
	for i, s := range steps {
		steps[i] = Step{A: s.B, B: s.A}
	}
	if d := cmp.Diff(r.Steps, steps, cmpopts.IgnoreUnexported(Moment{})); d != "" {
		t.Fatalf("the steps of B against A are not those of A against B:\n%s", d)
	}
	if r.Same != other.Same || !reflect.DeepEqual(r.PartAt, other.PartAt) || r.HandshakesPart != other.HandshakesPart {
		t.Fatalf("A against B: same %v, parts at %v; B against A: %v, %v", r.Same, r.PartAt, other.Same, other.PartAt)
	}
	placed := [2]int{}
	for _, s := range r.Steps {
		if s.A != nil {
			placed[0]++
		}
		if s.B != nil {
			placed[1]++
		}
	}
	x, y := lookAt(a, b)
	if n := len(x.steps) + len(y.steps); placed[0]+placed[1]+r.Uncompared != n {
		t.Fatalf("%d and %d steps placed, %d not compared, of %d", placed[0], placed[1], r.Uncompared, n)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatalf("%v", err)
	}
	for _, o := range []Options{{}, {Width: 72, All: true}, {Width: 140, Unicode: true}} {
		checkText(t, drawn(t, r, o), o)
	}
}

// exchanged are sections with A and B exchanged.
func exchanged(ss []Section) []Section {
	ss = slices.Clone(ss)
	for i := range ss {
		ss[i].Fields = slices.Clone(ss[i].Fields)
		for j, f := range ss[i].Fields {
			f.A, f.B, f.OnlyA, f.OnlyB = f.B, f.A, f.OnlyB, f.OnlyA
			ss[i].Fields[j] = f
		}
	}
	return ss
}

func drawn(t fataler, r *Report, o Options) string {
	var b bytes.Buffer
	if err := Render(&b, r, o); err != nil {
		t.Fatalf("%v", err)
	}
	return b.String()
}

// checkText holds the promises about every line of output without colour.
func checkText(t fataler, out string, o Options) {
	width := max(o.Width, minWidth)
	if o.Width == 0 {
		width = defaultWidth
	}
	for l := range strings.Lines(out) {
		l = strings.TrimSuffix(l, "\n")
		if n := utf8.RuneCountInString(l); n > width {
			t.Fatalf("%d columns, want at most %d:\n%s", n, width, l)
		}
		if strings.HasSuffix(l, " ") {
			t.Fatalf("spaces at the end of %q", l)
		}
		for _, r := range l {
			if !unicode.IsPrint(r) || !o.Unicode && r > 0x7e {
				t.Fatalf("raw %U in %q", r, l)
			}
		}
	}
}

func TestColourOnlyAddsColour(t *testing.T) {
	r := Compare(recorded(t, "curl"), recorded(t, "java-without-ca"))
	colored := drawn(t, r, Options{Color: true})
	plain := colored
	for _, st := range []style{faint, strong, ofA, ofB, differs, failure} {
		if !strings.Contains(colored, "\x1b["+string(st)+"m") {
			t.Errorf("nothing has the style %s", st)
		}
		plain = strings.ReplaceAll(plain, "\x1b["+string(st)+"m", "")
	}
	if strings.ReplaceAll(plain, "\x1b[0m", "") != drawn(t, r, Options{}) {
		t.Error("colour changes the text")
	}
}

// FuzzCompare takes two logs, and of each line that is an event the event.
func FuzzCompare(f *testing.F) {
	var lines [][]byte // short seeds: long ones take the fuzzer long to make shorter
	for _, name := range []string{"curl", "openssl-tls12", "openssl-dhe"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
		if err != nil {
			f.Fatal(err)
		}
		lines = append(lines, bytes.SplitAfter(b, []byte("\n"))...)
	}
	for i := range lines {
		f.Add(lines[i], lines[(i+1)%len(lines)])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		checkTwo(t, Subject{Name: string(a[:min(len(a), 20)]), Events: parsed(a)}, Subject{Name: "b", Events: parsed(b)})
	})
}

func parsed(log []byte) []*event.Event {
	var events []*event.Event
	for line := range bytes.Lines(log) {
		e := new(event.Event)
		if json.Unmarshal(line, e) == nil {
			events = append(events, e)
		}
	}
	return events
}

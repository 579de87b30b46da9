package explain

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// The parts of the story, in its order.
const (
	PartOpen  = "TCP: opening"
	PartTLS13 = "TLS 1.3"
	PartTLS12 = "TLS 1.2 and older"
	PartClose = "Closing"
)

// suffix12 marks the name of a step that has a namesake in TLS 1.3.
const suffix12 = "-1.2"

// minWidth is the fewest columns that a text is wrapped to.
const minWidth = 40

// A Step is one thing that happens in the life of a connection.
type Step struct {
	Name  string // what it is looked up by: "syn-ack", "client_hello"
	Title string // what the specification calls it: "SYN-ACK", "ClientHello"
	Part  string // where in the story it belongs, one of the Part constants
	Spec  string // where it is specified: "RFC 8446, section 4.1.2"
	Text  string // what it is for: one paragraph, not wrapped
}

// Steps returns all steps in the order of the story: opening a TCP connection,
// the TLS 1.3 handshake, the TLS 1.2 handshake, closing. The caller owns the
// slice.
func Steps() []Step {
	return slices.Concat(in(PartOpen, openSteps), in(PartTLS13, tls13Steps), in(PartTLS12, tls12Steps), in(PartClose, closeSteps))
}

// in returns a copy of steps that belong to a part, their texts on one line.
func in(part string, steps []Step) []Step {
	steps = slices.Clone(steps)
	for i := range steps {
		steps[i].Part = part
		steps[i].Text = strings.Join(strings.Fields(steps[i].Text), " ")
	}
	return steps
}

// byName finds a step by its folded name or title.
var byName = sync.OnceValue(func() map[string]Step {
	m := make(map[string]Step)
	steps := Steps()
	for _, s := range steps { // a name wins over another step's title
		m[fold(s.Name)] = s
	}
	for _, s := range steps {
		if _, taken := m[fold(s.Title)]; !taken {
			m[fold(s.Title)] = s
		}
	}
	return m
})

// fold maps the spellings of a name to one: "ClientHello", "client-hello" and
// "client_hello" are the same.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return -1
	}, name)
}

// Lookup returns the step with the given name or title. Case, hyphens,
// underscores and spaces do not matter.
func Lookup(name string) (Step, bool) {
	s, ok := byName()[fold(name)]
	return s, ok
}

// Lookup12 returns the step with the given name as TLS 1.2 and older mean it:
// the one with the suffix "-1.2" if there is one, else that of Lookup.
func Lookup12(name string) (Step, bool) {
	if s, ok := Lookup(name + suffix12); ok {
		return s, true
	}
	return Lookup(name)
}

// WriteList writes a line for each step, under the headings of the parts: its
// name, its title and, if width columns are enough, where it is specified.
func WriteList(w io.Writer, width int) error {
	var name, title, spec int // widths of the columns
	for _, s := range Steps() {
		name, title, spec = max(name, len(s.Name)), max(title, len(s.Title)), max(spec, len(s.Spec))
	}
	withSpec := 2+name+1+title+1+spec <= width
	var b strings.Builder
	part := ""
	for _, s := range Steps() {
		if s.Part != part {
			if part != "" {
				b.WriteByte('\n')
			}
			part = s.Part
			fmt.Fprintf(&b, "%s\n", part)
		}
		if withSpec {
			fmt.Fprintf(&b, "  %-*s %-*s %s\n", name, s.Name, title, s.Title, s.Spec)
		} else {
			fmt.Fprintf(&b, "  %-*s %s\n", name, s.Name, s.Title)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteStep writes the step with the given name, and its namesake in TLS 1.2 if
// there is one, wrapped to width columns. An unknown name is an [UnknownError].
func WriteStep(w io.Writer, name string, width int) error {
	s, ok := Lookup(name)
	if !ok {
		return &UnknownError{Name: name, Close: closeTo(name)}
	}
	steps := []Step{s}
	if twin, ok := Lookup(s.Name + suffix12); ok {
		steps = append(steps, twin)
	}
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s (%s)\n%s\n\n", s.Title, s.Part, s.Spec)
		for _, l := range Wrap(s.Text, max(width, minWidth)-2) {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Wrap breaks text at spaces into lines of at most width bytes; the texts of
// this package are ASCII. A longer word has a line of its own.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

package diff

import (
	"bytes"
	"io"
	"strings"

	"synscope/internal/typeset"
)

const (
	defaultWidth = 100
	minWidth     = 72

	labelWidth = 26 // of a field's name, margins included
	tagWidth   = 9  // of what is said of a list: "only A"
	maxListed  = 64 // values of a list that are written
	maxOrdered = 6  // values of an order that are written
)

// Options say how to draw. The zero value is plain ASCII in 100 columns.
type Options struct {
	Width   int  // columns; 0 means 100, fewer than 72 mean 72
	Color   bool // use ANSI colours
	Unicode bool // leave Latin letters as they are, and use Unicode's arrows
	All     bool // also what does not differ
}

// A style is the parameter of the ANSI sequence "select graphic rendition".
type style string

const (
	plain   style = ""
	faint   style = "2"
	strong  style = "1"
	ofA     style = "36" // what is A's
	ofB     style = "35"
	differs style = "33" // a mark at what differs
	failure style = "1;31"
)

// Render writes a report for a person. The error is that of w.
func Render(w io.Writer, r *Report, o Options) error {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, minWidth)
	p := &printer{Options: o, toServer: "->", toClient: "<-"}
	if o.Unicode {
		p.toServer, p.toClient = "→", "←"
	}
	p.head("A", ofA, r.A)
	p.head("B", ofB, r.B)
	for _, s := range r.Sections {
		p.section(s)
	}
	p.steps(r)
	p.timing(r.Timing)
	p.verdict(r.Verdict, r.A.Completed != r.B.Completed)
	_, err := w.Write(p.out.Bytes())
	return err
}

// A printer draws one report.
type printer struct {
	Options
	out                bytes.Buffer
	toServer, toClient string
}

// A span is escaped text of one style.
type span struct {
	text  string
	style style
}

// print writes one line, without spaces at its end.
func (p *printer) print(spans ...span) {
	for n := len(spans); n > 0; n-- {
		last := &spans[n-1]
		if last.text = strings.TrimRight(last.text, " "); last.text != "" {
			break
		}
	}
	for _, s := range spans {
		if p.Color && s.style != plain && strings.TrimSpace(s.text) != "" {
			s.text = "\x1b[" + string(s.style) + "m" + s.text + "\x1b[0m"
		}
		p.out.WriteString(s.text)
	}
	p.out.WriteByte('\n')
}

// wrapped writes text beside a label, with every further line below its first.
func (p *printer) wrapped(label span, text string, st style) {
	width := typeset.Columns(label.text)
	for _, l := range typeset.Wrap(text, p.Width-width) {
		p.print(label, span{l, st})
		label.text = strings.Repeat(" ", width)
	}
}

// escape makes text of someone else's safe, and bounds it.
func (p *printer) escape(s string) string { return typeset.Escape(s, typeset.MaxText, p.Unicode) }

// join lists values of someone else's.
func (p *printer) join(vs []string) string {
	if len(vs) == 0 {
		return "none"
	}
	es := make([]string, 0, min(len(vs), maxListed)+1)
	for i, v := range vs {
		if i == maxListed {
			es = append(es, typeset.Thousands(uint64(len(vs)-maxListed))+" more")
			break
		}
		es = append(es, p.escape(v))
	}
	return strings.Join(es, ", ")
}

// head says which connection it is, and what came of it.
func (p *printer) head(as string, st style, h Head) {
	who := "addresses not known"
	if h.Client.IsValid() && h.Server.IsValid() {
		who = p.escape(h.Client.String()) + " > " + p.escape(h.Server.String())
	}
	if h.ServerName != "" {
		who += ", " + typeset.Escape(h.ServerName, 64, p.Unicode)
	}
	at := ""
	if !h.Opened.IsZero() {
		at = h.Opened.Format("2006-01-02 15:04:05.000")
	}
	name := typeset.Escape(h.Name, p.Width-4-len(at)-2, p.Unicode)
	p.print(span{as + "   ", st}, span{typeset.PadRight(name, p.Width-4-len(at)), strong}, span{at, faint})
	margin := span{"    ", plain}
	p.wrapped(margin, who, plain)
	outcome := plain
	if !h.Completed {
		outcome = failure
	}
	p.wrapped(margin, p.escape(h.Outcome), outcome)
	if h.JA4 != "" {
		p.wrapped(margin, "ja4 "+p.escape(h.JA4), faint)
	}
	p.print()
}

var titles = map[string]string{"tcp": "TCP", "client_hello": "ClientHello", "agreed": "agreed on", "certificate": "certificates"}

// section writes the fields that differ, or all.
func (p *printer) section(s Section) {
	if !s.Differs() && !(p.All && len(s.Fields) > 0) {
		return
	}
	if only := s.only(); only != "" && !p.All {
		p.print(span{typeset.PadRight(titles[s.Name], labelWidth), strong}, span{"only in " + only, plain})
		p.print()
		return
	}
	p.columns(titles[s.Name])
	for _, f := range s.Fields {
		switch {
		case !f.Differs() && p.All:
			p.wrapped(p.label(f), p.join(f.A), plain)
		case !f.Differs():
		case f.List:
			p.list(f)
		default:
			p.pair(p.label(f), p.join(f.A), p.join(f.B))
		}
	}
	p.print()
}

// columns writes a title and the names of the two columns.
func (p *printer) columns(title string) {
	p.print(span{typeset.PadRight(title, labelWidth), strong}, span{typeset.PadRight("A", p.column()+2), ofA}, span{"B", ofB})
}

// column is the width of one of two columns beside the labels.
func (p *printer) column() int { return (p.Width - labelWidth - 2) / 2 }

// label begins a row of a field.
func (p *printer) label(f Field) span {
	mark := "  "
	if f.Differs() && p.All {
		mark = "| "
	}
	return span{typeset.PadRight(mark+typeset.Cut(label(f.Name), labelWidth-3), labelWidth), faint}
}

// pair sets two values beside each other.
func (p *printer) pair(label span, a, b string) {
	as, bs := typeset.Wrap(a, p.column()), typeset.Wrap(b, p.column())
	for i := range max(len(as), len(bs)) {
		var l, r string
		if i < len(as) {
			l = as[i]
		}
		if i < len(bs) {
			r = bs[i]
		}
		p.print(label, span{typeset.PadRight(l, p.column()+2), plain}, span{r, plain})
		label.text = strings.Repeat(" ", labelWidth)
	}
}

// list says what only one of the lists has, and where the rest has another
// order.
func (p *printer) list(f Field) {
	label := p.label(f)
	if !f.Reordered && len(f.A)+len(f.B) <= 6 && p.fits(f.A) && p.fits(f.B) {
		p.pair(label, p.join(f.A), p.join(f.B))
		return
	}
	say := func(tag string, st style, text string) {
		for _, l := range typeset.Wrap(text, p.Width-labelWidth-tagWidth) {
			p.print(label, span{typeset.PadRight(tag, tagWidth), st}, span{l, plain})
			label.text, tag = strings.Repeat(" ", labelWidth), ""
		}
	}
	_, common := without(f.A, f.B)
	switch {
	case p.All && len(common) > 0 && !f.Reordered:
		say("both", faint, p.join(common))
	case len(common) > 0:
		say("both", faint, typeset.Count(len(common), "value"))
	}
	if len(f.OnlyA) > 0 {
		say("only A", ofA, p.join(f.OnlyA))
	}
	if len(f.OnlyB) > 0 {
		say("only B", ofB, p.join(f.OnlyB))
	}
	if f.Reordered {
		_, ofTheirs := without(f.B, f.A)
		a, b := p.unordered(common, ofTheirs)
		say("order A", ofA, a)
		say("order B", ofB, b)
	}
}

// fits reports whether a list is short enough for one of two columns.
func (p *printer) fits(vs []string) bool { return typeset.Columns(p.join(vs)) <= 2*p.column() }

// unordered writes two orders of the same values, without what they begin and
// end with alike, and of long ones the first values only.
func (p *printer) unordered(a, b []string) (string, string) {
	begin, end := 0, len(a)
	for begin < end && a[begin] == b[begin] {
		begin++
	}
	for end > begin && a[end-1] == b[end-1] {
		end--
	}
	if !p.All {
		end = min(end, begin+maxOrdered)
	}
	dots := func(s string) string {
		if begin > 0 {
			s = ".. " + s
		}
		if end < len(a) {
			s += " .."
		}
		return s
	}
	return dots(p.join(a[begin:end])), dots(p.join(b[begin:end]))
}

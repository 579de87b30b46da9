package ladder

import (
	"bytes"
	"strings"
	"time"

	"synscope/event"
	"synscope/internal/typeset"
)

// The columns: a mark, the time, the client's states, a lifeline, what passes
// between the two, a lifeline, the server's states.
const (
	timeWidth  = 8
	stateWidth = 13
	fixedWidth = 1 + timeWidth + 1 + stateWidth + 1 + 1 + 1 + 1 + stateWidth

	narrowBelow = 48 // columns between the lifelines below which space is saved
)

// A printer draws one story. It is used once, by one goroutine.
type printer struct {
	Options
	*story
	glyphs
	out    bytes.Buffer
	inner  int             // columns between the lifelines
	indent int             // of a block, from the client's lifeline
	labels int             // width of the labels of a hello's fields; 0: the values are below them
	told   map[string]bool // explanations already given
	blank  bool            // the last row was empty

	offloaded bool                  // a super-packet was drawn
	offered   map[event.Side][]span // the options of each side's SYN
}

func newPrinter(o Options) *printer {
	o = o.withDefaults()
	p := &printer{
		Options: o, glyphs: asciiGlyphs, inner: o.Width - fixedWidth, indent: 2, labels: 14,
		told: make(map[string]bool), offered: make(map[event.Side][]span),
	}
	if p.inner < narrowBelow {
		p.indent, p.labels = 1, 0
	}
	if o.Unicode {
		p.glyphs = unicodeGlyphs
	}
	return p
}

// escape makes text of someone else's safe, and bounds it.
func (p *printer) escape(s string) string { return typeset.Escape(s, typeset.MaxText, p.Unicode) }

// text is the width of what stands between the lifelines, margins taken off.
func (p *printer) text() int { return p.inner - p.indent - p.indent/2 }

// print writes one line of output, without spaces at its end.
func (p *printer) print(l line) {
	for len(l) > 0 {
		last := &l[len(l)-1]
		if last.text = strings.TrimRight(last.text, " "); last.text != "" {
			break
		}
		l = l[:len(l)-1]
	}
	for _, s := range l {
		if p.Color && s.style != plain && strings.TrimSpace(s.text) != "" {
			p.out.WriteString("\x1b[" + sgr[s.style] + "m" + s.text + "\x1b[0m")
		} else {
			p.out.WriteString(s.text)
		}
	}
	p.out.WriteByte('\n')
}

// A row is one line of the ladder.
type row struct {
	marked bool
	time   string
	from   event.Side // an arrow leaves this side
	left   span       // the client's state
	inner  line
	right  span // the server's state
}

func (p *printer) row(r row) {
	mark := span{" ", plain}
	if r.marked {
		mark = span{"!", warning}
	}
	begin, end := span{p.life, faint}, span{p.life, faint}
	switch r.from {
	case event.Client:
		begin.text = p.fromClient
	case event.Server:
		end.text = p.fromServer
	}
	l := line{mark, {typeset.PadLeft(r.time, timeWidth) + " ", faint},
		{typeset.PadLeft(typeset.Cut(r.left.text, stateWidth), stateWidth) + " ", r.left.style}, begin}
	in := r.inner.cut(p.inner)
	l = append(l, in...)
	l = l.add(strings.Repeat(" ", p.inner-in.columns()), plain)
	l = append(l, end, span{" " + typeset.Cut(r.right.text, stateWidth), r.right.style})
	p.print(l)
	p.blank = r.time == "" && len(r.inner) == 0 && r.left.text == "" && r.right.text == ""
}

// gap makes an empty row, but never two in a row.
func (p *printer) gap() {
	if !p.blank {
		p.row(row{})
	}
}

// rows draws lines between the lifelines, and the states beside them, the first
// at the first line.
func (p *printer) rows(first row, lines []line, st states) {
	for i := 0; i < max(len(lines), len(st[0]), len(st[1]), 1); i++ {
		r := row{left: p.state(st[0], i), right: p.state(st[1], i)}
		if i == 0 {
			r.marked, r.time, r.from = first.marked, first.time, first.from
		}
		if i < len(lines) {
			r.inner = lines[i]
		}
		p.row(r)
	}
}

func (p *printer) state(ss []state, i int) span {
	if i >= len(ss) {
		return span{}
	}
	s := ss[i]
	name := typeset.Escape(s.name, stateWidth, false)
	switch {
	case s.wireOnly:
		return span{typeset.Cut(name, stateWidth-1) + "?", stateTCP}
	case s.tls && s.name == string(event.TLSFailed):
		return span{"TLS " + name, warning}
	case s.tls && s.name == string(event.TLSClosed):
		return span{"TLS " + name, stateTLS} // TCP has a state of that name too
	case s.tls:
		return span{name, stateTLS}
	}
	return span{name, stateTCP}
}

// ladder draws all steps.
func (p *printer) ladder() {
	if !p.first.empty() {
		p.rows(row{}, nil, p.first)
	}
	was := time.Duration(-1)
	var before *step
	for _, s := range p.steps {
		if p.apart(before, s) {
			p.gap()
		}
		t := typeset.Stamp(s.t)
		if s.t == was && s.arrow {
			t = "" // the same moment
		}
		was = s.t
		if s.arrow && known(s.from) {
			p.arrowStep(s, t)
		} else {
			p.noteStep(s, t)
		}
		before = s
	}
}

// apart reports whether an empty row separates two steps: a step that carries
// something stands alone, and so does the closing.
func (p *printer) apart(before, s *step) bool {
	if before == nil {
		return false
	}
	if s.thin() {
		return false
	}
	closing := func(s *step) bool { return s.seg != nil && s.seg.Flags&(event.FIN|event.RST) != 0 }
	return len(s.blocks) > 0 || len(before.blocks) > 0 || closing(s) && !closing(before) || p.Explain || before.thin() && s.heavy()
}

// thin reports whether a step is only acknowledgements.
func (s *step) thin() bool {
	if s.fold != nil {
		return s.fold.segments == 0
	}
	return s.seg != nil && s.quiet() && s.seg.Len == 0
}

func (s *step) heavy() bool { return s.seg != nil && s.seg.Len > 0 }

func (p *printer) noteStep(s *step, t string) {
	st := faint
	if s.marked {
		st = warning
	}
	note := s.note
	if s.arrow {
		note = "from neither side:"
		for _, l := range p.label(s) {
			note += " " + l.text
		}
	}
	var lines []line
	for _, l := range typeset.Wrap(p.escape(note), p.text()) {
		lines = append(lines, line{{strings.Repeat(" ", p.indent), plain}, {l, st}})
	}
	p.rows(row{marked: s.marked, time: t}, lines, s.states)
	p.carriedBy(s)
}

func (p *printer) arrowStep(s *step, t string) {
	label := p.label(s)
	shaft, rest := p.splitLabel(s, label)
	lines := []line{p.arrowLine(s, shaft)}
	for _, l := range rest {
		lines = append(lines, append(styled(strings.Repeat(" ", p.indent+2), plain), l...))
	}
	if s.dying != "" {
		for _, l := range typeset.Wrap(s.from.Peer().String()+" ignored it: "+p.escape(s.dying), p.text()-2) {
			lines = append(lines, styled(strings.Repeat(" ", p.indent+2)+l, warning))
		}
	}
	p.rows(row{marked: s.marked, time: t, from: s.from}, lines, s.states)
	p.carriedBy(s)
}

// carriedBy draws the blocks of a step and, if asked to, what it all is for.
func (p *printer) carriedBy(s *step) {
	if p.Explain {
		p.teach(p.lessonsOfStep(s))
	}
	for i := 0; i < len(s.blocks); i++ {
		b := s.blocks[i]
		lines := p.block(b)
		for !p.Explain && i+1 < len(s.blocks) && s.blocks[i+1].aside() {
			i++
			lines = append(lines, p.block(s.blocks[i])...)
		}
		for j, l := range lines {
			lines[j] = append(styled(strings.Repeat(" ", p.indent), plain), l...)
		}
		p.rows(row{marked: b.marked()}, lines, b.states)
		if p.Explain {
			p.teach(p.lessonsOfBlock(b))
		}
	}
}

// splitLabel returns as much of a label as fits on the arrow, and the rest in
// lines of its own.
func (p *printer) splitLabel(s *step, label []span) (line, []line) {
	reserve := 12 // columns for the arrow itself
	if p.inner < narrowBelow {
		reserve = 8
	}
	var lines []line
	var l line
	width := p.inner - reserve
	for i, x := range label {
		sep := ""
		switch {
		case len(l) == 0:
		case i == 1 && (s.fold == nil || s.thin()):
			sep = "  "
		default:
			sep = ", "
		}
		if len(l) > 0 && l.columns()+len(sep)+typeset.Columns(x.text) > width {
			lines = append(lines, l)
			l, sep, width = nil, "", p.text()-2
		}
		l = l.add(sep, plain).add(x.text, x.style)
	}
	lines = append(lines, l)
	return lines[0], lines[1:]
}

// arrowLine draws an arrow from the sender, its label at the sender's end.
func (p *printer) arrowLine(s *step, label line) line {
	shaft, head := p.dash, map[event.Side]string{event.Client: p.right, event.Server: p.left}[s.from]
	switch {
	case s.thin():
		shaft = p.dot
	case s.fold != nil:
		shaft = p.double
	}
	label = label.cut(p.inner - 6)
	n := p.inner - 1 - 1 - label.columns() - 2
	if label.columns() == 0 {
		n += 2
	}
	color := cliently
	if s.from == event.Server {
		color = serverly
	}
	if s.thin() {
		color = faint
	}
	end := span{strings.Repeat(shaft, n) + head, color}
	if s.from == event.Server {
		end = span{head + strings.Repeat(shaft, n), color}
	}
	if s.dying != "" {
		short := n * 3 / 4
		end = span{strings.Repeat(shaft, short) + p.lost + strings.Repeat(" ", n-short), color}
		if s.from == event.Server {
			end.text = strings.Repeat(" ", n-short) + p.lost + strings.Repeat(shaft, short)
		}
	}
	start := span{shaft, color}
	space := span{" ", plain}
	if label.columns() == 0 {
		space = span{}
	}
	if s.from == event.Client {
		return append(append(line{start, space}, label...), space, end)
	}
	return append(append(line{end, space}, label...), space, start)
}

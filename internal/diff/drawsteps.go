package diff

import (
	"strings"
	"time"

	"synscope/event"
	"synscope/internal/typeset"
)

const timeWidth = 8

// steps draws both handshakes in two columns: a step that both have in one row,
// and where one has others than the other, these beside each other.
func (p *printer) steps(r *Report) {
	if r.PartAt == nil && !p.All || len(r.Steps) == 0 {
		return
	}
	width := (p.Width - 5) / 2
	p.print(span{typeset.PadRight("steps, in ms", timeWidth+5), strong}, span{typeset.PadRight("A", width-timeWidth), ofA},
		span{strings.Repeat(" ", timeWidth+3), plain}, span{"B", ofB})
	for i := 0; i < len(r.Steps); {
		if r.PartAt != nil && *r.PartAt == i {
			what := "! here they part "
			if !r.HandshakesPart {
				what = "! both handshakes are complete; here the rest parts "
			}
			p.print(span{what + strings.Repeat("-", p.Width-len(what)), differs})
		}
		if s := r.Steps[i]; s.Common() {
			p.stepRow(s.A, s.B, " ", width)
			i++
			continue
		}
		var as, bs []*Moment
		for ; i < len(r.Steps) && !r.Steps[i].Common(); i++ {
			if r.Steps[i].A != nil {
				as = append(as, r.Steps[i].A)
			} else {
				bs = append(bs, r.Steps[i].B)
			}
		}
		for j := range max(len(as), len(bs)) {
			switch {
			case j >= len(bs):
				p.stepRow(as[j], nil, "<", width)
			case j >= len(as):
				p.stepRow(nil, bs[j], ">", width)
			default:
				p.stepRow(as[j], bs[j], "|", width)
			}
		}
	}
	if r.Uncompared > 0 {
		p.wrapped(span{"  ", plain}, typeset.Count(r.Uncompared, "further step")+" not compared: too many", differs)
	}
	p.wrapped(span{"  ", plain}, p.toServer+" from the client, "+p.toClient+
		" from the server; < only A, > only B, | each its own; {..} [..] encrypted", faint)
	p.print()
}

func (p *printer) stepRow(a, b *Moment, mark string, width int) {
	p.print(span{"  ", plain}, p.moment(a, width, ofA), span{" " + mark + " ", differs}, p.moment(b, width, ofB))
}

// moment is one cell.
func (p *printer) moment(m *Moment, width int, st style) span {
	if m == nil {
		return span{strings.Repeat(" ", width), plain}
	}
	arrow := "  "
	switch m.From {
	case event.Client:
		arrow = p.toServer
	case event.Server:
		arrow = p.toClient
	}
	head := typeset.PadLeft(typeset.Stamp(m.T), timeWidth) + " " + typeset.PadRight(arrow, 2) + " "
	return span{typeset.PadRight(head+typeset.Escape(m.What, width-typeset.Columns(head), p.Unicode), width), st}
}

var lengths = map[string]string{
	"tcp_handshake": "TCP handshake", "round_trip": "round trip", "tls_handshake": "TLS handshake",
	"waiting_client": "  waiting for client", "waiting_server": "  waiting for server", "signing": "    of that private key",
	"duration": "whole connection",
}

// timing sets the times beside each other.
func (p *printer) timing(ts []Timing) {
	if len(ts) == 0 {
		return
	}
	const width = 14
	p.print(span{typeset.PadRight("timing", labelWidth), strong}, span{typeset.PadLeft("A", width), ofA}, span{typeset.PadLeft("B", width), ofB},
		span{typeset.PadLeft("B - A", width), strong})
	for _, t := range ts {
		difference := ""
		if t.A != 0 && t.B != 0 {
			difference = signed(t.B - t.A)
		}
		p.print(span{typeset.PadRight("  "+lengths[t.Name], labelWidth), faint}, span{typeset.PadLeft(length(t.A), width), plain},
			span{typeset.PadLeft(length(t.B), width), plain}, span{typeset.PadLeft(difference, width), plain})
	}
	p.print()
}

func length(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return typeset.Duration(d)
}

func signed(d time.Duration) string {
	switch s := typeset.Duration(d.Abs()); {
	case s == typeset.Duration(0):
		return s
	case d < 0:
		return "-" + s
	default:
		return "+" + s
	}
}

// verdict writes what most probably matters, last, where it is seen.
func (p *printer) verdict(v Verdict, failed bool) {
	const width = len("! verdict  ")
	long := func(s string) string { return typeset.Escape(s, 4*typeset.MaxText, p.Unicode) }
	label, st := "  verdict", strong
	if failed {
		label, st = "! verdict", failure
	}
	p.wrapped(span{typeset.PadRight(label, width), st}, long(v.Summary), st)
	for _, e := range v.Evidence {
		p.wrapped(span{strings.Repeat(" ", width) + "- ", plain}, long(e), plain)
	}
	if v.Hint != "" {
		p.wrapped(span{typeset.PadRight("  hint", width), strong}, long(v.Hint), strong)
	}
}

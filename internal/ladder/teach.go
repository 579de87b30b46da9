package ladder

import (
	"fmt"
	"strings"

	"synscope/event"
	"synscope/internal/explain"
	"synscope/internal/typeset"
)

// A lesson is a paragraph below a step.
type lesson struct {
	text string
	spec string
}

// teach writes paragraphs between the lifelines.
func (p *printer) teach(ls []lesson) {
	bar := p.quote + " "
	for _, l := range ls {
		s := l.text
		if l.spec != "" {
			s += " (" + l.spec + ")"
		}
		for _, w := range typeset.Wrap(s, p.text()-2-typeset.Columns(bar)) {
			p.row(row{inner: line{{strings.Repeat(" ", p.indent+2) + bar, faint}, {w, faint}}})
		}
	}
}

// once returns the text of a step, the first time it is asked for.
func (p *printer) once(name string) []lesson {
	s, ok := explain.Lookup(name)
	if !ok || p.told[s.Name] {
		return nil
	}
	p.told[s.Name] = true
	return []lesson{{s.Text, s.Spec}}
}

// ofVersion is once for a step that differs between the versions of TLS.
func (p *printer) ofVersion(name string) []lesson {
	if p.tls13 {
		return p.once(name)
	}
	s, ok := explain.Lookup12(name)
	if !ok {
		return nil
	}
	return p.once(s.Name)
}

// lessonsOfStep explains a segment, with this connection's own numbers.
func (p *printer) lessonsOfStep(s *step) []lesson {
	g := s.seg
	switch {
	case s.dial:
		return p.once("upstream-leg")
	case g == nil || s.fold != nil:
		return nil
	}
	var ls []lesson
	here := func(format string, args ...any) { ls = append(ls, lesson{text: fmt.Sprintf(format, args...)}) }
	switch {
	case g.Retransmit:
		ls = p.once("retransmission")
	case g.Flags.Has(event.RST):
		if p.close != nil && p.close.How == "refused" {
			ls = p.once("refused")
			here("Here: ack %d, the SYN's %d + 1.", g.Ack, g.Ack-1)
		} else {
			ls = p.once("rst")
		}
	case g.Flags.Has(event.SYN | event.ACK):
		ls = p.once("syn-ack")
		here("Here: ack %d = the client's %d + 1, since the SYN takes a number; its own number is %d, shown as 0.", g.Ack, g.Ack-1, g.Seq)
		if g.SYNCookie {
			ls = append(ls, p.once("syn-cookie")...)
		}
	case g.Flags.Has(event.SYN):
		ls = p.once("syn")
		here("Here: the initial sequence number is %d, shown as 0.", g.Seq)
	case g.Flags.Has(event.FIN):
		ls = p.lessonsOfFIN(s)
	case s.from == event.Client && g.Len == 0 && g.SeqRel == 1 && g.AckRel == 1 && !p.told["ack"]:
		ls = p.once("ack")
		here("Here: ack %d = the server's %d + 1.", g.Ack, g.Ack-1)
	case g.Len > 0 && !p.told["sequence-numbers"]:
		ls = p.once("sequence-numbers")
		here("Here: seq %d, len %d; the next segment from the %s has seq %d, and the %s acknowledges this one with ack %d.",
			g.SeqRel, g.Len, s.from, g.SeqRel+int64(g.Len), s.from.Peer(), g.SeqRel+int64(g.Len))
	}
	if len(s.states[0])+len(s.states[1]) > 0 {
		ls = append(ls, p.lessonsOfStates(s)...)
	}
	return ls
}

func (p *printer) lessonsOfFIN(s *step) []lesson {
	if s.from == p.firstFIN {
		ls := p.once("fin")
		return append(ls, lesson{text: fmt.Sprintf("Here: the FIN has number %d; ack %d will acknowledge it.",
			s.seg.SeqRel+int64(s.seg.Len), s.seg.SeqRel+int64(s.seg.Len)+1)})
	}
	return p.once("second-fin")
}

func (p *printer) lessonsOfStates(s *step) []lesson {
	var ls []lesson
	for _, side := range s.states {
		for _, st := range side {
			switch st.name {
			case event.StateTimeWait.String():
				ls = append(ls, p.once("time-wait")...)
			case event.StateFinWait2.String():
				ls = append(ls, p.once("half-close")...)
			case event.StateClosing.String():
				ls = append(ls, p.once("closing")...)
			}
		}
	}
	return ls
}

// lessonsOfBlock explains a TLS message, or a record of another protocol.
func (p *printer) lessonsOfBlock(b *block) []lesson {
	switch body := b.body.(type) {
	case *event.Message:
		return p.lessonsOfMessage(body)
	case *event.ChangeCipherSpec:
		return p.ofVersion("change_cipher_spec")
	case *event.Alert:
		if body.Description == 0 {
			return p.once("close_notify")
		}
		return p.once("alert")
	case *event.ApplicationData:
		return p.once("application_data")
	}
	return nil
}

func (p *printer) lessonsOfMessage(m *event.Message) []lesson {
	ls := p.ofVersion(m.Type.String())
	switch m.Type {
	case event.ClientHelloType:
		return append(p.overview(), ls...)
	case event.ServerHelloDone:
		if !p.seen[event.CertRequestType] {
			ls = append(ls, lesson{text: "No CertificateRequest came before it: the client is not asked to prove who it is."})
		}
		if !p.seen[event.ServerKeyExchangeType] {
			ls = append(ls, p.once("rsa-key-exchange")...)
		}
	}
	return ls
}

// overview tells, once, which kind of handshake begins.
func (p *printer) overview() []lesson {
	switch {
	case p.tls13 && p.resumed():
		return p.once("resumption")
	case p.tls13:
		return p.once("tls-1.3")
	case p.resumed():
		return p.once("abbreviated")
	}
	return p.once("tls-1.2")
}

// lessonsAtEnd tells what someone on the path could read of it all.
func (p *printer) lessonsAtEnd() []lesson {
	var ls []lesson
	if p.close != nil && p.close.How == "timeout" && !p.close.HandshakeDone {
		ls = append(ls, p.once("half-open")...)
	}
	if p.hello == nil {
		return ls
	}
	ls = append(ls, p.once("observer")...)
	var read, hidden []string
	add := func(to []string, name string) []string {
		for _, n := range to {
			if n == name {
				return to
			}
		}
		return append(to, name)
	}
	for _, s := range p.steps {
		for _, b := range s.blocks {
			m, ok := b.body.(*event.Message)
			switch {
			case !ok:
			case m.Encrypted:
				hidden = add(hidden, typeset.MessageName(m))
			default:
				read = add(read, typeset.MessageName(m))
			}
		}
	}
	here := "Here an observer read " + strings.Join(read, ", ")
	if p.hello.ServerName != "" {
		here += ", with the server's name " + p.escape(p.hello.ServerName)
	}
	if len(hidden) > 0 {
		here += "; of " + strings.Join(hidden, ", ") + " only the length of the records"
	}
	return append(ls, lesson{text: here + "."})
}

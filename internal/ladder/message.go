package ladder

import (
	"cmp"
	"fmt"
	"strings"

	"synscope/event"
	"synscope/internal/typeset"
)

// marked reports whether the block stands out.
func (b *block) marked() bool {
	switch body := b.body.(type) {
	case *event.Message:
		return body.Malformed != ""
	case *event.Alert:
		return body.Description != 0
	case *event.Undecoded:
		return body.Reason != "not tls" && body.Reason != "no key"
	case *event.TLSStep:
		return !body.OK && body.Step != "ticket" && body.Step != "plain"
	}
	return false
}

// aside reports whether the block is a remark that may stand right below the
// one before it.
func (b *block) aside() bool {
	_, ok := b.body.(*event.TLSStep)
	return ok && b.states.empty() && !b.marked()
}

// block writes what a segment carried, one line a row.
func (p *printer) block(b *block) []line {
	color := cliently
	if b.from == event.Server {
		color = serverly
	}
	switch body := b.body.(type) {
	case *event.Message:
		return p.message(body, color)
	case *event.ChangeCipherSpec:
		if body.Dummy {
			return p.headed(span{"ChangeCipherSpec", color}, "for middleboxes only")
		}
		return p.headed(span{"ChangeCipherSpec", color}, "")
	case *event.Alert:
		return p.alert(b.from, body)
	case *event.ApplicationData:
		name := typeset.Bracket("ApplicationData", body.Epoch, true)
		if body.Epoch == event.EpochPlain {
			name = "ApplicationData"
		}
		return p.headed(span{name, color}, "first record, "+typeset.Count(max(body.Len, 0), "byte"))
	case *event.Undecoded:
		return p.undecoded(body, color)
	case *event.TLSStep:
		return p.endpointStep(b.from, body)
	}
	return nil
}

// headed is a name and, beside it and wrapped below it, what is to say of it.
func (p *printer) headed(name span, detail string) []line {
	if detail == "" {
		return []line{{name}}
	}
	const hang = 4
	words := typeset.Wrap(detail, p.text()-hang)
	first := line{name}
	if room := p.text() - typeset.Columns(name.text) - 2; typeset.Columns(words[0]) <= room || len(words) > 1 && room > 20 {
		head := typeset.Wrap(detail, room)[0]
		first = first.add("  "+head, plain)
		rest := strings.TrimSpace(strings.TrimPrefix(strings.Join(strings.Fields(detail), " "), head))
		if rest == "" {
			return []line{first}
		}
		words = typeset.Wrap(rest, p.text()-hang)
	}
	lines := []line{first}
	for _, w := range words {
		lines = append(lines, text(strings.Repeat(" ", hang)+w))
	}
	return lines
}

func (p *printer) message(m *event.Message, color style) []line {
	name := span{typeset.MessageName(m), color}
	switch {
	case m.Malformed != "":
		return p.headed(span{name.text, warning}, "malformed: "+p.escape(m.Malformed))
	case m.ClientHello != nil:
		return append([]line{{name}}, p.clientHello(m.ClientHello)...)
	case m.ServerHello != nil:
		return append([]line{{name}}, p.choices(m)...)
	case m.Certificate != nil:
		return p.certificate(name, m.Certificate)
	}
	return p.headed(name, p.detail(m))
}

// detail says of the smaller messages what fits in a line or two.
func (p *printer) detail(m *event.Message) string {
	var ds []string
	say := func(format string, args ...any) { ds = append(ds, fmt.Sprintf(format, args...)) }
	switch {
	case m.EncryptedExtensions != nil:
		if len(m.EncryptedExtensions.ALPN) > 0 {
			say("alpn %s", p.names(m.EncryptedExtensions.ALPN))
		}
		if m.EncryptedExtensions.EarlyData {
			say("early data accepted")
		}
	case m.ServerKeyExchange != nil:
		k := m.ServerKeyExchange
		if k.Group != 0 {
			say("%s", k.Group)
		}
		if k.DHBits > 0 {
			say("DH %d bits", k.DHBits)
		}
		if k.SignatureScheme != 0 {
			say("signed with %s", k.SignatureScheme)
		}
	case m.CertificateRequest != nil:
		p.certificateRequest(m.CertificateRequest, say)
	case m.CertificateVerify != nil:
		if m.CertificateVerify.SignatureScheme != 0 {
			say("%s", m.CertificateVerify.SignatureScheme)
		}
	case m.CertificateStatus != nil:
		say("OCSP response, %s", typeset.Count(m.CertificateStatus.Len, "byte"))
	case m.ClientKeyExchange != nil:
		say("%s, %s", p.escape(m.ClientKeyExchange.Exchange), typeset.Count(m.ClientKeyExchange.Len, "byte"))
	case m.NewSessionTicket != nil:
		say("%s, %s", typeset.Count(m.NewSessionTicket.Len, "byte"), lifetime(m.NewSessionTicket.Lifetime))
		if m.NewSessionTicket.MaxEarlyData > 0 {
			say("early data up to %s", size(uint64(m.NewSessionTicket.MaxEarlyData)))
		}
	case m.KeyUpdate != nil && m.KeyUpdate.UpdateRequested:
		say("asks the peer to update its key too")
	case m.Type == event.CompressedCertificate:
		say("%s", typeset.Count(m.Len, "byte"))
	}
	return strings.Join(ds, ", ")
}

func (p *printer) certificateRequest(r *event.CertificateRequest, say func(string, ...any)) {
	if n := len(r.SignatureSchemes); n > 0 {
		say("%s", typeset.Count(n, "signature scheme"))
	}
	if len(r.Authorities) == 0 {
		say("any authority")
		return
	}
	say("%s: %s", plural(len(r.Authorities), "authority", "authorities"), p.names(r.Authorities))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// lifetime is a ticket's, in whole units.
func lifetime(seconds uint32) string {
	switch {
	case seconds == 0:
		return "for how long is not said"
	case seconds >= 86400 && seconds%86400 == 0:
		return "valid " + typeset.Count(int(seconds/86400), "day")
	case seconds >= 3600 && seconds%3600 == 0:
		return "valid " + typeset.Count(int(seconds/3600), "hour")
	}
	return "valid " + typeset.Count(int(seconds), "second")
}

// names lists texts of the peer's, a bounded number of them.
func (p *printer) names(ns []string) string {
	const most = 6
	var es []string
	for i, n := range ns {
		if i == most {
			es = append(es, fmt.Sprintf("%d more", len(ns)-most))
			break
		}
		es = append(es, typeset.Escape(n, 64, p.Unicode))
	}
	return strings.Join(es, ", ")
}

func (p *printer) alert(from event.Side, a *event.Alert) []line {
	st := warning
	if a.Description == 0 {
		st = plain
	}
	name := span{typeset.Bracket("Alert "+a.Description.String(), a.Epoch, a.Encrypted), st}
	if a.Description == 0 {
		return p.headed(name, "no more data from the "+from.String())
	}
	return p.headed(name, fmt.Sprintf("%s, code %d", p.escape(a.Level), a.Code))
}

func (p *printer) undecoded(u *event.Undecoded, color style) []line {
	n := typeset.Count(max(u.Len, 0), "byte")
	if u.Records > 0 {
		n = typeset.Count(u.Records, "record") + ", " + n
	}
	detail := cmp.Or(p.escape(u.Detail), "")
	if len(u.First) > 0 {
		detail = strings.TrimPrefix(detail+", ", ", ") + `begins "` + typeset.Escape(string(u.First), 48, false) + `"`
	}
	if detail != "" {
		n += ", " + detail
	}
	if u.Reason == "not tls" {
		return p.headed(span{"not TLS", color}, n)
	}
	return p.headed(span{"not decoded: " + p.escape(u.Reason), warning}, n)
}

// endpointStep tells what crypto/tls said, at the side that it serves.
func (p *printer) endpointStep(from event.Side, b *event.TLSStep) []line {
	what := map[string]string{
		"client_hello": "accepts the ClientHello", "ticket": "takes the ticket", "verify": "trusts the peer's certificate",
		"sign": "uses its private key", "handshake": "has done its handshake", "plain": "is left out",
		"pass": "is left out", "likeness": "shows a certificate like the destination's",
	}[b.Step]
	if !b.OK {
		what = map[string]string{
			"client_hello": "rejects the ClientHello", "ticket": "does not take the ticket", "verify": "does not trust the peer's certificate",
			"sign": "cannot use its private key", "handshake": "gives up its handshake", "plain": "is left out",
		}[b.Step]
	}
	s := "crypto/tls " + cmp.Or(what, p.escape(b.Step))
	if b.Duration > 0 {
		s += ", " + typeset.Duration(b.Duration)
	}
	if b.Detail != "" {
		s += ": " + p.escape(b.Detail)
	}
	if b.Error != "" {
		s += ": " + p.escape(b.Error)
	}
	st := faint
	if !b.OK && b.Step != "ticket" && b.Step != "plain" {
		st = warning
	}
	var lines []line
	for _, w := range typeset.Wrap(s, p.text()) {
		if from == event.Server {
			w = typeset.PadLeft(w, p.text())
		}
		lines = append(lines, styled(w, st))
	}
	return lines
}

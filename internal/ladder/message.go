package ladder

import (
	"cmp"
	"fmt"
	"strings"

	"synscope/event"
)

// messageNames are the names as RFC 8446 and RFC 5246 write them.
var messageNames = map[event.HandshakeType]string{
	event.HelloRequest: "HelloRequest", event.ClientHelloType: "ClientHello", event.ServerHelloType: "ServerHello",
	event.NewSessionTicketType: "NewSessionTicket", event.EndOfEarlyData: "EndOfEarlyData",
	event.HelloRetryRequest: "HelloRetryRequest", event.EncryptedExts: "EncryptedExtensions",
	event.CertificateType: "Certificate", event.ServerKeyExchangeType: "ServerKeyExchange",
	event.CertRequestType: "CertificateRequest", event.ServerHelloDone: "ServerHelloDone",
	event.CertVerifyType: "CertificateVerify", event.ClientKeyExchangeType: "ClientKeyExchange",
	event.FinishedType: "Finished", event.CertStatusType: "CertificateStatus", event.KeyUpdateType: "KeyUpdate",
	event.CompressedCertificate: "CompressedCertificate", event.MessageHash: "message_hash",
}

// messageName is the name of a message, in the brackets of its epoch.
func messageName(m *event.Message) string {
	name, ok := messageNames[m.Type]
	if !ok {
		name = "handshake message " + m.Type.String()
	}
	return bracket(name, m.Epoch, m.Encrypted)
}

// bracket writes what is encrypted as RFC 8446, section 2, does.
func bracket(name string, e event.Epoch, encrypted bool) string {
	switch {
	case e == event.EpochApplication:
		return "[" + name + "]"
	case e == event.EpochEarly:
		return "(" + name + ")"
	case e == event.EpochHandshake, e == event.EpochEncrypted, encrypted:
		return "{" + name + "}"
	}
	return name
}

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
		name := bracket("ApplicationData", body.Epoch, true)
		if body.Epoch == event.EpochPlain {
			name = "ApplicationData"
		}
		return p.headed(span{name, color}, "first record, "+count(max(body.Len, 0), "byte"))
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
	words := wrap(detail, p.text()-hang)
	first := line{name}
	if room := p.text() - columns(name.text) - 2; columns(words[0]) <= room || len(words) > 1 && room > 20 {
		head := wrap(detail, room)[0]
		first = first.add("  "+head, plain)
		rest := strings.TrimSpace(strings.TrimPrefix(strings.Join(strings.Fields(detail), " "), head))
		if rest == "" {
			return []line{first}
		}
		words = wrap(rest, p.text()-hang)
	}
	lines := []line{first}
	for _, w := range words {
		lines = append(lines, text(strings.Repeat(" ", hang)+w))
	}
	return lines
}

func (p *printer) message(m *event.Message, color style) []line {
	name := span{messageName(m), color}
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
		say("OCSP response, %s", count(m.CertificateStatus.Len, "byte"))
	case m.ClientKeyExchange != nil:
		say("%s, %s", p.escape(m.ClientKeyExchange.Exchange), count(m.ClientKeyExchange.Len, "byte"))
	case m.NewSessionTicket != nil:
		say("%s, %s", count(m.NewSessionTicket.Len, "byte"), lifetime(m.NewSessionTicket.Lifetime))
		if m.NewSessionTicket.MaxEarlyData > 0 {
			say("early data up to %s", size(uint64(m.NewSessionTicket.MaxEarlyData)))
		}
	case m.KeyUpdate != nil && m.KeyUpdate.UpdateRequested:
		say("asks the peer to update its key too")
	case m.Type == event.CompressedCertificate:
		say("%s", count(m.Len, "byte"))
	}
	return strings.Join(ds, ", ")
}

func (p *printer) certificateRequest(r *event.CertificateRequest, say func(string, ...any)) {
	if n := len(r.SignatureSchemes); n > 0 {
		say("%s", count(n, "signature scheme"))
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
		return "valid " + count(int(seconds/86400), "day")
	case seconds >= 3600 && seconds%3600 == 0:
		return "valid " + count(int(seconds/3600), "hour")
	}
	return "valid " + count(int(seconds), "second")
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
		es = append(es, escape(n, 64, p.Unicode))
	}
	return strings.Join(es, ", ")
}

func (p *printer) alert(from event.Side, a *event.Alert) []line {
	st := warning
	if a.Description == 0 {
		st = plain
	}
	name := span{bracket("Alert "+a.Description.String(), a.Epoch, a.Encrypted), st}
	if a.Description == 0 {
		return p.headed(name, "no more data from the "+from.String())
	}
	return p.headed(name, fmt.Sprintf("%s, code %d", p.escape(a.Level), a.Code))
}

func (p *printer) undecoded(u *event.Undecoded, color style) []line {
	n := count(max(u.Len, 0), "byte")
	if u.Records > 0 {
		n = count(u.Records, "record") + ", " + n
	}
	detail := cmp.Or(p.escape(u.Detail), "")
	if len(u.First) > 0 {
		detail = strings.TrimPrefix(detail+", ", ", ") + `begins "` + escape(string(u.First), 48, false) + `"`
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
	}[b.Step]
	if !b.OK {
		what = map[string]string{
			"client_hello": "rejects the ClientHello", "ticket": "does not take the ticket", "verify": "does not trust the peer's certificate",
			"sign": "cannot use its private key", "handshake": "gives up its handshake", "plain": "is left out",
		}[b.Step]
	}
	s := "crypto/tls " + cmp.Or(what, p.escape(b.Step))
	if b.Duration > 0 {
		s += ", " + duration(b.Duration)
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
	for _, w := range wrap(s, p.text()) {
		if from == event.Server {
			w = padLeft(w, p.text())
		}
		lines = append(lines, styled(w, st))
	}
	return lines
}

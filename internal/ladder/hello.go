package ladder

import (
	"fmt"
	"slices"
	"strings"

	"synscope/event"
	"synscope/internal/typeset"
)

// field is a label and its value, wrapped beside it.
func (p *printer) field(label, value string) []line {
	return p.labelled(label, typeset.Wrap(value, p.valueWidth()))
}

// valueWidth is the width of a field's value.
func (p *printer) valueWidth() int { return p.text() - 2 - p.labels }

// labelled sets a label beside the first of some lines, or above them where
// space is scarce.
func (p *printer) labelled(label string, values []string) []line {
	var lines []line
	if p.labels == 0 && len(values) == 1 && typeset.Columns(label)+2+typeset.Columns(values[0]) < p.valueWidth() {
		return append(lines, line{{" " + label + "  ", faint}, {values[0], plain}})
	}
	if p.labels == 0 {
		lines = append(lines, styled(" "+label, faint))
		label = ""
	}
	for _, v := range values {
		lines = append(lines, line{{"  " + typeset.PadRight(label, p.labels), faint}, {v, plain}})
		label = ""
	}
	return lines
}

// clientHello lists what the client offers; of a second one, after a
// HelloRetryRequest, only what is not as in the first.
func (p *printer) clientHello(h *event.ClientHello) []line {
	fields := p.offers(h)
	if p.hello == nil || p.hello == h {
		return slices.Concat(fields...)
	}
	lines := []line{styled("  as before, but", faint)}
	before := p.offers(p.hello)
	for i, f := range fields {
		if !slices.EqualFunc(f, before[i], slices.Equal[line]) {
			if len(f) == 0 {
				f = p.field("without", strings.TrimSpace(before[i][0][0].text))
			}
			lines = append(lines, f...)
		}
	}
	return lines
}

// offers writes the fields of a ClientHello, always the same number in the same
// order; one that is absent has no lines.
func (p *printer) offers(h *event.ClientHello) [][]line {
	versions := joined(h.SupportedVersions)
	if versions == "" {
		versions = "up to " + h.LegacyVersion.String()
	}
	var fields [][]line
	say := func(label, value string) {
		var f []line
		if value != "" {
			f = p.field(label, value)
		}
		fields = append(fields, f)
	}
	say("server name", p.escape(h.ServerName))
	say("versions", versions)
	say("alpn", p.names(h.ALPN))
	say("groups", joined(h.SupportedGroups))
	say("key shares", joined(h.KeyShares))
	fields = append(fields, p.suites(h.CipherSuites))
	say("resumption", p.offersToResume(h))
	say("also", strings.Join(p.alsoOffers(h), ", "))
	say("ja4", p.escape(h.JA4))
	return fields
}

// offersToResume says with what the client wants to resume a session.
func (p *printer) offersToResume(h *event.ClientHello) string {
	var ds []string
	if h.PSKIdentities > 0 {
		s := plural(h.PSKIdentities, "pre-shared key", "pre-shared keys")
		if len(h.PSKModes) > 0 {
			s += ", " + joined(h.PSKModes)
		}
		ds = append(ds, s)
	}
	if h.SessionTicket > 0 {
		ds = append(ds, "ticket of "+typeset.Count(h.SessionTicket, "byte"))
	}
	if h.EarlyData {
		ds = append(ds, "early data")
	}
	return strings.Join(ds, ", ")
}

// alsoOffers counts or names the fields that have no row of their own.
func (p *printer) alsoOffers(h *event.ClientHello) []string {
	var ds []string
	if n := len(h.SignatureSchemes); n > 0 {
		s := typeset.Count(n, "signature scheme")
		if n := len(h.CertSignatures); n > 0 {
			s += fmt.Sprintf(" (%d for certificates)", n)
		}
		ds = append(ds, s)
	}
	if n := len(h.Extensions); n > 0 {
		ds = append(ds, typeset.Count(n, "extension"))
	}
	if h.Cookie > 0 {
		ds = append(ds, "cookie of "+typeset.Count(h.Cookie, "byte"))
	}
	if h.ECH != "" {
		ds = append(ds, "encrypted client hello ("+p.escape(h.ECH)+")")
	}
	if h.StatusRequest {
		ds = append(ds, "OCSP")
	}
	if len(h.CompressionMethods) > 0 {
		ds = append(ds, "compression")
	}
	if h.RecordSizeLimit > 0 {
		ds = append(ds, fmt.Sprintf("records up to %d bytes", h.RecordSizeLimit))
	}
	if len(h.CertificateCompress) > 0 {
		ds = append(ds, "compressed certificates")
	}
	return ds
}

// suites lists the cipher suites in the client's order, or, where those with
// the same key exchange do not stand together, grouped by it.
func (p *printer) suites(all []event.CipherSuite) []line {
	label := fmt.Sprintf("suites (%d)", len(all))
	var order []string
	inOrder := true
	groups := make(map[string][]string)
	for _, s := range all[:min(len(all), maxListed)] {
		prefix, name := splitSuite(s.String())
		if _, ok := groups[prefix]; !ok {
			order = append(order, prefix)
		}
		inOrder = inOrder && order[len(order)-1] == prefix
		groups[prefix] = append(groups[prefix], name)
	}
	var values []string
	width := p.valueWidth()
	for _, prefix := range order {
		ws := typeset.Wrap(strings.Join(groups[prefix], ", "), width)
		if prefix != "" && len(groups[prefix]) == 1 {
			ws = typeset.Wrap(prefix+groups[prefix][0], width)
		} else if prefix != "" {
			ws = hanging(prefix+" "+strings.Join(groups[prefix], ", "), width)
		}
		values = append(values, ws...)
	}
	if len(all) > maxListed {
		values = append(values, typeset.Thousands(uint64(len(all)-maxListed))+" more")
	}
	if !inOrder {
		values = append(values, typeset.Wrap("(grouped; the client mixes the groups)", width)...)
	}
	return p.labelled(label, values)
}

// hanging wraps, and indents all lines but the first.
func hanging(s string, width int) []string {
	first := typeset.Wrap(s, width)[0]
	ws := []string{first}
	rest := strings.TrimSpace(strings.TrimPrefix(s, first))
	for _, w := range typeset.Wrap(rest, width-2) {
		if w != "" {
			ws = append(ws, "  "+w)
		}
	}
	return ws
}

// splitSuite splits the name of a suite of TLS 1.2 after "_WITH_"; other names
// have no prefix.
func splitSuite(name string) (prefix, rest string) {
	if i := strings.Index(name, "_WITH_"); i >= 0 {
		i += len("_WITH_")
		return name[:i], name[i:]
	}
	return "", name
}

// choices writes what a ServerHello or HelloRetryRequest chose.
func (p *printer) choices(m *event.Message) []line {
	h := m.ServerHello
	var lines []line
	say := func(label, value string) {
		if value != "" {
			lines = append(lines, p.field(label, value)...)
		}
	}
	say("version", h.Version.String())
	say("cipher suite", h.CipherSuite.String())
	if h.Group != 0 {
		label := "key share"
		if m.Type == event.HelloRetryRequest {
			label = "asks for"
		}
		say(label, h.Group.String())
	}
	say("alpn", p.names(h.ALPN))
	if h.PSK != nil {
		say("resumes", fmt.Sprintf("pre-shared key %d of the client's", *h.PSK+1))
	}
	var also []string
	if h.Cookie > 0 {
		also = append(also, "cookie of "+typeset.Count(h.Cookie, "byte"))
	}
	if h.SessionTicket {
		also = append(also, "a ticket will follow")
	}
	if h.StatusRequest {
		also = append(also, "an OCSP response will follow")
	}
	if h.Downgrade != "" {
		also = append(also, "marked as a downgrade to "+p.escape(h.Downgrade))
	}
	say("also", strings.Join(also, ", "))
	return lines
}

// maxChain bounds how many certificates of a chain are told of.
const maxChain = 4

func (p *printer) certificate(name span, c *event.Certificate) []line {
	if len(c.Chain) == 0 {
		return p.headed(name, "empty: no certificate")
	}
	total := 0
	for _, x := range c.Chain {
		total += max(x.Len, 0)
	}
	lines := p.headed(name, fmt.Sprintf("%s, %s", typeset.Count(len(c.Chain), "certificate"), typeset.Count(total, "byte")))
	for i := range c.Chain {
		if i == maxChain && len(c.Chain) > maxChain {
			return append(lines, line{{fmt.Sprintf("  and %d more", len(c.Chain)-maxChain), faint}})
		}
		lines = append(lines, p.x509(i, &c.Chain[i])...)
	}
	return lines
}

// x509 tells of one certificate: whose it is, from whom, how long, which key.
func (p *printer) x509(i int, x *event.X509) []line {
	if x.Malformed != "" {
		return p.field(fmt.Sprintf("%d", i+1), "malformed: "+p.escape(x.Malformed))
	}
	who := typeset.Escape(x.Subject, 80, p.Unicode)
	if len(x.Names) > 0 {
		who = p.names(x.Names)
	}
	var ds []string
	if x.SelfSigned {
		ds = append(ds, "issued by itself")
	} else if x.Issuer != "" {
		ds = append(ds, "issued by "+typeset.Escape(x.Issuer, 80, p.Unicode))
	}
	kind := p.escape(x.PublicKey)
	if x.CA {
		kind = strings.TrimSpace("CA " + kind)
	}
	if kind != "" {
		ds = append(ds, kind)
	}
	if !x.NotAfter.IsZero() {
		ds = append(ds, x.NotBefore.Format("2006-01-02")+" to "+x.NotAfter.Format("2006-01-02"))
	}
	if x.OCSP > 0 {
		ds = append(ds, "OCSP response stapled")
	}
	var lines []line
	const number = 3
	for j, w := range typeset.Wrap(who, p.text()-2-number) {
		n := strings.Repeat(" ", number)
		if j == 0 {
			n = typeset.PadRight(fmt.Sprint(i+1), number)
		}
		lines = append(lines, line{{"  " + n, faint}, {w, strong}})
	}
	for _, w := range typeset.Wrap(strings.Join(ds, ", "), p.text()-2-number) {
		if w != "" {
			lines = append(lines, text("  "+strings.Repeat(" ", number)+w))
		}
	}
	return lines
}

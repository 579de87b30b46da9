package diff

import (
	"fmt"
	"slices"
	"strings"

	"synscope/event"
)

// maxNamed bounds how many values a sentence names.
const maxNamed = 4

// A party is a connection and what the report calls it.
type party struct {
	*conn
	as string // "A" or "B"
}

// judge says what most probably matters.
func judge(r *Report, x, y *conn) Verdict {
	a, b := party{x, "A"}, party{y, "B"}
	var v Verdict
	switch {
	case r.Same:
		v.Summary = "No difference: the same steps, offers and choices. Ports, random values and times are not compared."
	case x.completed() && y.completed():
		v.Summary = "Both completed their handshakes, in the same steps."
		if r.HandshakesPart {
			v.Summary = "Both completed their handshakes, in different steps."
		}
		v.Evidence = choices(r, a, b)
	case x.completed():
		v = oneFailed(r, a, b)
	case y.completed():
		v = oneFailed(r, b, a)
	case x.why() == y.why():
		v = Verdict{Summary: "Neither completed its handshake, for the same reason: " + x.why() + ".", Hint: x.Hint}
	default:
		v.Summary = fmt.Sprintf("Neither completed its handshake. A: %s. B: %s.", x.why(), y.why())
	}
	for _, p := range []party{a, b} {
		if p.Lost > 0 {
			v.Evidence = append(v.Evidence, fmt.Sprintf("of %s something is missing (trace.gap): what only %s has may not be a difference", p.as, other(p.as)))
		}
	}
	return v
}

func other(as string) string {
	if as == "A" {
		return "B"
	}
	return "A"
}

// why says why the handshake was not completed.
func (c *conn) why() string {
	if c.Cause != "" {
		return c.Cause
	}
	return Outcome(&c.Summary)
}

// choices are the sentences on two handshakes that were both completed.
func choices(r *Report, a, b party) []string {
	evidence := servers(a, b)
	n := len(evidence)
	for _, name := range []string{"version", "cipher_suite", "group", "alpn", "client_auth"} {
		if f := r.field("agreed", name); f.Differs() {
			evidence = append(evidence, fmt.Sprintf("%s: %s in A, %s in B", label(name), orNone(f.A), orNone(f.B)))
		}
	}
	for _, p := range [][2]party{{a, b}, {b, a}} {
		if p[0].resumed() && !p[1].resumed() {
			evidence = append(evidence, fmt.Sprintf("%s resumed a session, %s did not", p[0].as, p[1].as))
		}
		evidence = append(evidence, refusedOffers(p[0], p[1])...)
	}
	if len(evidence) == n {
		evidence = append(evidence, "they agreed on the same version, cipher suite, group and protocol")
	}
	if f := r.field("tcp", "ended"); f.Differs() {
		evidence = append(evidence, fmt.Sprintf("the connections ended differently: %s in A, %s in B", orNone(f.A), orNone(f.B)))
	}
	return evidence
}

// oneFailed says what bears on the failure of one connection, beside one that
// completed.
func oneFailed(r *Report, good, bad party) Verdict {
	v := Verdict{Summary: fmt.Sprintf("%s completed its handshake, %s did not: %s.", good.as, bad.as, bad.why()), Hint: bad.Hint}
	if bad.failed != nil && bad.failed.Side == event.Server && bad.failed.Error != "" {
		v.Evidence = append(v.Evidence, "the server's TLS library said: "+bad.failed.Error)
	}
	v.Evidence = append(v.Evidence, servers(good, bad)...)
	switch bad.Alert {
	case "protocol_version":
		v.Evidence = append(v.Evidence, versionOffer(good, bad)...)
	case "no_application_protocol":
		v.Evidence = append(v.Evidence, alpnOffer(good, bad)...)
	case "bad_certificate", "unsupported_certificate", "certificate_revoked", "certificate_expired", "certificate_unknown",
		"unknown_ca", "bad_certificate_status_response":
		if bad.AlertFrom == event.Client {
			v.Evidence = append(v.Evidence, serverCertificates(r, good, bad)...)
		} else {
			v.Evidence = append(v.Evidence, clientCertificates(good, bad)...)
		}
	case "certificate_required", "access_denied":
		v.Evidence = append(v.Evidence, clientCertificates(good, bad)...)
	case "handshake_failure", "insufficient_security", "illegal_parameter":
		offers := refusedOffers(good, bad)
		if len(offers) == 0 && bad.hello != nil && bad.serverHello == nil {
			offers = append(offers, fmt.Sprintf("%s offers all that %s and its server agreed on", bad.as, good.as))
		}
		v.Evidence = append(append(v.Evidence, offers...), clientCertificates(good, bad)...)
	case "missing_extension", "unsupported_extension", "decode_error", "inappropriate_fallback":
		v.Evidence = append(v.Evidence, helloLists(r, good.as, "extensions", "cipher_suites")...)
	default:
		v.Evidence = append(v.Evidence, silentFailure(r, good, bad)...)
	}
	return v
}

// silentFailure says what may bear on a failure that no alert explains.
func silentFailure(r *Report, good, bad party) []string {
	switch {
	case good.hello == nil || bad.hello == nil:
		return nil
	case bad.leaf(event.Server) != nil:
		return serverCertificates(r, good, bad)
	case bad.serverHello != nil:
		return refusedOffers(good, bad)
	}
	evidence := refusedOffers(good, bad)
	g, b := good.helloIn, bad.helloIn
	if g.Len != b.Len || len(g.Frames) != len(b.Frames) {
		evidence = append(evidence, fmt.Sprintf("the ClientHello of %s has %d bytes in %s, that of %s %d in %s",
			bad.as, b.Len, segments(b), good.as, g.Len, segments(g)))
	}
	return append(evidence, helloLists(r, good.as, "extensions")...)
}

func segments(m *event.Message) string {
	if len(m.Frames) == 1 {
		return "1 segment"
	}
	return fmt.Sprintf("%d segments", len(m.Frames))
}

// servers says if the connections were not to the same server.
func servers(a, b party) []string {
	if a.Server == b.Server && a.TLS.ServerName == b.TLS.ServerName {
		return nil
	}
	who := func(p party) string {
		if p.TLS.ServerName == "" {
			return p.Server.String() + " (no server name)"
		}
		return p.TLS.ServerName + " (" + p.Server.String() + ")"
	}
	return []string{fmt.Sprintf("%s asked for %s, %s for %s", a.as, who(a), b.as, who(b))}
}

// refusedOffers names what good and its server agreed on and bad does not offer.
func refusedOffers(good, bad party) []string {
	if bad.hello == nil || good.serverHello == nil {
		return nil
	}
	h := bad.hello
	evidence := versionOffer(good, bad)
	evidence = append(evidence, offer(good, bad, "cipher suite", code(good.serverHello.CipherSuite), names(h.CipherSuites))...)
	evidence = append(evidence, offer(good, bad, "group", code(good.group()), names(h.SupportedGroups))...)
	return append(evidence, offer(good, bad, "signature scheme", code(good.scheme()), names(h.SignatureSchemes))...)
}

// offer says that bad does not offer what good was given.
func offer(good, bad party, what string, chosen, offered []string) []string {
	if len(chosen) == 0 || slices.Contains(offered, chosen[0]) {
		return nil
	}
	return []string{fmt.Sprintf("with %s the server chose %s %s, which %s does not offer; it offers %s",
		good.as, what, chosen[0], bad.as, several(offered))}
}

func versionOffer(good, bad party) []string {
	if bad.hello == nil || good.serverHello == nil {
		return nil
	}
	v := good.serverHello.Version
	if len(bad.hello.SupportedVersions) == 0 && v <= bad.hello.LegacyVersion {
		return nil
	}
	return offer(good, bad, "version", code(v), bad.versions())
}

func alpnOffer(good, bad party) []string {
	switch {
	case bad.hello == nil:
		return nil
	case good.TLS.ALPN == "":
		return []string{fmt.Sprintf("%s offers %s; with %s no protocol was agreed on, of %s offered", bad.as, several(bad.hello.ALPN),
			good.as, several(good.hello.ALPN))}
	}
	return offer(good, bad, "protocol", one(good.TLS.ALPN), bad.hello.ALPN)
}

// serverCertificates says whether both clients got the same certificate.
func serverCertificates(r *Report, good, bad party) []string {
	g, b := good.leaf(event.Server), bad.leaf(event.Server)
	switch {
	case b == nil:
		return nil
	case g == nil && good.resumed():
		return []string{fmt.Sprintf("%s resumed a session, and so got no certificate", good.as)}
	case g == nil:
		return nil
	case len(g.SHA256) > 0 && slices.Equal(g.SHA256, b.SHA256) && !r.field("certificate", "server_chain").Differs():
		return []string{fmt.Sprintf("both got the same certificate, of %s, issued by %s, and the client of %s went on with it: "+
			"what differs is what the two clients accept", subject(b), b.Issuer, good.as)}
	}
	var evidence []string
	for _, name := range []string{"subject", "names", "issuer", "not_before", "not_after", "public_key", "signature", "chain"} {
		if f := r.field("certificate", "server_"+name); f.Differs() {
			evidence = append(evidence, fmt.Sprintf("their certificates differ, %s: %s in A, %s in B", label(name), orNone(f.A), orNone(f.B)))
		}
	}
	if evidence == nil {
		return []string{"they got different certificates that say the same"}
	}
	return evidence
}

func subject(x *event.X509) string {
	if len(x.Names) > 0 {
		return x.Names[0]
	}
	return x.Subject
}

// clientCertificates says which of the clients gave one, if they were asked.
func clientCertificates(good, bad party) []string {
	g, b := good.leaf(event.Client), bad.leaf(event.Client)
	switch {
	case good.request == nil && bad.request == nil:
		return nil
	case g != nil && b == nil:
		return []string{fmt.Sprintf("the client of %s gave a certificate, that of %s none", good.as, bad.as)}
	case g != nil && b != nil:
		return []string{fmt.Sprintf("the client of %s gave the certificate of %s, issued by %s; that of %s the one of %s, issued by %s",
			good.as, subject(g), g.Issuer, bad.as, subject(b), b.Issuer)}
	}
	return nil
}

// helloLists says how lists of the ClientHello differ.
func helloLists(r *Report, good string, lists ...string) []string {
	var evidence []string
	for _, name := range lists {
		f := r.field("client_hello", name)
		for _, only := range []struct {
			as     string
			values []string
		}{{"A", f.OnlyA}, {"B", f.OnlyB}} {
			if len(only.values) > 0 {
				evidence = append(evidence, fmt.Sprintf("%s that only %s offers: %s", label(name), only.as, several(only.values)))
			}
		}
		if f.Reordered && len(evidence) == 0 {
			evidence = append(evidence, label(name)+" are the same, in another order")
		}
	}
	if good == "B" {
		slices.Reverse(evidence)
	}
	return evidence
}

// several names some values, and counts the rest.
func several(vs []string) string {
	if len(vs) <= maxNamed {
		return orNone(vs)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(vs[:maxNamed], ", "), len(vs)-maxNamed)
}

func orNone(vs []string) string {
	if len(vs) == 0 {
		return "none"
	}
	return strings.Join(vs, ", ")
}

package diff

import (
	"fmt"

	"synscope/event"
)

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
	case x.hello == nil && y.hello == nil:
		v.Summary = fmt.Sprintf("Neither began a TLS handshake. A: %s. B: %s.", x.why(), y.why())
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
		f := r.field("agreed", name)
		if !f.Differs() {
			continue
		}
		e := fmt.Sprintf("%s: %s in A, %s in B", label(name), orNone(f.A), orNone(f.B))
		if name != "cipher_suite" || !r.field("agreed", "version").Differs() { // a suite belongs to a version
			e += lacks(r, a, b, name) + lacks(r, b, a, name)
		}
		evidence = append(evidence, e)
	}
	for _, p := range [][2]party{{a, b}, {b, a}} {
		if p[0].resumed() && !p[1].resumed() {
			evidence = append(evidence, fmt.Sprintf("%s resumed a session, %s did not", p[0].as, p[1].as))
		}
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
	v.Evidence = append(v.Evidence, bearing(r, good, bad)...)
	return v
}

// bearing says what the alert that ended a handshake is about, as it was in
// both connections.
func bearing(r *Report, good, bad party) []string {
	switch bad.Alert {
	case "protocol_version":
		return notOffered(r, good, bad, "version")
	case "no_application_protocol":
		return append(notOffered(r, good, bad, "alpn"), helloLists(r, good.as, "alpn")...)
	case "bad_certificate", "unsupported_certificate", "certificate_revoked", "certificate_expired", "certificate_unknown",
		"unknown_ca", "bad_certificate_status_response":
		if bad.AlertFrom == event.Client {
			return serverCertificates(r, good, bad)
		}
		return clientCertificates(good, bad)
	case "certificate_required", "access_denied":
		return clientCertificates(good, bad)
	case "handshake_failure", "insufficient_security", "illegal_parameter":
		offers := notOffered(r, good, bad, parameters...)
		if len(offers) == 0 && bad.hello != nil && bad.serverHello == nil {
			offers = append(offers, fmt.Sprintf("%s offers all that %s and its server agreed on", bad.as, good.as))
		}
		return append(offers, clientCertificates(good, bad)...)
	case "missing_extension", "unsupported_extension", "decode_error", "inappropriate_fallback":
		return helloLists(r, good.as, "extensions", "cipher_suites")
	}
	return silentFailure(r, good, bad)
}

// silentFailure says what may bear on a failure that no alert explains, by how
// far it came.
func silentFailure(r *Report, good, bad party) []string {
	switch {
	case good.hello == nil || bad.hello == nil:
		return nil
	case bad.leaf(event.Server) != nil:
		return serverCertificates(r, good, bad)
	case bad.serverHello != nil:
		return notOffered(r, good, bad, parameters...)
	}
	evidence := notOffered(r, good, bad, parameters...)
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

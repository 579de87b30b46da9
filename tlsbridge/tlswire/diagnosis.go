package tlswire

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"synscope/event"
)

// A diagnosis says why a handshake failed.
type diagnosis struct {
	code  event.CauseCode
	cause string
	hint  string
}

// An Endpoint is what an endpoint of ours says of a handshake that failed. The
// zero value says nothing.
type Endpoint struct {
	// Client is set where it is the client of the connection: a sentence calls
	// it by our name then. Else it is the server.
	Client bool
	Error  string // of crypto/tls, or of a limit
	// Accepts is what it would have accepted of what it refused, beginning with
	// "versions", "cipher suites", "groups", "signature schemes" or
	// "application protocols".
	Accepts string
}

// side is the side of the endpoint.
func (p Endpoint) side() event.Side {
	if p.Client {
		return event.Client
	}
	return event.Server
}

// name is what a sentence calls a side that it begins with, and the what it calls
// it otherwise.
func (p Endpoint) name(s event.Side) string {
	if p.Client && s == event.Client {
		return "synscope"
	}
	return s.String()
}

func (p Endpoint) the(s event.Side) string {
	if p.Client && s == event.Client {
		return p.name(s)
	}
	return "the " + s.String()
}

// Diagnose says why the handshake failed, with what our endpoint says of itself;
// nil if it has not failed.
func (d *Decoder) Diagnose(endpoint Endpoint) *event.Failed {
	if d.failure == nil {
		return nil
	}
	x := diagnose(&d.seen, d.ending, endpoint)
	return &event.Failed{Side: d.ending.side, Code: x.code, Cause: x.cause, Error: endpoint.Error, Hint: x.hint}
}

// Waiting says for how long, until now, a client has waited for the server's first
// answer to its ClientHello; 0 if it does not.
func (d *Decoder) Waiting(now time.Duration) time.Duration {
	if d.failure != nil || d.seen.hello == nil || d.seen.heard[event.Server] {
		return 0
	}
	return max(now-d.lastT, 0)
}

func diagnose(e *evidence, end ending, endpoint Endpoint) diagnosis {
	if end.side != endpoint.side() {
		endpoint.Error, endpoint.Accepts = "", "" // it can only say what the other did to it
	}
	switch {
	case end.how == "not tls":
		return e.notTLS(end, endpoint)
	case end.alert:
		return e.alerted(end, endpoint)
	}
	return e.broken(end, endpoint)
}

// alerted says what an alert means that ended the handshake.
func (e *evidence) alerted(end ending, endpoint Endpoint) diagnosis {
	r := e.refusal(end)
	code := cmp.Or(endpoint.code(), r.code)
	certificate := r.certificate && e.certificate[end.side.Peer()]
	var detail string
	if certificate && code != event.CauseNoClientCertificate {
		code, detail = e.refused(end, code)
	} else {
		detail = e.offered(end.side, code)
	}
	m := remarks[code]
	if code == r.code {
		m.what, m.hint = cmp.Or(r.what, m.what), cmp.Or(r.hint, m.hint)
	}
	cause := fmt.Sprintf("%s %s%s: alert %s%s", endpoint.name(end.side), m.of(endpoint.the(end.side.Peer())), detail, end.what, e.after(certificate))
	if endpoint.Accepts != "" {
		cause += "; the server accepts the " + endpoint.Accepts
	}
	return diagnosis{code, cause, m.help(end.side, endpoint.Client)}
}

// refusal returns what the alert of a side means here.
func (e *evidence) refusal(end ending) refusal {
	a := end.what
	// Before TLS 1.3 there is no alert for it (RFC 5246, section 7.4.6).
	chain := e.chain[event.Client]
	empty := chain != nil && len(chain) == 0
	if end.side == event.Server && empty && (a == alertHandshakeFailure || a == alertBadCertificate) {
		a = alertCertificateRequired
	}
	r, ok := refusals[a]
	switch {
	case !ok:
		return refusal{code: event.CauseOtherAlert}
	case a == alertUnrecognizedName && e.hello != nil && e.hello.ServerName == "" && e.hello.ECH == "":
		return refusal{code: event.CauseServerNameMissing}
	}
	return r
}

// after says how far the messages had come.
func (e *evidence) after(certificate bool) string {
	switch {
	case certificate:
		return " after certificate"
	case !e.spoken:
		return " before any message"
	}
	return " after " + e.latest.String()
}

// code returns the cause that our endpoint's word tells, "" if it tells none.
func (p Endpoint) code() event.CauseCode {
	for _, x := range endpointAccepts {
		if strings.HasPrefix(p.Accepts, x.text) {
			return x.code
		}
	}
	for _, x := range endpointErrors {
		if strings.Contains(p.Error, x.text) {
			return x.code
		}
	}
	return ""
}

var endpointAccepts = []struct {
	text string
	code event.CauseCode
}{
	{"versions ", event.CauseNoCommonVersion},
	{"cipher suites ", event.CauseNoCommonSuite},
	{"groups ", event.CauseNoCommonGroup},
	{"signature schemes ", event.CauseNoCommonSignature},
	{"application protocols ", event.CauseNoCommonALPN},
}

// endpointErrors are what crypto/tls, and our limits, say of what they refuse.
var endpointErrors = []struct {
	text string
	code event.CauseCode
}{
	{"no cipher suite supported by both client and server", event.CauseNoCommonSuite},
	{"no key exchanges supported by both client and server", event.CauseNoCommonGroup},
	{"peer doesn't support any of the certificate's signature algorithms", event.CauseNoCommonSignature},
	{"the handshake timeout of", event.CauseHandshakeTimeout},

	// As a client.
	{"unsupported protocol version", event.CauseNoCommonVersion},
	{"server did not select an ALPN protocol", event.CauseNoCommonALPN},
	{"unadvertised ALPN protocol", event.CauseNoCommonALPN},
	{"certificate signed by unknown authority", event.CauseUntrustedAuthority},
	{"certificate has expired or is not yet valid", event.CauseExpired}, // which of them, the dates say
	{"certificate is valid for", event.CauseWrongName},
	{"certificate is not valid for any names", event.CauseWrongName},
	{"certificate relies on legacy Common Name", event.CauseWrongName},
	{"cannot validate certificate for", event.CauseWrongName},
	{"certificate specifies an incompatible key usage", event.CauseUnsupportedCert},
	{"invalid signature by the server certificate", event.CauseWrongSignature},
}

// broken says what the end of the transport means, or of the session, that came
// without an alert.
func (e *evidence) broken(end ending, endpoint Endpoint) diagnosis {
	code := cmp.Or(endpoint.code(), e.brokenCode(end))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s, without an alert", endpoint.name(end.side), verbs[end.how], e.after(false))
	m := remarks[code]
	switch code {
	case event.CauseServerSilent, event.CauseClientGaveUp:
		fmt.Fprintf(&b, ", having waited %s for the server", Span(end.waited))
		if code == event.CauseServerSilent {
			b.WriteString(", which sent nothing")
		}
	case event.CauseClientLeft:
		if s := sentence(e.flaws(event.Server, end.at)); s != "" {
			b.WriteString("; the server's certificate " + s)
		}
	}
	if n := e.cut[event.Client]; n > 0 && !e.spoken {
		fmt.Fprintf(&b, "; only %d bytes of the ClientHello came", n)
	}
	if e.split() && (code == event.CauseResetAfterHello || code == event.CauseServerSilent) {
		fmt.Fprintf(&b, "; the ClientHello has %d bytes, more than one segment holds", e.helloLen)
		m.hint = hintSplit
	}
	if endpoint.Error != "" {
		b.WriteString(": " + endpoint.Error)
	}
	return diagnosis{code, b.String(), m.help(end.side, endpoint.Client)}
}

var verbs = map[string]string{
	"fin": "closed the connection", "rst": "reset the connection", "timeout": "gave up the connection",
	"alert close_notify": "closed the session with close_notify", HowAbandoned: "gave up the handshake",
}

func (e *evidence) brokenCode(end ending) event.CauseCode {
	client := end.side == event.Client
	switch {
	case end.how == HowAbandoned && e.lastFrom != event.Client:
		return event.CauseEndpoint
	case end.how == "timeout":
		return event.CausePeerVanished
	case !e.spoken && (e.cut[event.Client] > 0 || e.lost[event.Client]):
		return event.CauseIncompleteHello
	case !e.spoken && client:
		return event.CauseClientSilent
	case !client && end.how == "rst" && !e.heard[event.Server]:
		return event.CauseResetAfterHello
	case !client:
		return event.CauseServerClosed
	case !e.heard[event.Server]:
		return event.CauseServerSilent
	case e.lastFrom == event.Client:
		return event.CauseClientGaveUp
	}
	return event.CauseClientLeft
}

// Span is a length of time for a person, as causes have it.
func Span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return strconv.FormatFloat(float64(d.Round(10*time.Microsecond))/float64(time.Millisecond), 'f', -1, 64) + "ms" // in ASCII
}

// notTLS says what the bytes are that came in place of TLS.
func (e *evidence) notTLS(end ending, endpoint Endpoint) diagnosis {
	p := Recognize(end.text.First)
	code := PlainCode(end.side, p)
	cause := fmt.Sprintf("%s does not speak TLS: ", endpoint.name(end.side))
	switch {
	case end.text.Detail != "":
		cause += end.text.Detail
	case end.side == event.Server && e.hello != nil:
		cause += fmt.Sprintf("it answers the ClientHello with %q", []byte(end.text.First))
	default:
		cause += fmt.Sprintf("its first bytes are %q", []byte(end.text.First))
	}
	if p != "" && p != ProtocolSSL2 {
		cause += ", which looks like " + string(p)
	}
	return diagnosis{code, cause, remarks[code].help(end.side, endpoint.Client)}
}

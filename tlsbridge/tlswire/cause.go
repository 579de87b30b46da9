package tlswire

import (
	"fmt"
	"strings"

	"synscope/event"
)

// A refusal says what an alert means when it ends a handshake, and what helps.
// The text has the form "<side> <what>", where {peer} is the other side.
type refusal struct {
	what string
	hint string
	// certificate says that the alert answers the peer's Certificate.
	certificate bool
}

// refusals are the alerts with which a handshake is usually ended (RFC 8446,
// section 6.2).
var refusals = map[event.AlertDescription]refusal{
	10: {what: "got a message that it did not expect from the {peer}", hint: "one of the two sides breaks the protocol; compare the order of messages with RFC 8446, section 2"},
	20: {what: "could not decrypt a record of the {peer}", hint: "the record was changed on its way, or the two sides have different keys"},
	22: {what: "got a record that is too long from the {peer}", hint: "check the record sizes of the peer, and max_fragment_length or record_size_limit"},
	40: {what: "found no common parameters with the {peer}", hint: "compare the versions, cipher suites, groups and signature schemes of both hellos"},
	42: {what: "refused the {peer}'s certificate", hint: "the certificate is damaged or its signature is wrong", certificate: true},
	43: {what: "refused the {peer}'s certificate", hint: "use a certificate of a key type and usage that the peer supports", certificate: true},
	44: {what: "refused the {peer}'s certificate", hint: "the certificate is revoked; issue a new one", certificate: true},
	45: {what: "refused the {peer}'s certificate", hint: "the certificate has expired or is not valid yet; compare its dates with the clock of the side that refused", certificate: true},
	46: {what: "refused the {peer}'s certificate", hint: "the alert gives no reason: check names, dates, usage and chain, and the log of the side that refused", certificate: true},
	47: {what: "got an illegal value from the {peer}", hint: "a field of the last message contradicts what was offered"},
	48: {what: "refused the {peer}'s certificate", hint: "install the issuing root where the side that refused looks for it, and send all intermediate certificates", certificate: true},
	49: {what: "denied access to the {peer}", hint: "the certificate is valid, but its owner is not allowed here", certificate: true},
	50: {what: "could not parse a message of the {peer}", hint: "look for a message that is marked malformed"},
	51: {what: "found a wrong signature or Finished of the {peer}", hint: "the private key does not fit the certificate, or messages were changed on their way"},
	70: {what: "does not speak a version that the {peer} offers", hint: "enable a common TLS version on one of the two sides"},
	71: {what: "finds the parameters of the {peer} too weak", hint: "offer stronger cipher suites, groups or keys"},
	80: {what: "failed for reasons of its own", hint: "look into the log of the side that sent the alert"},
	86: {what: "was offered a needless fallback by the {peer}", hint: "the client retried with an older version; find out why its first attempt failed"},

	109: {what: "misses an extension of the {peer}", hint: "see which extension RFC 8446, section 9.2, requires for what was offered"},
	110: {what: "got an extension from the {peer} that it did not offer", hint: "the peer answers an extension that was not in the hello"},
	112: {what: "does not serve the name that the {peer} asked for", hint: "check the server name in the ClientHello and the names configured on the server"},
	113: {what: "refused the OCSP response of the {peer}", hint: "check the stapled response: its signer, dates and status", certificate: true},
	115: {what: "does not know the pre-shared key of the {peer}", hint: "check the identity and key on both sides"},
	116: {what: "requires a certificate of the {peer}, and got none", hint: "configure a client certificate from an issuer that the CertificateRequest names", certificate: true},
	120: {what: "shares no application protocol with the {peer}", hint: "compare the ALPN lists of both sides"},
	121: {what: "could not decrypt the ClientHello of the {peer}", hint: "fetch the ECH configuration of the server again"},
}

// alertCause says in one line why side gave up.
func (d *Decoder) alertCause(side event.Side, a *event.Alert) string {
	r, ok := d.refusal(side, a.Description)
	what := "ended the handshake"
	if ok {
		what = strings.ReplaceAll(r.what, "{peer}", side.Peer().String())
	}
	after := d.after()
	if r.certificate && d.half(side.Peer()).certificate {
		after = " after certificate"
	}
	return fmt.Sprintf("%s %s: alert %s%s", side, what, a.Description, after)
}

// refusal returns what an alert of a side means here.
func (d *Decoder) refusal(side event.Side, a event.AlertDescription) (refusal, bool) {
	empty := d.half(event.Client).certificate && !d.shake.clientCertificate
	if a == alertHandshakeFailure && side == event.Server && empty {
		a = alertCertificateRequired // which is of TLS 1.3 only (RFC 5246, section 7.4.6)
	}
	r, ok := refusals[a]
	return r, ok
}

func (d *Decoder) alertHint(side event.Side, a *event.Alert) string {
	r, _ := d.refusal(side, a.Description)
	return r.hint
}

// after says how far the messages had come.
func (d *Decoder) after() string {
	if !d.spoken {
		return " before any message"
	}
	return " after " + d.latest.String()
}

// endCause says that a side's transport ended, or that it closed, before the
// handshake was complete.
func (d *Decoder) endCause(side event.Side, how string) string {
	verb := "closed the connection"
	switch how {
	case "rst":
		verb = "reset the connection"
	case "alert close_notify":
		verb = "closed the session with close_notify"
	}
	return fmt.Sprintf("%s %s%s, without an alert", side, verb, d.after())
}

func (d *Decoder) endHint(side event.Side) string {
	switch {
	case !d.spoken && side == event.Client:
		return "the client sent no ClientHello: a health check, a port scan, or a client that waits for the server to speak first"
	case side == event.Server:
		return "look into the server's log; middleboxes that reject a ClientHello do this too"
	case d.half(event.Server).certificate:
		return "the client may have refused the certificate without saying so, or it gave up waiting"
	}
	return "the client gave up: look for its timeout, and for what it waited for"
}

func notTLSCause(side event.Side, text *event.Undecoded) string {
	if text.Detail != "" {
		return fmt.Sprintf("%s does not speak TLS: %s", side, text.Detail)
	}
	return fmt.Sprintf("%s does not speak TLS: its first bytes are %q", side, []byte(text.First))
}

func notTLSHint(side event.Side) string {
	if side == event.Client {
		return "make the client use TLS from the first byte (https, not http; no STARTTLS), or use a port for plain text"
	}
	return "the server speaks plain text on this port: check the port, and whether the protocol needs STARTTLS first"
}

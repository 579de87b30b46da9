package tlswire

import (
	"strings"

	"synscope/event"
)

// A refusal is what an alert means that ends a handshake.
type refusal struct {
	code event.CauseCode
	// what and hint say more than the remark on code.
	what, hint string
	// certificate says that the alert answers the peer's Certificate.
	certificate bool
}

// refusals are the alerts with which a handshake is usually ended (RFC 8446,
// section 6.2).
var refusals = map[event.AlertDescription]refusal{
	10: {code: event.CauseProtocolViolation, what: "got a message that it did not expect from {peer}", hint: "one of the two sides breaks the protocol; compare the order of messages with RFC 8446, section 2"},
	20: {code: event.CauseCannotDecrypt},
	22: {code: event.CauseProtocolViolation, what: "got a record that is too long from {peer}", hint: "check the record sizes of the peer, and max_fragment_length or record_size_limit"},
	40: {code: event.CauseNoCommonParameters},
	42: {code: event.CauseCertificateRefused, certificate: true},
	43: {code: event.CauseUnsupportedCert, certificate: true},
	44: {code: event.CauseRevoked, certificate: true},
	45: {code: event.CauseExpired, certificate: true},
	46: {code: event.CauseCertificateRefused, certificate: true},
	47: {code: event.CauseProtocolViolation, what: "got an illegal value from {peer}", hint: "a field of the last message contradicts what was offered"},
	48: {code: event.CauseUntrustedAuthority, certificate: true},
	49: {code: event.CauseAccessDenied, certificate: true},
	50: {code: event.CauseProtocolViolation, what: "could not parse a message of {peer}", hint: "look for a message that is marked malformed"},
	51: {code: event.CauseWrongSignature},
	70: {code: event.CauseNoCommonVersion},
	71: {code: event.CauseTooWeak},
	80: {code: event.CauseInternalError},
	86: {code: event.CauseNeedlessFallback},

	109: {code: event.CauseProtocolViolation, what: "misses an extension of {peer}", hint: "see which extension RFC 8446, section 9.2, requires for what was offered"},
	110: {code: event.CauseProtocolViolation, what: "got an extension from {peer} that it did not offer", hint: "the peer answers an extension that was not in the hello"},
	112: {code: event.CauseUnrecognizedName},
	113: {code: event.CauseBadOCSP, certificate: true},
	115: {code: event.CauseUnknownPSK},
	116: {code: event.CauseNoClientCertificate, certificate: true},
	120: {code: event.CauseNoCommonALPN},
	121: {code: event.CauseECHRequired},
}

// A remark is what is said of a cause: "<side> <what>", and what helps. {peer}
// is the other side, as Endpoint.the calls it.
type remark struct {
	what string
	hint string
	// server is the hint if it is the server that refused, where that is
	// another one.
	server string
	// ours is the hint if the client is an endpoint of ours, likewise.
	ours string
}

func (r remark) of(peer string) string { return strings.ReplaceAll(r.what, "{peer}", peer) }

// help returns the hint where a side refused, and the client is ours or not.
func (r remark) help(side event.Side, ours bool) string {
	switch {
	case ours && r.ours != "":
		return r.ours
	case side == event.Server && r.server != "":
		return r.server
	}
	return r.hint
}

// Hint says what to do about a cause that is told without tls.failed, because
// there was no TLS to decode; "" of one that is not.
func Hint(code event.CauseCode) string { return remarks[code].hint }

const hintSplit = "something on the path may not put a ClientHello of several segments together: try a shorter one, without a post-quantum group " +
	"(curl --curves X25519, openssl -groups X25519, Go CurvePreferences, Java -Djdk.tls.namedGroups=x25519)"

// remarks are on all causes of tls.failed.
var remarks = map[event.CauseCode]remark{
	event.CauseNoCommonVersion: {
		what: "does not speak a version that {peer} offers",
		hint: "enable a common version: curl --tlsv1.2 or --tls-max, openssl -tls1_2 or -tls1_3, Python minimum_version, Node minVersion, Java https.protocols, Go MinVersion",
		ours: "the destination has none of the versions that synscope speaks: let the client speak to it itself (run --tls watch)",
	},
	event.CauseNoCommonSuite: {
		what: "shares no cipher suite with {peer}",
		hint: "enable a common suite: curl --ciphers or --tls13-ciphers, openssl -cipher or -ciphersuites, Python set_ciphers, Node ciphers, Java https.cipherSuites, Go CipherSuites",
		ours: "the destination has none of the cipher suites that synscope speaks: let the client speak to it itself (run --tls watch)",
	},
	event.CauseNoCommonGroup: {
		what: "shares no key exchange group with {peer}",
		hint: "enable a common group: curl --curves, openssl -groups, Node ecdhCurve, Java jdk.tls.namedGroups, Go CurvePreferences",
		ours: "the destination has none of the groups that synscope speaks: let the client speak to it itself (run --tls watch)",
	},
	event.CauseNoCommonSignature: {
		what: "has no certificate that the signature schemes of {peer} allow",
		hint: "give the server a certificate of another key type (most clients take ECDSA P-256 and RSA 2048), or allow its scheme: openssl -sigalgs, Java jdk.tls.client.SignatureSchemes",
	},
	event.CauseNoCommonALPN: {
		what: "shares no application protocol with {peer}",
		hint: "offer a common protocol: curl --http1.1 or --no-alpn, openssl -alpn, Python set_alpn_protocols, Node ALPNProtocols, Go NextProtos",
	},
	event.CauseNoCommonParameters: {
		what: "found no common parameters with {peer}",
		hint: "the alert does not say which: compare versions, cipher suites, groups, signature schemes and server name with what the server is set to; try each alone",
		ours: "the alert does not say which: see what the ClientHello of this leg offers; the client may offer more if it speaks to the destination itself (run --tls watch)",
	},
	event.CauseTooWeak: {
		what: "finds the parameters of {peer} too weak",
		hint: "offer stronger cipher suites, groups or keys",
	},
	event.CauseNeedlessFallback: {
		what: "was offered a needless fallback by {peer}",
		hint: "the client retried with an older version (TLS_FALLBACK_SCSV): find out why its first attempt failed",
	},
	event.CauseUnrecognizedName: {
		what: "does not serve the name that {peer} asked for",
		hint: "ask for a name that the server has (curl --connect-to, openssl -servername), or configure the name on the server",
	},
	event.CauseServerNameMissing: {
		what: "wants a server name, and {peer} sent none",
		hint: "send one (SNI): use the name, not the address, in the URL (curl --resolve), openssl -servername, Python server_hostname, Node servername, Go ServerName",
	},
	event.CauseUnknownPSK: {
		what: "does not know the pre-shared key of {peer}",
		hint: "check the identity and key on both sides",
	},
	event.CauseECHRequired: {
		what: "insists on Encrypted Client Hello, which {peer} did not accept",
		hint: "the client has an old or wrong ECH configuration: fetch it again (DNS record HTTPS), or turn ECH off",
	},
	event.CauseAccessDenied: {
		what: "denied access to {peer}",
		hint: "the certificate is valid, but its owner is not allowed here",
	},

	event.CauseUntrustedAuthority: {
		what: "refused {peer}'s certificate",
		hint: "give the client that authority: curl --cacert, openssl -CAfile, SSL_CERT_FILE (Python, Go), REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, " +
			"a Java truststore, Go RootCAs; let the server send all intermediate certificates",
		server: "add the issuer to the client authorities of the server, or give the client a certificate of one that it knows, with its intermediates (curl --cert, openssl -cert_chain)",
		ours:   "if the authority is to be trusted, give it to synscope: SSL_CERT_FILE or SSL_CERT_DIR in its environment; let the server send all intermediate certificates",
	},
	event.CauseSelfSigned: {
		what:   "refused {peer}'s certificate",
		hint:   "give the client this very certificate (curl --cacert, openssl -CAfile, SSL_CERT_FILE, NODE_EXTRA_CA_CERTS), or the server one of an authority that the client knows",
		server: "give the client a certificate of an authority that the server knows",
		ours:   "if the certificate is to be trusted, give it to synscope: SSL_CERT_FILE or SSL_CERT_DIR in its environment",
	},
	event.CauseIncompleteChain: {
		what:   "refused {peer}'s certificate",
		hint:   "let the server send leaf and intermediate certificates in order (fullchain.pem): browsers fetch what is missing, other clients do not",
		server: "let the client send its intermediate certificates as well (curl --cert with the whole chain, openssl -cert_chain)",
	},
	event.CauseExpired: {
		what: "refused {peer}'s certificate",
		hint: "renew the certificate, and reload the server that has it; if its dates are right, correct the clock of the side that refused it",
	},
	event.CauseNotYetValid: {
		what: "refused {peer}'s certificate",
		hint: "correct the clock of the side that refused it, or of the authority; or wait",
	},
	event.CauseWrongName: {
		what: "refused {peer}'s certificate",
		hint: "ask for a name that the certificate has, or put the name into its subjectAltName; for one address and another name: curl --resolve or --connect-to",
	},
	event.CauseWeakCertificate: {
		what: "refused {peer}'s certificate",
		hint: "issue a certificate with ECDSA P-256 or RSA 2048, signed with SHA-256: today's clients take nothing weaker (OpenSSL: @SECLEVEL)",
	},
	event.CauseRevoked: {
		what: "refused {peer}'s certificate",
		hint: "the certificate is revoked: issue a new one",
	},
	event.CauseBadOCSP: {
		what: "refused the OCSP response of {peer}",
		hint: "check the stapled response: its signer, dates and status",
	},
	event.CauseUnsupportedCert: {
		what: "refused {peer}'s certificate",
		hint: "use a key type and extended key usage (serverAuth, clientAuth) that the side which refused supports",
	},
	event.CauseCertificateRefused: {
		what: "refused {peer}'s certificate",
		hint: "look into the log of the side that refused; if it does not trust the issuer: curl --cacert, openssl -CAfile, SSL_CERT_FILE, REQUESTS_CA_BUNDLE, " +
			"NODE_EXTRA_CA_CERTS, a Java truststore, Go RootCAs",
		server: "look into the log of the server; the alert gives no reason",
	},
	event.CauseNoClientCertificate: {
		what: "requires a certificate of {peer}, and got none",
		hint: "give the client a certificate of an issuer that the CertificateRequest names: curl --cert and --key, openssl -cert and -key, Python load_cert_chain, " +
			"Node cert and key, a Java keystore, Go Certificates",
		ours: "the certificate of the client is not known to synscope: let the client speak to the destination itself (run --tls watch)",
	},

	event.CauseWrongSignature: {
		what: "found a wrong signature or Finished of {peer}",
		hint: "the private key does not fit the certificate, or messages were changed on their way",
	},
	event.CauseCannotDecrypt: {
		what: "could not decrypt a record of {peer}",
		hint: "the record was changed on its way, or the two sides have different keys",
	},
	event.CauseProtocolViolation: {
		what: "got what breaks the protocol from {peer}",
		hint: "compare the last message with RFC 8446",
	},
	event.CauseInternalError: {
		what: "failed for reasons of its own",
		hint: "look into the log of the side that sent the alert",
	},
	event.CauseOtherAlert: {
		what: "ended the handshake",
		hint: "the alert is not one that usually ends a handshake: look into the log of the side that sent it",
	},

	event.CauseNotTLS: {hint: "make the client use TLS from the first byte, or use a port for plain text"},
	event.CausePlainText: {
		hint: "make the client use TLS from the first byte (no STARTTLS), or use a port for plain text",
	},
	event.CausePlainHTTP: {
		hint: "write https:// and not http://, or use a port for plain HTTP (often 80 or 8080)",
	},
	event.CauseProxyHeader: {
		hint: "a load balancer puts a PROXY protocol header before the ClientHello: let the server expect it (nginx: listen ... proxy_protocol), or turn it off there",
	},
	event.CauseSSL2: {
		hint: "the client is older than TLS, or set to be compatible with SSL 2.0 (Java: SSLv2Hello): turn that off",
	},
	event.CauseTLSToPlainPort: {
		hint: "the port is for plain text: check the port (https is 443), or begin in plain text (http://, openssl s_client -starttls)",
	},

	event.CauseClientSilent: {
		hint: "a health check, a port scan, or a client that waits for the server to speak first",
	},
	event.CauseIncompleteHello: {
		hint: "the rest of the ClientHello was lost, if it was sent: look for a firewall that drops the second segment, or a path with a smaller MTU; try a shorter hello (curl --curves X25519)",
	},
	event.CauseResetAfterHello: {
		hint: "the server, or a firewall in its name that dislikes the ClientHello: try another server name and version, and look into both logs",
	},
	event.CauseServerClosed: {
		hint: "look into the server's log; middleboxes that reject a ClientHello do this too",
	},
	event.CauseServerSilent: {
		hint: "the server did not get the ClientHello, is overloaded, or waits for something else first; see whether it acknowledged the segments",
	},
	event.CauseClientGaveUp: {
		hint: "the server was to send next: look there for what took it so long; raise the timeout of the client (curl --connect-timeout, Python timeout, Go TLSHandshakeTimeout)",
		ours: "the server was to send next: look there for what took it so long",
	},
	event.CauseClientLeft: {
		hint: "the client may have refused the certificate without saying so, or its user broke off: look at what the client says",
	},
	event.CauseHandshakeTimeout: {
		hint: "the client did not go on in time; the endpoint's timeouts and limits are settings of its own",
		ours: "the destination did not go on in time: look there for what took it so long",
	},
	event.CausePeerVanished: {
		hint: "the other side no longer acknowledges: its host or the path to it went away",
	},
}

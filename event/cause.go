package event

import "slices"

// A CauseCode names why a connection, or the handshake on it, failed: one word
// for programs, beside the sentence and the hint for a person. Codes are stable.
// What each means, from what it is told, and what to do is in docs/causes.md.
type CauseCode string

// Causes of tls.failed, in which one side found nothing in common with the
// other, or refused it.
const (
	CauseNoCommonVersion     CauseCode = "no_common_version"
	CauseNoCommonSuite       CauseCode = "no_common_suite"
	CauseNoCommonGroup       CauseCode = "no_common_group"
	CauseNoCommonSignature   CauseCode = "no_common_signature_scheme"
	CauseNoCommonALPN        CauseCode = "no_common_alpn"
	CauseNoCommonParameters  CauseCode = "no_common_parameters" // which of them is not known
	CauseTooWeak             CauseCode = "too_weak"
	CauseNeedlessFallback    CauseCode = "needless_fallback"
	CauseUnrecognizedName    CauseCode = "unrecognized_name"
	CauseServerNameMissing   CauseCode = "server_name_missing"
	CauseUnknownPSK          CauseCode = "unknown_psk"
	CauseECHRequired         CauseCode = "ech_required"
	CauseAccessDenied        CauseCode = "access_denied"
	CauseUntrustedAuthority  CauseCode = "untrusted_authority"
	CauseSelfSigned          CauseCode = "self_signed"
	CauseIncompleteChain     CauseCode = "incomplete_chain"
	CauseExpired             CauseCode = "expired"
	CauseNotYetValid         CauseCode = "not_yet_valid"
	CauseWrongName           CauseCode = "wrong_name"
	CauseWeakCertificate     CauseCode = "weak_certificate"
	CauseRevoked             CauseCode = "revoked"
	CauseBadOCSP             CauseCode = "bad_ocsp_response"
	CauseUnsupportedCert     CauseCode = "unsupported_certificate"
	CauseCertificateRefused  CauseCode = "certificate_refused" // why is not known
	CauseNoClientCertificate CauseCode = "client_certificate_missing"
)

// Causes of tls.failed, in which one side broke the protocol, or something that
// is not TLS came.
const (
	CauseWrongSignature    CauseCode = "wrong_signature"
	CauseCannotDecrypt     CauseCode = "cannot_decrypt"
	CauseProtocolViolation CauseCode = "protocol_violation"
	CauseInternalError     CauseCode = "internal_error"
	CauseOtherAlert        CauseCode = "other_alert"
	CauseNotTLS            CauseCode = "not_tls"
	CauseSSL2              CauseCode = "ssl2"
	CauseTLSToPlainPort    CauseCode = "tls_to_plain_port"
)

// Causes of tls.failed, in which the transport ended without an alert.
const (
	CauseIncompleteHello  CauseCode = "incomplete_client_hello"
	CauseResetAfterHello  CauseCode = "reset_after_client_hello"
	CauseServerClosed     CauseCode = "server_closed"
	CauseServerSilent     CauseCode = "server_silent" // of conn.close as well
	CauseClientGaveUp     CauseCode = "client_gave_up"
	CauseClientLeft       CauseCode = "client_left"
	CauseHandshakeTimeout CauseCode = "handshake_timeout"
	CauseEndpoint         CauseCode = "endpoint_error"
	CausePeerVanished     CauseCode = "peer_vanished" // of conn.close as well
)

// Causes of conn.close.
const (
	CauseRefused             CauseCode = "refused"
	CauseNoAnswer            CauseCode = "no_answer"
	CauseHandshakeACKMissing CauseCode = "handshake_ack_missing"
	CauseHandshakeACKLost    CauseCode = "handshake_ack_lost"
	CauseSYNACKReset         CauseCode = "syn_ack_reset"
	CauseClientSilent        CauseCode = "client_silent"
	CauseReset               CauseCode = "reset"
	CausePlainHTTP           CauseCode = "plain_http"
	CauseProxyHeader         CauseCode = "proxy_header"
	CausePlainText           CauseCode = "plain_text"
	CauseLeftAfterHandshake  CauseCode = "left_after_handshake"
)

// Causes of upstream legs, and what they are to the connection of the client.
const (
	CauseUnreachable    CauseCode = "unreachable"
	CauseDialFailed     CauseCode = "dial_failed"
	CauseUpstreamFailed CauseCode = "upstream_failed" // of tls.failed and conn.close of the client's connection
)

// causeCodes lists all codes, in the order of docs/causes.md.
var causeCodes = []CauseCode{
	CauseNoCommonVersion, CauseNoCommonSuite, CauseNoCommonGroup, CauseNoCommonSignature, CauseNoCommonALPN,
	CauseNoCommonParameters, CauseTooWeak, CauseNeedlessFallback, CauseUnrecognizedName, CauseServerNameMissing,
	CauseUnknownPSK, CauseECHRequired, CauseAccessDenied,

	CauseUntrustedAuthority, CauseSelfSigned, CauseIncompleteChain, CauseExpired, CauseNotYetValid, CauseWrongName,
	CauseWeakCertificate, CauseRevoked, CauseBadOCSP, CauseUnsupportedCert, CauseCertificateRefused,
	CauseNoClientCertificate, CauseLeftAfterHandshake,

	CauseWrongSignature, CauseCannotDecrypt, CauseProtocolViolation, CauseInternalError, CauseOtherAlert,

	CauseNotTLS, CauseSSL2, CausePlainHTTP, CauseProxyHeader, CausePlainText, CauseTLSToPlainPort,

	CauseIncompleteHello, CauseResetAfterHello, CauseServerClosed, CauseServerSilent,
	CauseClientGaveUp, CauseClientLeft, CauseHandshakeTimeout, CauseEndpoint,

	CauseRefused, CauseNoAnswer, CauseHandshakeACKMissing, CauseHandshakeACKLost, CauseSYNACKReset, CauseClientSilent,
	CausePeerVanished, CauseReset,

	CauseUpstreamFailed, CauseUnreachable, CauseDialFailed,
}

// CauseCodes returns all codes, in the order of docs/causes.md.
func CauseCodes() []CauseCode { return slices.Clone(causeCodes) }

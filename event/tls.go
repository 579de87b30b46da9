package event

import (
	"encoding/hex"
	"time"
)

// An Epoch says under which keys a record travelled.
type Epoch string

const (
	EpochPlain       Epoch = "plain"       // not encrypted
	EpochEarly       Epoch = "early"       // TLS 1.3, client_early_traffic_secret
	EpochHandshake   Epoch = "handshake"   // TLS 1.3, handshake traffic secrets
	EpochApplication Epoch = "application" // TLS 1.3, application traffic secrets
	EpochEncrypted   Epoch = "encrypted"   // TLS 1.2 and older, after ChangeCipherSpec
)

// Hex is binary data shown as lower-case hexadecimal digits.
type Hex []byte

func (h Hex) String() string { return hex.EncodeToString(h) }

// MarshalText encodes as hexadecimal digits.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText is the inverse of MarshalText.
func (h *Hex) UnmarshalText(b []byte) error {
	d, err := hex.DecodeString(string(b))
	*h = d
	return err
}

// Message tells of one handshake message (RFC 8446, section 4; RFC 5246,
// section 7.4), reassembled from its records and decrypted where it was
// encrypted. At most one of the pointers is set, by Type; none where the
// message has no fields or could not be parsed.
type Message struct {
	Type      HandshakeType `json:"type"`
	Len       int           `json:"len"`       // of the message's body, without its 4-byte header
	Encrypted bool          `json:"encrypted"` // an observer without keys cannot read it
	Epoch     Epoch         `json:"epoch"`
	Records   int           `json:"records"`             // how many records carried it
	Frames    []uint64      `json:"frames"`              // the packets that carried it, first to last
	Malformed string        `json:"malformed,omitempty"` // why the fields could not be parsed

	ClientHello         *ClientHello         `json:"client_hello,omitempty"`
	ServerHello         *ServerHello         `json:"server_hello,omitempty"` // also HelloRetryRequest
	EncryptedExtensions *EncryptedExtensions `json:"encrypted_extensions,omitempty"`
	Certificate         *Certificate         `json:"certificate,omitempty"`
	ServerKeyExchange   *ServerKeyExchange   `json:"server_key_exchange,omitempty"`
	CertificateRequest  *CertificateRequest  `json:"certificate_request,omitempty"`
	CertificateVerify   *CertificateVerify   `json:"certificate_verify,omitempty"`
	CertificateStatus   *CertificateStatus   `json:"certificate_status,omitempty"`
	ClientKeyExchange   *ClientKeyExchange   `json:"client_key_exchange,omitempty"`
	Finished            *Finished            `json:"finished,omitempty"`
	NewSessionTicket    *NewSessionTicket    `json:"new_session_ticket,omitempty"`
	KeyUpdate           *KeyUpdate           `json:"key_update,omitempty"`
}

// Kind returns "tls.message".
func (*Message) Kind() Kind { return "tls.message" }

// ClientHello holds the fields of RFC 8446, section 4.1.2 (RFC 5246, section
// 7.4.1.2), in the order in which the client sent them, GREASE included.
type ClientHello struct {
	LegacyVersion      Version       `json:"legacy_version"`
	Random             Hex           `json:"random"`
	SessionID          Hex           `json:"session_id,omitempty"`
	CipherSuites       []CipherSuite `json:"cipher_suites"`
	CompressionMethods Codes         `json:"compression_methods,omitempty"` // only if not the null method alone
	Extensions         []Extension   `json:"extensions"`

	ServerName          string            `json:"server_name,omitempty"`
	SupportedVersions   []Version         `json:"supported_versions,omitempty"`
	SupportedGroups     []Group           `json:"supported_groups,omitempty"`
	KeyShares           []Group           `json:"key_shares,omitempty"`
	SignatureSchemes    []SignatureScheme `json:"signature_schemes,omitempty"`
	CertSignatures      []SignatureScheme `json:"signature_schemes_cert,omitempty"`
	ALPN                []string          `json:"alpn,omitempty"`
	PointFormats        Codes             `json:"point_formats,omitempty"`
	PSKModes            []PSKMode         `json:"psk_modes,omitempty"`
	PSKIdentities       int               `json:"psk_identities,omitempty"` // how many; their content is a secret's handle
	SessionTicket       int               `json:"session_ticket,omitempty"` // length of the TLS 1.2 ticket offered
	EarlyData           bool              `json:"early_data,omitempty"`
	Cookie              int               `json:"cookie,omitempty"` // length, after a HelloRetryRequest
	StatusRequest       bool              `json:"status_request,omitempty"`
	ExtendedMaster      bool              `json:"extended_master_secret,omitempty"`
	ECH                 string            `json:"ech,omitempty"` // "outer" or "inner"
	RecordSizeLimit     uint16            `json:"record_size_limit,omitempty"`
	CertificateCompress []uint16          `json:"compress_certificate,omitempty"`

	JA3 string `json:"ja3,omitempty"`
	JA4 string `json:"ja4,omitempty"`
}

// ServerHello holds the fields of RFC 8446, section 4.1.3 (RFC 5246, section
// 7.4.1.3). A HelloRetryRequest is a ServerHello with a special random; its
// message has the type HelloRetryRequest.
type ServerHello struct {
	LegacyVersion Version     `json:"legacy_version"`
	Version       Version     `json:"version"` // the one chosen: supported_versions if present, else LegacyVersion
	Random        Hex         `json:"random"`
	SessionID     Hex         `json:"session_id,omitempty"`
	CipherSuite   CipherSuite `json:"cipher_suite"`
	Extensions    []Extension `json:"extensions"`

	Group          Group    `json:"group,omitempty"` // of the key share, or the one asked for by a HelloRetryRequest
	PSK            *uint16  `json:"psk,omitempty"`   // index of the identity chosen
	ALPN           []string `json:"alpn,omitempty"`
	SessionTicket  bool     `json:"session_ticket,omitempty"` // a NewSessionTicket will follow (RFC 5077)
	ExtendedMaster bool     `json:"extended_master_secret,omitempty"`
	StatusRequest  bool     `json:"status_request,omitempty"`
	Cookie         int      `json:"cookie,omitempty"`
	Downgrade      string   `json:"downgrade,omitempty"` // the random ends in the sentinel for "TLS 1.2" or "TLS 1.1" (RFC 8446, section 4.1.3)

	JA3S string `json:"ja3s,omitempty"`
	JA4S string `json:"ja4s,omitempty"`
}

// EncryptedExtensions holds the fields of RFC 8446, section 4.3.1.
type EncryptedExtensions struct {
	Extensions []Extension `json:"extensions"`
	ALPN       []string    `json:"alpn,omitempty"`
	EarlyData  bool        `json:"early_data,omitempty"` // early data was accepted
}

// Certificate holds the fields of RFC 8446, section 4.4.2 (RFC 5246, section
// 7.4.2).
type Certificate struct {
	Context Hex    `json:"context,omitempty"` // certificate_request_context
	Chain   []X509 `json:"chain"`             // leaf first; empty: the client has no certificate
}

// X509 is a summary of one certificate (RFC 5280).
type X509 struct {
	Len        int       `json:"len"` // bytes of DER
	Subject    string    `json:"subject,omitempty"`
	Issuer     string    `json:"issuer,omitempty"`
	Names      []string  `json:"names,omitempty"` // DNS names and addresses of the subject alternative name
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero"`
	PublicKey  string    `json:"public_key,omitempty"` // "ECDSA P-256", "RSA 2048", …
	Signature  string    `json:"signature,omitempty"`  // algorithm of the issuer's signature
	CA         bool      `json:"ca,omitempty"`
	SelfSigned bool      `json:"self_signed,omitempty"` // issued by its own subject
	SHA256     Hex       `json:"sha256,omitempty"`      // of the DER
	OCSP       int       `json:"ocsp,omitempty"`        // length of the stapled response (TLS 1.3)
	Malformed  string    `json:"malformed,omitempty"`
}

// ServerKeyExchange holds the fields of RFC 8422, section 5.4, or, for finite
// field Diffie-Hellman, of RFC 5246, section 7.4.3.
type ServerKeyExchange struct {
	Group           Group           `json:"group,omitempty"`
	DHBits          int             `json:"dh_bits,omitempty"`
	SignatureScheme SignatureScheme `json:"signature_scheme,omitempty"` // TLS 1.2 only: older versions do not say
}

// CertificateRequest holds the fields of RFC 8446, section 4.3.2 (RFC 5246,
// section 7.4.4).
type CertificateRequest struct {
	Context          Hex               `json:"context,omitempty"`
	Types            Codes             `json:"types,omitempty"` // ClientCertificateType, TLS 1.2 and older
	SignatureSchemes []SignatureScheme `json:"signature_schemes,omitempty"`
	Authorities      []string          `json:"authorities,omitempty"`
	Extensions       []Extension       `json:"extensions,omitempty"`
}

// CertificateVerify holds the fields of RFC 8446, section 4.4.3 (RFC 5246,
// section 7.4.8).
type CertificateVerify struct {
	SignatureScheme SignatureScheme `json:"signature_scheme,omitempty"` // absent in TLS 1.1 and older
	Len             int             `json:"len"`                        // of the signature
}

// CertificateStatus holds the fields of RFC 6066, section 8.
type CertificateStatus struct {
	Len int `json:"len"` // of the OCSP response
}

// ClientKeyExchange holds the fields of RFC 8422, section 5.7, and RFC 5246,
// section 7.4.7.
type ClientKeyExchange struct {
	Exchange string `json:"exchange"` // "ECDHE", "DHE" or "RSA"
	Len      int    `json:"len"`      // of the public value or the encrypted secret
}

// Finished holds the fields of RFC 8446, section 4.4.4.
type Finished struct {
	VerifyData Hex `json:"verify_data"`
}

// NewSessionTicket holds the fields of RFC 8446, section 4.6.1 (RFC 5077,
// section 3.3). The ticket itself is not told.
type NewSessionTicket struct {
	Lifetime     uint32 `json:"lifetime"` // seconds
	Len          int    `json:"len"`      // of the ticket
	MaxEarlyData uint32 `json:"max_early_data,omitempty"`
}

// KeyUpdate holds the fields of RFC 8446, section 4.6.3.
type KeyUpdate struct {
	UpdateRequested bool `json:"update_requested"`
}

// ChangeCipherSpec tells of a record of the ChangeCipherSpec protocol. In TLS
// 1.2 and older it switches the sender's keys (RFC 5246, section 7.1); in TLS
// 1.3 it means nothing and is sent for middleboxes (RFC 8446, appendix D.4).
type ChangeCipherSpec struct {
	Dummy  bool     `json:"dummy,omitempty"` // TLS 1.3: for middleboxes only
	Frames []uint64 `json:"frames"`
}

// Kind returns "tls.change_cipher_spec".
func (*ChangeCipherSpec) Kind() Kind { return "tls.change_cipher_spec" }

// Alert tells of a record of the alert protocol (RFC 8446, section 6).
type Alert struct {
	Level       string           `json:"level"` // "warning", "fatal" or the number
	Description AlertDescription `json:"description"`
	Code        uint8            `json:"code"`
	Encrypted   bool             `json:"encrypted"`
	Epoch       Epoch            `json:"epoch"`
	Frames      []uint64         `json:"frames"`
}

// Kind returns "tls.alert".
func (*Alert) Kind() Kind { return "tls.alert" }

// ApplicationData tells of the first record of application data from a side.
// Its content is never decrypted.
type ApplicationData struct {
	Len    int      `json:"len"` // of the record's body, encrypted
	Epoch  Epoch    `json:"epoch"`
	Frames []uint64 `json:"frames"`
}

// Kind returns "tls.application_data".
func (*ApplicationData) Kind() Kind { return "tls.application_data" }

// Undecoded tells of bytes or records that could not be decoded, and why.
type Undecoded struct {
	// Reason is "no key", "no cipher" (not implemented), "decrypt failed", "gap", "not tls", "too long",
	// "malformed", "unknown content type", "truncated" or "skipped early data".
	Reason  string   `json:"reason"`
	Detail  string   `json:"detail,omitempty"`
	Len     int      `json:"len"`               // bytes
	Records int      `json:"records,omitempty"` // how many records, where records are known
	First   Hex      `json:"first,omitempty"`   // the first bytes, of what is not TLS
	Frames  []uint64 `json:"frames,omitempty"`
}

// Kind returns "tls.undecoded".
func (*Undecoded) Kind() Kind { return "tls.undecoded" }

// A HandshakeState is a state of a side's TLS handshake. For TLS 1.3 the names
// are those of RFC 8446, appendix A; for older versions those of docs/states.md.
type HandshakeState string

// The states of RFC 8446, appendix A.1 (client) and A.2 (server).
const (
	TLSStart        HandshakeState = "START"
	TLSWaitSH       HandshakeState = "WAIT_SH"
	TLSWaitEE       HandshakeState = "WAIT_EE"
	TLSWaitCertCR   HandshakeState = "WAIT_CERT_CR"
	TLSWaitCert     HandshakeState = "WAIT_CERT"
	TLSWaitCV       HandshakeState = "WAIT_CV"
	TLSWaitFinished HandshakeState = "WAIT_FINISHED"
	TLSConnected    HandshakeState = "CONNECTED"
	TLSRecvdCH      HandshakeState = "RECVD_CH"
	TLSNegotiated   HandshakeState = "NEGOTIATED"
	TLSWaitEOED     HandshakeState = "WAIT_EOED"
	TLSWaitFlight2  HandshakeState = "WAIT_FLIGHT2"
)

// Further states of TLS 1.2 and older, named after the message waited for in
// figures 1 and 2 of RFC 5246, section 7.3.
const (
	TLSWaitSKE HandshakeState = "WAIT_SKE" // ServerKeyExchange
	TLSWaitSHD HandshakeState = "WAIT_SHD" // CertificateRequest or ServerHelloDone
	TLSWaitCKE HandshakeState = "WAIT_CKE" // ClientKeyExchange
	TLSWaitCCS HandshakeState = "WAIT_CCS" // ChangeCipherSpec
)

// How a handshake or a session ends; no RFC names these.
const (
	TLSClosed HandshakeState = "CLOSED" // sent close_notify, or the transport ended after CONNECTED
	TLSFailed HandshakeState = "FAILED" // sent or received a fatal alert, or the transport ended before CONNECTED
)

// TLSState tells of one transition of one side's handshake, as the messages on
// the wire imply it. From is that side.
type TLSState struct {
	Side Side           `json:"side"`
	Old  HandshakeState `json:"old"`
	New  HandshakeState `json:"new"`
	// Cause is what was sent or received: a message's type,
	// "change_cipher_spec", "alert close_notify", "fin", "rst", …
	Cause string `json:"cause"`
}

// Kind returns "tls.state".
func (*TLSState) Kind() Kind { return "tls.state" }

// TLSStep tells what our own TLS endpoint, crypto/tls, says of a step. Its view
// is always endpoint.
type TLSStep struct {
	// Step is "client_hello" (accepted for negotiation), "ticket" (a ticket
	// was accepted or refused), "verify" (the peer's certificate), "sign"
	// (our private key was used), "handshake" (its result; where nothing that
	// the client offers was accepted, Detail says "accepts" and what would
	// have been), "plain" (the first bytes are not TLS), "close" (why we ended
	// a connection that the client did not end), "pass" (TLS is relayed to the
	// destination untouched), "likeness" (a certificate like the destination's
	// was made).
	Step     string        `json:"step"`
	OK       bool          `json:"ok"`
	Detail   string        `json:"detail,omitempty"`
	Error    string        `json:"error,omitempty"`
	Duration time.Duration `json:"duration,omitempty"` // ns
}

// Kind returns "tls.endpoint".
func (*TLSStep) Kind() Kind { return "tls.endpoint" }

// Established tells of a completed TLS handshake: the last Finished was seen.
type Established struct {
	Version         Version         `json:"version"`
	CipherSuite     CipherSuite     `json:"cipher_suite"`
	Group           Group           `json:"group,omitempty"`
	SignatureScheme SignatureScheme `json:"signature_scheme,omitempty"`
	ALPN            string          `json:"alpn,omitempty"`
	ServerName      string          `json:"server_name,omitempty"`
	Resumed         bool            `json:"resumed"`
	HelloRetry      bool            `json:"hello_retry"`
	ClientAuth      string          `json:"client_auth"` // "none", "requested" (and not given) or "given"
	ECH             bool            `json:"ech"`
	JA3             string          `json:"ja3,omitempty"`
	JA4             string          `json:"ja4,omitempty"`
	RoundTrips      int             `json:"round_trips"` // before the client could send application data
	Duration        time.Duration   `json:"duration"`    // ClientHello to the last Finished; ns
}

// Kind returns "tls.established".
func (*Established) Kind() Kind { return "tls.established" }

// Failed tells of a TLS handshake that will not complete.
type Failed struct {
	Side  Side      `json:"side"`            // who gave up
	Code  CauseCode `json:"code"`            // the cause, for a program
	Cause string    `json:"cause"`           // one line for a person
	Error string    `json:"error,omitempty"` // our endpoint's own error, if it has one
	Hint  string    `json:"hint,omitempty"`  // what to do about it
	Leg   uint64    `json:"leg,omitempty"`   // the upstream leg that it comes from, if it does
}

// Kind returns "tls.failed".
func (*Failed) Kind() Kind { return "tls.failed" }

package event

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The types below are code points of the IANA TLS parameters registries
// (https://www.iana.org/assignments/tls-parameters). Each is shown and encoded
// by its registered name; one that is not registered by its number, and one
// reserved by RFC 8701 as GREASE.

// isGREASE reports whether v is one of the 16-bit values that RFC 8701 reserves.
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// names are those of a registry, by the code point's first byte and its second.
// A hello has some forty code points, and a map takes its time with each.
type names [256]*[256]string

func registered(m map[uint16]string) *names {
	n := new(names)
	for v, name := range m {
		if n[v>>8] == nil {
			n[v>>8] = new([256]string)
		}
		n[v>>8][v&0xff] = name
	}
	return n
}

// name returns the name of a code point, "" if it is not registered.
func (n *names) name(v uint16) string {
	if page := n[v>>8]; page != nil {
		return page[v&0xff]
	}
	return ""
}

// find returns the code point of a name.
func (n *names) find(name string) (v uint16, ok bool) {
	for first, page := range n {
		if page == nil || name == "" {
			continue
		}
		if second := slices.Index(page[:], name); second >= 0 {
			return uint16(first<<8 | second), true
		}
	}
	return 0, false
}

func name16(names *names, v uint16) string {
	if n := names.name(v); n != "" {
		return n
	}
	if isGREASE(v) {
		return greaseNames[v>>12]
	}
	return number(v)
}

// greaseNames are the names of the values of RFC 8701, by their first digit:
// every hello of a browser has some.
var greaseNames = func() (names [16]string) {
	for i := range names {
		names[i] = "GREASE (" + number(uint16(i)<<12|0x0a0a|uint16(i)<<4) + ")"
	}
	return names
}()

func number(v uint16) string { return fmt.Sprintf("0x%04x", v) }

func parse16(names *names, b []byte) (uint16, error) { return parse(names, b, 16) }

// parse8 is parse16 for a registry of one byte.
func parse8(names *names, b []byte) (uint16, error) { return parse(names, b, 8) }

func parse(names *names, b []byte, bits int) (uint16, error) {
	s := string(b)
	if n, ok := strings.CutPrefix(s, "GREASE ("); ok {
		s = strings.TrimSuffix(n, ")")
	}
	v, err := strconv.ParseUint(s, 0, bits) // no name begins as a number does
	if err == nil {
		return uint16(v), nil
	}
	if v, ok := names.find(s); ok {
		return v, nil
	}
	return 0, err
}

// Codes are code points of one byte that are shown by their numbers. They are
// encoded as a list, and not in base64 as other bytes.
type Codes []uint8

// MarshalJSON encodes the codes as a list of numbers.
func (c Codes) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return append(b, ']'), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (c *Codes) UnmarshalJSON(b []byte) error {
	var ns []uint16
	if err := json.Unmarshal(b, &ns); err != nil {
		return err
	}
	*c = nil
	for _, n := range ns {
		if n > 255 {
			return fmt.Errorf("event: code %d is not of one byte", n)
		}
		*c = append(*c, uint8(n))
	}
	return nil
}

// A Version is a ProtocolVersion (RFC 8446, section 4.1.2).
type Version uint16

// The versions that exist.
const (
	VersionSSL30 Version = 0x0300
	VersionTLS10 Version = 0x0301
	VersionTLS11 Version = 0x0302
	VersionTLS12 Version = 0x0303
	VersionTLS13 Version = 0x0304
)

var versionNames = registered(map[uint16]string{
	0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3",
})

func (v Version) String() string               { return name16(versionNames, uint16(v)) }
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// IsGREASE reports whether the value is reserved by RFC 8701.
func (v Version) IsGREASE() bool { return isGREASE(uint16(v)) }

// UnmarshalText is the inverse of MarshalText.
func (v *Version) UnmarshalText(b []byte) error {
	n, err := parse16(versionNames, b)
	*v = Version(n)
	return err
}

// A CipherSuite is a value of the TLS Cipher Suites registry.
type CipherSuite uint16

func (v CipherSuite) String() string               { return name16(cipherSuiteNames, uint16(v)) }
func (v CipherSuite) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// IsGREASE reports whether the value is reserved by RFC 8701.
func (v CipherSuite) IsGREASE() bool { return isGREASE(uint16(v)) }

// UnmarshalText is the inverse of MarshalText.
func (v *CipherSuite) UnmarshalText(b []byte) error {
	n, err := parse16(cipherSuiteNames, b)
	*v = CipherSuite(n)
	return err
}

// A Group is a value of the TLS Supported Groups registry.
type Group uint16

var groupNames = registered(map[uint16]string{
	1: "sect163k1", 2: "sect163r1", 3: "sect163r2", 4: "sect193r1", 5: "sect193r2", 6: "sect233k1", 7: "sect233r1",
	8: "sect239k1", 9: "sect283k1", 10: "sect283r1", 11: "sect409k1", 12: "sect409r1", 13: "sect571k1", 14: "sect571r1",
	15: "secp160k1", 16: "secp160r1", 17: "secp160r2", 18: "secp192k1", 19: "secp192r1", 20: "secp224k1", 21: "secp224r1",
	22: "secp256k1", 23: "secp256r1", 24: "secp384r1", 25: "secp521r1",
	26: "brainpoolP256r1", 27: "brainpoolP384r1", 28: "brainpoolP512r1", 29: "x25519", 30: "x448",
	31: "brainpoolP256r1tls13", 32: "brainpoolP384r1tls13", 33: "brainpoolP512r1tls13",
	34: "GC256A", 35: "GC256B", 36: "GC256C", 37: "GC256D", 38: "GC512A", 39: "GC512B", 40: "GC512C", 41: "curveSM2",
	256: "ffdhe2048", 257: "ffdhe3072", 258: "ffdhe4096", 259: "ffdhe6144", 260: "ffdhe8192",
	512: "MLKEM512", 513: "MLKEM768", 514: "MLKEM1024",
	4587: "SecP256r1MLKEM768", 4588: "X25519MLKEM768", 4589: "SecP384r1MLKEM1024", 4590: "curveSM2MLKEM768",
	25497: "X25519Kyber768Draft00", 25498: "SecP256r1Kyber768Draft00",
	0xff01: "arbitrary_explicit_prime_curves", 0xff02: "arbitrary_explicit_char2_curves",
})

func (v Group) String() string               { return name16(groupNames, uint16(v)) }
func (v Group) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// IsGREASE reports whether the value is reserved by RFC 8701.
func (v Group) IsGREASE() bool { return isGREASE(uint16(v)) }

// UnmarshalText is the inverse of MarshalText.
func (v *Group) UnmarshalText(b []byte) error {
	n, err := parse16(groupNames, b)
	*v = Group(n)
	return err
}

// A SignatureScheme is a value of the TLS SignatureScheme registry (in TLS 1.2
// a hash and a signature algorithm, RFC 5246, section 7.4.1.4.1).
type SignatureScheme uint16

var signatureSchemeNames = registered(map[uint16]string{
	0x0101: "rsa_md5", 0x0201: "rsa_pkcs1_sha1", 0x0202: "dsa_sha1", 0x0203: "ecdsa_sha1",
	0x0301: "rsa_sha224", 0x0302: "dsa_sha224", 0x0303: "ecdsa_sha224",
	0x0401: "rsa_pkcs1_sha256", 0x0402: "dsa_sha256", 0x0403: "ecdsa_secp256r1_sha256",
	0x0420: "rsa_pkcs1_sha256_legacy",
	0x0501: "rsa_pkcs1_sha384", 0x0502: "dsa_sha384", 0x0503: "ecdsa_secp384r1_sha384", 0x0520: "rsa_pkcs1_sha384_legacy",
	0x0601: "rsa_pkcs1_sha512", 0x0602: "dsa_sha512", 0x0603: "ecdsa_secp521r1_sha512", 0x0620: "rsa_pkcs1_sha512_legacy",
	0x0704: "eccsi_sha256", 0x0705: "iso_ibs1", 0x0706: "iso_ibs2", 0x0707: "iso_chinese_ibs", 0x0708: "sm2sig_sm3",
	0x0709: "gostr34102012_256a", 0x070a: "gostr34102012_256b", 0x070b: "gostr34102012_256c", 0x070c: "gostr34102012_256d",
	0x070d: "gostr34102012_512a", 0x070e: "gostr34102012_512b", 0x070f: "gostr34102012_512c",
	0x0804: "rsa_pss_rsae_sha256", 0x0805: "rsa_pss_rsae_sha384", 0x0806: "rsa_pss_rsae_sha512",
	0x0807: "ed25519", 0x0808: "ed448",
	0x0809: "rsa_pss_pss_sha256", 0x080a: "rsa_pss_pss_sha384", 0x080b: "rsa_pss_pss_sha512",
	0x081a: "ecdsa_brainpoolP256r1tls13_sha256", 0x081b: "ecdsa_brainpoolP384r1tls13_sha384", 0x081c: "ecdsa_brainpoolP512r1tls13_sha512",
	0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
})

func (v SignatureScheme) String() string               { return name16(signatureSchemeNames, uint16(v)) }
func (v SignatureScheme) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// IsGREASE reports whether the value is reserved by RFC 8701.
func (v SignatureScheme) IsGREASE() bool { return isGREASE(uint16(v)) }

// UnmarshalText is the inverse of MarshalText.
func (v *SignatureScheme) UnmarshalText(b []byte) error {
	n, err := parse16(signatureSchemeNames, b)
	*v = SignatureScheme(n)
	return err
}

// An Extension is a value of the TLS ExtensionType Values registry.
type Extension uint16

var extensionNames = registered(map[uint16]string{
	0: "server_name", 1: "max_fragment_length", 2: "client_certificate_url", 3: "trusted_ca_keys", 4: "truncated_hmac",
	5: "status_request", 6: "user_mapping", 7: "client_authz", 8: "server_authz", 9: "cert_type", 10: "supported_groups",
	11: "ec_point_formats", 12: "srp", 13: "signature_algorithms", 14: "use_srtp", 15: "heartbeat",
	16: "application_layer_protocol_negotiation", 17: "status_request_v2", 18: "signed_certificate_timestamp",
	19: "client_certificate_type", 20: "server_certificate_type", 21: "padding", 22: "encrypt_then_mac",
	23: "extended_master_secret", 24: "token_binding", 25: "cached_info", 26: "tls_lts", 27: "compress_certificate",
	28: "record_size_limit", 29: "pwd_protect", 30: "pwd_clear", 31: "password_salt", 32: "ticket_pinning",
	33: "tls_cert_with_extern_psk", 34: "delegated_credential", 35: "session_ticket", 36: "TLMSP", 37: "TLMSP_proxying",
	38: "TLMSP_delegate", 39: "supported_ekt_ciphers", 41: "pre_shared_key", 42: "early_data", 43: "supported_versions",
	44: "cookie", 45: "psk_key_exchange_modes", 47: "certificate_authorities", 48: "oid_filters", 49: "post_handshake_auth",
	50: "signature_algorithms_cert", 51: "key_share", 52: "transparency_info", 54: "connection_id", 55: "external_id_hash",
	56: "external_session_id", 57: "quic_transport_parameters", 58: "ticket_request", 59: "dnssec_chain",
	60: "sequence_number_encryption_algorithms", 61: "rrc", 62: "tls_flags",
	13172: "next_protocol_negotiation", 17513: "application_settings", 17613: "application_settings_new",
	64768: "ech_outer_extensions", 65037: "encrypted_client_hello", 65281: "renegotiation_info",
})

func (v Extension) String() string               { return name16(extensionNames, uint16(v)) }
func (v Extension) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// IsGREASE reports whether the value is reserved by RFC 8701.
func (v Extension) IsGREASE() bool { return isGREASE(uint16(v)) }

// UnmarshalText is the inverse of MarshalText.
func (v *Extension) UnmarshalText(b []byte) error {
	n, err := parse16(extensionNames, b)
	*v = Extension(n)
	return err
}

// A HandshakeType is a value of the TLS HandshakeType registry.
type HandshakeType uint8

// The registered types that are decoded. HelloRetryRequest is on the wire a
// ServerHello (RFC 8446, section 4.1.4); its number here is that of RFC 8446,
// section B.3, where it is reserved.
const (
	HelloRequest          HandshakeType = 0
	ClientHelloType       HandshakeType = 1
	ServerHelloType       HandshakeType = 2
	NewSessionTicketType  HandshakeType = 4
	EndOfEarlyData        HandshakeType = 5
	HelloRetryRequest     HandshakeType = 6
	EncryptedExts         HandshakeType = 8
	CertificateType       HandshakeType = 11
	ServerKeyExchangeType HandshakeType = 12
	CertRequestType       HandshakeType = 13
	ServerHelloDone       HandshakeType = 14
	CertVerifyType        HandshakeType = 15
	ClientKeyExchangeType HandshakeType = 16
	FinishedType          HandshakeType = 20
	CertStatusType        HandshakeType = 22
	KeyUpdateType         HandshakeType = 24
	CompressedCertificate HandshakeType = 25
	MessageHash           HandshakeType = 254
)

var handshakeTypeNames = registered(map[uint16]string{
	0: "hello_request", 1: "client_hello", 2: "server_hello", 3: "hello_verify_request", 4: "new_session_ticket",
	5: "end_of_early_data", 6: "hello_retry_request", 8: "encrypted_extensions", 9: "request_connection_id",
	10: "new_connection_id", 11: "certificate", 12: "server_key_exchange", 13: "certificate_request",
	14: "server_hello_done", 15: "certificate_verify", 16: "client_key_exchange", 17: "client_certificate_request",
	20: "finished", 21: "certificate_url", 22: "certificate_status", 23: "supplemental_data", 24: "key_update",
	25: "compressed_certificate", 26: "ekt_key", 254: "message_hash",
})

func (v HandshakeType) String() string {
	if n := handshakeTypeNames.name(uint16(v)); n != "" {
		return n
	}
	return strconv.Itoa(int(v))
}

// MarshalText encodes the type by its registered name.
func (v HandshakeType) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (v *HandshakeType) UnmarshalText(b []byte) error {
	n, err := parse8(handshakeTypeNames, b)
	*v = HandshakeType(n)
	return err
}

// An AlertDescription is a value of the TLS Alerts registry.
type AlertDescription uint8

var alertNames = registered(map[uint16]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
	30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate",
	43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
	47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error",
	52: "too_many_cids_requested", 60: "export_restriction", 70: "protocol_version", 71: "insufficient_security",
	80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation",
	109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable", 112: "unrecognized_name",
	113: "bad_certificate_status_response", 114: "bad_certificate_hash_value", 115: "unknown_psk_identity",
	116: "certificate_required", 117: "general_error", 120: "no_application_protocol", 121: "ech_required",
})

func (v AlertDescription) String() string {
	if n := alertNames.name(uint16(v)); n != "" {
		return n
	}
	return strconv.Itoa(int(v))
}

// MarshalText encodes the description by its registered name.
func (v AlertDescription) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (v *AlertDescription) UnmarshalText(b []byte) error {
	n, err := parse8(alertNames, b)
	*v = AlertDescription(n)
	return err
}

// A PSKMode is a value of the TLS PskKeyExchangeMode registry.
type PSKMode uint8

var pskModeNames = registered(map[uint16]string{0: "psk_ke", 1: "psk_dhe_ke"})

func (v PSKMode) String() string {
	if n := pskModeNames.name(uint16(v)); n != "" {
		return n
	}
	return strconv.Itoa(int(v))
}

// MarshalText encodes the mode by its registered name.
func (v PSKMode) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (v *PSKMode) UnmarshalText(b []byte) error {
	n, err := parse8(pskModeNames, b)
	*v = PSKMode(n)
	return err
}

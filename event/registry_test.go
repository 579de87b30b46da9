package event

import (
	"crypto/tls"
	"encoding"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// crypto/tls knows some of the registries, by its own hand.
func TestNamesAgainstCryptoTLS(t *testing.T) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if got := CipherSuite(s.ID).String(); got != s.Name {
			t.Errorf("cipher suite 0x%04x is %s, want %s", s.ID, got, s.Name)
		}
	}
	for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
		if got := Version(v).String(); got != tls.VersionName(v) {
			t.Errorf("version 0x%04x is %s, want %s", v, got, tls.VersionName(v))
		}
	}
	for _, g := range []tls.CurveID{tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519, tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024} {
		want := map[string]string{"CurveP256": "secp256r1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "x25519"}[g.String()]
		if want == "" {
			want = g.String()
		}
		if got := Group(g).String(); got != want {
			t.Errorf("group %d is %s, want %s", g, got, want)
		}
	}
	for _, s := range []tls.SignatureScheme{
		tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512, tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
		tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512, tls.Ed25519, tls.PKCS1WithSHA1, tls.ECDSAWithSHA1,
	} {
		// PKCS1WithSHA256 is rsa_pkcs1_sha256, ECDSAWithP256AndSHA256 is
		// ecdsa_secp256r1_sha256: the parts are there, in this order.
		want := strings.NewReplacer("PKCS1With", "rsa_pkcs1_", "PSSWith", "rsa_pss_rsae_", "ECDSAWithP256And", "ecdsa_secp256r1_",
			"ECDSAWithP384And", "ecdsa_secp384r1_", "ECDSAWithP521And", "ecdsa_secp521r1_", "ECDSAWith", "ecdsa_").Replace(s.String())
		if got := SignatureScheme(s).String(); got != strings.ToLower(want) {
			t.Errorf("signature scheme 0x%04x is %s, want %s", uint16(s), got, strings.ToLower(want))
		}
	}
	for code := range 256 {
		// "tls: unknown certificate authority" is not unknown_ca: only the
		// descriptions that are the registered name in plain words compare.
		words := strings.TrimPrefix(tls.AlertError(code).Error(), "tls: ")
		name := strings.ReplaceAll(words, " ", "_")
		if _, known := slices.BinarySearch(registeredAlerts, name); known && AlertDescription(code).String() != name {
			t.Errorf("alert %d is %s, want %s", code, AlertDescription(code), name)
		}
	}
}

// registeredAlerts are those of RFC 8446, section 6, sorted.
var registeredAlerts = []string{
	"access_denied", "bad_certificate", "bad_certificate_status_response", "bad_record_mac", "certificate_expired",
	"certificate_required", "certificate_revoked", "certificate_unknown", "close_notify", "decode_error", "decrypt_error",
	"handshake_failure", "illegal_parameter", "inappropriate_fallback", "insufficient_security", "internal_error",
	"missing_extension", "no_application_protocol", "protocol_version", "record_overflow", "unexpected_message",
	"unknown_ca", "unknown_psk_identity", "unrecognized_name", "unsupported_certificate", "unsupported_extension", "user_canceled",
}

// Each name stands for one value, so that what is logged can be read.
func TestNamesRoundTrip(t *testing.T) {
	test := func(name string, max int, value func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler)) {
		t.Run(name, func(t *testing.T) {
			names := make(map[string]int)
			for v := range max {
				s, read := value(uint16(v))
				n := s.String()
				if other, ok := names[n]; ok {
					t.Errorf("%q is %d and %d", n, other, v)
				}
				names[n] = v
				if err := read.UnmarshalText([]byte(n)); err != nil {
					t.Errorf("%q: %v", n, err)
				} else if got := fmt.Sprint(read); got != n {
					t.Errorf("%q is read as %s", n, got)
				}
			}
		})
	}
	test("version", 1<<16, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) { return Version(v), new(Version) })
	test("group", 1<<16, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) { return Group(v), new(Group) })
	test("scheme", 1<<16, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) {
		return SignatureScheme(v), new(SignatureScheme)
	})
	test("suite", 1<<16, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) { return CipherSuite(v), new(CipherSuite) })
	test("extension", 1<<16, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) { return Extension(v), new(Extension) })
	test("type", 256, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) { return HandshakeType(v), new(HandshakeType) })
	test("alert", 256, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) {
		return AlertDescription(v), new(AlertDescription)
	})
	test("PSK mode", 256, func(v uint16) (fmt.Stringer, encoding.TextUnmarshaler) { return PSKMode(v), new(PSKMode) })
}

// The values that RFC 8701, section 2, reserves.
func TestGREASE(t *testing.T) {
	reserved := []uint16{0x0a0a, 0x1a1a, 0x2a2a, 0x3a3a, 0x4a4a, 0x5a5a, 0x6a6a, 0x7a7a, 0x8a8a, 0x9a9a, 0xaaaa, 0xbaba, 0xcaca, 0xdada, 0xeaea, 0xfafa}
	for v := range 1 << 16 {
		want := slices.Contains(reserved, uint16(v))
		for _, x := range []interface {
			fmt.Stringer
			IsGREASE() bool
		}{Version(v), CipherSuite(v), Group(v), SignatureScheme(v), Extension(v)} {
			if x.IsGREASE() != want {
				t.Fatalf("%T 0x%04x: GREASE %t", x, v, x.IsGREASE())
			}
			if name := fmt.Sprintf("GREASE (0x%04x)", v); want && x.String() != name {
				t.Errorf("%T: %s, want %s", x, x, name)
			}
		}
	}
}

func TestUnregistered(t *testing.T) {
	for want, x := range map[string]fmt.Stringer{
		"0xeeee": CipherSuite(0xeeee), "0x0305": Version(0x0305), "0x1234": Group(0x1234),
		"99": HandshakeType(99), "255": AlertDescription(255), "2": PSKMode(2),
	} {
		if got := x.String(); got != want {
			t.Errorf("%T: %s, want %s", x, got, want)
		}
	}
}

func TestCodes(t *testing.T) {
	for _, c := range []Codes{{0}, {0, 1, 2, 255}} {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(fmt.Sprint([]uint8(c)), " ", ",")
		if string(b) != want {
			t.Errorf("%s, want %s", b, want)
		}
		var got Codes
		if err := json.Unmarshal(b, &got); err != nil || !slices.Equal(got, c) {
			t.Errorf("%s is read as %v, %v", b, got, err)
		}
	}
}

package config

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func parseValid(t *testing.T, file string) *Config {
	t.Helper()
	c, err := Parse("f.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMatch(t *testing.T) {
	c := parseValid(t, `
service: mirror
services:
- {server_name: Exact.Example., service: exact}
- {server_name: "*.example", service: below}
- {prefix: 198.18.3.0/24, port: [443, 8000-8999], service: both}
- {prefix: [198.18.4.4, "2001:2:0:3::/64"], service: address}
- {port: 25, service: port}
`)
	for _, test := range []struct{ server, name, want string }{
		{"198.18.0.9:443", "", "mirror"},
		{"198.18.0.9:443", "exact.example", "exact"},
		{"198.18.0.9:443", "EXACT.example.", "exact"},
		{"198.18.0.9:443", "a.example", "below"},
		{"198.18.0.9:443", "b.a.example", "below"},
		{"198.18.0.9:443", "example", "mirror"},
		{"198.18.0.9:443", "notexample", "mirror"},
		{"198.18.0.9:443", "a.example.org", "mirror"},
		{"198.18.3.7:443", "", "both"},
		{"198.18.3.7:443", "exact.example", "exact"}, // the first that matches
		{"198.18.3.7:7999", "", "mirror"},
		{"198.18.3.7:8000", "", "both"},
		{"198.18.3.7:8999", "", "both"},
		{"198.18.3.7:9000", "", "mirror"},
		{"198.18.4.4:1", "", "address"},
		{"198.18.4.5:1", "", "mirror"},
		{"[2001:2:0:3::9]:1", "", "address"},
		{"[::ffff:198.18.4.4]:1", "", "address"},
		{"198.18.9.9:25", "", "port"},
		{"198.18.4.4:25", "", "address"},
	} {
		if got := c.Match(netip.MustParseAddrPort(test.server), test.name).Service; got != test.want {
			t.Errorf("%s, server name %q: service %s, want %s", test.server, test.name, got, test.want)
		}
	}
}

// A rule takes from the defaults what it does not set, wherever it stands.
func TestMatchTLS(t *testing.T) {
	c := parseValid(t, `
services:
- server_name: old.example
  service: mirror
  tls: {min: 1.0, max: 1.1, alpn: [], keys: rsa}
- server_name: plain.example
  service: mirror
tls:
  client_auth: request
  alpn: [h2]
  groups: [x25519]
`)
	server := netip.MustParseAddrPort("198.18.0.9:443")
	defaults := TLS{
		MinVersion: VersionTLS12, MaxVersion: VersionTLS13, ClientAuth: ClientAuthRequest,
		Keys: []KeyType{KeyECDSA, KeyRSA}, ALPN: []string{"h2"}, Groups: []Group{Group(tls.X25519)},
	}
	old := defaults
	old.MinVersion, old.MaxVersion = VersionTLS10, VersionTLS11
	old.Keys, old.ALPN = []KeyType{KeyRSA}, []string{}
	for name, want := range map[string]TLS{"old.example": old, "plain.example": defaults, "": defaults} {
		if diff := cmp.Diff(want, c.Match(server, name).TLS); diff != "" {
			t.Errorf("server name %q (-want +got):\n%s", name, diff)
		}
	}
}

func TestPolicy(t *testing.T) {
	c := parseValid(t, `
accept:
- {prefix: 198.18.9.9, policy: silence}
- {prefix: 198.18.0.0/16, port: 80, policy: accept}
- {port: 1-1023, policy: refuse}
`)
	for server, want := range map[string]Policy{
		"198.18.9.9:80":     PolicySilence,
		"198.18.9.8:80":     PolicyAccept,
		"198.19.9.8:80":     PolicyRefuse,
		"198.18.9.8:443":    PolicyRefuse,
		"198.18.9.8:1024":   PolicyAccept,
		"[2001:2::9]:22":    PolicyRefuse,
		"[2001:2::9]:50000": PolicyAccept,
	} {
		if got := c.Policy(netip.MustParseAddrPort(server)); got != want {
			t.Errorf("%s: %s, want %s", server, got, want)
		}
	}
}

// Every suite and group of crypto/tls has a name here, which stands for the same
// number.
func TestNamesAreThoseOfCryptoTLS(t *testing.T) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		var got CipherSuite
		err := got.UnmarshalText([]byte(s.Name))
		if only13 := s.SupportedVersions[0] == tls.VersionTLS13; only13 != (err != nil) {
			t.Errorf("%s: %v", s.Name, err)
		} else if !only13 && uint16(got) != s.ID {
			t.Errorf("%s is %#x, want %#x", s.Name, uint16(got), s.ID)
		}
	}
	for name, want := range map[string]tls.CurveID{
		"x25519": tls.X25519, "secp256r1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521,
		"X25519MLKEM768": tls.X25519MLKEM768, "SecP256r1MLKEM768": tls.SecP256r1MLKEM768, "SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
	} {
		var got Group
		if err := got.UnmarshalText([]byte(name)); err != nil || tls.CurveID(got) != want {
			t.Errorf("%s is %d (%v), want %d", name, got, err, want)
		}
	}
	for name, want := range map[ClientAuth]tls.ClientAuthType{
		ClientAuthNone: tls.NoClientCert, ClientAuthRequest: tls.RequestClientCert,
		ClientAuthRequire: tls.RequireAnyClientCert, ClientAuthVerify: tls.RequireAndVerifyClientCert,
	} {
		if got := name.Type(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

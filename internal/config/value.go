package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"synscope/event"
)

// A Format is how events are written.
type Format string

// The formats.
const (
	FormatLadder Format = "ladder" // for a person
	FormatJSON   Format = "json"   // one object on a line
)

// UnmarshalText parses the name of a format.
func (f *Format) UnmarshalText(b []byte) error {
	return setName(f, string(b), "a format", FormatLadder, FormatJSON)
}

// A Policy is what is done with a SYN.
type Policy string

// The policies.
const (
	PolicyAccept  Policy = "accept"
	PolicyRefuse  Policy = "refuse"  // answer with RST, as a closed port does (RFC 9293, section 3.5.2)
	PolicySilence Policy = "silence" // do not answer, as a firewall that drops does
)

// UnmarshalText parses the name of a policy.
func (p *Policy) UnmarshalText(b []byte) error {
	return setName(p, string(b), "a policy", PolicyAccept, PolicyRefuse, PolicySilence)
}

// A KeyType is the type of a certificate's key.
type KeyType string

// The key types.
const (
	KeyECDSA KeyType = "ecdsa"
	KeyRSA   KeyType = "rsa"
)

// UnmarshalText parses the name of a key type.
func (k *KeyType) UnmarshalText(b []byte) error {
	return setName(k, string(b), "a key type", KeyECDSA, KeyRSA)
}

// A ClientAuth is what is asked of the client's certificate.
type ClientAuth string

// What can be asked of the client.
const (
	ClientAuthNone    ClientAuth = "none"    // no CertificateRequest is sent
	ClientAuthRequest ClientAuth = "request" // asked for; none, or any, is good
	ClientAuthRequire ClientAuth = "require" // asked for; any is good
	ClientAuthVerify  ClientAuth = "verify"  // asked for; one that the client CA issued is good
)

// UnmarshalText parses the name of a policy for client certificates.
func (a *ClientAuth) UnmarshalText(b []byte) error {
	return setName(a, string(b), "a client authentication",
		ClientAuthNone, ClientAuthRequest, ClientAuthRequire, ClientAuthVerify)
}

// Type returns the policy as crypto/tls knows it.
func (a ClientAuth) Type() tls.ClientAuthType {
	switch a {
	case ClientAuthRequest:
		return tls.RequestClientCert
	case ClientAuthRequire:
		return tls.RequireAnyClientCert
	case ClientAuthVerify:
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

// A Version is a version of TLS, by its number on the wire (RFC 8446, section
// 4.1.2), which is also that of crypto/tls. Its text is "1.2".
type Version uint16

// The versions that crypto/tls speaks.
const (
	VersionTLS10 Version = tls.VersionTLS10
	VersionTLS11 Version = tls.VersionTLS11
	VersionTLS12 Version = tls.VersionTLS12
	VersionTLS13 Version = tls.VersionTLS13
)

func (v Version) String() string {
	if VersionTLS10 <= v && v <= VersionTLS13 {
		return "1." + strconv.Itoa(int(v-VersionTLS10))
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

// UnmarshalText parses the number of a version.
func (v *Version) UnmarshalText(b []byte) error {
	return setName(v, string(b), "a TLS version", VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13)
}

// A CipherSuite is a cipher suite that crypto/tls has and lets be chosen, the
// insecure ones included. Its text is the name of the IANA registry.
type CipherSuite uint16

// cipherSuites lists them. Those of TLS 1.3 are not among them: crypto/tls
// ignores [tls.Config.CipherSuites] for TLS 1.3.
var cipherSuites = func() (ids []CipherSuite) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Equal(s.SupportedVersions, []uint16{tls.VersionTLS13}) {
			ids = append(ids, CipherSuite(s.ID))
		}
	}
	return ids
}()

func (c CipherSuite) String() string { return event.CipherSuite(c).String() }

// UnmarshalText parses the name of a cipher suite.
func (c *CipherSuite) UnmarshalText(b []byte) error {
	for _, s := range tls.CipherSuites() {
		if s.Name == string(b) && slices.Equal(s.SupportedVersions, []uint16{tls.VersionTLS13}) {
			return &valueError{
				want: "a cipher suite of TLS 1.2 or older",
				hint: "crypto/tls does not let those of TLS 1.3 be chosen",
			}
		}
	}
	return setName(c, string(b), "a cipher suite of crypto/tls", cipherSuites...)
}

// A Group is a key exchange group that crypto/tls has. Its text is the name of
// the IANA registry.
type Group uint16

// groups lists them.
var groups = []Group{
	Group(tls.X25519MLKEM768), Group(tls.SecP256r1MLKEM768), Group(tls.SecP384r1MLKEM1024),
	Group(tls.X25519), Group(tls.CurveP256), Group(tls.CurveP384), Group(tls.CurveP521),
}

func (g Group) String() string { return event.Group(g).String() }

// UnmarshalText parses the name of a group.
func (g *Group) UnmarshalText(b []byte) error {
	return setName(g, string(b), "a group of crypto/tls", groups...)
}

// A PortRange is the ports from First to Last, both included. Its text is
// "8000-8999", or "443" for one port.
type PortRange struct{ First, Last uint16 }

func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// UnmarshalText parses a port or a range of ports.
func (r *PortRange) UnmarshalText(b []byte) error {
	first, last, ranged := strings.Cut(string(b), "-")
	if !ranged {
		last = first
	}
	f, errFirst := strconv.ParseUint(first, 10, 16)
	l, errLast := strconv.ParseUint(last, 10, 16)
	if errFirst != nil || errLast != nil || f == 0 || f > l {
		return &valueError{want: "a port from 1 to 65535, or a range such as 8000-8999"}
	}
	*r = PortRange{uint16(f), uint16(l)}
	return nil
}

func (r PortRange) contains(port uint16) bool { return r.First <= port && port <= r.Last }

// A ServerName is a DNS name in lower case, or "*." and a DNS name.
type ServerName string

// UnmarshalText parses a name (RFC 1123, section 2.1), with a leading "*." or
// without.
func (n *ServerName) UnmarshalText(b []byte) error {
	name := strings.ToLower(strings.TrimSuffix(string(b), "."))
	labels := strings.Split(strings.TrimPrefix(name, "*."), ".")
	if len(name) > maxDNSName || slices.ContainsFunc(labels, isNoLabel) {
		return &valueError{want: "a DNS name, or *. and a DNS name"}
	}
	*n = ServerName(name)
	return nil
}

// Matches reports whether a client that asks for name, which may be in any
// case and have a final dot, is meant.
func (n ServerName) Matches(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if suffix, ok := strings.CutPrefix(string(n), "*"); ok {
		return len(name) > len(suffix) && strings.HasSuffix(name, suffix)
	}
	return name != "" && name == string(n)
}

// Lengths of RFC 1035, section 2.3.4, in text form.
const (
	maxDNSName  = 253
	maxDNSLabel = 63
)

// isNoLabel reports whether s cannot be a label of a host's name. Underscores
// are not in RFC 1123, but they are in use.
func isNoLabel(s string) bool {
	return len(s) == 0 || len(s) > maxDNSLabel || s[0] == '-' || s[len(s)-1] == '-' ||
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != ""
}

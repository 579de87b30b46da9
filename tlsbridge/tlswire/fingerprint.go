package tlswire

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"synscope/event"
)

// A codePoint is a 16-bit value of a registry in which GREASE is reserved.
type codePoint interface {
	~uint16
	IsGREASE() bool
}

// without returns the values that are not GREASE, in their order.
func without[T codePoint](values []T) []T {
	return slices.DeleteFunc(slices.Clone(values), T.IsGREASE)
}

// decimals joins values as JA3 does.
func decimals[T ~uint16 | ~uint8](values []T) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = strconv.Itoa(int(v))
	}
	return strings.Join(parts, "-")
}

// ja3 is the client's fingerprint by the definition of
// github.com/salesforce/ja3: version, cipher suites, extensions, groups and
// point formats as the client sent them, without GREASE, hashed with MD5.
func ja3(c *event.ClientHello) string {
	return md5Hex(fmt.Sprintf("%d,%s,%s,%s,%s", c.LegacyVersion, decimals(without(c.CipherSuites)),
		decimals(without(c.Extensions)), decimals(without(c.SupportedGroups)), decimals(c.PointFormats)))
}

// ja3s is the server's: version, cipher suite, extensions.
func ja3s(h *event.ServerHello) string {
	return md5Hex(fmt.Sprintf("%d,%d,%s", h.LegacyVersion, h.CipherSuite, decimals(without(h.Extensions))))
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// ja4 is the client's fingerprint by the definition of FoxIO
// (github.com/FoxIO-LLC/ja4): a readable part, a hash of the cipher suites in
// ascending order, and a hash of the extensions in ascending order, without
// server name and ALPN, with the signature algorithms in the client's order.
func ja4(c *event.ClientHello) string {
	version := c.LegacyVersion
	if vs := without(c.SupportedVersions); len(vs) > 0 {
		version = slices.Max(vs)
	}
	name := "i"
	if slices.Contains(c.Extensions, extServerName) {
		name = "d"
	}
	suites, extensions := without(c.CipherSuites), without(c.Extensions)
	first := fmt.Sprintf("t%s%s%02d%02d%s", ja4Version(version), name,
		min(len(suites), 99), min(len(extensions), 99), ja4ALPN(c.ALPN))

	slices.Sort(suites)
	extensions = slices.DeleteFunc(extensions, func(e event.Extension) bool { return e == extServerName || e == extALPN })
	slices.Sort(extensions)
	third := ja4List(extensions)
	if schemes := without(c.SignatureSchemes); len(schemes) > 0 {
		third += "_" + ja4List(schemes)
	}
	return first + "_" + ja4Hash(ja4List(suites)) + "_" + ja4Hash(third)
}

// ja4s is the server's: a readable part, the cipher suite, and a hash of the
// extensions in the server's order.
func ja4s(h *event.ServerHello) string {
	return fmt.Sprintf("t%s%02d%s_%04x_%s", ja4Version(h.Version), min(len(h.Extensions), 99), ja4ALPN(h.ALPN),
		uint16(h.CipherSuite), ja4Hash(ja4List(h.Extensions)))
}

func ja4Version(v event.Version) string {
	switch v {
	case event.VersionTLS13:
		return "13"
	case event.VersionTLS12:
		return "12"
	case event.VersionTLS11:
		return "11"
	case event.VersionTLS10:
		return "10"
	case event.VersionSSL30:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

// ja4ALPN is the first and last character of the first protocol, or of its
// hexadecimal digits if one of the two is not alphanumeric.
func ja4ALPN(protocols []string) string {
	if len(protocols) == 0 {
		return "00"
	}
	p := protocols[0]
	if !alphanumeric(p[0]) || !alphanumeric(p[len(p)-1]) {
		p = hex.EncodeToString([]byte(p))
	}
	return string([]byte{p[0], p[len(p)-1]})
}

func alphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z'
}

func ja4List[T ~uint16](values []T) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprintf("%04x", uint16(v))
	}
	return strings.Join(parts, ",")
}

// ja4Hash is the start of a SHA-256, and zeros for nothing.
func ja4Hash(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:12]
}

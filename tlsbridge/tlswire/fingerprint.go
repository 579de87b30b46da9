package tlswire

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"synscope/event"
)

// A codePoint is a 16-bit value of a registry in which GREASE is reserved.
type codePoint interface {
	~uint16
	IsGREASE() bool
}

// without appends the values that are not GREASE to dst, in their order.
func without[T codePoint](dst, values []T) []T {
	for _, v := range values {
		if !v.IsGREASE() {
			dst = append(dst, v)
		}
	}
	return dst
}

// many is how many values a list of a hello has room for without an allocation.
const many = 64

// ja3 is the client's fingerprint by the definition of
// github.com/salesforce/ja3: version, cipher suites, extensions, groups and
// point formats as the client sent them, without GREASE, hashed with MD5.
func ja3(c *event.ClientHello) string {
	b := make([]byte, 0, 512)
	b = strconv.AppendUint(b, uint64(c.LegacyVersion), 10)
	b = appendDecimals(append(b, ','), without(make([]event.CipherSuite, 0, many), c.CipherSuites))
	b = appendDecimals(append(b, ','), without(make([]event.Extension, 0, many), c.Extensions))
	b = appendDecimals(append(b, ','), without(make([]event.Group, 0, many), c.SupportedGroups))
	b = appendDecimals(append(b, ','), c.PointFormats)
	return md5Hex(b)
}

// ja3s is the server's: version, cipher suite, extensions.
func ja3s(h *event.ServerHello) string {
	b := make([]byte, 0, 128)
	b = strconv.AppendUint(b, uint64(h.LegacyVersion), 10)
	b = strconv.AppendUint(append(b, ','), uint64(h.CipherSuite), 10)
	b = appendDecimals(append(b, ','), without(make([]event.Extension, 0, many), h.Extensions))
	return md5Hex(b)
}

// appendDecimals joins values as JA3 does.
func appendDecimals[T ~uint16 | ~uint8](b []byte, values []T) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return b
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// ja4 is the client's fingerprint by the definition of FoxIO
// (github.com/FoxIO-LLC/ja4): a readable part, a hash of the cipher suites in
// ascending order, and a hash of the extensions in ascending order, without
// server name and ALPN, with the signature algorithms in the client's order.
func ja4(c *event.ClientHello) string {
	suites := without(make([]event.CipherSuite, 0, many), c.CipherSuites)
	extensions := without(make([]event.Extension, 0, many), c.Extensions)
	b := make([]byte, 0, 36)
	b = append(b, 't')
	b = append(b, ja4Version(ja4Offered(c))...)
	if slices.Contains(extensions, extServerName) {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	b = appendCount(appendCount(b, len(suites)), len(extensions))
	b = append(b, ja4ALPN(c.ALPN)...)

	list := make([]byte, 0, 512)
	slices.Sort(suites)
	b = appendJA4Hash(append(b, '_'), appendJA4List(list, suites))

	extensions = slices.DeleteFunc(extensions, func(e event.Extension) bool { return e == extServerName || e == extALPN })
	slices.Sort(extensions)
	list = appendJA4List(list, extensions)
	if schemes := without(make([]event.SignatureScheme, 0, many), c.SignatureSchemes); len(schemes) > 0 {
		list = appendJA4List(append(list, '_'), schemes)
	}
	return string(appendJA4Hash(append(b, '_'), list))
}

// ja4Offered is the newest version that the client offers.
func ja4Offered(c *event.ClientHello) event.Version {
	version, any := c.LegacyVersion, false
	for _, v := range c.SupportedVersions {
		if !v.IsGREASE() && (!any || v > version) {
			version, any = v, true
		}
	}
	return version
}

// ja4s is the server's: a readable part, the cipher suite, and a hash of the
// extensions in the server's order.
func ja4s(h *event.ServerHello) string {
	b := make([]byte, 0, 25)
	b = append(append(b, 't'), ja4Version(h.Version)...)
	b = appendCount(b, len(h.Extensions))
	b = append(b, ja4ALPN(h.ALPN)...)
	b = appendHex16(append(b, '_'), uint16(h.CipherSuite))
	return string(appendJA4Hash(append(b, '_'), appendJA4List(make([]byte, 0, 128), h.Extensions)))
}

// appendCount appends a number of two digits, at most 99.
func appendCount(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, '0'+byte(n/10), '0'+byte(n%10))
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

func appendJA4List[T ~uint16](b []byte, values []T) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendHex16(b, uint16(v))
	}
	return b
}

func appendHex16(b []byte, v uint16) []byte {
	return hex.AppendEncode(b, []byte{byte(v >> 8), byte(v)})
}

// appendJA4Hash appends the first twelve digits of a SHA-256, and zeros for
// nothing.
func appendJA4Hash(b, list []byte) []byte {
	if len(list) == 0 {
		return append(b, "000000000000"...)
	}
	sum := sha256.Sum256(list)
	return hex.AppendEncode(b, sum[:6])
}

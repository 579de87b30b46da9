package tlswire

import (
	"bytes"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"synscope/event"
)

// The extensions whose content is told.
const (
	extServerName          event.Extension = 0
	extStatusRequest       event.Extension = 5
	extSupportedGroups     event.Extension = 10
	extPointFormats        event.Extension = 11
	extSignatureAlgorithms event.Extension = 13
	extALPN                event.Extension = 16
	extEncryptThenMAC      event.Extension = 22
	extExtendedMaster      event.Extension = 23
	extCompressCertificate event.Extension = 27
	extRecordSizeLimit     event.Extension = 28
	extSessionTicket       event.Extension = 35
	extPreSharedKey        event.Extension = 41
	extEarlyData           event.Extension = 42
	extSupportedVersions   event.Extension = 43
	extCookie              event.Extension = 44
	extPSKModes            event.Extension = 45
	extAuthorities         event.Extension = 47
	extSignaturesCert      event.Extension = 50
	extKeyShare            event.Extension = 51
	extECH                 event.Extension = 0xfe0d
)

// maxServerName is the longest DNS name (RFC 1035, section 3.1).
const maxServerName = 255

// retryRandom marks a ServerHello as a HelloRetryRequest (RFC 8446, section
// 4.1.3).
var retryRandom = []byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

func isHelloRetryRequest(s *event.ServerHello) bool { return bytes.Equal(s.Random, retryRandom) }

const randomLen = 32

// HelloType returns the type of the handshake message with which b begins, if it
// looks like the first record of a side's handshake: 1 for a ClientHello, 2 for a
// ServerHello, and else 0. It is for finding TLS in a stream that begins with
// something else. It looks at the first eleven bytes (RFC 8446, sections 4 and
// 5.1): the record's type, version and length, the message's type and length,
// and the hello's legacy_version.
func HelloType(b []byte) uint8 {
	const start = headerLen + 4 + 2
	if len(b) < start || b[0] != recordHandshake || b[1] != 3 || b[2] > 4 {
		return 0
	}
	record := int(b[3])<<8 | int(b[4])
	message := int(b[6])<<16 | int(b[7])<<8 | int(b[8])
	switch {
	case b[5] != uint8(event.ClientHelloType) && b[5] != uint8(event.ServerHelloType),
		record < 4+2+randomLen || record > maxBody,
		message < 2+randomLen || message > maxMessage,
		b[9] != 3 || b[10] > 4:
		return 0
	}
	return b[5]
}

// readHello reads what both hellos start with: version, random, session ID.
func readHello(s *cryptobyte.String, v *event.Version, random, session *event.Hex) error {
	var id cryptobyte.String
	var r []byte
	switch {
	case !s.ReadUint16((*uint16)(v)):
		return truncated("legacy_version")
	case !s.ReadBytes(&r, randomLen):
		return truncated("random")
	case !s.ReadUint8LengthPrefixed(&id):
		return truncated("session_id")
	case len(id) > 32:
		return errors.New("session_id is longer than 32 bytes")
	}
	*random = bytes.Clone(r)
	if len(id) > 0 {
		*session = bytes.Clone(id)
	}
	return nil
}

// readHelloExtensions reads what both hellos end with; old ones may end without.
func readHelloExtensions(s *cryptobyte.String, f func(event.Extension, *cryptobyte.String) bool) ([]event.Extension, error) {
	var list cryptobyte.String
	if !s.Empty() && !s.ReadUint16LengthPrefixed(&list) {
		return nil, truncated("extensions")
	}
	return readExtensions(list, f)
}

// parseClientHello parses RFC 8446, section 4.1.2.
func parseClientHello(s *cryptobyte.String) (*event.ClientHello, error) {
	c := new(event.ClientHello)
	if err := readHello(s, &c.LegacyVersion, &c.Random, &c.SessionID); err != nil {
		return nil, err
	}
	var suites, compressions cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&suites) || !readUint16s(suites, &c.CipherSuites) {
		return nil, truncated("cipher_suites")
	}
	if !s.ReadUint8LengthPrefixed(&compressions) {
		return nil, truncated("compression_methods")
	}
	if !bytes.Equal(compressions, []byte{0}) {
		c.CompressionMethods = bytes.Clone(compressions)
	}
	var err error
	c.Extensions, err = readHelloExtensions(s, func(id event.Extension, s *cryptobyte.String) bool {
		return clientHelloLists(c, id, s) && s.Empty()
	})
	if err != nil {
		return nil, err
	}
	c.JA3, c.JA4 = ja3(c), ja4(c)
	return c, nil
}

// clientHelloLists parses the extensions that offer a list to choose from.
func clientHelloLists(c *event.ClientHello, id event.Extension, s *cryptobyte.String) bool {
	var list cryptobyte.String
	switch id {
	case extSupportedVersions:
		return s.ReadUint8LengthPrefixed(&list) && readUint16s(list, &c.SupportedVersions)
	case extSupportedGroups:
		return readList16(s, &c.SupportedGroups)
	case extKeyShare:
		return readKeyShares(s, &c.KeyShares)
	case extSignatureAlgorithms:
		return readList16(s, &c.SignatureSchemes)
	case extSignaturesCert:
		return readList16(s, &c.CertSignatures)
	case extALPN:
		return readALPN(s, &c.ALPN)
	case extPointFormats:
		ok := s.ReadUint8LengthPrefixed(&list)
		c.PointFormats = bytes.Clone(list)
		return ok
	case extPSKModes:
		ok := s.ReadUint8LengthPrefixed(&list)
		for _, m := range list {
			c.PSKModes = append(c.PSKModes, event.PSKMode(m))
		}
		return ok
	case extPreSharedKey:
		return readPSKs(s, &c.PSKIdentities)
	case extCompressCertificate:
		return s.ReadUint8LengthPrefixed(&list) && readUint16s(list, &c.CertificateCompress)
	}
	return clientHelloValues(c, id, s)
}

// clientHelloValues parses the others.
func clientHelloValues(c *event.ClientHello, id event.Extension, s *cryptobyte.String) bool {
	switch id {
	case extServerName:
		return readServerName(s, &c.ServerName)
	case extSessionTicket:
		c.SessionTicket = len(*s)
		return skip(s)
	case extEarlyData:
		c.EarlyData = true
		return s.Empty()
	case extCookie:
		var cookie cryptobyte.String
		ok := s.ReadUint16LengthPrefixed(&cookie)
		c.Cookie = len(cookie)
		return ok
	case extStatusRequest:
		c.StatusRequest = true
		return skip(s)
	case extExtendedMaster:
		c.ExtendedMaster = true
		return s.Empty()
	case extRecordSizeLimit:
		return s.ReadUint16(&c.RecordSizeLimit)
	case extECH:
		var typ uint8
		if !s.ReadUint8(&typ) || typ > 1 {
			return false
		}
		c.ECH = []string{"outer", "inner"}[typ]
		return skip(s)
	}
	return skip(s)
}

// readServerName reads RFC 6066, section 3. Names of other types are passed
// over.
func readServerName(s *cryptobyte.String, name *string) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return false
	}
	for !list.Empty() {
		var typ uint8
		var value cryptobyte.String
		if !list.ReadUint8(&typ) || !list.ReadUint16LengthPrefixed(&value) || len(value) > maxServerName {
			return false
		}
		if typ == 0 {
			*name = string(value)
		}
	}
	return true
}

// readKeyShares reads the groups of RFC 8446, section 4.2.8.
func readKeyShares(s *cryptobyte.String, groups *[]event.Group) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return false
	}
	for !list.Empty() {
		var group uint16
		var key cryptobyte.String
		if !list.ReadUint16(&group) || !list.ReadUint16LengthPrefixed(&key) {
			return false
		}
		*groups = append(*groups, event.Group(group))
	}
	return true
}

// readPSKs counts the identities of RFC 8446, section 4.2.11.
func readPSKs(s *cryptobyte.String, n *int) bool {
	var identities, binders, identity cryptobyte.String
	var age uint32
	if !s.ReadUint16LengthPrefixed(&identities) || !s.ReadUint16LengthPrefixed(&binders) {
		return false
	}
	for ; !identities.Empty(); *n++ {
		if !identities.ReadUint16LengthPrefixed(&identity) || !identities.ReadUint32(&age) {
			return false
		}
	}
	return true
}

// parseServerHello parses RFC 8446, section 4.1.3.
func parseServerHello(s *cryptobyte.String) (*event.ServerHello, error) {
	h := new(event.ServerHello)
	if err := readHello(s, &h.LegacyVersion, &h.Random, &h.SessionID); err != nil {
		return nil, err
	}
	var compression uint8
	if !s.ReadUint16((*uint16)(&h.CipherSuite)) || !s.ReadUint8(&compression) {
		return nil, truncated("cipher_suite")
	}
	h.Version = h.LegacyVersion
	retry := isHelloRetryRequest(h)
	var err error
	h.Extensions, err = readHelloExtensions(s, func(id event.Extension, s *cryptobyte.String) bool {
		return serverHelloExtension(h, retry, id, s) && s.Empty()
	})
	if err != nil {
		return nil, err
	}
	h.Downgrade = downgrade(h)
	h.JA3S, h.JA4S = ja3s(h), ja4s(h)
	return h, nil
}

func serverHelloExtension(h *event.ServerHello, retry bool, id event.Extension, s *cryptobyte.String) bool {
	switch id {
	case extSupportedVersions:
		return s.ReadUint16((*uint16)(&h.Version))
	case extKeyShare:
		var key cryptobyte.String
		return s.ReadUint16((*uint16)(&h.Group)) && (retry || s.ReadUint16LengthPrefixed(&key))
	case extPreSharedKey:
		h.PSK = new(uint16)
		return s.ReadUint16(h.PSK)
	case extALPN:
		return readALPN(s, &h.ALPN)
	case extSessionTicket:
		h.SessionTicket = true
	case extExtendedMaster:
		h.ExtendedMaster = true
	case extStatusRequest:
		h.StatusRequest = true
	case extCookie:
		var cookie cryptobyte.String
		ok := s.ReadUint16LengthPrefixed(&cookie)
		h.Cookie = len(cookie)
		return ok
	}
	return skip(s)
}

// downgrade reads the sentinel that a server of a newer version leaves in the
// random of an older one (RFC 8446, section 4.1.3).
func downgrade(h *event.ServerHello) string {
	if h.Version >= event.VersionTLS13 {
		return ""
	}
	switch tail := h.Random[randomLen-8:]; {
	case slices.Equal(tail, []byte("DOWNGRD\x01")):
		return "TLS 1.2"
	case slices.Equal(tail, []byte("DOWNGRD\x00")):
		return "TLS 1.1"
	}
	return ""
}

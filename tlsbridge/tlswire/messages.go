package tlswire

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"synscope/event"
)

// A messageContext is what a message's format depends on.
type messageContext struct {
	from    event.Side
	version event.Version // negotiated; 0 before the ServerHello
	suite   suite
}

func (c messageContext) is13() bool { return c.version == event.VersionTLS13 }

// errTrailing is malformed's reason for bytes after the last field.
var errTrailing = errors.New("trailing bytes")

func truncated(field string) error { return fmt.Errorf("%s is truncated", field) }

// parse sets the fields of a message, which has none yet. On an error it has set
// none. A message of an unknown type has no fields and no error.
func (c messageContext) parse(m *event.Message, body []byte) error {
	s, before := cryptobyte.String(body), *m
	err := c.parseFields(m, &s)
	if err != nil {
		*m = before
	}
	return err
}

func (c messageContext) parseFields(m *event.Message, s *cryptobyte.String) (err error) {
	switch m.Type {
	case event.ClientHelloType:
		m.ClientHello, err = parseClientHello(s)
	case event.ServerHelloType:
		if m.ServerHello, err = parseServerHello(s); err == nil && isHelloRetryRequest(m.ServerHello) {
			m.Type = event.HelloRetryRequest
		}
	case event.EncryptedExts:
		m.EncryptedExtensions, err = parseEncryptedExtensions(s)
	case event.CertificateType:
		m.Certificate, err = c.parseCertificate(s)
	case event.CompressedCertificate:
		m.Certificate, err = c.parseCompressedCertificate(s)
	case event.ServerKeyExchangeType:
		m.ServerKeyExchange, err = c.parseServerKeyExchange(s)
	case event.CertRequestType:
		m.CertificateRequest, err = c.parseCertificateRequest(s)
	case event.CertVerifyType:
		m.CertificateVerify, err = c.parseCertificateVerify(s)
	case event.CertStatusType:
		m.CertificateStatus, err = parseCertificateStatus(s)
	case event.ClientKeyExchangeType:
		m.ClientKeyExchange, err = c.parseClientKeyExchange(s)
	case event.FinishedType:
		m.Finished, err = parseFinished(s)
	case event.NewSessionTicketType:
		m.NewSessionTicket, err = c.parseNewSessionTicket(s)
	case event.KeyUpdateType:
		m.KeyUpdate, err = parseKeyUpdate(s)
	case event.HelloRequest, event.ServerHelloDone, event.EndOfEarlyData: // empty
	default:
		return nil
	}
	if err == nil && !s.Empty() {
		err = errTrailing
	}
	return err
}

// readExtensions calls f for each extension of a list without its length. f
// returns false if the data cannot be parsed or has bytes left.
func readExtensions(list cryptobyte.String, f func(event.Extension, *cryptobyte.String) bool) ([]event.Extension, error) {
	ids := make([]event.Extension, 0, countExtensions(list))
	var data cryptobyte.String // of the extension at hand; one for all, since f makes it escape
	for !list.Empty() {
		var id uint16
		if !list.ReadUint16(&id) || !list.ReadUint16LengthPrefixed(&data) {
			return nil, truncated("extension list")
		}
		ids = append(ids, event.Extension(id))
		n := len(data)
		if !f(event.Extension(id), &data) {
			return nil, fmt.Errorf("extension %v of %d bytes is malformed", event.Extension(id), n)
		}
	}
	return ids, nil
}

// countExtensions returns how many extensions a list has, up to the first that
// is cut short.
func countExtensions(list cryptobyte.String) (n int) {
	var data cryptobyte.String
	for list.Skip(2) && list.ReadUint16LengthPrefixed(&data) {
		n++
	}
	return n
}

// skip is the parse of an extension whose content is not told.
func skip(s *cryptobyte.String) bool { return s.Skip(len(*s)) }

// readUint16s reads the rest of s as a list.
func readUint16s[T ~uint16](s cryptobyte.String, out *[]T) bool {
	*out = slices.Grow(*out, len(s)/2)
	for !s.Empty() {
		var v uint16
		if !s.ReadUint16(&v) {
			return false
		}
		*out = append(*out, T(v))
	}
	return true
}

// readList16 reads a list of 16-bit values with a 16-bit length, which is all
// there is.
func readList16[T ~uint16](s *cryptobyte.String, out *[]T) bool {
	var list cryptobyte.String
	return s.ReadUint16LengthPrefixed(&list) && readUint16s(list, out) && s.Empty()
}

// readALPN reads a ProtocolNameList (RFC 7301, section 3.1).
func readALPN(s *cryptobyte.String, out *[]string) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return false
	}
	for !list.Empty() {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) || name.Empty() {
			return false
		}
		*out = append(*out, string(name))
	}
	return true
}

// parseEncryptedExtensions parses RFC 8446, section 4.3.1.
func parseEncryptedExtensions(s *cryptobyte.String) (*event.EncryptedExtensions, error) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return nil, truncated("extensions")
	}
	e := new(event.EncryptedExtensions)
	var err error
	e.Extensions, err = readExtensions(list, func(id event.Extension, s *cryptobyte.String) bool {
		switch id {
		case extALPN:
			return readALPN(s, &e.ALPN)
		case extEarlyData:
			e.EarlyData = true
			return s.Empty()
		}
		return skip(s)
	})
	return e, err
}

// parseServerKeyExchange parses RFC 8422, section 5.4, and RFC 5246, section
// 7.4.3; with a PSK suite a hint comes first (RFC 4279, RFC 5489). Of a key
// exchange that it does not know it tells nothing.
func (c messageContext) parseServerKeyExchange(s *cryptobyte.String) (*event.ServerKeyExchange, error) {
	k := new(event.ServerKeyExchange)
	var hint, point cryptobyte.String
	if c.suite.auth == "PSK" && !s.ReadUint16LengthPrefixed(&hint) {
		return nil, truncated("psk_identity_hint")
	}
	switch c.suite.kx {
	case "ECDHE", "ECDH":
		var curveType uint8
		const namedCurve = 3
		if !s.ReadUint8(&curveType) || curveType != namedCurve {
			return nil, errors.New("curve_type is not named_curve (3)")
		}
		if !s.ReadUint16((*uint16)(&k.Group)) || !s.ReadUint8LengthPrefixed(&point) {
			return nil, truncated("ECDH parameters")
		}
	case "DHE", "DH":
		var p, g, y cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&p) || !s.ReadUint16LengthPrefixed(&g) || !s.ReadUint16LengthPrefixed(&y) {
			return nil, truncated("DH parameters")
		}
		k.DHBits = new(big.Int).SetBytes(p).BitLen()
	case "RSA", "PSK":
		skip(s)
		return k, nil
	default:
		skip(s)
		return nil, nil
	}
	if c.suite.auth == "anon" || c.suite.auth == "PSK" {
		return k, nil
	}
	var signature cryptobyte.String
	if c.version >= event.VersionTLS12 && !s.ReadUint16((*uint16)(&k.SignatureScheme)) || !s.ReadUint16LengthPrefixed(&signature) {
		return nil, truncated("signature")
	}
	return k, nil
}

// parseClientKeyExchange parses RFC 8422, section 5.7, and RFC 5246, section
// 7.4.7; with a PSK suite an identity comes first.
func (c messageContext) parseClientKeyExchange(s *cryptobyte.String) (*event.ClientKeyExchange, error) {
	k := &event.ClientKeyExchange{Exchange: c.suite.kx}
	var identity, value cryptobyte.String
	if c.suite.auth == "PSK" {
		if !s.ReadUint16LengthPrefixed(&identity) {
			return nil, truncated("psk_identity")
		}
		if k.Exchange = "PSK"; c.suite.kx == "PSK" {
			return k, nil
		}
		k.Exchange = c.suite.kx + "_PSK"
	}
	switch {
	case c.suite.kx == "ECDHE" || c.suite.kx == "ECDH":
		if !s.ReadUint8LengthPrefixed(&value) {
			return nil, truncated("ecdh_Yc")
		}
	case c.suite.kx == "RSA" && c.version == event.VersionSSL30: // without a length
		value = *s
		skip(s)
	case c.suite.kx == "RSA":
		if !s.ReadUint16LengthPrefixed(&value) {
			return nil, truncated("EncryptedPreMasterSecret")
		}
	case c.suite.kx == "DHE" || c.suite.kx == "DH":
		if !s.Empty() && !s.ReadUint16LengthPrefixed(&value) { // empty: in the client's certificate
			return nil, truncated("dh_Yc")
		}
	default:
		skip(s)
		return nil, nil
	}
	k.Len = len(value)
	return k, nil
}

// parseCertificateVerify parses RFC 8446, section 4.4.3, and RFC 5246, section
// 7.4.8.
func (c messageContext) parseCertificateVerify(s *cryptobyte.String) (*event.CertificateVerify, error) {
	v := new(event.CertificateVerify)
	var signature cryptobyte.String
	if c.version >= event.VersionTLS12 && !s.ReadUint16((*uint16)(&v.SignatureScheme)) {
		return nil, truncated("algorithm")
	}
	if !s.ReadUint16LengthPrefixed(&signature) {
		return nil, truncated("signature")
	}
	v.Len = len(signature)
	return v, nil
}

// parseCertificateStatus parses RFC 6066, section 8, and RFC 6961.
func parseCertificateStatus(s *cryptobyte.String) (*event.CertificateStatus, error) {
	var typ uint8
	var response cryptobyte.String
	if !s.ReadUint8(&typ) || !s.ReadUint24LengthPrefixed(&response) {
		return nil, truncated("status")
	}
	return &event.CertificateStatus{Len: len(response)}, nil
}

// parseFinished parses RFC 8446, section 4.4.4, and RFC 5246, section 7.4.9.
func parseFinished(s *cryptobyte.String) (*event.Finished, error) {
	if s.Empty() {
		return nil, truncated("verify_data")
	}
	f := &event.Finished{VerifyData: bytes.Clone(*s)}
	skip(s)
	return f, nil
}

// parseNewSessionTicket parses RFC 8446, section 4.6.1, and RFC 5077, section
// 3.3.
func (c messageContext) parseNewSessionTicket(s *cryptobyte.String) (*event.NewSessionTicket, error) {
	t := new(event.NewSessionTicket)
	var ageAdd uint32
	var nonce, ticket, extensions cryptobyte.String
	if !s.ReadUint32(&t.Lifetime) {
		return nil, truncated("lifetime")
	}
	if c.is13() && (!s.ReadUint32(&ageAdd) || !s.ReadUint8LengthPrefixed(&nonce)) {
		return nil, truncated("ticket_nonce")
	}
	if !s.ReadUint16LengthPrefixed(&ticket) {
		return nil, truncated("ticket")
	}
	t.Len = len(ticket)
	if !c.is13() {
		return t, nil
	}
	if !s.ReadUint16LengthPrefixed(&extensions) {
		return nil, truncated("extensions")
	}
	_, err := readExtensions(extensions, func(id event.Extension, s *cryptobyte.String) bool {
		if id == extEarlyData {
			return s.ReadUint32(&t.MaxEarlyData) && s.Empty()
		}
		return skip(s)
	})
	return t, err
}

// parseKeyUpdate parses RFC 8446, section 4.6.3.
func parseKeyUpdate(s *cryptobyte.String) (*event.KeyUpdate, error) {
	var request uint8
	if !s.ReadUint8(&request) {
		return nil, truncated("request_update")
	}
	if request > 1 {
		return nil, fmt.Errorf("request_update is %d; want 0 or 1", request)
	}
	return &event.KeyUpdate{UpdateRequested: request == 1}, nil
}

// parseCompressedCertificate parses RFC 8879, section 4. Only zlib is
// decompressed; of other algorithms nothing is told.
func (c messageContext) parseCompressedCertificate(s *cryptobyte.String) (*event.Certificate, error) {
	var algorithm uint16
	var length uint32
	var compressed cryptobyte.String
	if !s.ReadUint16(&algorithm) || !s.ReadUint24(&length) || !s.ReadUint24LengthPrefixed(&compressed) {
		return nil, truncated("compressed_certificate_message")
	}
	const algorithmZlib = 1
	if algorithm != algorithmZlib {
		return nil, nil
	}
	if length > maxMessage {
		return nil, fmt.Errorf("uncompressed_length is %d; at most %d are read", length, maxMessage)
	}
	r, err := zlib.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(length)+1))
	if err != nil {
		return nil, err
	}
	if len(b) != int(length) {
		return nil, fmt.Errorf("uncompressed_length is %d, which is wrong", length)
	}
	inner := cryptobyte.String(b)
	chain, err := c.parseCertificate(&inner)
	if err == nil && !inner.Empty() {
		err = errTrailing
	}
	return chain, err
}

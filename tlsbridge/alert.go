package tlsbridge

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"hash"
	"io"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Alerts (RFC 8446, section 6; RFC 5246, section 7.2) that are sent without
// crypto/tls, which sends those of its own choice only.

const (
	alertFatal = 2

	alertHandshakeFailure = 40
	alertBadCertificate   = 42
	alertProtocolVersion  = 70
)

// plainAlert is the record of a fatal alert to a client that was sent nothing
// yet, whose highest version is given.
func plainAlert(highest uint16, alert uint8) []byte {
	v := min(highest, tls.VersionTLS12)
	return []byte{recordAlert, byte(v >> 8), byte(v), 0, 2, alertFatal, alert}
}

// A sealer sends an alert in TLS 1.3 behind crypto/tls's back. It knows the key
// of the direction, and counts the records that crypto/tls sends by it.
type sealer struct {
	aead    cipher.AEAD
	iv      []byte
	records atomic.Uint64
}

// newSealer returns a sealer for a direction whose traffic secret is given, and
// nil for a cipher suite that is not one of crypto/tls.
func newSealer(suite uint16, secret []byte) *sealer {
	var (
		h      func() hash.Hash = sha256.New
		keyLen                  = 16
		aead                    = gcm
	)
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		h, keyLen = sha512.New384, 32
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		keyLen, aead = 32, chacha20poly1305.New
	default:
		return nil
	}
	key, err := expandLabel(h, secret, "key", keyLen)
	if err != nil {
		return nil
	}
	iv, err := expandLabel(h, secret, "iv", 12)
	if err != nil {
		return nil
	}
	s := &sealer{iv: iv}
	if s.aead, err = aead(key); err != nil {
		return nil
	}
	return s
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
func expandLabel(h func() hash.Hash, secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len(label)))
	info = append(append(info, label...), 0)
	return hkdf.Expand(h, secret, string(info), n)
}

// alert writes a fatal alert as the next record (RFC 8446, section 5.2).
func (s *sealer) alert(w io.Writer, alert uint8) error {
	nonce := append([]byte(nil), s.iv...)
	low := nonce[len(nonce)-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^s.records.Load())
	inner := []byte{alertFatal, alert, recordAlert}
	header := []byte{recordApplicationData, 3, 3, 0, byte(len(inner) + s.aead.Overhead())}
	_, err := w.Write(s.aead.Seal(header, nonce, inner, header))
	return err
}

// count counts the records in what crypto/tls writes: whole ones.
func (s *sealer) count(b []byte) {
	for len(b) >= 5 {
		s.records.Add(1)
		b = b[min(5+int(binary.BigEndian.Uint16(b[3:])), len(b)):]
	}
}

package tlswire

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"strings"

	"synscope/event"
)

// A bulk is a way to protect records.
type bulk uint8

const (
	bulkUnknown  bulk = iota // not implemented here: Camellia, ARIA, SM4, export ciphers, …
	bulkNull                 // integrity only
	bulkRC4                  // RFC 5246, section 6.2.3.1
	bulkDES                  // CBC, RFC 5246, section 6.2.3.2
	bulk3DES                 // CBC
	bulkAES                  // CBC
	bulkGCM                  // RFC 5288; from here on AEADs
	bulkCCM                  // RFC 6655
	bulkCCM8                 // RFC 6655, with a tag of 8 bytes
	bulkChaCha20             // RFC 7905
)

// A suite is what the registered name of a cipher suite says of it.
type suite struct {
	kx     string // how keys are agreed: "ECDHE", "DHE", "ECDH", "DH", "RSA", "PSK", "SRP", …; "" in TLS 1.3
	auth   string // how the server is authenticated: "RSA", "ECDSA", "DSS", "anon", "PSK", …; "" in TLS 1.3
	bulk   bulk
	keyLen int              // of the bulk cipher's key, in bytes
	mac    func() hash.Hash // of the HMAC that protects a record; nil for an AEAD
	hash   func() hash.Hash // of the PRF (TLS 1.2) or of HKDF (TLS 1.3)
	// hashLen is how many bytes hash has.
	hashLen int
}

var bulks = map[string]struct {
	bulk   bulk
	keyLen int
}{
	"NULL":              {bulkNull, 0},
	"RC4_128":           {bulkRC4, 16},
	"DES_CBC":           {bulkDES, 8},
	"3DES_EDE_CBC":      {bulk3DES, 24},
	"AES_128_CBC":       {bulkAES, 16},
	"AES_256_CBC":       {bulkAES, 32},
	"AES_128_GCM":       {bulkGCM, 16},
	"AES_256_GCM":       {bulkGCM, 32},
	"AES_128_CCM":       {bulkCCM, 16},
	"AES_256_CCM":       {bulkCCM, 32},
	"AES_128_CCM_8":     {bulkCCM8, 16},
	"AES_256_CCM_8":     {bulkCCM8, 32},
	"CHACHA20_POLY1305": {bulkChaCha20, 32},
}

var hashes = map[string]func() hash.Hash{
	"MD5": md5.New, "SHA": sha1.New, "SHA256": sha256.New, "SHA384": sha512.New384,
}

// suiteOf reads the suite's registered name. What it does not know has
// bulkUnknown.
func suiteOf(cs event.CipherSuite) suite {
	name, ok := strings.CutPrefix(cs.String(), "TLS_")
	if !ok || strings.HasSuffix(name, "_SCSV") {
		return suite{}
	}
	var s suite
	protection := name
	if exchange, after, old := strings.Cut(name, "_WITH_"); old {
		protection = after
		s.kx, s.auth = keyExchangeOf(exchange)
	}
	s.hash, s.hashLen = sha256.New, sha256.Size // TLS 1.2 uses SHA-256 wherever the name says no better (RFC 5246, section 5)
	if strings.Contains(name, "EXPORT") {
		return s
	}
	cipher := protection
	var mac func() hash.Hash
	if i := strings.LastIndexByte(protection, '_'); i >= 0 {
		// The names of most suites with CCM end without a hash.
		if mac = hashes[protection[i+1:]]; mac != nil {
			cipher = protection[:i]
		}
	}
	if strings.HasSuffix(protection, "_SHA384") {
		s.hash, s.hashLen = sha512.New384, sha512.Size384
	}
	b := bulks[cipher]
	s.bulk, s.keyLen = b.bulk, b.keyLen
	if s.bulk != bulkUnknown && !s.aead() {
		s.mac = mac
	}
	return s
}

// aead reports whether records are protected by an AEAD.
func (s suite) aead() bool { return s.bulk >= bulkGCM }

// keyExchangeOf splits what stands before _WITH_.
func keyExchangeOf(s string) (kx, auth string) {
	s = strings.Replace(s, "_EXPORT", "", 1)
	switch {
	case s == "PSK_DHE": // TLS_PSK_DHE_WITH_AES_128_CCM_8 is registered the wrong way round
		return "DHE", "PSK"
	case s == "SRP_SHA":
		return "SRP", "SRP"
	}
	i := strings.LastIndexByte(s, '_')
	if i < 0 {
		return s, s // RSA, PSK, KRB5
	}
	return strings.TrimSuffix(s[:i], "_SHA"), s[i+1:]
}

// serverCertificate reports whether the server sends a Certificate in a full
// handshake of TLS 1.2 and older.
func (s suite) serverCertificate() bool {
	switch s.auth {
	case "RSA", "ECDSA", "DSS":
		return true
	case "PSK":
		return s.kx == "RSA" // RFC 4279, section 4
	}
	return false
}

// serverKeyExchange reports whether a ServerKeyExchange must follow in a full
// handshake of TLS 1.2 and older (RFC 5246, section 7.4.3).
func (s suite) serverKeyExchange() bool {
	return s.kx == "ECDHE" || s.kx == "DHE" || s.kx == "SRP" || s.auth == "anon"
}

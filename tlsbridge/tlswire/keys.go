package tlswire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"synscope/event"
)

const (
	recordApplicationData = 23
	nonceLen              = 12
)

var (
	errNoCipher = errors.New("cipher not implemented")
	errShort    = errors.New("record too short for its cipher")
	errAuth     = errors.New("record authentication failed")
)

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, section
// 7.1). It fills dst, with at most as many bytes as the hash has: the first block
// of HKDF-Expand (RFC 5869, section 2.3), which is one HMAC (RFC 2104). The hash
// is the one that has the secret's length, SHA-256 or SHA-384. It is called eight
// times for each handshake, where crypto/hkdf makes a dozen allocations each time.
func expandLabel(dst, secret []byte, label string) {
	const prefix, counter = "tls13 ", 1
	const room = sha512.BlockSize + 64 // of a padded key and what follows
	inner := pad(make([]byte, 0, room), secret, 0x36)
	inner = binary.BigEndian.AppendUint16(inner, uint16(len(dst)))
	inner = append(inner, byte(len(prefix)+len(label)))
	inner = append(append(inner, prefix...), label...)
	inner = append(inner, 0, counter)
	outer := pad(make([]byte, 0, room), secret, 0x5c)
	if len(secret) == sha256.Size {
		sum := sha256.Sum256(inner)
		sum = sha256.Sum256(append(outer, sum[:]...))
		copy(dst, sum[:])
		return
	}
	sum := sha512.Sum384(inner)
	sum = sha512.Sum384(append(outer, sum[:]...))
	copy(dst, sum[:])
}

// pad appends a key of HMAC, padded to a block of its hash, each byte XORed.
func pad(b, key []byte, xor byte) []byte {
	size := sha256.BlockSize
	if len(key) > sha256.Size {
		size = sha512.BlockSize
	}
	for _, k := range key {
		b = append(b, k^xor)
	}
	for range size - len(key) {
		b = append(b, xor)
	}
	return b
}

// A key13 opens the records of one direction and epoch of TLS 1.3 (RFC 8446,
// sections 5.2, 5.3 and 7.3).
type key13 struct {
	suite  suite
	secret []byte
	aead   opener
	block  cipher.Block // AES, for peeking; nil with ChaCha20
	chacha []byte       // the ChaCha20 key, for peeking
	iv     [nonceLen]byte
	seq    uint64 // of the next record

	nonce   [nonceLen]byte // scratch
	counter [aes.BlockSize]byte
}

func newKey13(s suite, secret []byte) (*key13, error) {
	if s.kx != "" || !s.aead() {
		return nil, errNoCipher
	}
	if len(secret) != s.hashLen {
		return nil, fmt.Errorf("secret of %d bytes, want %d", len(secret), s.hashLen)
	}
	k := &key13{suite: s, secret: secret}
	key := make([]byte, 32)[:s.keyLen]
	expandLabel(key, secret, "key")
	expandLabel(k.iv[:], secret, "iv")
	var err error
	if s.bulk == bulkChaCha20 {
		k.chacha = key
		k.aead, err = chacha20poly1305.New(key)
		return k, err
	}
	if k.block, err = aes.NewCipher(key); err == nil {
		k.aead, err = newAEAD(s.bulk, k.block)
	}
	return k, err
}

// newAEAD returns an AEAD of AES.
func newAEAD(b bulk, block cipher.Block) (opener, error) {
	switch b {
	case bulkCCM:
		return &ccm{block, 16}, nil
	case bulkCCM8:
		return &ccm{block, 8}, nil
	}
	return cipher.NewGCM(block)
}

// next returns the keys after a KeyUpdate (RFC 8446, section 7.2).
func (k *key13) next() (*key13, error) {
	secret := make([]byte, len(k.secret))
	expandLabel(secret, k.secret, "traffic upd")
	return newKey13(k.suite, secret)
}

// setNonce makes the nonce of the next record.
func (k *key13) setNonce() { xorNonce(&k.nonce, &k.iv, k.seq) }

func xorNonce(nonce, iv *[nonceLen]byte, seq uint64) {
	*nonce = *iv
	low := nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^seq)
}

// open decrypts a record's body into dst's capacity and returns the content and
// the inner type. Only a record that is authentic counts in the sequence.
func (k *key13) open(dst, body []byte) (content []byte, typ uint8, err error) {
	if len(body) < k.aead.Overhead()+1 {
		return nil, 0, errShort
	}
	k.setNonce()
	aad := [headerLen]byte{recordApplicationData, 3, 3, byte(len(body) >> 8), byte(len(body))}
	p, err := k.aead.Open(dst[:0], k.nonce[:], body, aad[:])
	if err != nil {
		return nil, 0, errAuth
	}
	k.seq++
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0 {
			return p[:i], p[i], nil
		}
	}
	return nil, 0, nil // nothing but padding: type 0 does not exist
}

// prf is the pseudorandom function of TLS 1.2 (RFC 5246, section 5), and with
// an older version that of RFC 2246, section 5.
func prf(v event.Version, h func() hash.Hash, secret []byte, label string, seed []byte, n int) []byte {
	seed = append([]byte(label), seed...)
	if v >= event.VersionTLS12 {
		return pHash(h, secret, seed, n)
	}
	half := (len(secret) + 1) / 2
	out := pHash(md5.New, secret[:half], seed, n)
	for i, b := range pHash(sha1.New, secret[len(secret)-half:], seed, n) {
		out[i] ^= b
	}
	return out
}

func pHash(h func() hash.Hash, secret, seed []byte, n int) []byte {
	m := hmac.New(h, secret)
	sum := func(parts ...[]byte) []byte {
		m.Reset()
		for _, p := range parts {
			m.Write(p)
		}
		return m.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

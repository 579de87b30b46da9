package tlswire

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
)

// peek returns the last byte of the plaintext of the next record without
// opening it: the inner type, or 0 if the record is padded (RFC 8446, section
// 5.2). All ciphers are counter modes, so one block of key stream decrypts
// one block of the record; nothing is authenticated, and no other byte of the
// content is decrypted. The sequence does not advance. A record too short to
// have an inner type gives 0.
func (k *key13) peek(u *unit) uint8 {
	last := u.size - k.aead.Overhead() - 1
	if last < 0 {
		return 0
	}
	k.setNonce()
	if k.block != nil {
		const size = len(k.counter)
		if k.suite.bulk == bulkGCM {
			// GCM starts the content at counter 2 (NIST SP 800-38D, section 7.1).
			copy(k.counter[:], k.nonce[:])
			binary.BigEndian.PutUint32(k.counter[nonceLen:], uint32(2+last/size))
		} else {
			k.counter = ccmCounter(k.nonce[:], uint32(1+last/size))
		}
		k.block.Encrypt(k.counter[:], k.counter[:])
		return u.byteAt(last) ^ k.counter[last%size]
	}
	// ChaCha20-Poly1305 starts it at counter 1 (RFC 8439, section 2.8).
	const size = 64
	c, err := chacha20.NewUnauthenticatedCipher(k.chacha, k.nonce[:])
	if err != nil {
		return 0
	}
	c.SetCounter(uint32(1 + last/size))
	var stream [size]byte
	c.XORKeyStream(stream[:], stream[:])
	return u.byteAt(last) ^ stream[last%size]
}

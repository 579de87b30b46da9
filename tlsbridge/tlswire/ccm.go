package tlswire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// An opener is what of a cipher.AEAD an observer needs.
type opener interface {
	Overhead() int
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// A ccm opens what AES-CCM sealed (RFC 3610), with nonces of 12 bytes. The
// standard library has no CCM.
type ccm struct {
	block cipher.Block
	tag   int // its length in bytes: 16, or 8 (RFC 6655, section 4)
}

func (c *ccm) Overhead() int { return c.tag }

// Open decrypts sealed into dst's capacity. Additional data is of less than
// 2^16-2^8 bytes.
func (c *ccm) Open(dst, nonce, sealed, additional []byte) ([]byte, error) {
	n := len(sealed) - c.tag
	if n < 0 {
		return nil, errShort
	}
	first := ccmCounter(nonce, 0)
	stream := cipher.NewCTR(c.block, first[:])
	var tag [aes.BlockSize]byte
	stream.XORKeyStream(tag[:], tag[:]) // the block of counter 0 is the tag's
	p := append(dst, sealed[:n]...)
	content := p[len(dst):]
	stream.XORKeyStream(content, content)
	sum := c.mac(nonce, content, additional)
	subtle.XORBytes(tag[:], tag[:], sum[:])
	if subtle.ConstantTimeCompare(tag[:c.tag], sealed[n:]) != 1 {
		clear(content)
		return nil, errAuth
	}
	return p, nil
}

// lengthBytes is how many bytes of a block hold a length or counter: what a nonce
// of 12 bytes leaves (L of RFC 3610).
const lengthBytes = aes.BlockSize - 1 - nonceLen

// ccmCounter is the block A_i of RFC 3610, section 2.3.
func ccmCounter(nonce []byte, i uint32) (a [aes.BlockSize]byte) {
	binary.BigEndian.PutUint32(a[nonceLen:], i)
	a[0] = lengthBytes - 1
	copy(a[1:], nonce)
	return a
}

// mac is the CBC-MAC of RFC 3610, section 2.2.
func (c *ccm) mac(nonce, content, additional []byte) (x [aes.BlockSize]byte) {
	x = ccmCounter(nonce, uint32(len(content)))
	x[0] |= byte((c.tag - 2) / 2 << 3)
	if len(additional) > 0 {
		x[0] |= 1 << 6
		additional = append(binary.BigEndian.AppendUint16(nil, uint16(len(additional))), additional...)
	}
	c.block.Encrypt(x[:], x[:])
	for _, b := range [][]byte{additional, content} { // each is padded with zeros
		for len(b) > 0 {
			n := subtle.XORBytes(x[:], x[:], b)
			c.block.Encrypt(x[:], x[:])
			b = b[n:]
		}
	}
	return x
}

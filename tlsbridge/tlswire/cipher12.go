package tlswire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/rc4"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"synscope/event"
)

// A key12 opens the records of one direction between two ChangeCipherSpecs of
// TLS 1.0 to 1.2 (RFC 5246, section 6.2.3).
type key12 struct {
	version        event.Version
	encryptThenMAC bool // RFC 7366
	seq            uint64

	aead     opener
	explicit bool // the nonce's last eight bytes stand in the record (RFC 5288, RFC 6655)
	iv       [nonceLen]byte

	mac    hash.Hash    // keyed; nil for an AEAD
	block  cipher.Block // CBC
	chain  []byte       // TLS 1.0: the last ciphertext block, which is the next IV
	stream *rc4.Cipher  // nil with a NULL cipher
}

// params12 is what the keys of TLS 1.2 and older are made of.
type params12 struct {
	version                    event.Version
	suite                      suite
	encryptThenMAC             bool
	clientRandom, serverRandom []byte
}

// newKey12 derives the keys of a sender (RFC 5246, section 6.3).
func newKey12(p params12, master []byte, sender event.Side) (*key12, error) {
	s := p.suite
	if s.bulk == bulkUnknown || p.version < event.VersionTLS10 {
		return nil, errNoCipher
	}
	var macLen int
	if s.mac != nil {
		macLen = s.mac().Size()
	}
	ivLen := map[bulk]int{bulkDES: 8, bulk3DES: 8, bulkAES: 16, bulkGCM: 4, bulkCCM: 4, bulkCCM8: 4, bulkChaCha20: nonceLen}[s.bulk]
	seed := append(append([]byte(nil), p.serverRandom...), p.clientRandom...)
	material := prf(p.version, s.hash, master, "key expansion", seed, 2*(macLen+s.keyLen+ivLen))
	take := func(n int) []byte { // the client's share comes first, then the server's
		both := material[:2*n]
		material = material[2*n:]
		if sender == event.Client {
			return both[:n]
		}
		return both[n:]
	}
	macKey, key, iv := take(macLen), take(s.keyLen), take(ivLen)
	k := &key12{version: p.version}
	if s.mac != nil {
		k.mac = hmac.New(s.mac, macKey)
	}
	copy(k.iv[:], iv)
	err := k.setCipher(s.bulk, key)
	if k.block != nil {
		k.encryptThenMAC = p.encryptThenMAC
		if p.version == event.VersionTLS10 {
			k.chain = iv
		}
	}
	return k, err
}

func (k *key12) setCipher(b bulk, key []byte) (err error) {
	switch b {
	case bulkRC4:
		k.stream, err = rc4.NewCipher(key)
	case bulkDES:
		k.block, err = des.NewCipher(key)
	case bulk3DES:
		k.block, err = des.NewTripleDESCipher(key)
	case bulkAES:
		k.block, err = aes.NewCipher(key)
	case bulkGCM, bulkCCM, bulkCCM8:
		k.explicit = true
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			k.aead, err = newAEAD(b, block)
		}
	case bulkChaCha20:
		k.aead, err = chacha20poly1305.New(key)
	}
	return err
}

// skip passes over a record without opening it: only the sequence and what
// chains one record to the next are kept. dst is scratch of at least the
// record's length.
func (k *key12) skip(dst []byte, u *unit) {
	k.seq++
	switch {
	case k.stream != nil:
		k.stream.XORKeyStream(dst[:u.size], u.body())
	case k.chain != nil:
		body := u.body()
		if k.encryptThenMAC {
			body = body[:max(0, len(body)-k.mac.Size())]
		}
		if n := k.block.BlockSize(); len(body) >= n {
			copy(k.chain, body[len(body)-n:])
		}
	}
}

// open decrypts a record's body into dst, which is at least as long.
func (k *key12) open(dst []byte, typ uint8, body []byte) ([]byte, error) {
	var p []byte
	var err error
	switch {
	case k.aead != nil:
		p, err = k.openAEAD(dst, typ, body)
	case k.block != nil:
		p, err = k.openCBC(dst, typ, body)
	default:
		p = dst[:copy(dst, body)]
		if k.stream != nil {
			k.stream.XORKeyStream(p, p)
		}
		p, err = k.checkMAC(typ, p)
	}
	k.seq++
	return p, err
}

func (k *key12) openAEAD(dst []byte, typ uint8, body []byte) ([]byte, error) {
	var nonce [nonceLen]byte
	if k.explicit {
		const n = 8
		if len(body) < n {
			return nil, errShort
		}
		copy(nonce[:], k.iv[:nonceLen-n])
		copy(nonce[nonceLen-n:], body[:n])
		body = body[n:]
	} else {
		xorNonce(&nonce, &k.iv, k.seq)
	}
	n := len(body) - k.aead.Overhead()
	if n < 0 {
		return nil, errShort
	}
	p, err := k.aead.Open(dst[:0], nonce[:], body, k.header(typ, n))
	if err != nil {
		return nil, errAuth
	}
	return p, nil
}

// header is what is authenticated besides the content: sequence number, type,
// version, length.
func (k *key12) header(typ uint8, n int) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 13), k.seq)
	b = append(b, typ)
	b = binary.BigEndian.AppendUint16(b, uint16(k.version))
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

// checkMAC checks the MAC at the end of b over the bytes before it, and
// returns b without it.
func (k *key12) checkMAC(typ uint8, b []byte) ([]byte, error) {
	n := len(b) - k.mac.Size()
	if n < 0 {
		return nil, errShort
	}
	k.mac.Reset()
	k.mac.Write(k.header(typ, n))
	k.mac.Write(b[:n])
	if !hmac.Equal(k.mac.Sum(nil), b[n:]) {
		return nil, errAuth
	}
	return b[:n], nil
}

func (k *key12) openCBC(dst []byte, typ uint8, body []byte) ([]byte, error) {
	var err error
	if k.encryptThenMAC {
		if body, err = k.checkMAC(typ, body); err != nil {
			return nil, err
		}
	}
	size := k.block.BlockSize()
	iv := k.chain
	if iv == nil {
		if len(body) < size {
			return nil, errShort
		}
		iv, body = body[:size], body[size:]
	}
	if len(body) == 0 || len(body)%size != 0 {
		return nil, errShort
	}
	p := dst[:len(body)]
	cipher.NewCBCDecrypter(k.block, iv).CryptBlocks(p, body)
	if k.chain != nil {
		copy(k.chain, body[len(body)-size:])
	}
	padding := int(p[len(p)-1])
	if padding >= len(p) {
		return nil, errAuth
	}
	for _, b := range p[len(p)-1-padding:] {
		if int(b) != padding {
			return nil, errAuth
		}
	}
	p = p[:len(p)-1-padding]
	if k.encryptThenMAC {
		return p, nil
	}
	return k.checkMAC(typ, p)
}

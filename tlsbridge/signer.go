package tlsbridge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"io"
	"time"
)

// timed returns key so that each of its uses is told as a step. It can decrypt
// (RSA key exchange) exactly if key can.
func timed(key crypto.PrivateKey, w watch) crypto.PrivateKey {
	signer, ok := key.(crypto.Signer)
	if !ok || w.to == nil {
		return key
	}
	s := timedSigner{signer, w}
	if d, ok := key.(crypto.Decrypter); ok {
		return timedDecrypter{s, d}
	}
	return s
}

type timedSigner struct {
	crypto.Signer
	watch watch
}

func (s timedSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	start := time.Now()
	signature, err := s.Signer.Sign(rand, digest, opts)
	s.watch.timed(stepSign, keyName(s.Public())+", "+hashName(opts), start, err)
	return signature, err
}

type timedDecrypter struct {
	timedSigner
	decrypter crypto.Decrypter
}

func (d timedDecrypter) Decrypt(rand io.Reader, message []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	start := time.Now()
	plain, err := d.decrypter.Decrypt(rand, message, opts)
	d.watch.timed(stepSign, keyName(d.Public())+", decrypting the premaster secret", start, err)
	return plain, err
}

func keyName(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", key)
}

func hashName(opts crypto.SignerOpts) string {
	h := opts.HashFunc()
	switch {
	case h == 0:
		return "no hash" // Ed25519 signs the message itself
	case h == crypto.MD5SHA1:
		return "MD5+SHA-1"
	}
	if _, ok := opts.(*rsa.PSSOptions); ok {
		return "PSS " + h.String()
	}
	return h.String()
}

package tlsbridge

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"
)

// A standing is what a client is to make of the issuer of a certificate.
type standing uint8

const (
	trusted    standing = iota // an authority that it trusts
	selfSigned                 // the certificate itself
	stranger                   // an authority that it does not know
)

// A judgement is what is wrong with a certificate, as far as it is not to be seen
// from it: its names, its own validity and its purpose are for the client to
// judge.
type judgement struct {
	standing standing
	// until is when an authority of it expired, zero if none did.
	until time.Time
}

func (j judgement) String() string {
	s := [...]string{trusted: "of our authority", selfSigned: "self-signed", stranger: "of an authority that nobody knows"}[j.standing]
	if !j.until.IsZero() {
		s += ", expired with an authority of it"
	}
	return s
}

// judge judges the first certificate of a chain by the roots, nil for those of the
// system.
func judge(chain []*x509.Certificate, roots *x509.CertPool) judgement {
	leaf := timeless(chain[0])
	verify := func(as func(*x509.Certificate) *x509.Certificate) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		for _, c := range chain[1:] {
			opts.Intermediates.AddCert(as(c))
		}
		_, err := leaf.Verify(opts)
		return err
	}
	if verify(func(c *x509.Certificate) *x509.Certificate { return c }) == nil {
		return judgement{standing: trusted}
	}
	if verify(timeless) == nil {
		return judgement{standing: trusted, until: firstExpiry(chain[1:])}
	}
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
		return judgement{standing: selfSigned}
	}
	return judgement{standing: stranger}
}

// timeless returns a certificate that is valid at any time.
func timeless(c *x509.Certificate) *x509.Certificate {
	always := *c
	always.NotBefore, always.NotAfter = time.Time{}, time.Now().Add(rootLifetime)
	return &always
}

// firstExpiry returns when the first of the certificates expired.
func firstExpiry(certs []*x509.Certificate) (first time.Time) {
	for _, c := range certs {
		if c.NotAfter.Before(time.Now()) && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
	return first
}

// imitate returns a certificate that a client thinks of what it would think of
// the real one, which is the first of a chain: with the same subject, names,
// validity and purposes, and a key of the same kind, issued as judged. Its key is
// not to be changed.
func (a *Authority) imitate(chain []*x509.Certificate, j judgement) (*tls.Certificate, error) {
	real := chain[0]
	id := leafID{real: sha256.Sum256(real.Raw), judged: j, sent: len(chain)}
	if cert := a.leaves.get(id); cert != nil {
		copied := *cert
		return &copied, nil
	}
	cert, err := a.mintLikeness(chain, j)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: imitating the certificate of %q: %w", bounded(real.Subject.String()), err)
	}
	a.leaves.put(id, cert)
	copied := *cert
	return &copied, nil
}

func (a *Authority) mintLikeness(chain []*x509.Certificate, j judgement) (*tls.Certificate, error) {
	real := chain[0]
	key, err := a.keys.like(real.PublicKey)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		RawSubject:            real.RawSubject,
		NotBefore:             real.NotBefore,
		NotAfter:              real.NotAfter,
		KeyUsage:              real.KeyUsage,
		ExtKeyUsage:           real.ExtKeyUsage,
		UnknownExtKeyUsage:    real.UnknownExtKeyUsage,
		BasicConstraintsValid: real.BasicConstraintsValid,
		IsCA:                  real.IsCA,
	}
	if !j.until.IsZero() && j.until.Before(template.NotAfter) {
		template.NotAfter = j.until
	}
	for _, e := range real.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	var parent *x509.Certificate
	var signer crypto.Signer
	var shown [][]byte // of the issuers
	switch j.standing {
	case trusted:
		parent, signer = a.cert, a.signer
	case selfSigned:
		parent, signer = template, key
	case stranger:
		root, err := a.strangerNamed(real)
		if err != nil {
			return nil, err
		}
		parent, signer = root, a.keys.stranger
		if last := chain[len(chain)-1]; len(chain) > 1 && bytes.Equal(last.RawIssuer, last.RawSubject) {
			shown = [][]byte{root.Raw}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, shown...), PrivateKey: key, Leaf: leaf}, nil
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17} // RFC 5280, section 4.2.1.6

// strangerNamed returns a root certificate that nobody trusts, with the name of
// the issuer of a real one.
func (a *Authority) strangerNamed(real *x509.Certificate) (*x509.Certificate, error) {
	now := a.now()
	template := &x509.Certificate{
		SerialNumber: newSerial(), RawSubject: real.RawIssuer,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(rootLifetime),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.keys.stranger.Public(), a.keys.stranger)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// like returns a key of the kind of another: of its algorithm and, where that is
// cheap, its size.
func (k *leafKeys) like(real crypto.PublicKey) (crypto.Signer, error) {
	switch real := real.(type) {
	case *rsa.PublicKey:
		if bits := real.N.BitLen(); bits >= 1024 && bits < 2048 { // clients may think it too short, and it is made soon
			return rsa.GenerateKey(rand.Reader, bits)
		}
		return k.rsa()
	case *ecdsa.PublicKey:
		if real.Curve == elliptic.P256() {
			return k.ecdsa, nil
		}
		return ecdsa.GenerateKey(real.Curve, rand.Reader)
	case ed25519.PublicKey:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("a key of type %T", real)
}

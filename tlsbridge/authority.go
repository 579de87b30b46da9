package tlsbridge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// The files of an authority, in the directory given to LoadOrCreateAuthority.
const (
	certificateFile = "ca.pem"
	keyFile         = "ca-key.pem"
)

const (
	rootLifetime = 10 * 365 * 24 * time.Hour
	// backdate makes a certificate valid for a client whose clock is behind.
	backdate = 24 * time.Hour
)

// An Authority is a root certificate with its key. It mints the certificates
// of our TLS endpoint. It is safe for concurrent use.
type Authority struct {
	cert   *x509.Certificate
	signer crypto.Signer
	leaves *leafCache
	keys   *leafKeys
	now    func() time.Time
}

// NewAuthority returns a new authority that exists in memory only.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: generating the key of the authority: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: encoding the key of the authority: %w", err)
	}
	sum := sha256.Sum256(der)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// The name is unique: a client that trusts an older authority must
		// not take it for the issuer.
		Subject:               pkix.Name{Organization: []string{"synscope"}, CommonName: fmt.Sprintf("synscope root CA %x", sum[:4])},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(rootLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: signing the root certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: reading the new root certificate: %w", err)
	}
	return newAuthority(cert, key)
}

// newAuthority checks that cert and key belong together and can sign.
func newAuthority(cert *x509.Certificate, key crypto.Signer) (*Authority, error) {
	type equaler interface {
		Equal(crypto.PublicKey) bool
	}
	if pub, ok := cert.PublicKey.(equaler); !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("the key is not the key of the certificate")
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("the certificate of %q is not of a certification authority", cert.Subject)
	}
	if now := time.Now(); now.After(cert.NotAfter) {
		return nil, fmt.Errorf("the certificate expired on %s: move both files away to have new ones made", cert.NotAfter.Format(time.DateOnly))
	}
	keys, err := newLeafKeys()
	if err != nil {
		return nil, err
	}
	return &Authority{cert: cert, signer: key, leaves: newLeafCache(maxLeaves), keys: keys, now: time.Now}, nil
}

// Certificate returns the root certificate. It must not be changed.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// PEM returns the root certificate as PEM, to be put into trust stores.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// LoadOrCreateAuthority returns the authority whose certificate is in ca.pem and
// whose key is in ca-key.pem, both in dir, and creates both if there is neither.
// It never overwrites a file. The key must be readable by its owner only, and
// the certificate writable by its owner only.
//
// The key file that it writes holds the certificate too, and appears whole or
// not at all: if ca.pem is missing beside it, ca.pem is written again.
func LoadOrCreateAuthority(dir string) (*Authority, error) {
	keyPath, certPath := filepath.Join(dir, keyFile), filepath.Join(dir, certificateFile)
	// Asked before the key is looked for: another process that creates both at
	// this moment creates the key first.
	_, certErr := os.Lstat(certPath)
	keyPEM, err := readPrivate(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		if certErr == nil {
			return nil, fmt.Errorf("tlsbridge: %s is there, but its key %s is not: bring the key back, or remove the certificate to have new ones made", certPath, keyPath)
		}
		if keyPEM, err = createAuthority(keyPath); errors.Is(err, fs.ErrExist) {
			keyPEM, err = readPrivate(keyPath) // another process was faster
		}
	}
	if err != nil {
		return nil, err
	}
	cert, key, err := parseAuthority(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: %s: %w", keyPath, err)
	}
	published, err := loadOrRestoreCertificate(certPath, keyPath, cert)
	if err != nil {
		return nil, err
	}
	if cert != nil && !published.Equal(cert) {
		return nil, fmt.Errorf("tlsbridge: %s holds another certificate than %s: remove the wrong one of them", certPath, keyPath)
	}
	a, err := newAuthority(published, key)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: %s with %s: %w", certPath, keyPath, err)
	}
	return a, nil
}

// createAuthority makes a new authority and publishes its key file, which is
// the moment from which on it exists.
func createAuthority(keyPath string) ([]byte, error) {
	a, err := NewAuthority()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.signer)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: encoding the key of the authority: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	text = append(text, a.PEM()...)
	return text, writeExclusive(keyPath, text, privateMode)
}

// loadOrRestoreCertificate reads the certificate at path. If there is none, it
// writes the copy from the key file, if there is one.
func loadOrRestoreCertificate(path, keyPath string, copied *x509.Certificate) (*x509.Certificate, error) {
	text, err := readPublic(path)
	if errors.Is(err, fs.ErrNotExist) {
		if copied == nil {
			return nil, fmt.Errorf("tlsbridge: %s is there, but its certificate %s is not: bring it back, or move the key away to have new ones made", keyPath, path)
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: copied.Raw})
		if err := writeExclusive(path, block, publicMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		text, err = readPublic(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("tlsbridge: %s: no PEM block of type CERTIFICATE", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: %s: %w", path, err)
	}
	return cert, nil
}

// parseAuthority reads a key file: a PKCS #8 key, and the certificate if the
// file was written by this package.
func parseAuthority(text []byte) (cert *x509.Certificate, key crypto.Signer, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			signer, ok := k.(crypto.Signer)
			if !ok {
				return nil, nil, fmt.Errorf("a key of type %T cannot sign", k)
			}
			key = signer
		case "CERTIFICATE":
			if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
				return nil, nil, err
			}
		}
	}
	if key == nil {
		return nil, nil, errors.New("no PEM block of type PRIVATE KEY (PKCS #8)")
	}
	return cert, key, nil
}

// newSerial returns a serial number of 127 random bits: positive, and of at
// most 20 octets (RFC 5280, section 4.1.2.2).
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

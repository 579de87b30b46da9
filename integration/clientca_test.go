package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"testing"
	"time"
)

// An issuer is an authority for the certificates of clients.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of the certificate, PEM
}

// clientName is the name of every client that has a certificate.
const clientName = "customer"

// newIssuer makes an authority, whose certificate is a file of the lab.
func (l *lab) newIssuer(name string) *issuer {
	l.t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	i := &issuer{cert: template, key: newKey(l.t)}
	der := i.sign(l.t, template, i.key)
	var err error
	if i.cert, err = x509.ParseCertificate(der); err != nil {
		l.t.Fatal(err)
	}
	i.path = l.writePEM(name+".pem", "CERTIFICATE", der)
	return i
}

// clientCert issues a certificate for a client, and returns the arguments that
// make s_client use it.
func (l *lab) clientCert(i *issuer) []string {
	l.t.Helper()
	key := newKey(l.t)
	der := i.sign(l.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: clientName}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		l.t.Fatal(err)
	}
	return []string{
		"-cert", l.writePEM("client.pem", "CERTIFICATE", der),
		"-key", l.writePEM("client-key.pem", "PRIVATE KEY", private),
	}
}

// sign issues a certificate for the key, valid today.
func (i *issuer) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, key.Public(), i.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writePEM writes a file of the lab and returns its path.
func (l *lab) writePEM(name, kind string, der []byte) string {
	l.t.Helper()
	path := l.path(name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

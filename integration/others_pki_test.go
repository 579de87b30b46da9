package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// A pki is an authority in a folder, and the certificates of servers and clients
// that it issued: NAME.pem, with the chain, and NAME.key.
//
//	ca ─┬─ rsa, ecdsa (with ca behind it), ed25519, client
//	    └─ link 1 ─ link 2 ─ … ─ chained
type pki struct {
	t   *testing.T
	dir string
}

// The long chain has that many intermediates, each with so many bytes of name, so
// that the Certificate message needs several records.
const (
	chainLinks   = 6
	chainPadding = 4000
)

func newPKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{t: t, dir: t.TempDir()}
	os.Chmod(p.dir, 0o755) // nginx's workers are not root
	ca := p.issue("ca", p.key(elliptic.P256()), nil, nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.issue("rsa", rsaKey, ca, nil)
	leaf := p.issue("ecdsa", p.key(elliptic.P256()), ca, block("CERTIFICATE", ca.cert.Raw))
	_, edKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.issue("ed25519", edKey, ca, nil)
	p.issue("client", p.key(elliptic.P256()), ca, nil)
	parent, chain := ca, []byte(nil)
	for i := range chainLinks {
		link := p.issue(fmt.Sprintf("link %d", i+1), p.key(elliptic.P256()), parent, nil)
		chain = append(block("CERTIFICATE", link.cert.Raw), chain...)
		parent = link
	}
	p.issue("chained", p.key(elliptic.P256()), parent, chain)
	p.staple(ca, leaf)
	return p
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) key(c elliptic.Curve) crypto.Signer {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return k
}

// An issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue writes a certificate of a key, signed by parent (nil: by itself), before
// its chain. It is an authority if its name is ca or link.
func (p *pki) issue(name string, key crypto.Signer, parent *issued, chain []byte) *issued {
	p.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true,
	}
	if name == "ca" || strings.HasPrefix(name, "link") {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		if name != "ca" {
			template.Subject.OrganizationalUnit = []string{strings.Repeat("x", chainPadding)}
		}
	} else {
		template.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		template.DNSNames = []string{hostname}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	signer := &issued{template, key}
	if parent != nil {
		signer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		p.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name+".pem", append(block("CERTIFICATE", der), chain...), 0o644)
	p.write(name+".key", block("PRIVATE KEY", pkcs8), 0o600)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return &issued{cert, key}
}

// staple writes an OCSP response for the certificate ecdsa.
func (p *pki) staple(ca, leaf *issued) {
	p.t.Helper()
	der, err := ocsp.CreateResponse(ca.cert, ca.cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: leaf.cert.SerialNumber, Certificate: ca.cert,
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}, ca.key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("ecdsa.ocsp", der, 0o644)
}

func (p *pki) write(name string, b []byte, mode os.FileMode) {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), b, mode); err != nil {
		p.t.Fatal(err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

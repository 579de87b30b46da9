package tlsbridge

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"
)

// A real is a certificate of the world, with its key.
type real struct {
	*x509.Certificate
	key crypto.Signer
}

// issue makes a certificate of the world, by parent (nil: by itself).
func issue(t testing.TB, parent *real, change func(c *x509.Certificate)) *real {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, parent, change)
}

func issueFor(t testing.TB, key crypto.Signer, parent *real, change func(c *x509.Certificate)) *real {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{Organization: []string{"Shop"}, CommonName: "shop.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"shop.example", "*.shop.example"}, BasicConstraintsValid: true,
	}
	change(template)
	if parent == nil {
		parent = &real{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &real{cert, key}
}

func asAuthority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.ExtKeyUsage, c.DNSNames = true, x509.KeyUsageCertSign, nil, nil
	c.Subject.CommonName = "Authority " + c.SerialNumber.String()
}

// pair is the certificate as a server of crypto/tls has it, with what it sends
// besides.
func (r *real) pair(besides ...*real) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{r.Raw}, PrivateKey: r.key}
	for _, b := range besides {
		c.Certificate = append(c.Certificate, b.Raw)
	}
	return c
}

// opinion is what a client thinks of a chain for a name: "" or the kind of error.
func opinion(chain []*x509.Certificate, roots *x509.CertPool, name string) string {
	opts := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return fmt.Sprintf("invalid, reason %d", invalid.Reason)
	}
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%T", err)
}

// A client that trusts our authority thinks of a likeness what one that trusts
// the roots of the world thinks of the real certificate.
func TestLikeness(t *testing.T) {
	root := issue(t, nil, asAuthority)
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	ours := x509.NewCertPool()
	ours.AddCert(authority().Certificate())

	link := issue(t, root, asAuthority)
	oldLink := issue(t, root, func(c *x509.Certificate) {
		asAuthority(c)
		c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-2, 0, 0), c.NotAfter.AddDate(-1, 0, 0)
	})
	other := issue(t, nil, asAuthority)
	as := func(*x509.Certificate) {}
	for _, c := range []struct {
		name  string
		chain []*real
		want  string // of the real one
	}{
		{"good", []*real{issue(t, root, as)}, ""},
		{"behind an intermediate", []*real{issue(t, link, as), link}, ""},
		{"an intermediate missing", []*real{issue(t, link, as)}, "x509.UnknownAuthorityError"},
		{"an intermediate expired", []*real{issue(t, oldLink, as), oldLink}, "invalid, reason 1"},
		{"expired", []*real{issue(t, root, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-1, 0, 0), c.NotAfter.AddDate(0, -1, 0)
		})}, "invalid, reason 1"},
		{"not yet valid", []*real{issue(t, root, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(1, 0, 0), c.NotAfter.AddDate(2, 0, 0)
		})}, "invalid, reason 1"},
		{"expired, of nobody", []*real{issue(t, other, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-1, 0, 0), c.NotAfter.AddDate(0, -1, 0)
		})}, "invalid, reason 1"},
		{"self-signed", []*real{issue(t, nil, as)}, "x509.UnknownAuthorityError"},
		{"of nobody", []*real{issue(t, other, as)}, "x509.UnknownAuthorityError"},
		{"of nobody, who is shown", []*real{issue(t, other, as), other}, "x509.UnknownAuthorityError"},
		{"wrong name", []*real{issue(t, root, func(c *x509.Certificate) { c.DNSNames = []string{"elsewhere.example"} })}, "x509.HostnameError"},
		{"no name", []*real{issue(t, root, func(c *x509.Certificate) { c.DNSNames = nil })}, "x509.HostnameError"},
		{"for clients", []*real{issue(t, root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })}, "invalid, reason 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var chain []*x509.Certificate
			for _, r := range c.chain {
				chain = append(chain, r.Certificate)
			}
			got := opinion(chain, roots, "shop.example")
			if got != c.want {
				t.Fatalf("the real one is %q, want %q", got, c.want)
			}
			cert, err := authority().imitate(chain, judge(chain, roots))
			if err != nil {
				t.Fatal(err)
			}
			var shown []*x509.Certificate
			for _, der := range cert.Certificate {
				parsed, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				shown = append(shown, parsed)
			}
			if got := opinion(shown, ours, "shop.example"); got != c.want {
				t.Errorf("the likeness is %q, want %q", got, c.want)
			}
			selfIssued := func(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }
			if selfIssued(chain[0]) != selfIssued(shown[0]) {
				t.Errorf("the real one is issued by itself: %v, the likeness: %v", selfIssued(chain[0]), selfIssued(shown[0]))
			}
			again, err := authority().imitate(chain, judge(chain, roots))
			if err != nil || !bytes.Equal(again.Certificate[0], cert.Certificate[0]) {
				t.Errorf("it is made again: %v", err)
			}
		})
	}
}

// What can be read in a certificate is the same in its likeness.
func TestLikenessIsLike(t *testing.T) {
	root := issue(t, nil, asAuthority)
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := authority().keys.rsa()
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{p384, rsaKey, short, ed} {
		r := issueFor(t, key, root, func(c *x509.Certificate) {
			c.Subject = pkix.Name{Country: []string{"NO"}, Organization: []string{"Ship & Co"}, CommonName: "ship"}
			c.IPAddresses, c.EmailAddresses = []net.IP{net.IPv4(192, 0, 2, 7)}, []string{"a@ship.example"}
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: "ship.example", Path: "/x"}}
			c.KeyUsage |= x509.KeyUsageKeyEncipherment
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
			c.CRLDistributionPoints, c.OCSPServer = []string{"http://crl.example/"}, []string{"http://ocsp.example/"}
		})
		chain := []*x509.Certificate{r.Certificate}
		cert, err := authority().imitate(chain, judge(chain, roots))
		if err != nil {
			t.Fatal(err)
		}
		what := func(c *x509.Certificate) string {
			bits := 0
			switch k := c.PublicKey.(type) {
			case *rsa.PublicKey:
				bits = k.N.BitLen()
			case *ecdsa.PublicKey:
				bits = k.Params().BitSize
			}
			return fmt.Sprintln(c.Subject, c.NotBefore, c.NotAfter, c.DNSNames, c.IPAddresses, c.EmailAddresses, c.URIs,
				c.KeyUsage, c.ExtKeyUsage, c.IsCA, c.PublicKeyAlgorithm, bits)
		}
		if got, want := what(cert.Leaf), what(r.Certificate); got != want {
			t.Errorf("the likeness is\n%s, want\n%s", got, want)
		}
		if cert.Leaf.SerialNumber.Cmp(r.SerialNumber) == 0 {
			t.Error("it has the serial number of the real one")
		}
		if cert.Leaf.OCSPServer != nil || cert.Leaf.CRLDistributionPoints != nil {
			t.Error("clients are to ask an authority that does not know it")
		}
	}
}

package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// newRoot makes a root certificate.
func newRoot(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// file writes a file for the test and returns its path.
func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// over returns the file that is to be seen instead of path, or nil.
func (i *Injection) over(path string) *File {
	for n := range i.Files {
		if slices.Contains(i.Files[n].Over, path) {
			return &i.Files[n]
		}
	}
	return nil
}

// subjects returns the names in a file of certificates.
func subjects(t *testing.T, data []byte) (names []string) {
	t.Helper()
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Subject.CommonName)
	}
	return names
}

func TestVariables(t *testing.T) {
	ours, theirs := newRoot(t, "ours"), newRoot(t, "theirs")
	own := file(t, "own.pem", bytes.TrimRight(pemOf(theirs), "\n")) // without the last line end
	link := filepath.Join(t.TempDir(), "link.pem")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	i := New(ours, []string{
		"HOME=/root", "SSL_CERT_FILE=" + own, "CURL_CA_BUNDLE=" + link, "GIT_SSL_CAINFO=/nowhere.pem", "NODE_EXTRA_CA_CERTS=",
	}, "/files")
	for name, want := range map[string]string{
		"HOME":                "/root",
		"SSL_CERT_FILE":       own,             // kept, and covered
		"CURL_CA_BUNDLE":      link,            // likewise
		"GIT_SSL_CAINFO":      "/files/ca.pem", // it named nothing
		"NODE_EXTRA_CA_CERTS": "/files/ca.pem",
	} {
		if got := i.getenv(name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	f := i.over(own)
	if f == nil {
		t.Fatalf("%s is not covered", own)
	}
	if got := subjects(t, f.Data); !slices.Equal(got, []string{"theirs", "ours"}) {
		t.Errorf("%s is seen with %q", own, got)
	}
	if i.over(link) != nil {
		t.Error("a symbolic link was covered, not what it leads to")
	}
	for _, name := range append(slices.Clone(variables), additions...) {
		if i.getenv(name) == "" {
			t.Errorf("%s is not set", name)
		}
	}
	if got := subjects(t, i.Files[0].Data); i.Files[0].Name != "ca.pem" || !slices.Equal(got, []string{"ours"}) {
		t.Errorf("%s has %q", i.Files[0].Name, got)
	}
}

// A directory that was chosen stays the only other source of trust.
func TestDirectory(t *testing.T) {
	i := New(newRoot(t, "ours"), []string{"SSL_CERT_DIR=/etc/ssl/certs"}, "/files")
	if got := i.getenv("SSL_CERT_FILE"); got != "/files/ca.pem" {
		t.Errorf("SSL_CERT_FILE=%s", got)
	}
}

// What keytool made, keytool and the library read again, with the root added.
func TestJavaStores(t *testing.T) {
	ours, theirs := newRoot(t, "ours"), newRoot(t, "theirs")
	for _, kind := range []string{"JKS", "PKCS12"} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			cert := file(t, "theirs.pem", pemOf(theirs))
			keytool(t, "-importcert", "-noprompt", "-alias", "theirs", "-file", cert, "-keystore", path, "-storetype", kind, "-storepass", "secret")
			i := New(ours, []string{"JAVA_TOOL_OPTIONS=-Xmx1g -Djavax.net.ssl.trustStore=" + path + " -Djavax.net.ssl.trustStorePassword=secret"}, "/files")
			f := i.over(path)
			if f == nil {
				t.Fatalf("%s is not covered; unreadable: %q", path, i.Unreadable)
			}
			certs, err := pkcs12.DecodeTrustStore(f.Data, "")
			if err != nil || len(certs) != 2 || !certs[0].Equal(theirs) || !certs[1].Equal(ours) {
				t.Errorf("it has %d certificates, %v", len(certs), err)
			}
			out := keytool(t, "-list", "-keystore", file(t, "merged", f.Data), "-storepass", "secret")
			if !strings.Contains(out, "2 entries") {
				t.Errorf("keytool lists\n%s", out)
			}
		})
	}
}

func keytool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("keytool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("keytool %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestJavaStoreIsUnreadable(t *testing.T) {
	path := file(t, "store", []byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x09"))
	i := New(newRoot(t, "ours"), []string{"_JAVA_OPTIONS=-Djavax.net.ssl.trustStore=" + path}, "/files")
	if i.over(path) != nil || !slices.Equal(i.Unreadable, []string{path}) {
		t.Errorf("unreadable are %q", i.Unreadable)
	}
}

func FuzzReadJKS(f *testing.F) {
	f.Add([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02\x00\x01a12345678\x00\x05X.509\x00\x00\x00\x01c12345678901234567890"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := readJKS(data)
		total := 0
		for _, e := range entries {
			total += len(e.Cert.Raw)
		}
		if err != nil && entries != nil || total > len(data) {
			t.Errorf("%d entries of %d bytes from %d, %v", len(entries), total, len(data), err)
		}
	})
}

func BenchmarkNew(b *testing.B) {
	root := &x509.Certificate{Raw: []byte{0x30, 0}}
	for b.Loop() {
		New(root, os.Environ(), "/files")
	}
}

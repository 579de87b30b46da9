package tlsbridge

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func writeFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantMode(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
	}
}

func mustLoad(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := LoadOrCreateAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthorityPersists(t *testing.T) {
	dir := t.TempDir()
	a := mustLoad(t, dir)
	certPath, keyPath := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem")
	wantMode(t, certPath, 0o644)
	wantMode(t, keyPath, 0o600)
	if !bytes.Equal(readFile(t, certPath), a.PEM()) {
		t.Error("ca.pem is not the certificate")
	}
	if b := mustLoad(t, dir); !b.Certificate().Equal(a.Certificate()) {
		t.Error("another certificate when loaded again")
	}

	// A leaf minted after a restart is trusted by who trusts the file.
	leaf, err := mustLoad(t, dir).Leaf("example.org", ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(readFile(t, certPath))
	if _, err := leaf.Leaf.Verify(x509.VerifyOptions{DNSName: "example.org", Roots: pool}); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v in the directory, %v, want the two files", entries, err)
	}
}

// The key file is the moment of creation: a crash right after it loses nothing.
func TestAuthorityRestoresCertificate(t *testing.T) {
	dir := t.TempDir()
	a := mustLoad(t, dir)
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if b := mustLoad(t, dir); !b.Certificate().Equal(a.Certificate()) {
		t.Error("another certificate")
	}
	wantMode(t, filepath.Join(dir, "ca.pem"), 0o644)
}

func TestAuthorityIsCreatedOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	made := make([]*Authority, 4)
	for i := range made {
		wg.Go(func() {
			a, err := LoadOrCreateAuthority(dir)
			if err != nil {
				t.Error(err)
			}
			made[i] = a
		})
	}
	wg.Wait()
	for _, a := range made[1:] {
		if a == nil || made[0] == nil || !a.Certificate().Equal(made[0].Certificate()) {
			t.Error("two authorities in one directory")
		}
	}
}

func TestAuthorityAcceptsKeyWithoutCopy(t *testing.T) {
	dir := t.TempDir()
	a := mustLoad(t, dir)
	path := filepath.Join(dir, "ca-key.pem")
	key, _ := pem.Decode(readFile(t, path))
	writeFile(t, path, string(pem.EncodeToMemory(key)), 0o600)
	if b := mustLoad(t, dir); !b.Certificate().Equal(a.Certificate()) {
		t.Error("another certificate")
	}
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateAuthority(dir); err == nil || !strings.Contains(err.Error(), "ca.pem is not") {
		t.Errorf("a key without certificate: %v", err)
	}
}

func TestAuthorityFileErrors(t *testing.T) {
	other := string(authority().PEM())
	tests := []struct {
		name  string
		spoil func(t *testing.T, cert, key string)
		want  string
	}{
		{"key readable by others", func(t *testing.T, _, key string) { os.Chmod(key, 0o644) }, "mode 0644: others may read it; if nobody did, run chmod 600"},
		{"certificate writable by others", func(t *testing.T, cert, _ string) { os.Chmod(cert, 0o666) }, "mode 0666: others may change it"},
		{"key lost", func(t *testing.T, _, key string) { os.Remove(key) }, "bring the key back"},
		{"key is no PEM", func(t *testing.T, _, key string) { writeFile(t, key, "x", 0o600) }, "no PEM block of type PRIVATE KEY"},
		{"key is no key", func(t *testing.T, _, key string) {
			writeFile(t, key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o600)
		}, "asn1"},
		{"certificate is no PEM", func(t *testing.T, cert, _ string) { writeFile(t, cert, "x", 0o644) }, "no PEM block of type CERTIFICATE"},
		{"certificate of another", func(t *testing.T, cert, _ string) { writeFile(t, cert, other, 0o644) }, "another certificate"},
		{"key of another", func(t *testing.T, cert, key string) {
			block, _ := pem.Decode(readFile(t, key))
			writeFile(t, key, string(pem.EncodeToMemory(block)), 0o600)
			writeFile(t, cert, other, 0o644)
		}, "not the key of the certificate"},
		{"key is a directory", func(t *testing.T, _, key string) {
			os.Remove(key)
			os.Mkdir(key, 0o700)
		}, "not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			mustLoad(t, dir)
			test.spoil(t, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem"))
			before, _ := os.ReadDir(dir)
			_, err := LoadOrCreateAuthority(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v, want %q and the path", err, test.want)
			}
			if after, _ := os.ReadDir(dir); len(after) != len(before) {
				t.Errorf("%v after the error, %v before", after, before)
			}
		})
	}
}

func TestAuthorityNeedsCA(t *testing.T) {
	leaf, err := authority().Leaf("example.org", ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newAuthority(leaf.Leaf, authority().keys.ecdsa); err == nil || !strings.Contains(err.Error(), "certification authority") {
		t.Errorf("a leaf as authority: %v", err)
	}
}

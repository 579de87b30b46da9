package keylog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"synscope/tlsbridge/tlswire"
)

// secretsOf returns the key log of a session as crypto/tls writes it, and its
// secrets.
func secretsOf(t *testing.T) (text string, secrets []tlswire.Secret) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(b, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		KeyLogWriter: &log, SessionTicketsDisabled: true,
	})
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Handshake(); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	if err := tls.Client(a, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
		t.Fatal(err)
	}
	serving.Wait()
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		random, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(err)
		}
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, tlswire.Secret{Label: f[0], ClientRandom: random, Secret: secret})
	}
	return log.String(), secrets
}

// The file has the lines that crypto/tls would have written, appended to what
// was there, and is its owner's alone.
func TestWriter(t *testing.T) {
	text, secrets := secretsOf(t)
	path := filepath.Join(t.TempDir(), "keys.log")
	for range 2 {
		w, err := Open(path, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets {
			w.Secret(s)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text+text {
		t.Errorf("written:\n%s\nwant twice:\n%s", got, text)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o", st.Mode().Perm())
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	readable := filepath.Join(dir, "readable.log")
	if err := os.WriteFile(readable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(readable, 0o640); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing", "keys.log")
	for _, tt := range []struct {
		path, want, hint string
		is               error
	}{
		{readable, "key log " + readable + ": mode is 0640: others can read the secrets", "chmod 600 " + readable, nil},
		{missing, "key log " + missing + ": no such file or directory", "give a file in a directory that you can write to", fs.ErrNotExist},
		{dir, "key log " + dir + ": is a directory", "give a file in a directory that you can write to", nil},
	} {
		w, err := Open(tt.path, nil)
		if err == nil {
			w.Close()
			t.Errorf("%s was opened", tt.path)
			continue
		}
		var open *OpenError
		if !errors.As(err, &open) || open.Hint != tt.hint || err.Error() != tt.want {
			t.Errorf("%v (%+v), want %s (%s)", err, open, tt.want, tt.hint)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%v is not %v", err, tt.is)
		}
	}
}

// The first error is told once, and nothing is written after it.
func TestWriteError(t *testing.T) {
	_, secrets := secretsOf(t)
	var told []error
	w, err := Open("/dev/full", func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, s := range secrets {
		w.Secret(s)
	}
	if len(told) != 1 {
		t.Errorf("told %v, want one error", told)
	}
}

// What is read of a key log is written as it was read, up to the case of its
// digits.
func FuzzKeyLog(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		for line := range strings.Lines(text) {
			s, ok, err := tlswire.ParseKeyLogLine(line)
			if !ok || err != nil {
				continue
			}
			written := string(Append(nil, s))
			if !strings.EqualFold(written, strings.TrimRight(line, "\r\n")+"\n") {
				t.Errorf("%q is written as %q", line, written)
			}
			if again, ok, err := tlswire.ParseKeyLogLine(written); !ok || err != nil || !reflect.DeepEqual(again, s) {
				t.Errorf("%q is read again as %+v, %v", written, again, err)
			}
		}
	})
}

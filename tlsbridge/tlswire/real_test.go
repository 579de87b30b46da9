package tlswire

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope/event"
)

// clientTimeout is after how long a program counts as stuck.
const clientTimeout = 60 * time.Second

// A recordedConn records what a server reads and writes.
type recordedConn struct {
	net.Conn
	rec *recording
}

func (c recordedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.rec.add(op{from: event.Client, bytes: bytes.Clone(b[:n])})
	}
	if err == io.EOF {
		c.rec.add(op{from: event.Client, end: "fin"})
	}
	return n, err
}

func (c recordedConn) Write(b []byte) (int, error) {
	c.rec.add(op{from: event.Server, bytes: bytes.Clone(b)})
	return c.Conn.Write(b)
}

func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.SetDeadline(time.Now().Add(clientTimeout))
	return l
}

// serveOnce accepts one connection, records what serve does on it and what the
// client still sends, while the program runs as a client of addr.
func serveOnce(t *testing.T, serve func(net.Conn, *recording), program func(addr string) []string) *recording {
	t.Helper()
	l, rec := listen(t), &recording{start: time.Now()}
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() {
		raw, err := l.Accept()
		if err != nil {
			t.Errorf("the client did not come: %v", err)
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(clientTimeout))
		conn := recordedConn{raw, rec}
		serve(conn, rec)
		raw.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, struct{ io.Reader }{conn})
	})
	runProgram(t, program(l.Addr().String()))
	return rec
}

// runProgram runs a program that may fail, but not hang.
func runProgram(t *testing.T, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", strings.Join(args, " "), out)
	if _, failed := err.(*exec.ExitError); err != nil && !failed || ctx.Err() != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
}

// serveTLS is crypto/tls as a server, for serveOnce.
func serveTLS(config *tls.Config) func(net.Conn, *recording) {
	return func(conn net.Conn, rec *recording) {
		config = config.Clone()
		config.KeyLogWriter = rec.secrets()
		c := tls.Server(conn, config)
		if c.Handshake() == nil {
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
}

// relay records one connection between a client and a server, which is any
// program that listens on addr.
func relay(t *testing.T, addr string, program func(addr string) []string) *recording {
	t.Helper()
	return serveOnce(t, func(conn net.Conn, rec *recording) {
		var server net.Conn
		var err error
		for deadline := time.Now().Add(clientTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if server, err = net.Dial("tcp", addr); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("the server does not listen: %v", err)
			return
		}
		defer server.Close()
		var up sync.WaitGroup
		defer up.Wait()
		up.Go(func() {
			io.Copy(server, conn)
			server.(*net.TCPConn).CloseWrite()
		})
		io.Copy(conn, server)
		rec.add(op{from: event.Server, end: "fin"})
		conn.(recordedConn).Conn.(*net.TCPConn).CloseWrite()
	}, program)
}

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

// background starts a server, and ends it with the test.
func background(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// A testCA issues certificates.
type testCA struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTestCA(t *testing.T, name string) *testCA {
	t.Helper()
	ca := &testCA{t: t}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca
}

// issue returns a certificate for shop.test, but for what edit changes.
func (ca *testCA) issue(key crypto.Signer, edit func(*x509.Certificate)) tls.Certificate {
	ca.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"shop.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// file writes the authority's certificate.
func (ca *testCA) file() string { return writePEM(ca.t, "CERTIFICATE", ca.cert.Raw) }

// revoking writes a list that revokes what it issued.
func (ca *testCA) revoking() string {
	ca.t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: time.Now().Add(-time.Minute)}},
	}, ca.cert, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return writePEM(ca.t, "X509 CRL", der)
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantFailed checks why the handshake failed. An empty cause is any.
func (tr *transcript) wantFailed(t *testing.T, side event.Side, code event.CauseCode, parts ...string) {
	t.Helper()
	f := first[*event.Failed](tr)
	if f == nil {
		t.Fatalf("it did not fail:\n%s", strings.Join(tr.lines, "\n"))
	}
	t.Logf("%s\n%s\n%s", f.Code, f.Cause, f.Hint)
	if f.Side != side || f.Code != code || f.Hint == "" {
		t.Errorf("failed by %s, %s: %q, hint %q; want by %s, %s", f.Side, f.Code, f.Cause, f.Hint, side, code)
	}
	for _, part := range parts {
		if !strings.Contains(f.Cause, part) {
			t.Errorf("the cause is %q; want %q in it", f.Cause, part)
		}
	}
}

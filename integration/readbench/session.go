package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// A pipe is one direction of a connection in memory, without a bound: a side may
// write what the other one never reads.
type pipe struct {
	mu     sync.Mutex
	wake   *sync.Cond
	buf    bytes.Buffer
	closed bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.wake = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.buf.Len() == 0 && !p.closed {
		p.wake.Wait()
	}
	if p.buf.Len() == 0 {
		return 0, io.EOF
	}
	return p.buf.Read(b)
}

func (p *pipe) end() {
	p.mu.Lock()
	p.closed = true
	p.wake.Broadcast()
	p.mu.Unlock()
}

// An end is one end of a connection in memory. What either end writes is given
// to tap as well, one write after the other.
type end struct {
	net.Conn // nil: crypto/tls needs no more of it
	side     int
	in, out  *pipe
	tap      func(side int, b []byte)
	taps     *sync.Mutex
}

func (e *end) Read(b []byte) (int, error) { return e.in.Read(b) }

func (e *end) Write(b []byte) (int, error) {
	e.taps.Lock()
	defer e.taps.Unlock()
	e.tap(e.side, b)
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.wake.Broadcast()
	return e.out.buf.Write(b)
}

func (e *end) Close() error                     { e.out.end(); return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }

// converse runs a TLS connection in memory: the handshake, then exchange on
// both sides, then close_notify from both. Tap gets what either side writes.
func converse(c, s *tls.Config, tap func(side int, b []byte), exchange func(client, server *tls.Conn) error) error {
	up, down := newPipe(), newPipe()
	taps := new(sync.Mutex)
	cc := tls.Client(&end{side: client, in: down, out: up, tap: tap, taps: taps}, c)
	sc := tls.Server(&end{side: server, in: up, out: down, tap: tap, taps: taps}, s)
	failed := make(chan error, 1)
	go func() { failed <- sc.Handshake() }()
	err := cc.Handshake()
	if serr := <-failed; serr != nil {
		return serr
	}
	if err == nil {
		err = exchange(cc, sc)
	}
	if err != nil {
		return err
	}
	cc.Close()
	sc.Close()
	return nil
}

// An authority issues certificates for the servers.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key}
	a.cert = template("Authority")
	a.cert.IsCA, a.cert.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		return nil, err
	}
	a.cert, err = x509.ParseCertificate(der)
	return a, err
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{name},
	}
}

// server returns the configuration of the server with a name, whose chain has
// two certificates.
func (a *authority) server(name string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template(name), a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}},
		NextProtos:   []string{"h2", "http/1.1"},
	}, nil
}

// client returns the configuration of a client that asks for the name, takes
// tickets but has none, and writes its secrets to keyLog.
func (a *authority) client(name string, keyLog io.Writer) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		RootCAs: pool, ServerName: name, NextProtos: []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(1), KeyLogWriter: keyLog,
	}
}

package tlswire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope/event"
)

// An op is one thing that a Decoder is given.
type op struct {
	from   event.Side
	bytes  []byte
	secret *Secret // instead of bytes
	end    string  // likewise
}

// A recording is what passed between a client and a server, in order.
type recording struct {
	start time.Time // of the connection; zero: certified
	mu    sync.Mutex
	ops   []op
}

// at is when the operation i happened, and in which packet.
func (r *recording) at(i int) Stamp {
	start := r.start
	if start.IsZero() {
		start = certified
	}
	t := time.Duration(i) * time.Millisecond
	return Stamp{Time: start.Add(t), T: t, Frame: uint64(i + 1)}
}

func (r *recording) add(o op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}

// secrets is the key log of one side.
func (r *recording) secrets() io.Writer { return recordedSecrets{r} }

type recordedSecrets struct{ r *recording }

func (w recordedSecrets) Write(b []byte) (int, error) {
	s, ok, err := ParseKeyLogLine(string(b))
	if err != nil {
		return 0, err
	}
	if ok {
		w.r.add(op{secret: &s})
	}
	return len(b), nil
}

// A pipeEnd is one end of a connection in memory that never blocks a writer.
type pipeEnd struct {
	net.Conn // nil: only the methods below are used
	side     event.Side
	rec      *recording
	in, out  *queue
}

type queue struct {
	mu     sync.Mutex
	more   *sync.Cond
	buf    bytes.Buffer
	closed bool
}

func newPipe(rec *recording) (client, server *pipeEnd) {
	up, down := new(queue), new(queue)
	up.more, down.more = sync.NewCond(&up.mu), sync.NewCond(&down.mu)
	return &pipeEnd{side: event.Client, rec: rec, in: down, out: up},
		&pipeEnd{side: event.Server, rec: rec, in: up, out: down}
}

func (p *pipeEnd) Read(b []byte) (int, error) {
	q := p.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.buf.Len() == 0 && !q.closed {
		q.more.Wait()
	}
	return q.buf.Read(b)
}

func (p *pipeEnd) Write(b []byte) (int, error) {
	q := p.out
	q.mu.Lock()
	defer q.mu.Unlock()
	p.rec.add(op{from: p.side, bytes: bytes.Clone(b)})
	q.more.Signal()
	return q.buf.Write(b)
}

func (p *pipeEnd) Close() error {
	q := p.out
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		p.rec.add(op{from: p.side, end: "fin"})
	}
	q.more.Signal()
	return nil
}

func (p *pipeEnd) SetDeadline(time.Time) error      { return nil }
func (p *pipeEnd) SetReadDeadline(time.Time) error  { return nil }
func (p *pipeEnd) SetWriteDeadline(time.Time) error { return nil }
func (p *pipeEnd) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *pipeEnd) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// certified is when the certificates of the tests begin to be valid.
var certified = time.Unix(1700000000, 0)

// identities are the certificates of the tests, made once.
var identities = sync.OnceValue(func() (ids struct {
	ecdsa, rsa, client tls.Certificate
	roots              *x509.CertPool
}) {
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root.test"},
		NotBefore: certified, NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
	}
	leaf := func(key crypto.Signer, name string) tls.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		}
		der, err := x509.CreateCertificate(rand.Reader, c, root, key.Public(), ca)
		must(err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, ca.Public(), ca)
	must(err)
	rootCert, err := x509.ParseCertificate(der)
	must(err)
	ids.roots = x509.NewCertPool()
	ids.roots.AddCert(rootCert)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ids.ecdsa, ids.rsa, ids.client = leaf(ec, "shop.test"), leaf(rs, "shop.test"), leaf(ec, "client.test")
	return ids
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// configs returns a client and a server that can talk; edit changes them.
func configs(edit func(client, server *tls.Config)) (client, server *tls.Config) {
	ids := identities()
	client = &tls.Config{ServerName: "shop.test", RootCAs: ids.roots, NextProtos: []string{"h2", "http/1.1"},
		MinVersion: tls.VersionTLS10, CurvePreferences: []tls.CurveID{tls.X25519}}
	server = &tls.Config{Certificates: []tls.Certificate{ids.ecdsa}, ClientCAs: ids.roots, NextProtos: []string{"h2"},
		MinVersion: tls.VersionTLS10}
	server.SetSessionTicketKeys([][32]byte{{1}}) // a clone would have keys of its own
	if edit != nil {
		edit(client, server)
	}
	return client, server
}

// converse performs one connection of real crypto/tls ends: a handshake, "pong"
// from the server, "ping" from the client, close_notify of the client, then of
// the server, and the end of the transport in that order reversed. An error of
// either end ends the connection. Each side waits for the other, so that the
// order is always the same.
func converse(client, server *tls.Config) *recording {
	rec := new(recording)
	clientEnd, serverEnd := newPipe(rec)
	server = server.Clone()
	server.KeyLogWriter = rec.secrets()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer serverEnd.Close()
		c := tls.Server(serverEnd, server)
		if _, err := c.Write([]byte("pong")); err != nil {
			return
		}
		io.Copy(io.Discard, c)
		c.Close()
	}()
	c := tls.Client(clientEnd, client)
	if _, err := io.ReadFull(c, make([]byte, 4)); err == nil {
		c.Write([]byte("ping"))
		c.CloseWrite()
	}
	io.Copy(io.Discard, clientEnd)
	clientEnd.Close()
	<-done
	return rec
}

// decode gives a recording to a Decoder, each write as one packet, and returns
// what it tells.
func decode(rec *recording, prepare ...func(*Decoder)) *transcript {
	t := new(transcript)
	d := NewDecoder(t.emit)
	for _, f := range prepare {
		f(d)
	}
	t.decoder = d
	for i, o := range rec.ops {
		at := rec.at(i)
		switch {
		case o.secret != nil:
			d.Secret(*o.secret)
		case o.end != "":
			d.End(at, o.from, o.end)
		default:
			d.Feed(at, o.from, o.bytes)
		}
	}
	d.ExpectSecrets(false) // the connection is over
	return t
}

// expecting is how a live connection is decoded: secrets come when they come.
func expecting(d *Decoder) { d.ExpectSecrets(true) }

// want compares the transcript with the story told.
func (t *transcript) want(tb testing.TB, story string) {
	tb.Helper()
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(story), "\n") {
		lines = append(lines, strings.TrimSpace(l))
	}
	for i := range max(len(lines), len(t.lines)) {
		var got, want string
		if i < len(t.lines) {
			got = t.lines[i]
		}
		if i < len(lines) {
			want = lines[i]
		}
		if got != want {
			tb.Fatalf("line %d:\n got %s\nwant %s\nall that was told:\n%s", i+1, got, want, strings.Join(t.lines, "\n"))
		}
	}
}

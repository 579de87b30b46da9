package trace

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"synscope/event"
	"synscope/tlsbridge"
	"synscope/tlsbridge/tlswire"
)

// A destination is a TCP server of the kernel's, on the loopback, that takes one
// connection.
type destination struct {
	t      *testing.T
	addr   string
	roots  *x509.CertPool
	served chan struct{}
}

// serve starts a destination whose connection is handled by f.
func serve(t *testing.T, f func(conn *net.TCPConn)) *destination {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &destination{t: t, addr: l.Addr().String(), served: make(chan struct{})}
	go func() { // ends with the connection, or with the listener
		defer close(d.served)
		if conn, err := l.Accept(); err == nil {
			f(conn.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-d.served
	})
	return d
}

// certificate makes a certificate that signs itself, valid until a time.
func certificate(t *testing.T, until time.Time, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serveTLS starts a destination that answers "hello" with "world", and waits for
// the client to close.
func serveTLS(t *testing.T, config *tls.Config) *destination {
	t.Helper()
	d := serve(t, func(raw *net.TCPConn) {
		conn := tls.Server(raw, config)
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 5)); err == nil {
			conn.Write([]byte("world"))
		}
		io.Copy(io.Discard, conn)
	})
	d.roots = x509.NewCertPool()
	for _, c := range config.Certificates {
		d.roots.AddCert(c.Leaf)
	}
	return d
}

// A relay does what a bridge does for the client of a wire: it dials.
type relay struct {
	*wire
	events *recorder
	keys   *keys
	leg    tlsbridge.UpstreamObserver
	raw    *net.TCPConn
}

// newRelay begins connection 1, whose client has said hello: it is the leg that
// is connection 2.
func newRelay(t *testing.T, l limits) *relay {
	t.Helper()
	r := &relay{events: newRecorder(t), keys: new(keys)}
	tr := newTracer(Config{Device: "test0", Endpoint: event.Server, Sinks: []Sink{r.events}, KeyLog: r.keys}, l)
	t.Cleanup(func() { tr.Close() })
	r.wire = newWire(t, tr)
	r.connect()
	return r
}

// dial dials, and tells what came of it.
func (r *relay) dial(addr string) *tlsbridge.Tap {
	r.t.Helper()
	d := event.Dial{Time: time.Now(), Name: "shop.example", Flow: event.Flow{Server: netip.MustParseAddrPort(addr)}}
	conn, err := net.Dial("tcp", addr)
	d.Duration, d.Err = time.Since(d.Time), err
	if err != nil {
		r.leg = r.Upstream(r.flow, d)
		return nil
	}
	r.t.Cleanup(func() { conn.Close() })
	d.Flow.Client = conn.LocalAddr().(*net.TCPAddr).AddrPort()
	r.leg = r.Upstream(r.flow, d)
	r.raw = conn.(*net.TCPConn)
	return tlsbridge.NewTap(conn, r.leg)
}

// keyLog is the KeyLogWriter of a leg.
type keyLog struct{ leg tlsbridge.UpstreamObserver }

func (k keyLog) Write(b []byte) (int, error) {
	s, _, err := tlswire.ParseKeyLogLine(strings.TrimSpace(string(b)))
	if err == nil {
		k.leg.Secret(s.Label, s.ClientRandom, s.Secret)
	}
	return len(b), err
}

// handshake makes the TLS handshake of the leg.
func (r *relay) handshake(conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	config.KeyLogWriter = keyLog{r.leg}
	if config.ServerName == "" {
		config.ServerName = "shop.example"
	}
	r.leg.TLSStart()
	c := tls.Client(conn, config)
	err := c.Handshake()
	step := event.TLSStep{Step: "handshake", OK: err == nil}
	if err != nil {
		step.Error = err.Error()
	}
	r.leg.Step(step)
	r.leg.TLSEnd(err)
	return c, err
}

// closed returns the conn.close of a connection.
func (r *relay) closed(conn uint64) *event.Close {
	r.t.Helper()
	r.sync()
	for _, e := range r.events.of(conn) {
		if c, ok := e.Body.(*event.Close); ok {
			return c
		}
	}
	r.t.Fatalf("no conn.close of connection %d", conn)
	return nil
}

// failed returns the tls.failed of a connection, nil if there is none.
func (r *relay) failed(conn uint64) *event.Failed {
	r.t.Helper()
	r.sync()
	for _, e := range r.events.of(conn) {
		if f, ok := e.Body.(*event.Failed); ok {
			return f
		}
	}
	return nil
}

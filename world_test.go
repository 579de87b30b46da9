package synscope_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synscope"
	"synscope/event"
)

// A farAddr is where the world's server seems to be.
var farAddr = netip.MustParseAddr("198.18.3.4")

// newWorld starts an endpoint whose world is the loopback of this host.
func newWorld(t *testing.T, change func(*synscope.Config)) *network {
	t.Helper()
	return newNetwork(t, func(cfg *synscope.Config) {
		cfg.World = &synscope.World{Loopback: map[netip.Addr]netip.Addr{farAddr: netip.MustParseAddr("127.0.0.1")}}
		change(cfg)
	})
}

// selfSigned is a server's certificate, and the roots of who trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// A client's connection goes through to the world's server, and both legs are
// told.
func TestWorld(t *testing.T) {
	cert, roots := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the connection
		conn, err := l.Accept()
		if err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	n := newWorld(t, func(cfg *synscope.Config) {
		cfg.World.Roots = roots
		cfg.World.Open = func(name string) bool { return name == "shop.example" }
		cfg.Name = func(netip.Addr) string { return "shop.example" }
	})
	to := netip.AddrPortFrom(farAddr, l.Addr().(*net.TCPAddr).AddrPort().Port())
	raw, err := n.client.DialContext(context.Background(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	config := n.tlsConfig()
	config.ServerName, config.NextProtos = "shop.example", []string{"echo"}
	c := tls.Client(raw, config)
	fmt.Fprint(c, "hello")
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" || c.ConnectionState().NegotiatedProtocol != "echo" {
		t.Fatalf("%q, %v, %+v", b, err, c.ConnectionState())
	}
	c.CloseWrite()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		t.Errorf("the end is %q, %v", rest, err)
	}
	if _, err := raw.Read(make([]byte, 1)); err != io.EOF { // the FIN, so that ours does not cross it
		t.Errorf("behind the end is %v", err)
	}
	raw.Close()
	told := make(map[bool]string) // by whether it is the upstream leg
	legs := make(map[uint64]bool)
	for _, e := range n.shutdown() {
		switch body := e.Body.(type) {
		case *event.Open:
			legs[e.Conn] = body.Upstream
			told[body.Upstream] += fmt.Sprintf("to %s (%v) ", body.Name, body.Server)
		case *event.Established:
			told[legs[e.Conn]] += fmt.Sprintf("%s %v alpn %s ", body.ServerName, body.Version, body.ALPN)
		case *event.Close:
			told[legs[e.Conn]] += body.How + " " + string(body.Code)
		}
	}
	want := fmt.Sprintf("to shop.example (%v) shop.example TLS 1.3 alpn echo fin ", to)
	for leg, got := range told {
		if got != want {
			t.Errorf("upstream leg %v: %q, want %q", leg, got, want)
		}
	}
	if len(told) != 2 {
		t.Errorf("told are %v", told)
	}
}

// A client that is gone when its destination answers takes the connection to it
// along.
func TestWorldDropsWhatNobodyWants(t *testing.T) {
	// A listener whose queue is full lets SYNs go by: who dials it waits.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()

	n := newWorld(t, func(*synscope.Config) {})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	to := netip.AddrPortFrom(farAddr, l.Addr().(*net.TCPAddr).AddrPort().Port())
	if _, err := n.client.DialContext(ctx, "tcp", to.String()); err == nil {
		t.Fatal("the client is connected, though its destination does not answer")
	}
	for range 2 { // first, and what was dialled for the client
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if conn.RemoteAddr().String() == first.LocalAddr().String() {
			continue
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // sooner than it would be given up
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the destination reads %v, want the end", err)
		}
	}
}

// What is refused is refused, and the loopback of this host is nowhere.
func TestWorldRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).AddrPort().Port()
	l.Close()
	n := newWorld(t, func(*synscope.Config) {})
	if _, err := n.client.DialContext(context.Background(), "tcp", netip.AddrPortFrom(farAddr, port).String()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("dialling: %v", err)
	}
	refused := 0
	for _, e := range n.shutdown() {
		if c, ok := e.Body.(*event.Close); ok && c.How == "refused" {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d connections are refused, want the client's and the leg", refused)
	}
}

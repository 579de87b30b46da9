package tlsbridge

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

// A site is a destination on a loopback port, and a server that relays to it.
type site struct {
	*fixture
	handled sync.WaitGroup
}

// newSite has each connection to the destination handled and closed.
func newSite(t *testing.T, to Destination, handle func(conn *net.TCPConn)) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := new(site)
	s.handled.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(patience))
			s.handled.Go(func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			})
		}
	})
	s.fixture = start(t, Config{Destination: func(event.Flow) *Destination {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return &Destination{}
		}
		d := to
		d.Conn = NewTap(conn, nil)
		return &d
	}})
	t.Cleanup(func() { // before start's
		l.Close()
		s.fixture.Close()
		s.handled.Wait()
	})
	return s
}

func always(string) bool { return true }

// The destination may speak first, and each side may end its direction alone.
func TestRelayPlain(t *testing.T) {
	s := newSite(t, Destination{Open: always}, func(conn *net.TCPConn) {
		io.WriteString(conn, "220 mail.example\r\n")
		b, _ := io.ReadAll(conn)
		io.WriteString(conn, "got "+string(b))
	})
	c := s.dial()
	greeting := make([]byte, 18)
	if _, err := io.ReadFull(c, greeting); err != nil || string(greeting) != "220 mail.example\r\n" {
		t.Fatalf("the greeting is %q, %v", greeting, err)
	}
	io.WriteString(c, "QUIT\r\n")
	c.CloseWrite()
	if b, err := io.ReadAll(c); string(b) != "got QUIT\r\n" || err != nil {
		t.Errorf("the answer is %q, %v", b, err)
	}

	c = s.dial() // who says nothing at all
	c.CloseWrite()
	if b, err := io.ReadAll(c); string(b) != "220 mail.example\r\ngot " || err != nil {
		t.Errorf("the answer to nothing is %q, %v", b, err)
	}
}

// Much data passes unchanged in both directions at once, though one side reads
// late.
func TestRelayMuch(t *testing.T) {
	const size = 16 << 20
	sum := make(chan [sha256.Size]byte, 1)
	down := make([]byte, size)
	rand.Read(down)
	up := bytes.Clone(down)
	up[0] ^= 1
	wrote := make(chan bool)
	s := newSite(t, Destination{}, func(conn *net.TCPConn) {
		conn.Write(down)
		<-wrote
		b, _ := io.ReadAll(conn)
		sum <- sha256.Sum256(b)
	})
	c := s.dial()
	var writing sync.WaitGroup
	writing.Go(func() {
		c.Write(up)
		c.CloseWrite()
	})
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, down) {
		t.Errorf("what came down is not what was sent: %v", err)
	}
	close(wrote)
	writing.Wait()
	if <-sum != sha256.Sum256(up) {
		t.Error("what went up is not what was sent")
	}
	wantEOF(t, c)
}

// A RST is a RST on the other side too.
func TestRelayReset(t *testing.T) {
	t.Run("by the destination", func(t *testing.T) {
		s := newSite(t, Destination{}, func(conn *net.TCPConn) {
			conn.Read(make([]byte, 1))
			conn.SetLinger(0)
		})
		c := s.dial()
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client reads %v", err)
		}
	})
	t.Run("by the client", func(t *testing.T) {
		met := make(chan error, 1)
		s := newSite(t, Destination{}, func(conn *net.TCPConn) {
			io.WriteString(conn, "hello")
			_, err := io.Copy(io.Discard, conn)
			met <- err
		})
		c := s.dial()
		io.ReadFull(c, make([]byte, 5))
		c.SetLinger(0)
		c.Close()
		if err := <-met; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the destination reads %v", err)
		}
	})
	t.Run("the destination is gone", func(t *testing.T) {
		s := start(t, Config{Destination: func(event.Flow) *Destination { return &Destination{} }})
		c, err := net.Dial("tcp", s.addr) // may be reset so early
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client meets %v", err)
		}
	})
}

// A web is a PKI of the world with one server in it.
type web struct {
	roots  *x509.CertPool
	server *tls.Config
}

func newWeb(t testing.TB) web {
	root := issue(t, nil, asAuthority)
	w := web{roots: x509.NewCertPool()}
	w.roots.AddCert(root.Certificate)
	w.server = &tls.Config{Certificates: []tls.Certificate{issue(t, root, func(*x509.Certificate) {}).pair()}}
	return w
}

// echoTLS is a destination that speaks TLS.
func echoTLS(config *tls.Config) func(conn *net.TCPConn) {
	return func(conn *net.TCPConn) {
		c := tls.Server(conn, config)
		io.Copy(c, c)
		c.Close()
	}
}

// TLS that is not opened passes untouched, and nobody waits for secrets of it.
func TestTLSUntouched(t *testing.T) {
	w := newWeb(t)
	for name, open := range map[string]func(string) bool{"never": nil, "not this name": func(name string) bool { return name != "shop.example" }} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Destination{Open: open}, echoTLS(w.server))
			c := s.mustDialTLS(&tls.Config{RootCAs: w.roots, ServerName: "shop.example"})
			wantEcho(t, c, "hello")
			c.Close()
			s.stop()
			if s.seen.starts != 0 || len(s.seen.secrets) != 0 {
				t.Errorf("%d starts, %d secrets", s.seen.starts, len(s.seen.secrets))
			}
			s.seen.want(t, "pass", true, "TLS passes untouched")
		})
	}
}

// What crypto/tls can make nothing of passes untouched, byte by byte.
func TestStrangeHelloPassesUntouched(t *testing.T) {
	met := make(chan []byte, 1)
	s := newSite(t, Destination{Open: always}, func(conn *net.TCPConn) {
		b, _ := io.ReadAll(conn)
		met <- b
	})
	for name, hello := range map[string]string{
		// TLS 1.2, the suite TLS_DH_anon_WITH_AES_128_CBC_SHA, no extensions
		"unknown suites": "1603010031" + "0100002d0303" + strings.Repeat("17", 32) + "00" + "00020034" + "0100" + "0000" + "0000",
		"no ClientHello": "160301000402000000",
		"half of one":    "16030100310100",
	} {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(hello)
			if err != nil {
				t.Fatal(err)
			}
			c := s.dial()
			c.Write(b)
			c.CloseWrite()
			if got := <-met; !bytes.Equal(got, b) {
				t.Errorf("the destination reads %x, want %x", got, b)
			}
			wantEOF(t, c)
		})
	}
}

// Opened TLS has the choices of the destination, and a certificate like its own.
func TestTLSOpened(t *testing.T) {
	w := newWeb(t)
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			config := w.server.Clone()
			config.MinVersion, config.MaxVersion, config.NextProtos = tls.VersionTLS10, version, []string{"b", "c"}
			asked := make(chan *tls.ClientHelloInfo, 1)
			config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { asked <- hello; return nil, nil }
			s := newSite(t, Destination{Open: always, Roots: w.roots}, echoTLS(config))
			c := s.mustDialTLS(&tls.Config{ServerName: "shop.example", NextProtos: []string{"a", "c"}, MinVersion: tls.VersionTLS10})
			wantEcho(t, c, "hello")
			state := c.ConnectionState()
			if state.Version != version || state.NegotiatedProtocol != "c" {
				t.Errorf("the client got %s, %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
			}
			if hello := <-asked; hello.ServerName != "shop.example" || strings.Join(hello.SupportedProtos, " ") != "a c" {
				t.Errorf("the destination was asked for %q, %q", hello.ServerName, hello.SupportedProtos)
			}
			c.CloseWrite()
			wantEOF(t, c)
			c.Close()
			s.stop()
			s.seen.want(t, "handshake", true, tls.VersionName(version))
			if s.seen.starts != 1 || len(s.seen.ends) != 1 || s.seen.ends[0] != nil {
				t.Errorf("%d starts, ends %v", s.seen.starts, s.seen.ends)
			}
		})
	}
}

// TLS that begins after other words is opened as well, unless the destination has
// ended meanwhile.
func TestTLSBeginsLater(t *testing.T) {
	w := newWeb(t)
	s := newSite(t, Destination{Open: always, Roots: w.roots}, func(conn *net.TCPConn) {
		io.WriteString(conn, "220 mail.example\r\n")
		b := make([]byte, 10)
		io.ReadFull(conn, b)
		if string(b) != "STARTTLS\r\n" {
			conn.CloseWrite()
			io.Copy(io.Discard, conn)
			return
		}
		io.WriteString(conn, "220 go\r\n")
		echoTLS(w.server)(conn)
	})
	want := func(c net.Conn, text string) {
		t.Helper()
		b := make([]byte, len(text))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
			t.Fatalf("the server says %q, %v, want %q", b, err, text)
		}
	}
	raw := s.dial()
	want(raw, "220 mail.example\r\n")
	io.WriteString(raw, "STARTTLS\r\n")
	want(raw, "220 go\r\n")
	c := tls.Client(raw, &tls.Config{RootCAs: roots(), ServerName: "shop.example"})
	wantEcho(t, c, "hello")
	c.CloseWrite()
	wantEOF(t, c)
	c.Close()
	s.seen.want(t, "plain", true, "")
	s.seen.want(t, "likeness", true, "of our authority")

	raw = s.dial()
	want(raw, "220 mail.example\r\n")
	io.WriteString(raw, "DATA.....\n")
	wantEOF(t, raw)
	hello, _ := realHello(t)
	raw.Write(hello)
	raw.CloseWrite()
	s.stop()
	s.seen.want(t, "likeness", true, "")
}

// How the destination ends TLS, the client's ends.
func TestTLSEndings(t *testing.T) {
	w := newWeb(t)
	w.server.MaxVersion = tls.VersionTLS12 // so that alerts are seen by their type
	for _, c := range []struct {
		name  string
		end   func(tcp *net.TCPConn, c *tls.Conn)
		last  byte // type of the last record
		error error
	}{
		{"close_notify", func(_ *net.TCPConn, c *tls.Conn) { c.CloseWrite() }, recordAlert, nil},
		{"FIN alone", func(tcp *net.TCPConn, _ *tls.Conn) { tcp.CloseWrite() }, recordApplicationData, nil},
		{"RST", func(tcp *net.TCPConn, _ *tls.Conn) { tcp.SetLinger(0) }, recordApplicationData, syscall.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, Destination{Open: always, Roots: w.roots}, func(conn *net.TCPConn) {
				server := tls.Server(conn, w.server)
				b := make([]byte, 5)
				io.ReadFull(server, b)
				server.Write(b)
				io.ReadFull(server, b[:1]) // the echo was read
				c.end(conn, server)
			})
			var stream bytes.Buffer
			raw := s.dial()
			client := tls.Client(recorded{raw, &stream}, &tls.Config{RootCAs: roots(), ServerName: "shop.example"})
			wantEcho(t, client, "hello")
			client.Write([]byte("!"))
			_, err := io.Copy(io.Discard, client)
			if c.error != nil && !errors.Is(err, c.error) || c.error == nil && err != nil {
				t.Errorf("the client reads %v, want %v", err, c.error)
			}
			types := records(t, stream.Bytes())
			if last := types[len(types)-1]; last != c.last {
				t.Errorf("the last record is of type %d, want %d", last, c.last)
			}
		})
	}
}

// A failure of the destination is met by the client in kind.
func TestTLSFailures(t *testing.T) {
	w := newWeb(t)
	alert := func(a byte) func(*net.TCPConn) {
		return func(conn *net.TCPConn) {
			conn.Read(make([]byte, 4096))
			conn.Write([]byte{recordAlert, 3, 3, 0, 2, 2, a})
			io.Copy(io.Discard, conn)
		}
	}
	needy := w.server.Clone()
	needy.ClientAuth = tls.RequireAnyClientCert
	old := w.server.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	for _, c := range []struct {
		name   string
		handle func(*net.TCPConn)
		want   string
	}{
		{"unrecognized_name", alert(112), "remote error: tls: unrecognized name"},
		{"no_application_protocol", alert(120), "remote error: tls: no application protocol"},
		{"access_denied", alert(49), "remote error: tls: access denied"},
		{"an unknown alert", alert(200), "remote error: tls: alert(200)"},
		{"an old version", echoTLS(old), "remote error: tls: protocol version not supported"},
		{"a certificate is required", echoTLS(needy), "remote error: tls: certificate required"},
		{"RST", func(conn *net.TCPConn) { conn.Read(make([]byte, 1)); conn.SetLinger(0) }, "connection reset by peer"},
		{"FIN", func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)); conn.CloseWrite(); io.Copy(io.Discard, conn) }, "EOF"},
		{"no TLS", func(conn *net.TCPConn) { conn.Read(make([]byte, 4096)); io.WriteString(conn, "220 mail.example\r\n") }, "first record does not look like a TLS handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, Destination{Open: always, Roots: w.roots}, c.handle)
			client, err := s.dialTLS(&tls.Config{ServerName: "shop.example"})
			if err == nil { // of TLS 1.3: what the server refuses is heard afterwards
				_, err = io.Copy(io.Discard, client)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the client meets %v, want %q", err, c.want)
			}
		})
	}
}

// A client that does not take the certificate ends both.
func TestClientRefuses(t *testing.T) {
	w := newWeb(t)
	met := make(chan error, 1)
	s := newSite(t, Destination{Open: always, Roots: w.roots}, func(conn *net.TCPConn) {
		_, err := io.Copy(io.Discard, tls.Server(conn, w.server))
		met <- err
	})
	if _, err := s.dialTLS(&tls.Config{ServerName: "shop.example", RootCAs: w.roots}); err == nil {
		t.Fatal("the client trusts an authority that it does not know")
	}
	if err := <-met; err != nil {
		t.Errorf("the destination reads %v, want close_notify", err)
	}
	s.seen.want(t, "handshake", false, "bad certificate")
	s.seen.forget()

	// One that resets its connection meanwhile.
	raw := s.dial()
	hello, _ := realHello(t)
	raw.Write(hello[:5+(int(hello[3])<<8|int(hello[4]))]) // its first record
	io.ReadFull(raw, make([]byte, 100))                   // of the ServerHello
	raw.SetLinger(0)
	raw.Close()
	if err := <-met; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the destination reads %v, want a reset", err)
	}
	s.stop()
}

package tlsbridge

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"synscope/event"
)

// Whole connections, beside those of a server that is nothing but crypto/tls. With
// -cpu 1 the time is the CPU time of client and server together, and the
// difference is what this package costs.
func BenchmarkConnection(b *testing.B) {
	for _, test := range []struct {
		name string
		do   func(b *testing.B, addr string)
	}{
		{"handshake", func(b *testing.B, addr string) { shakeHands(b, addr, false) }},
		{"resumed", func(b *testing.B, addr string) { shakeHands(b, addr, true) }},
		{"close", func(b *testing.B, addr string) { connect(b, addr, "") }},
		{"byte", func(b *testing.B, addr string) { connect(b, addr, "x") }},
	} {
		b.Run(test.name+"/bridge", func(b *testing.B) {
			s, err := New(Config{
				Authority: authority(),
				Select: func(event.Flow, string) Endpoint {
					return Endpoint{Service: Echo(), TLS: &TLSConfig{SessionTickets: true}}
				},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			l := listenUnix(b)
			go s.Serve(l)
			b.ReportAllocs()
			test.do(b, l.Addr().String())
		})
		b.Run(test.name+"/bare", func(b *testing.B) {
			l := listenUnix(b)
			defer l.Close()
			go serveBare(l, test.name == "handshake" || test.name == "resumed")
			b.ReportAllocs()
			test.do(b, l.Addr().String())
		})
	}
}

// listenUnix listens on the cheapest transport there is that can half-close.
func listenUnix(b *testing.B) net.Listener {
	l, err := net.Listen("unix", "@")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func serveBare(l net.Listener, secure bool) {
	cert, err := authority().Leaf("bench.example", ECDSA)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{*cert}}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if secure {
			conn = tls.Server(conn, config)
		}
		go func() {
			defer conn.Close()
			Echo().Serve(context.Background(), &Session{Conn: conn})
		}()
	}
}

// shakeHands makes connections that end once both sides have finished.
func shakeHands(b *testing.B, addr string, resume bool) {
	config := &tls.Config{RootCAs: roots(), ServerName: "bench.example", CurvePreferences: []tls.CurveID{tls.X25519}}
	if resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	for i := 0; b.Loop(); i++ {
		raw, err := net.Dial("unix", addr)
		if err != nil {
			b.Fatal(err)
		}
		conn := tls.Client(raw, config)
		if err := conn.Handshake(); err != nil {
			b.Fatal(err)
		}
		if conn.ConnectionState().DidResume != (resume && i > 0) {
			b.Fatalf("connection %d is resumed: %v", i, conn.ConnectionState().DidResume)
		}
		conn.CloseWrite()
		finish(b, conn)
		raw.Close()
	}
}

// connect makes connections that have a word echoed.
func connect(b *testing.B, addr, word string) {
	for b.Loop() {
		conn, err := net.Dial("unix", addr)
		if err != nil {
			b.Fatal(err)
		}
		if word != "" {
			io.WriteString(conn, word)
			io.ReadFull(conn, make([]byte, len(word)))
		}
		finish(b, conn)
		conn.Close()
	}
}

// finish ends the client's direction and reads to the end of the server's.
func finish(b *testing.B, conn net.Conn) {
	raw := conn
	if t, ok := conn.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	if err := raw.(*net.UnixConn).CloseWrite(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		b.Fatal(err)
	}
}

package tlsbridge

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"synscope/event"
)

// Handshakes through the bridge: the client, both of our sides and the
// destination, all in this process.
func BenchmarkBridgedHandshake(b *testing.B) {
	w := newWeb(b)
	w.server.SessionTicketsDisabled = true
	l, err := tls.Listen("tcp", "127.0.0.1:0", w.server)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, conn)
				conn.Close()
			}()
		}
	}()
	defer l.Close()
	s, err := New(Config{Authority: authority(), Destination: func(event.Flow) *Destination {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
		}
		return &Destination{Conn: NewTap(conn, nil), Open: always, Roots: w.roots}
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	near, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(near)
	config := &tls.Config{RootCAs: roots(), ServerName: "shop.example"}
	b.ResetTimer()
	for range b.N {
		c, err := tls.Dial("tcp", near.Addr().String(), config)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

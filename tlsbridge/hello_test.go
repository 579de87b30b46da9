package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"testing"
)

func hexOf(b []byte) []byte { return hex.AppendEncode(nil, b) }

// sniffed copies what is written to a connection.
type sniffed struct {
	net.Conn
	to io.Writer
}

func (s sniffed) Write(b []byte) (int, error) {
	s.to.Write(b)
	return s.Conn.Write(b)
}

// realHello returns the first flight of a crypto/tls client, and its random.
func realHello(t testing.TB) (flight, random []byte) {
	t.Helper()
	here, there := net.Pipe()
	var log bytes.Buffer
	client := tls.Client(here, &tls.Config{ServerName: "x", InsecureSkipVerify: true, KeyLogWriter: &log})
	done := make(chan struct{})
	go func() {
		defer close(done)
		client.Handshake()
		here.Close()
	}()
	var sent bytes.Buffer
	server, err := New(Config{Authority: authority()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.ServeConn(t.Context(), recorded{there, &sent})
	<-done
	line := bytes.Fields(log.Bytes())
	if len(line) < 3 {
		t.Fatal("no key log")
	}
	random, err = hex.DecodeString(string(line[1]))
	if err != nil {
		t.Fatal(err)
	}
	return sent.Bytes(), random
}

// recorded copies what is read from a connection.
type recorded struct {
	net.Conn
	to io.Writer
}

func (r recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.to.Write(b[:n])
	return n, err
}

func TestClientRandom(t *testing.T) {
	flight, random := realHello(t)
	if got := clientRandom(flight[:maxHead]); !bytes.Equal(got, random) {
		t.Errorf("random %x, want %x", got, random)
	}
	// The same message, a byte in each record, after a warning alert.
	split := []byte{0x15, 3, 1, 0, 2, 1, 0}
	for _, b := range flight[5:200] {
		split = append(split, 0x16, 3, 1, 0, 1, b)
	}
	if got := clientRandom(split[:maxHead]); !bytes.Equal(got, random) {
		t.Errorf("split: random %x, want %x", got, random)
	}
	for n := range 43 {
		if got := clientRandom(flight[:n]); got != nil {
			t.Errorf("random %x in %d bytes", got, n)
		}
	}
	if got := clientRandom([]byte("\x17\x03\x03\x00\x01x")); got != nil {
		t.Errorf("random %x in application data", got)
	}
}

func FuzzClientRandom(f *testing.F) {
	flight, _ := realHello(f)
	f.Add(flight[:60])
	f.Add([]byte{0x15, 3, 1, 0, 2, 1, 0, 0x16, 3, 1, 0, 1, 1})
	f.Fuzz(func(t *testing.T, head []byte) {
		random := clientRandom(head)
		if random != nil && len(random) != 32 {
			t.Errorf("a random of %d bytes", len(random))
		}
		if len(message(head)) > len(head) {
			t.Error("the message is longer than its records")
		}
	})
}

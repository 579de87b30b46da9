package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// A writeCounter counts the writes that reach the stack.
type writeCounter struct {
	net.Conn
	writes []int
	err    error
}

func (w *writeCounter) Write(b []byte) (int, error) {
	w.writes = append(w.writes, len(b))
	if w.err != nil {
		return 0, w.err
	}
	return w.Conn.Write(b)
}

// coalescing returns a session after its handshake, and the client's side.
func coalescing(t *testing.T) (*Session, *writeCounter, *tls.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	authority, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Leaf("shop.example", ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	w := &writeCounter{Conn: near}
	tr := newTransport(w)
	server := tls.Server(tr, &tls.Config{Certificates: []tls.Certificate{*leaf}, SessionTicketsDisabled: true})
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	state := server.ConnectionState()
	w.writes = nil
	return &Session{Conn: server, TLS: &state, transport: tr}, w, client
}

// The records of a large write come together, those of a small one alone, and
// what the client reads is what was written.
func TestCoalescedRecords(t *testing.T) {
	s, w, client := coalescing(t)
	for _, test := range []struct{ size, maxWrites int }{
		{1, 1},
		{maxPlaintext + 1, 1},
		{largeBuffer, 1},
		{10 * largeBuffer, 12},
	} {
		sent := bytes.Repeat([]byte("0123456789abcdef"), test.size/16+1)[:test.size]
		got := make([]byte, test.size)
		done := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(client, got)
			done <- err
		}()
		w.writes = nil
		n, err := s.Write(sent)
		if n != test.size || err != nil {
			t.Fatalf("Write of %d bytes: %d, %v", test.size, n, err)
		}
		if err := <-done; err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes: the client reads something else, %v", test.size, err)
		}
		if len(w.writes) > test.maxWrites {
			t.Errorf("%d bytes took %d writes, of %v", test.size, len(w.writes), w.writes)
		}
	}
}

// An error of the stack is the error of the write that was collected.
func TestCoalescedError(t *testing.T) {
	s, w, _ := coalescing(t)
	w.err = errors.New("gone")
	if n, err := s.Write(make([]byte, largeBuffer)); n != 0 || !errors.Is(err, w.err) {
		t.Errorf("Write: %d, %v", n, err)
	}
}

// Several goroutines may write, as to any net.Conn: nothing is lost.
func TestCoalescedWriters(t *testing.T) {
	s, _, client := coalescing(t)
	const writers, writes = 4, 100
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			b := bytes.Repeat([]byte{byte('a' + i)}, maxPlaintext*(1+i))
			for range writes {
				if n, err := s.Write(b); n != len(b) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			}
		})
	}
	var got [writers]int
	b := make([]byte, maxPlaintext)
	for sum := maxPlaintext * writes * writers * (writers + 1) / 2; sum > 0; {
		n, err := client.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b[:n] {
			got[c-'a']++
		}
		sum -= n
	}
	writing.Wait()
	for i, n := range got {
		if want := maxPlaintext * (1 + i) * writes; n != want {
			t.Errorf("of writer %d came %d bytes, want %d", i, n, want)
		}
	}
}

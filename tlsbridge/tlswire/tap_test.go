package tlswire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

// A clock that goes on by a millisecond whenever it is looked at.
func steppingClock() func() Stamp {
	var t time.Duration
	return func() Stamp {
		t += time.Millisecond
		return Stamp{Time: time.Unix(0, int64(t)), T: t}
	}
}

// A server on a Tap, with its own key log, needs nothing else to be told.
func TestTapUnderServer(t *testing.T) {
	clientEnd, serverEnd := newPipe(new(recording))
	client, server := configs(nil)
	tr := new(transcript)
	d := NewDecoder(tr.emit)
	d.ExpectSecrets(true)
	tap := NewTap(serverEnd, d, event.Server, steppingClock())
	server.KeyLogWriter = tap.KeyLogWriter()
	done := make(chan error)
	go func() {
		conn := tls.Server(tap, server)
		_, err := io.ReadFull(conn, make([]byte, 4))
		conn.Write([]byte("pong"))
		conn.Close()
		done <- err
	}()
	conn := tls.Client(clientEnd, client)
	conn.Write([]byte("ping"))
	io.ReadFull(conn, make([]byte, 4))
	io.ReadAll(conn)
	conn.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tr.want(t, hello13+serverCCS+certificate13+clientCCS+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=1
		c [application_data]
		s [application_data]
		s [alert warning close_notify]
		server CONNECTED > CLOSED`)
	tap.Do(func(d *Decoder) {
		s := d.Summary()
		if s.End.T <= s.Start.T || s.WaitClient+s.WaitServer != s.End.T-s.Start.T || s.WaitServer == 0 {
			t.Errorf("times: %+v", s)
		}
	})
}

// An endConn ends with an error.
type endConn struct {
	net.Conn
	err error
}

func (c endConn) Read([]byte) (int, error) { return 0, c.err }
func (c endConn) Close() error             { return nil }

func TestTapShowsHowTheConnectionEnds(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{io.EOF, "client closed the connection before any message, without an alert"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
			"client reset the connection before any message, without an alert"},
	} {
		tr := new(transcript)
		tap := NewTap(endConn{err: test.err}, NewDecoder(tr.emit), event.Server, nil)
		if _, err := tap.Read(make([]byte, 1)); err != test.err {
			t.Errorf("Read returned %v, want %v", err, test.err)
		}
		if f := first[*event.Failed](tr); f == nil || f.Cause != test.want {
			t.Errorf("after %v: %+v", test.err, f)
		}
	}
	tr := new(transcript)
	tap := NewTap(endConn{err: os.ErrDeadlineExceeded}, NewDecoder(tr.emit), event.Server, nil)
	tap.Read(make([]byte, 1))
	if len(tr.lines) != 0 {
		t.Errorf("a deadline is no end, but told: %v", tr.lines)
	}
	if err := tap.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CloseWrite of a connection without it: %v", err)
	}
	tap.Close()
	if f := first[*event.Failed](tr); f == nil || f.Side != event.Server {
		t.Errorf("after Close: %+v", f)
	}
}

// Lines of the key log may come in pieces.
func TestTapKeyLogInPieces(t *testing.T) {
	tap := NewTap(endConn{}, NewDecoder(nil), event.Server, nil)
	w := tap.KeyLogWriter()
	for _, b := range []byte("CLIENT_RANDOM " + randomHex + " 00\nnonsense\nCLIENT_RANDOM " + randomHex + " 01\n") {
		w.Write([]byte{b})
	}
	if n := len(tap.decoder.secrets); n != 2 {
		t.Errorf("%d secrets arrived, want 2", n)
	}
}

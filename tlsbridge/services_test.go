package tlsbridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

func TestServiceByName(t *testing.T) {
	for _, name := range []string{"mirror", "echo", "discard", "chargen", "chargen:1000"} {
		if s, err := ServiceByName(name); s == nil || err != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"", "finger", "chargen:", "chargen:0", "chargen:-1", "chargen:x", "echo:1", "chargen:99999999999999999999"} {
		if _, err := ServiceByName(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v, want an error that names it", name, err)
		}
	}
}

// both runs a test over plain TCP and over TLS.
func both(t *testing.T, s Service, test func(t *testing.T, c halfConn)) {
	f := start(t, service(s, nil))
	t.Run("plain", func(t *testing.T) { test(t, f.dial()) })
	t.Run("TLS", func(t *testing.T) { test(t, f.mustDialTLS(&tls.Config{})) })
	f.stop()
	if s := f.seen.find("close"); len(s) != 0 {
		t.Errorf("steps %+v: the client closed", s)
	}
}

type halfConn interface {
	net.Conn
	halfCloser
}

func TestEcho(t *testing.T) {
	both(t, Echo(), func(t *testing.T, c halfConn) {
		defer c.Close()
		wantEcho(t, c, "small")
		big := strings.Repeat("0123456789", 100_000)
		go func() {
			io.WriteString(c, big)
			c.CloseWrite()
		}()
		b, err := io.ReadAll(c)
		if err != nil || string(b) != big {
			t.Errorf("%d bytes, %v, want %d", len(b), err, len(big))
		}
	})
}

func TestDiscard(t *testing.T) {
	both(t, Discard(), func(t *testing.T, c halfConn) {
		defer c.Close()
		if _, err := io.WriteString(c, strings.Repeat("x", 1_000_000)); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		wantEOF(t, c)
	})
}

// The first lines as RFC 864 shows them.
const rfc864 = ` !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefg\r\n" +
	`!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_` + "`abcdefgh\r\n"

func TestChargenWithLimitOutlastsHalfClose(t *testing.T) {
	const limit = 200_001
	both(t, Chargen(limit), func(t *testing.T, c halfConn) {
		defer c.Close()
		io.WriteString(c, "x")
		c.CloseWrite()
		b, err := io.ReadAll(c)
		if err != nil || len(b) != limit {
			t.Fatalf("%d bytes, %v, want %d", len(b), err, limit)
		}
		if !strings.HasPrefix(string(b), rfc864) {
			t.Errorf("begins with %q", b[:200])
		}
		// Seamless where one write follows another.
		const period = 95 * 74
		for i := period; i < limit; i += period {
			if n := min(period, limit-i); !bytes.Equal(b[i:i+n], b[:n]) {
				t.Fatalf("the pattern breaks after %d bytes", i)
			}
		}
	})
}

func TestEndlessChargenEndsWithTheClient(t *testing.T) {
	both(t, Chargen(0), func(t *testing.T, c halfConn) {
		defer c.Close()
		io.WriteString(c, "x")
		if _, err := io.CopyN(io.Discard, c, 1_000_000); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%v, want the end", err)
		}
	})
}

func TestErrorOfAServiceIsTold(t *testing.T) {
	f := start(t, service(broken{}, nil))
	c := f.dial()
	io.WriteString(c, "x")
	c.CloseWrite()
	wantEOF(t, c)
	f.stop()
	f.seen.want(t, "close", false, "out of order")
}

type broken struct{}

func (broken) Serve(_ context.Context, s *Session) error {
	io.Copy(io.Discard, s)
	return errors.New("out of order")
}

func TestChargenCutShortByShutdownSaysSo(t *testing.T) {
	f := start(t, service(Chargen(1<<40), nil))
	c := f.dial()
	io.WriteString(c, "x")
	if _, err := io.CopyN(io.Discard, c, 1); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		c.Close()
		read <- err
	}()
	f.stop()
	if err := <-read; err != nil {
		t.Errorf("client: %v", err)
	}
	f.seen.want(t, "close", false, "before the end of the stream")
}

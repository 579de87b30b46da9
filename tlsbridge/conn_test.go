package tlsbridge

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlainTextGetsTheServiceToo(t *testing.T) {
	f := start(t, service(Echo(), nil))
	c := f.dial()
	wantEcho(t, c, "GET / HTTP/1.0\r\n")
	f.seen.want(t, "plain", true, "the first byte is not that of a handshake record")
	if f.seen.starts != 0 || len(f.seen.ends) != 0 {
		t.Error("TLS was told of")
	}
}

func TestOldClientHelloIsNamed(t *testing.T) {
	f := start(t, service(Discard(), nil))
	c := f.dial()
	c.Write([]byte("\x80\x2e\x01\x03\x01\x00\x15"))
	c.CloseWrite()
	wantEOF(t, c)
	f.seen.want(t, "plain", true, "SSL 2.0")
}

func TestGarbageThatBeginsLikeTLS(t *testing.T) {
	f := start(t, Config{})
	c := f.dial()
	io.WriteString(c, "\x16 is what a handshake record begins with")
	c.CloseWrite()
	wantEOF(t, c) // crypto/tls sends no alert to what is not TLS
	f.stop()
	f.seen.want(t, "handshake", false, "first record does not look like a TLS handshake")
}

func TestClientThatLeavesInTheHandshake(t *testing.T) {
	f := start(t, Config{})
	c := f.dial()
	io.WriteString(c, "\x16\x03\x01\x02\x00\x01")
	c.CloseWrite()
	wantEOF(t, c)
	f.stop()
	f.seen.want(t, "handshake", false, "unexpected EOF")
	if len(f.seen.ends) != 1 || f.seen.ends[0] == nil {
		t.Errorf("ended with %v, want an error", f.seen.ends)
	}
}

func TestSilentClient(t *testing.T) {
	f := start(t, Config{HandshakeTimeout: 20 * time.Millisecond})
	c := f.dial()
	wantEOF(t, c)
	c.Close()
	f.stop()
	f.seen.want(t, "close", false, "the client sent nothing for 20ms")
}

func TestClientThatOnlyConnects(t *testing.T) {
	f := start(t, Config{})
	c := f.dial()
	c.CloseWrite()
	wantEOF(t, c)
	f.stop()
	if len(f.seen.steps) != 0 {
		t.Errorf("steps %+v of nothing", f.seen.steps)
	}
}

func TestClientThatStopsInTheHandshake(t *testing.T) {
	f := start(t, Config{HandshakeTimeout: 200 * time.Millisecond})
	c := f.dial()
	io.WriteString(c, "\x16\x03\x01")
	wantEOF(t, c)
	c.Close()
	f.stop()
	f.seen.want(t, "handshake", false, "timeout")
}

func TestIdleConnectionEndsInOrder(t *testing.T) {
	for _, svc := range []Service{Echo(), Mirror()} {
		conf := service(svc, nil)
		conf.IdleTimeout = 50 * time.Millisecond
		f := start(t, conf)
		c := f.mustDialTLS(&tls.Config{})
		wantEOF(t, c)
		c.Close()
		f.stop()
		f.seen.want(t, "close", false, "nothing moved for 50ms")
	}
}

// A deadline that was set before bytes moved does not end the connection.
func TestBusyConnectionIsNotIdle(t *testing.T) {
	conf := service(Echo(), nil)
	conf.Authority, conf.IdleTimeout = authority(), time.Minute
	synctest.Test(t, func(t *testing.T) {
		seen := new(recorder)
		conf.Observer = seen
		s, err := New(conf)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		near, far := net.Pipe()
		var serving sync.WaitGroup
		serving.Go(func() { s.ServeConn(t.Context(), near) })
		c := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
		for range 5 {
			wantEcho(t, c, "still here")
			time.Sleep(conf.IdleTimeout - time.Second)
		}
		c.Close()
		serving.Wait()
		if s := seen.find("close"); len(s) != 0 {
			t.Errorf("steps %+v", s)
		}
	})
}

func TestClientThatNeverReads(t *testing.T) {
	conf := service(Chargen(0), nil)
	conf.IdleTimeout, conf.DrainTimeout = 50*time.Millisecond, 50*time.Millisecond
	f := start(t, conf)
	c := f.dial()
	io.WriteString(c, "go")
	for len(f.seen.find("close")) == 0 {
		time.Sleep(time.Millisecond)
	}
	if s := f.seen.find("close")[0]; !strings.Contains(s.Error, "nothing moved") {
		t.Errorf("step %+v", s)
	}
}

func TestHalfCloseBeforeTheAnswer(t *testing.T) {
	f := start(t, Config{})
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	t.Run("plain", func(t *testing.T) {
		c := f.dial()
		io.WriteString(c, request)
		c.CloseWrite()
		b, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") {
			t.Errorf("answer %q, %v", b, err)
		}
	})
	t.Run("TLS", func(t *testing.T) {
		raw := f.dial()
		c := tls.Client(raw, &tls.Config{RootCAs: roots(), ServerName: "127.0.0.1"})
		io.WriteString(c, request)
		c.CloseWrite()   // close_notify
		raw.CloseWrite() // FIN
		b, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") {
			t.Errorf("answer %q, %v", b, err)
		}
	})
}

// records returns the content types of the records in stream.
func records(t *testing.T, stream []byte) (types []byte) {
	t.Helper()
	for len(stream) >= 5 {
		n := 5 + int(stream[3])<<8 + int(stream[4])
		if len(stream) < n {
			t.Fatalf("the last record is cut: %x", stream)
		}
		types = append(types, stream[0])
		stream = stream[n:]
	}
	return types
}

func TestCloseNotifyComesBeforeFIN(t *testing.T) {
	f := start(t, service(Echo(), nil))
	raw := f.dial()
	c := tls.Client(raw, &tls.Config{RootCAs: roots(), ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12})
	wantEcho(t, c, "hello")
	c.CloseWrite()
	raw.CloseWrite()
	b, err := io.ReadAll(raw) // TLS 1.2 shows the type of the alert
	if err != nil {
		t.Fatalf("%v, want the end, and no reset", err)
	}
	if got := records(t, b); len(got) != 1 || got[0] != 0x15 {
		t.Errorf("records of the types %x came last, want one alert", got)
	}
}

// The client is in the middle of its upload when the server has had enough:
// what the server said is not lost to a reset.
func TestAnswerIsNotLostToUnreadData(t *testing.T) {
	f := start(t, Config{})
	c := f.dial()
	upload := strings.Repeat("x", maxDrain/4)
	go io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: nonsense\r\n\r\n"+upload)
	b, err := io.ReadAll(c)
	if err == nil && !strings.HasPrefix(string(b), "HTTP/1.1 417 ") {
		t.Errorf("answer %q", b)
	}
	if err != nil {
		t.Errorf("%v after %q, want the end, and no reset", err, b)
	}
	c.Close()
	f.stop()
}

func TestDrainIsBounded(t *testing.T) {
	here, there := loopback(t)
	go func() {
		defer here.Close()
		io.CopyN(here, zeros{}, 4*maxDrain)
	}()
	if got := drain(there, patience); !strings.Contains(got, "1048576 bytes after our FIN") {
		t.Errorf("drain = %q", got)
	}
	here2, there2 := loopback(t)
	if got := drain(there2, 10*time.Millisecond); !strings.Contains(got, "did not close within 10ms") {
		t.Errorf("drain = %q", got)
	}
	here2.Close()
	if got := drain(there2, patience); got != "" {
		t.Errorf("drain = %q after the client closed", got)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// loopback returns the two ends of a TCP connection.
func loopback(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if here, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func TestAddrPort(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, test := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("198.18.0.1:443"), "198.18.0.1:443"},
		{tcp("[::ffff:198.18.0.1]:443"), "198.18.0.1:443"},
		{tcp("[fe80::1%eth0]:443"), "[fe80::1]:443"},
		{addr("[2001:2::1]:443"), "[2001:2::1]:443"},
	} {
		if got := addrPort(test.addr).String(); got != test.want {
			t.Errorf("%v: %s, want %s", test.addr, got, test.want)
		}
	}
	for _, a := range []net.Addr{nil, addr("pipe")} {
		if got := addrPort(a); got.Addr().IsValid() {
			t.Errorf("%v: %v", a, got)
		}
	}
}

type addr string

func (addr) Network() string  { return "test" }
func (a addr) String() string { return string(a) }

package trace

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// leg13 is a leg with TLS 1.3, up to the end of its handshake.
const leg13 = `
	open upstream of 1
	dial true
	client tls client_hello
	tls client START > WAIT_SH
	tls server START > RECVD_CH
	server tls server_hello
	tls server RECVD_CH > NEGOTIATED
	tls client WAIT_SH > WAIT_EE
	server tls change_cipher_spec
	server tls encrypted_extensions, encrypted
	tls client WAIT_EE > WAIT_CERT_CR
	server tls certificate, encrypted
	tls client WAIT_CERT_CR > WAIT_CV
	server tls certificate_verify, encrypted
	tls client WAIT_CV > WAIT_FINISHED
	server tls finished, encrypted
	tls server NEGOTIATED > WAIT_FLIGHT2
	tls server WAIT_FLIGHT2 > WAIT_FINISHED
`

// A leg is a connection of its own, with what our TLS client says, and what the
// kernel counted. crypto/tls's own word of what was negotiated is the judge.
func TestUpstream(t *testing.T) {
	d := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{certificate(t, time.Now().Add(time.Hour), "shop.example")},
		NextProtos:   []string{"h2"}, SessionTicketsDisabled: true,
	})
	r := newRelay(t, defaultLimits)
	tap := r.dial(d.addr)
	conn, err := r.handshake(tap, &tls.Config{RootCAs: d.roots, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "hello")
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	tap.CloseWrite()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, tap); err != nil { // crypto/tls leaves the FIN
		t.Fatal(err)
	}
	conn.Close()
	r.sync()
	r.events.want(2, leg13+`
		client tls change_cipher_spec
		client tls finished, encrypted
		tls client WAIT_FINISHED > CONNECTED
		tls server WAIT_FINISHED > CONNECTED
		tls established TLS 1.3
		tls endpoint handshake true
		client tls application_data
		server tls application_data
		client tls alert close_notify
		tls client CONNECTED > CLOSED
		server tls alert close_notify
		tls server CONNECTED > CLOSED
		close fin client`)

	open := r.events.of(2)[0].Body.(*event.Open)
	if open.Client.String() != r.raw.LocalAddr().String() || open.Server.String() != d.addr || open.Name != "shop.example" || !open.Upstream {
		t.Errorf("conn.open: %+v", open)
	}
	for _, e := range r.events.of(2) {
		if _, ok := e.Body.(*event.TLSStep); ok && (e.View != event.Endpoint || e.From != event.Client) {
			t.Errorf("a step of ours is seen by %s, from the %s", e.View, e.From)
		}
		if e, ok := e.Body.(*event.Established); ok {
			sameSession(t, conn.ConnectionState(), e)
		}
	}
	c := r.closed(2)
	if c.BytesClient == 0 || c.BytesServer == 0 || c.SegmentsSeen == 0 || c.RTT == 0 || c.TCPHandshake == 0 || !c.HandshakeDone || !c.BothFIN || c.TLSCutShort || c.Code != "" {
		t.Errorf("conn.close: %+v", c)
	}
	if !r.keys.has("SERVER_TRAFFIC_SECRET_0") {
		t.Errorf("key log: %q", *r.keys)
	}
}

// sameSession compares a session with what crypto/tls says of it.
func sameSession(t *testing.T, cs tls.ConnectionState, e *event.Established) {
	t.Helper()
	if uint16(e.Version) != cs.Version || uint16(e.CipherSuite) != cs.CipherSuite || uint16(e.Group) != uint16(cs.CurveID) ||
		e.ALPN != cs.NegotiatedProtocol || e.ServerName != cs.ServerName || e.Resumed != cs.DidResume || e.HelloRetry != cs.HelloRetryRequest {
		t.Errorf("established %+v, crypto/tls says %+v", e, cs)
	}
}

// What is told of the bytes of a leg is what is told of the same bytes in
// packets.
func TestUpstreamAsPackets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := record(t, version)
			told := func(tell func(r *relay), conn uint64) []string {
				r := newRelay(t, defaultLimits)
				tell(r)
				r.sync()
				var ls []string
				for _, e := range r.events.of(conn) {
					if e.View == event.Wire && strings.HasPrefix(string(e.Kind()), "tls.") {
						ls = append(ls, line(e))
					}
				}
				return ls
			}
			packets := told(func(r *relay) {
				s.tellKeys(t, r.wire)
				for _, f := range s.flights {
					r.send(f.from, event.ACK|event.PSH, f.data)
				}
			}, 1)
			leg := told(func(r *relay) {
				u := r.Upstream(r.flow, event.Dial{Time: time.Now(), Flow: testFlow})
				u.TLSStart()
				for _, f := range s.flights {
					u.Bytes(f.from, []byte(f.data))
				}
				for l := range strings.Lines(s.keys.String()) { // as late as they may be
					keyLog{u}.Write([]byte(l))
				}
			}, 2)
			if d := cmp.Diff(packets, leg); d != "" || len(leg) < 15 {
				t.Errorf("%d events (-packets +leg):\n%s", len(leg), d)
			}
		})
	}
}

// The connection of the client says which leg failed, and why: the cause and the
// hint of the leg.
func TestUpstreamFailed(t *testing.T) {
	expired := certificate(t, time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC), "shop.example")
	good := certificate(t, time.Now().Add(time.Hour), "shop.example")
	// give has a client's ClientHello answered with an alert.
	give := func(r *relay) {
		r.client(event.ACK|event.PSH, record(t, tls.VersionTLS13).flights[0].data)
		r.server(event.ACK|event.PSH, "\x15\x03\x03\x00\x02\x02\x50")
		r.reset()
	}
	for _, c := range []struct {
		name        string
		destination func(t *testing.T) *destination
		config      func(d *destination) *tls.Config
		code        event.CauseCode
		cause       string
		by          event.Side
		err         string // of our endpoint
	}{
		{
			"expired", func(t *testing.T) *destination {
				return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{expired}})
			},
			func(d *destination) *tls.Config { return &tls.Config{RootCAs: d.roots} },
			"expired", "synscope refused the server's certificate, which expired on 2020-01-02 00:00 UTC: alert bad_certificate after certificate",
			event.Client, "x509: certificate has expired",
		},
		{
			"self-signed", func(t *testing.T) *destination {
				return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{good}})
			},
			func(*destination) *tls.Config { return &tls.Config{RootCAs: x509.NewCertPool()} },
			"self_signed", "synscope refused the server's certificate, which is self-signed: alert bad_certificate after certificate",
			event.Client, "x509: certificate signed by unknown authority",
		},
		{
			"another name", func(t *testing.T) *destination {
				return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{good}})
			},
			func(d *destination) *tls.Config { return &tls.Config{RootCAs: d.roots, ServerName: "bank.example"} },
			"wrong_name", "synscope refused the server's certificate, which is for shop.example, and the client asked for bank.example",
			event.Client, "not bank.example",
		},
		{
			"an old version", func(t *testing.T) *destination {
				return serveTLS(t, &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
			},
			func(d *destination) *tls.Config { return &tls.Config{RootCAs: d.roots, MinVersion: tls.VersionTLS12} },
			"no_common_version", "server does not speak a version that synscope offers (TLS 1.3, TLS 1.2): alert protocol_version after client_hello",
			event.Server, "",
		},
		{
			"a reset", func(t *testing.T) *destination {
				return serve(t, func(conn *net.TCPConn) {
					conn.Read(make([]byte, 1))
					conn.SetLinger(0)
					conn.Close()
				})
			},
			func(d *destination) *tls.Config { return &tls.Config{} },
			"reset_after_client_hello", "server reset the connection after client_hello, without an alert", event.Server, "",
		},
		{
			"a silent server", func(t *testing.T) *destination {
				return serve(t, func(conn *net.TCPConn) {
					io.Copy(io.Discard, conn)
					conn.Close()
				})
			},
			nil, "server_silent", "for the server, which sent nothing; the ClientHello has", event.Client, "i/o timeout",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.destination(t)
			r := newRelay(t, defaultLimits)
			tap := r.dial(d.addr)
			config := &tls.Config{}
			if c.config != nil {
				config = c.config(d)
			} else {
				tap.SetReadDeadline(time.Now()) // it gives up at once
			}
			if _, err := r.handshake(tap, config); err == nil {
				t.Fatal("the handshake was completed")
			}
			give(r)
			tap.Close()

			leg := r.failed(2)
			if leg == nil || leg.Code != c.code || !strings.Contains(leg.Cause, c.cause) || leg.Side != c.by || leg.Hint == "" || !strings.Contains(leg.Error, c.err) {
				t.Errorf("leg: %+v, want %s by the %s: %q", leg, c.code, c.by, c.cause)
			}
			f := r.failed(1)
			if f == nil || f.Code != "upstream_failed" || f.Leg != 2 || f.Hint != leg.Hint || f.Cause != "upstream leg #2 to shop.example ("+d.addr+") failed: "+leg.Cause {
				t.Errorf("client: %+v", f)
			}
			if x := r.closed(2); x.Code != "" {
				t.Errorf("conn.close of the leg says it again: %+v", x)
			}
		})
	}
}

// A destination that cannot be dialled is a leg that ends at once.
func TestUpstreamNotDialled(t *testing.T) {
	refused := func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		_, err = net.Dial("tcp", l.Addr().String())
		return err
	}()
	wrap := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	_, canceledErr := new(net.Dialer).DialContext(canceled, "tcp", "127.0.0.1:1")
	for _, c := range []struct {
		name  string
		err   error
		how   string
		code  event.CauseCode
		cause string
	}{
		{"refused", refused, "refused", "refused", "server refused the connection, 1.5s after it was dialled"},
		{"no answer", wrap(syscall.ETIMEDOUT), "timeout", "no_answer", "server did not answer within 1.5s"},
		{"a deadline", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "timeout", "no_answer", "server did not answer within 1.5s"},
		{"no route", wrap(syscall.EHOSTUNREACH), "unreachable", "unreachable", "there is no way to the server: no route to host"},
		{"a firewall of our own", wrap(syscall.EPERM), "failed", "dial_failed", "the server could not be dialled: operation not permitted"},
		{"any other error", errors.New("no more of them"), "failed", "dial_failed", "the server could not be dialled: no more of them"},
		{"a client that left", canceledErr, "canceled", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRelay(t, defaultLimits)
			u := r.Upstream(r.flow, event.Dial{
				Time: time.Now(), Duration: 1500 * time.Millisecond, Flow: event.Flow{Server: netip.MustParseAddrPort("203.0.113.7:443")}, Err: c.err,
			})
			u.Close(event.TransportInfo{}) // nothing more is told of it
			r.reset()
			x := r.closed(2)
			if x.How != c.how || x.Code != c.code || x.Cause != c.cause || x.HandshakeDone || x.Duration != 1500*time.Millisecond || (x.Hint == "") != (c.code == "") {
				t.Errorf("conn.close of the leg: %+v, want %s: %s", x, c.how, c.code)
			}
			if d := r.events.of(2)[1].Body.(*event.Dialed); d.OK || d.Error != c.err.Error() || d.Duration != 1500*time.Millisecond {
				t.Errorf("tcp.dial: %+v", d)
			}
			client := r.closed(1)
			if c.code == "" {
				if client.Code == "upstream_failed" {
					t.Errorf("the leg did not fail, but the client's connection says so: %+v", client)
				}
			} else if want := "upstream leg #2 to 203.0.113.7:443 failed: " + c.cause; client.Code != "upstream_failed" || client.Cause != want || client.Leg != 2 || client.Hint != x.Hint {
				t.Errorf("conn.close of the client: %+v, want %q", client, want)
			}
		})
	}
}

// Of several destinations that are tried, the one that is connected counts.
func TestUpstreamSecondTry(t *testing.T) {
	r := newRelay(t, defaultLimits)
	dial := func(err error) *Upstream {
		return r.Upstream(r.flow, event.Dial{Time: time.Now(), Flow: testFlow, Err: err})
	}
	dial(syscall.ECONNREFUSED)
	u := dial(nil)
	dial(syscall.ECONNREFUSED)
	u.Close(event.TransportInfo{})
	r.reset()
	r.sync()
	if c := r.closed(1); c.Code == "upstream_failed" {
		t.Errorf("conn.close: %+v", c)
	}
}

// A leg whose server resets it, or goes away, after the handshake says so at its
// end; what the client's connection suffered is that.
func TestUpstreamBreaks(t *testing.T) {
	for _, c := range []struct {
		how, cause string
		code       event.CauseCode
		from       event.Side
	}{
		{"rst", "server reset the connection, ", "reset", event.Server},
		{"timeout", "server answers no more, and the kernel gave up", "peer_vanished", event.Client},
		{"rst", "", "", event.Client}, // our own
	} {
		r := newRelay(t, defaultLimits)
		u := r.Upstream(r.flow, event.Dial{Time: time.Now(), Flow: testFlow})
		u.Bytes(event.Client, []byte("GET / HTTP/1.1\r\n\r\n"))
		r.client(event.ACK|event.PSH, "GET / HTTP/1.1\r\n\r\n")
		u.End(c.from, c.how)
		u.End(event.Client, "fin")
		u.Close(event.TransportInfo{Retransmits: 3})
		r.server(event.RST|event.ACK, "")
		r.becomes(event.StateClosed, "abort")
		x, client := r.closed(2), r.closed(1)
		if x.How != c.how || x.Code != c.code || !strings.HasPrefix(x.Cause, c.cause) || x.Retransmits != 3 || x.BytesClient != 18 {
			t.Errorf("conn.close of the leg: %+v, want %s", x, c.code)
		}
		if got := client.Code == "upstream_failed"; got != (c.code != "") {
			t.Errorf("conn.close of the client: %+v", client)
		}
	}
}

// Bytes that find no room in the queue are a gap, in the timeline and for the
// decoder.
func TestUpstreamGap(t *testing.T) {
	l := defaultLimits
	l.queuedPackets = 3
	r := newRelay(t, l)
	s := record(t, tls.VersionTLS12)
	r.sync()
	u := r.Upstream(r.flow, event.Dial{Time: time.Now(), Flow: testFlow})
	stall := make(chan struct{})
	r.events.stall(stall) // the tracer takes nothing meanwhile
	u.Bytes(event.Client, []byte(s.flights[0].data))
	lost := 0
	for range 4 {
		u.Bytes(event.Server, []byte("\x16\x03\x03\x40\x00 of a record"))
		lost += 17
	}
	close(stall)
	u.End(event.Server, "fin")
	u.Close(event.TransportInfo{})
	r.sync()
	var gap uint64
	undecoded := false
	for _, e := range r.events.of(2) {
		switch b := e.Body.(type) {
		case *event.Gap:
			if b.What != "bytes" || e.From != event.Server {
				t.Errorf("gap: %+v", b)
			}
			gap += b.Lost
		case *event.Undecoded:
			undecoded = undecoded || b.Reason == "gap"
		}
	}
	if x := r.closed(2); gap == 0 || gap > uint64(lost) || !undecoded || x.BytesServer != uint64(lost) {
		t.Errorf("%d bytes in gaps, undecoded: %t, conn.close %+v", gap, undecoded, x)
	}
}

// What a leg says after its end, or after it was not followed any more, is
// ignored, but for its secrets.
func TestUpstreamLate(t *testing.T) {
	r := newRelay(t, defaultLimits)
	u := r.Upstream(r.flow, event.Dial{Time: time.Now(), Flow: testFlow})
	u.Close(event.TransportInfo{})
	u.Bytes(event.Client, []byte("x"))
	u.Step(event.TLSStep{Step: "handshake"})
	u.Secret("CLIENT_RANDOM", bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 48))
	r.sync()
	r.events.want(2, `
		open upstream of 1
		dial true
		close fin`)
	if !r.keys.has("CLIENT_RANDOM") {
		t.Error("the secret is lost")
	}
}

// A leg is told as well where its client is not known, and is ended by Close.
func TestUpstreamOfNobody(t *testing.T) {
	events := newRecorder(t)
	tr := newTracer(Config{Sinks: []Sink{events}}, defaultLimits)
	u := tr.Upstream(testFlow, event.Dial{Time: time.Now(), Flow: testFlow})
	u.Bytes(event.Server, []byte("220 mail.example ESMTP\r\n"))
	tr.Close()
	u.Bytes(event.Server, []byte("more"))
	events.want(1, `
		open upstream of 0
		dial true
		server tls undecoded: not tls
		close shutdown`)
}

// A leg's Established is that of crypto/tls in each version.
func TestUpstreamVersions(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		d := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, time.Now().Add(time.Hour), "shop.example")}, MaxVersion: version})
		r := newRelay(t, defaultLimits)
		conn, err := r.handshake(r.dial(d.addr), &tls.Config{RootCAs: d.roots})
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		r.sync()
		told := 0
		for _, e := range r.events.of(2) {
			if b, ok := e.Body.(*event.Established); ok {
				told++
				sameSession(t, conn.ConnectionState(), b)
			}
		}
		if told != 1 {
			t.Errorf("%s: established told %d times", tls.VersionName(version), told)
		}
	}
}

// What our endpoint has against a certificate, and yet shows its likeness to the
// client, is no failure of the leg; but it is why the client fails.
func TestUpstreamDoubted(t *testing.T) {
	const doubts = "x509: certificate signed by unknown authority"
	for _, c := range []struct {
		doubts, cause, hint string
		leg                 uint64
	}{
		{doubts, "; so it is with the real one, on upstream leg #2 to 198.18.0.5:443: " + doubts, hintLikeness, 2},
		{"", "", "", 0},
	} {
		r := newRelay(t, defaultLimits)
		u := r.Upstream(r.flow, event.Dial{Time: time.Now(), Flow: testFlow})
		u.Step(event.TLSStep{Step: "verify", OK: c.doubts == "", Error: c.doubts})
		s := record(t, tls.VersionTLS12)
		for _, f := range s.flights[:2] {
			r.send(f.from, event.ACK|event.PSH, f.data)
		}
		r.client(event.ACK|event.PSH, "\x15\x03\x03\x00\x02\x02\x30") // unknown_ca
		r.reset()
		u.Close(event.TransportInfo{})
		f := r.failed(1)
		if f == nil || f.Code != "self_signed" || f.Leg != c.leg || !strings.HasSuffix(f.Cause, "after certificate"+c.cause) || c.hint != "" && f.Hint != c.hint {
			t.Errorf("client: %+v, want the cause to end with %q", f, c.cause)
		}
		if x := r.closed(2); x.Code != "" {
			t.Errorf("conn.close of the leg: %+v", x)
		}
	}
}

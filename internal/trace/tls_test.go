package trace

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope/event"
)

// A session is a TLS session of crypto/tls with itself: what each side wrote,
// in order, and the key log.
type session struct {
	mu      sync.Mutex
	flights []flight
	keys    bytes.Buffer
}

// A flight is what one side wrote before the other did.
type flight struct {
	from event.Side
	data string
}

// A wiretap records what one side writes.
type wiretap struct {
	net.Conn
	s    *session
	from event.Side
}

func (c wiretap) Write(b []byte) (int, error) {
	c.s.mu.Lock()
	if n := len(c.s.flights); n > 0 && c.s.flights[n-1].from == c.from {
		c.s.flights[n-1].data += string(b)
	} else {
		c.s.flights = append(c.s.flights, flight{c.from, string(b)})
	}
	c.s.mu.Unlock()
	return c.Conn.Write(b)
}

// record records a session in which the client says hello, and the server says so.
func record(t testing.TB, version uint16) *session { return recordAnswer(t, version, 5) }

// recordAnswer records a session in which the server answers n bytes.
func recordAnswer(t testing.TB, version uint16, n int) *session {
	t.Helper()
	return recordWith(t, n, func(client, server *tls.Config) {
		client.MaxVersion, server.MaxVersion, server.SessionTicketsDisabled = version, version, true
	})
}

// recordWith is recordAnswer with other configurations.
func recordWith(t testing.TB, n int, configure func(client, server *tls.Config)) *session {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{}
	a, b := net.Pipe()
	theirs := &tls.Config{ServerName: "shop.example", InsecureSkipVerify: true}
	ours := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, KeyLogWriter: &s.keys}
	configure(theirs, ours)
	client, server := tls.Client(wiretap{a, s, event.Client}, theirs), tls.Server(wiretap{b, s, event.Server}, ours)
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 5)
		if _, err := server.Read(buf); err != nil {
			t.Errorf("server: %v", err)
		}
		if _, err := server.Write(make([]byte, n)); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	serving.Wait()
	a.Close()
	b.Close()
	return s
}

// tellKeys tells the tracer the lines of the key log.
func (s *session) tellKeys(t *testing.T, w *wire) {
	t.Helper()
	for l := range strings.Lines(s.keys.String()) {
		f := strings.Fields(l)
		random, err := hex.DecodeString(f[1])
		if err != nil {
			t.Fatal(err)
		}
		secret, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		w.Secret(w.flow, f[0], random, secret, false)
	}
}

// tell12 tells a session of TLS 1.2, up to the client's Finished.
func (s *session) tell12(w *wire) {
	for _, f := range s.flights[:3] {
		w.send(f.from, event.ACK|event.PSH, f.data)
	}
}

const (
	// tls12 is a full handshake of TLS 1.2 after connected, up to the flight
	// that carries the client's Finished.
	tls12 = `
		client PSH ACK N bytes
		client tls client_hello
		tls client START > WAIT_SH
		tls server START > RECVD_CH
		server PSH ACK N bytes
		server tls server_hello
		tls server RECVD_CH > NEGOTIATED
		tls client WAIT_SH > WAIT_CERT
		server tls certificate
		tls client WAIT_CERT > WAIT_SKE
		server tls server_key_exchange
		tls client WAIT_SKE > WAIT_SHD
		server tls server_hello_done
		tls server NEGOTIATED > WAIT_CKE
		client PSH ACK N bytes
		client tls client_key_exchange
		tls server WAIT_CKE > WAIT_CCS
		client tls change_cipher_spec
		tls server WAIT_CCS > WAIT_FINISHED
	`
	// finished12 is what the key opens.
	finished12 = `
		client tls finished, encrypted
		tls client WAIT_SHD > WAIT_CCS
	`
)

// wantTLS is want, whatever the number of bytes.
func (r *recorder) wantTLS(conn uint64, story string) {
	r.t.Helper()
	var got []string
	for _, e := range r.of(conn) {
		l := line(e)
		if s, ok := e.Body.(*event.Segment); ok && s.Len > 0 {
			l = l[:strings.Index(l, " bytes")]
			l = l[:strings.LastIndex(l, " ")] + " N bytes"
		}
		got = append(got, l)
	}
	r.compare(conn, story, got)
}

// In TLS 1.2 the key comes when the client's Finished has long been seen. What
// is seen in between waits, so that all is told in the order of the wire.
func TestWaitForKey(t *testing.T) {
	s := record(t, tls.VersionTLS12)
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	tr.TLSStart(w.flow)
	s.tell12(w)
	w.server(event.ACK, "")
	tr.Step(w.flow, event.TLSStep{Step: "verify", OK: true})
	w.client(event.ACK, "")
	w.drop(event.Client, "no timestamp option", false)
	w.sync()
	events.wantTLS(1, connected+tls12)

	s.tellKeys(t, w)
	for _, f := range s.flights[3:] {
		w.send(f.from, event.ACK|event.PSH, f.data)
	}
	tr.TLSEnd(w.flow, nil)
	w.reset()
	w.sync()
	events.wantTLS(1, connected+tls12+finished12+`
		server ACK
		tls endpoint verify true
		client ACK
		drop segment 32: no timestamp option
		server PSH ACK N bytes
		server tls change_cipher_spec
		tls client WAIT_CCS > WAIT_FINISHED
		server tls finished, encrypted
		tls server WAIT_FINISHED > CONNECTED
		tls client WAIT_FINISHED > CONNECTED
		tls established TLS 1.2
		client PSH ACK N bytes
		client tls application_data
		server PSH ACK N bytes
		server tls application_data
		client RST
		wire client ESTABLISHED > CLOSED: segment 45
		tls client CONNECTED > CLOSED
		tls server CONNECTED > CLOSED
		endpoint server ESTABLISHED > CLOSED: segment 45
		close rst client`)
}

// A key that never comes is waited for until our endpoint says that there will
// be none, or too much waits for it, or for too long.
func TestKeyNeverComes(t *testing.T) {
	const noKey = `
		client tls undecoded: no key
		server ACK
	`
	s := record(t, tls.VersionTLS12)
	before := func(w *wire) {
		w.connect()
		w.TLSStart(w.flow)
		s.tell12(w)
		w.server(event.ACK, "")
	}
	t.Run("end", func(t *testing.T) {
		tr, events := newTestTracer(t, defaultLimits)
		w := newWire(t, tr)
		before(w)
		w.sync()
		events.wantTLS(1, connected+tls12)
		tr.TLSEnd(w.flow, net.ErrClosed)
		w.sync()
		events.wantTLS(1, connected+tls12+noKey)
	})
	for _, tt := range []struct {
		name   string
		limits limits
		after  string
	}{
		{"number", lowered(func(l *limits) { l.held = 1 }), ""},
		{"bytes", lowered(func(l *limits) { l.heldBytes = 1 }), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, events := newTestTracer(t, tt.limits)
			w := newWire(t, tr)
			before(w)
			w.sync()
			events.wantTLS(1, connected+tls12+noKey)
		})
	}
	t.Run("time", func(t *testing.T) {
		housekept(t, func(t *testing.T, w *wire, events *recorder) {
			before(w)
			sleep(maxHold - time.Second)
			events.wantTLS(1, connected+tls12)
			sleep(time.Second)
			events.wantTLS(1, connected+tls12+noKey)
		})
	})
	t.Run("close", func(t *testing.T) {
		tr, events := newTestTracer(t, defaultLimits)
		w := newWire(t, tr)
		before(w)
		tr.Close()
		events.wantTLS(1, connected+tls12+noKey+"close shutdown")
		if n := size(tr); n != 0 {
			t.Errorf("%d things left after Close", n)
		}
	})
}

// Secrets that come before the first byte of TLS are kept for it, and the key
// log has each of them.
func TestEarlySecrets(t *testing.T) {
	s := record(t, tls.VersionTLS13)
	r, log := newRecorder(t), &keys{}
	tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r}, KeyLog: log}, defaultLimits)
	defer tr.Close()
	w := newWire(t, tr)
	w.connect()
	s.tellKeys(t, w)
	for _, f := range s.flights {
		w.send(f.from, event.ACK|event.PSH, f.data)
	}
	w.sync()
	r.wantTLS(1, connected+`
		client PSH ACK N bytes
		client tls client_hello
		tls client START > WAIT_SH
		tls server START > RECVD_CH
		server PSH ACK N bytes
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
		client PSH ACK N bytes
		client tls change_cipher_spec
		client tls finished, encrypted
		tls client WAIT_FINISHED > CONNECTED
		tls server WAIT_FINISHED > CONNECTED
		tls established TLS 1.3
		client tls application_data
		server PSH ACK N bytes
		server tls application_data`)
	for _, label := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
		if !log.has(label) {
			t.Errorf("%s is not in the key log: %s", label, *log)
		}
	}
}

// The key log has the secrets of a connection whose packets were lost, but not
// a candidate that was not proven to be in use.
func TestKeyLogWithoutConnection(t *testing.T) {
	log := &keys{}
	tr := newTracer(Config{KeyLog: log}, defaultLimits)
	tr.Secret(testFlow, "CLIENT_RANDOM", make([]byte, 32), make([]byte, 48), true)
	tr.Secret(testFlow, "SERVER_TRAFFIC_SECRET_0", make([]byte, 32), make([]byte, 32), false)
	tr.Close()
	if len(*log) != 1 || !log.has("SERVER_TRAFFIC_SECRET_0") {
		t.Errorf("key log: %s", *log)
	}
}

// A failure that the wire shows waits for the error of our endpoint.
func TestFailureHasOurError(t *testing.T) {
	s := record(t, tls.VersionTLS12)
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	tr.TLSStart(w.flow)
	w.client(event.ACK|event.PSH, s.flights[0].data)
	w.server(event.ACK|event.PSH, "\x15\x03\x03\x00\x02\x02\x28") // alert handshake_failure
	w.sync()
	const alert = connected + `
		client PSH ACK N bytes
		client tls client_hello
		tls client START > WAIT_SH
		tls server START > RECVD_CH
		server PSH ACK N bytes
		server tls alert handshake_failure
		tls server RECVD_CH > FAILED
		tls client WAIT_SH > FAILED
	`
	events.wantTLS(1, alert)
	tr.TLSEnd(w.flow, net.ErrClosed)
	w.sync()
	events.wantTLS(1, alert+"tls failed by server: server found no common parameters with the client, which offers TLS 1.2; 10 cipher suites; 4 groups; 10 signature schemes: alert handshake_failure after client_hello")
	es := events.of(1)
	if f := es[len(es)-1].Body.(*event.Failed); f.Error != net.ErrClosed.Error() {
		t.Errorf("our error: %q", f.Error)
	}
}

// A connection that the client gives up is closed when our endpoint has said
// what it makes of that, or is overdue with it.
func TestCloseWaitsForOurError(t *testing.T) {
	s := record(t, tls.VersionTLS12)
	const reset = connected + `
		client PSH ACK N bytes
		client tls client_hello
		tls client START > WAIT_SH
		tls server START > RECVD_CH
		client RST
		wire client ESTABLISHED > CLOSED: segment 13
		tls client WAIT_SH > FAILED
		tls server RECVD_CH > FAILED
		endpoint server ESTABLISHED > CLOSED: segment 13
	`
	const failed = `
		tls failed by client: client reset the connection after client_hello, without an alert, having waited 1ms for the server, which sent nothing
		close rst client
	`
	begin := func(w *wire) {
		w.connect()
		w.TLSStart(w.flow)
		w.client(event.ACK|event.PSH, s.flights[0].data)
		w.reset()
	}
	t.Run("end", func(t *testing.T) {
		tr, events := newTestTracer(t, defaultLimits)
		w := newWire(t, tr)
		begin(w)
		w.sync()
		events.wantTLS(1, reset)
		tr.Step(w.flow, event.TLSStep{Step: "handshake"})
		tr.TLSEnd(w.flow, net.ErrClosed)
		w.sync()
		events.wantTLS(1, reset+"tls endpoint handshake false"+failed)
	})
	t.Run("time", func(t *testing.T) {
		housekept(t, func(t *testing.T, w *wire, events *recorder) {
			begin(w)
			sleep(maxHold - time.Second)
			events.wantTLS(1, reset)
			sleep(time.Second)
			events.wantTLS(1, reset+failed)
		})
	})
	t.Run("close", func(t *testing.T) {
		tr, events := newTestTracer(t, defaultLimits)
		begin(newWire(t, tr))
		tr.Close()
		events.wantTLS(1, reset+failed)
	})
}

// An error of our endpoint that the wire does not show is told at the end.
func TestFailureOnlyOursIsTold(t *testing.T) {
	s := record(t, tls.VersionTLS12)
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	tr.TLSStart(w.flow)
	w.client(event.ACK|event.PSH, s.flights[0].data)
	tr.TLSEnd(w.flow, net.ErrClosed)
	tr.Close()
	events.wantTLS(1, connected+`
		client PSH ACK N bytes
		client tls client_hello
		tls client START > WAIT_SH
		tls server START > RECVD_CH
		tls failed by server: our endpoint gave up: `+net.ErrClosed.Error()+`
		close shutdown`)
	es := events.of(1)
	if f := es[len(es)-2].Body.(*event.Failed); f.Code != "endpoint_error" || f.Hint == "" {
		t.Errorf("code %q, hint %q", f.Code, f.Hint)
	}
}

// The end of an older connection's handshake is not taken for that of the newer
// one with the same flow, which is still to begin.
func TestLateEndOfOlderConnection(t *testing.T) {
	s := record(t, tls.VersionTLS12)
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.connect()
	tr.TLSStart(w.flow)
	w.reset()
	w.endpoint, w.state = 2, event.StateListen
	w.seq[event.Client] += 1000
	w.connect()
	tr.TLSEnd(w.flow, net.ErrClosed)
	tr.TLSStart(w.flow)
	s.tell12(w)
	w.sync()
	s.tellKeys(t, w)
	w.sync()
	events.wantTLS(2, connected+tls12+finished12)
}

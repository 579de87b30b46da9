package synscope_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"synscope"
	"synscope/event"
	"synscope/internal/host"
	"synscope/stack"
	"synscope/tlsbridge"
	"synscope/tlsbridge/tlswire"
	"synscope/tun/tuntest"
)

func TestMain(m *testing.M) {
	synscope.Main()
	goleak.VerifyTestMain(m)
}

var (
	served = netip.MustParsePrefix("198.18.0.0/15")
	server = netip.MustParseAddrPort("198.18.3.4:443")
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// A network is an endpoint and a client that are connected by a device in
// memory.
type network struct {
	t         *testing.T
	scope     *synscope.Scope
	client    *host.Host
	authority *tlsbridge.Authority
	log       log
}

// log is a sink and a key log.
type log struct {
	mu     sync.Mutex
	events []*event.Event
	labels []string
	closed chan struct{} // closed with the first conn.close
}

func (l *log) Event(e *event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events = append(l.events, e); e.Kind() == "conn.close" && l.closed != nil {
		close(l.closed)
		l.closed = nil
	}
}

func (l *log) Secret(s tlswire.Secret) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.labels = append(l.labels, s.Label)
}

// newNetwork starts both, with the given changes to the configuration.
func newNetwork(t *testing.T, change func(*synscope.Config)) *network {
	t.Helper()
	authority, err := tlsbridge.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, authority: authority, log: log{closed: make(chan struct{})}}
	a, b := tuntest.Pipe(1500, false)
	if n.client, err = host.New(b, netip.MustParseAddr("198.18.0.1")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.client.Close)
	cfg := synscope.Config{
		Stack:  stack.Config{Device: a, Prefixes: []netip.Prefix{served}},
		TLS:    tlsbridge.Config{Authority: authority},
		Sinks:  []synscope.Sink{&n.log},
		KeyLog: &n.log,
	}
	if change != nil {
		change(&cfg)
	}
	if n.scope, err = synscope.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.scope.Close() })
	return n
}

// tlsConfig is that of a client that trusts the endpoint.
func (n *network) tlsConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(n.authority.Certificate())
	return &tls.Config{RootCAs: roots, ServerName: "shop.example"}
}

// dialTLS completes a handshake. The flow is that of its connection.
func (n *network) dialTLS() (*tls.Conn, event.Flow) {
	n.t.Helper()
	raw, err := n.client.DialContext(n.t.Context(), "tcp", server.String())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, n.tlsConfig())
	if err := conn.Handshake(); err != nil {
		n.t.Fatal(err)
	}
	return conn, event.Flow{Client: netip.MustParseAddrPort(raw.LocalAddr().String()), Server: server}
}

// shutdown ends the endpoint in order, and returns all events.
func (n *network) shutdown() []*event.Event {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.scope.Shutdown(ctx); err != nil {
		n.t.Error(err)
	}
	return n.log.events
}

// An HTTP client of a program under test goes through the endpoint, without
// root: it sees the mirror service, and the test what happened.
func TestHTTPClient(t *testing.T) {
	n := newNetwork(t, nil)
	client := &http.Client{Transport: &http.Transport{
		DialContext: n.client.DialContext, TLSClientConfig: n.tlsConfig(),
	}, Timeout: patience}
	resp, err := client.Get("https://" + server.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	for _, want := range []string{"ClientHello", "shop.example", "SYN-RECEIVED", "CONNECTED"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the mirror does not show %s:\n%s", want, body)
		}
	}
	var established *event.Established
	for _, e := range n.shutdown() {
		if b, ok := e.Body.(*event.Established); ok {
			established = b
		}
	}
	if established == nil || established.ServerName != "shop.example" || established.Version != event.VersionTLS13 {
		t.Errorf("tls.established: %+v", established)
	}
}

// A whole connection with TLS 1.3, from SYN to TIME-WAIT.
func TestTLS13(t *testing.T) {
	n := newNetwork(t, func(c *synscope.Config) {
		c.TLS.Select = func(event.Flow, string) tlsbridge.Endpoint {
			return tlsbridge.Endpoint{Service: tlsbridge.Echo()}
		}
	})
	conn, flow := n.dialTLS()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	es, err := n.scope.Events(context.Background(), flow)
	if err != nil || len(es) == 0 {
		t.Fatalf("%d events so far, %v", len(es), err)
	}
	closed := n.log.closed
	conn.CloseWrite() // close_notify, which the service answers by closing
	if _, err := io.Copy(io.Discard, conn.NetConn()); err != nil {
		t.Fatal(err)
	}
	conn.NetConn().Close()
	<-closed
	all := n.shutdown()
	for i, e := range es {
		if all[i] != e {
			t.Errorf("event %d of the flow is not that of the sink", e.N)
		}
	}
	for i, e := range all {
		if e.Conn != 1 || e.N != uint64(i+1) {
			t.Errorf("event %d: connection %d, ordinal %d", i, e.Conn, e.N)
		}
	}
	for _, tt := range []struct{ what, story string }{
		{"tcp client", "CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED"},
		{"tcp server", "LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED"},
		{"tls client", "START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED"},
		{"tls server", "START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED"},
	} {
		if got := states(all, tt.what); got != tt.story {
			t.Errorf("%s: %s\nwant %s", tt.what, got, tt.story)
		}
	}
	want := []string{
		"client client_hello", "server server_hello", "server change_cipher_spec",
		"server encrypted_extensions", "server certificate", "server certificate_verify", "server finished",
		"client change_cipher_spec", "client finished",
	}
	if diff := cmp.Diff(want, messages(all)[:len(want)]); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if len(n.log.labels) < 4 {
		t.Errorf("key log: %s", n.log.labels)
	}
}

// states returns the states of "tcp client" and the like, in order.
func states(es []*event.Event, what string) string {
	var path []string
	step := func(machine string, side event.Side, old, new fmt.Stringer) {
		if machine+" "+side.String() != what {
			return
		}
		if len(path) == 0 {
			path = append(path, old.String())
		}
		if path[len(path)-1] != old.String() {
			path = append(path, "(gap)", old.String())
		}
		path = append(path, new.String())
	}
	for _, e := range es {
		switch b := e.Body.(type) {
		case *event.TCPState:
			step("tcp", b.Side, b.Old, b.New)
		case *event.TLSState:
			step("tls", b.Side, state(b.Old), state(b.New))
		}
	}
	return strings.Join(path, " > ")
}

type state event.HandshakeState

func (s state) String() string { return string(s) }

// messages returns who said what in the handshake.
func messages(es []*event.Event) []string {
	var ms []string
	for _, e := range es {
		switch b := e.Body.(type) {
		case *event.Message:
			ms = append(ms, e.From.String()+" "+b.Type.String())
		case *event.ChangeCipherSpec:
			ms = append(ms, e.From.String()+" change_cipher_spec")
		}
	}
	return ms
}

// A client that does not trust the endpoint fails, and the cause is told from
// both views.
func TestUntrustedAuthority(t *testing.T) {
	n := newNetwork(t, nil)
	raw, err := n.client.DialContext(t.Context(), "tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "shop.example"})
	var unknown x509.UnknownAuthorityError
	if err := conn.Handshake(); !errors.As(err, &unknown) {
		t.Fatalf("handshake: %v", err)
	}
	conn.Close()
	var failed []*event.Failed
	for _, e := range n.shutdown() {
		if b, ok := e.Body.(*event.Failed); ok {
			failed = append(failed, b)
		}
	}
	if len(failed) != 1 {
		t.Fatalf("%d events tls.failed, want 1", len(failed))
	}
	if f := failed[0]; f.Side != event.Client || !strings.Contains(f.Cause, "bad_certificate") || f.Error == "" {
		t.Errorf("%+v", f)
	}
}

// Reconfigure changes what is decided for new connections only.
func TestReconfigure(t *testing.T) {
	n := newNetwork(t, func(c *synscope.Config) {
		c.TLS.Select = func(event.Flow, string) tlsbridge.Endpoint {
			return tlsbridge.Endpoint{Service: tlsbridge.Echo()}
		}
	})
	old, _ := n.dialTLS()
	refuse := func(client, server netip.AddrPort) stack.Verdict { return stack.Refuse }
	if err := n.scope.Reconfigure(refuse, tlsbridge.Config{}); err != nil {
		t.Fatal(err)
	}
	if c, err := n.client.DialContext(t.Context(), "tcp", server.String()); err == nil {
		c.Close()
		t.Error("connected although the policy refuses")
	}
	if _, err := old.Write([]byte("hello")); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	if _, err := io.ReadFull(old, make([]byte, 5)); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	old.Close()
	n.shutdown()
}

// The end of the device is told through Down.
func TestDeviceGone(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	scope, err := synscope.Start(synscope.Config{Stack: stack.Config{Device: a, Prefixes: []netip.Prefix{served}}})
	if err != nil {
		t.Fatal(err)
	}
	defer scope.Close()
	b.Close()
	<-scope.Down()
	if scope.Err() == nil {
		t.Error("no reason")
	}
}

// Start takes the device also if it fails.
func TestStartFails(t *testing.T) {
	if _, err := synscope.Start(synscope.Config{}); err == nil {
		t.Error("started without a device")
	}
	dev := tuntest.New(1500)
	_, err := synscope.Start(synscope.Config{
		Stack: stack.Config{Device: dev},
		TLS:   tlsbridge.Config{HandshakeTimeout: -1},
	})
	if err == nil {
		t.Fatal("started with a negative timeout")
	}
	if err := dev.Inject([]byte{0}); err == nil {
		t.Error("the device is still open")
	}
}

// Shutdown and Close may be called again, and at the same time.
func TestShutdownAgain(t *testing.T) {
	n := newNetwork(t, nil)
	conn, flow := n.dialTLS()
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() { n.scope.Close() })
	}
	callers.Wait()
	conn.Close()
	n.scope.Shutdown(context.Background()) // ends at once
	if _, err := n.scope.Events(context.Background(), flow); err == nil {
		t.Error("Events of an endpoint that is closed")
	}
}

// Untraced, the endpoint answers as ever, and nobody is told.
func TestUntraced(t *testing.T) {
	n := newNetwork(t, func(cfg *synscope.Config) { cfg.Untraced = true })
	conn, flow := n.dialTLS()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := flow.Client.String(); !strings.Contains(string(answer), want) {
		t.Errorf("the mirror does not show the client's address %s:\n%s", want, answer)
	}
	if es, err := n.scope.Events(t.Context(), flow); es != nil || err != nil {
		t.Errorf("Events returns %d events, %v; want none", len(es), err)
	}
	if events := n.shutdown(); len(events) > 0 {
		t.Errorf("%d events were told, the first: %v", len(events), events[0])
	}
	if len(n.log.labels) > 0 {
		t.Errorf("the key log was told %v", n.log.labels)
	}
}

package integration

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"synscope/event"
)

// The states of RFC 8446, appendix A, where the server has a certificate and the
// client has none.
const tls13 = `
	tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
	tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`

const messages13 = `
	client client_hello
	server server_hello
	server change_cipher_spec
	server {encrypted_extensions}
	server {certificate}
	server {certificate_verify}
	server {finished}
	server {new_session_ticket}
	client change_cipher_spec
	client {finished}
	server {alert close_notify}
	client {alert close_notify}`

var established13 = event.Established{
	Version: event.VersionTLS13, CipherSuite: event.CipherSuite(tls.TLS_AES_128_GCM_SHA256), Group: event.Group(tls.X25519),
	SignatureScheme: event.SignatureScheme(tls.ECDSAWithP256AndSHA256), RoundTrips: 1,
}

// s_client13 makes s_client offer what established13 has.
var sClient13 = []string{"-ciphersuites", "TLS_AES_128_GCM_SHA256", "-groups", "X25519"}

// curlArgs are the arguments for one request that ends its connection. The answer
// is written as it comes, not only after the end.
func (l *lab) curlArgs(args ...string) []string {
	return append([]string{"-sS", "--no-buffer", "--max-time", "30", "--cacert", l.ca(),
		"--resolve", hostname + ":443:" + server4, "--http1.1", "-H", "Connection: close"}, args...)
}

// curl fetches a page of the mirror, in one connection. Who closes it first is
// not certain.
func (l *lab) curl(args ...string) run {
	l.t.Helper()
	return l.run(nil, "curl", l.curlArgs(args...)...)
}

// One round trip of TCP, one of TLS, a request and its answer, close_notify of
// the server and of the client, and a FIN of each.
func TestTLS13(t *testing.T) {
	l := newTLSLab(t)
	r := l.runHeld("curl", l.curlArgs("https://"+hostname+"/")...)
	if r.code != 0 || !strings.Contains(r.out, "ClientHello") {
		t.Fatalf("curl: exit %d, want the ladder of its own connection:\n%s", r.code, r.out)
	}
	s := l.story()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED
		tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
		tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`)
	s.wantMessages(t, `
		client client_hello
		server server_hello
		server change_cipher_spec
		server {encrypted_extensions}
		server {certificate}
		server {certificate_verify}
		server {finished}
		server {new_session_ticket}
		client change_cipher_spec
		client {finished}
		server {alert close_notify}
		client {alert close_notify}`)
	e := one[*event.Established](t, s)
	if e.Version != event.VersionTLS13 || e.ServerName != hostname || e.Resumed || e.ALPN != "http/1.1" {
		t.Errorf("established: %+v", e)
	}
	s.wantClose(t, "fin", event.Server)
	l.judge()
}

// The client's key share is for a group that the server has, and its hello is
// answered at once.
func TestTLS13Handshakes(t *testing.T) {
	accepted := handshakeCase{client: sClient13, transitions: tls13, messages: messages13, want: established13}
	testHandshakes(t, []handshakeCase{accepted.named("IPv4", server4), accepted.named("IPv6", server6)})
}

// The client's key share is for a group that the server does not have: the server
// asks for another with HelloRetryRequest, which costs a round trip.
func TestTLS13HelloRetry(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newTLSLab(t, "--service", "chargen:100", "--groups", "secp384r1")
		config := l.tlsConfig()
		config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // or it asks for no ticket
		l.goClient(&patientConn{TCPConn: l.dial(server), records: 2}, config)

		s := l.story()
		want := established13
		want.HelloRetry, want.RoundTrips, want.Group = true, 2, event.Group(tls.CurveP384)
		s.wantHandshake(t, handshakeCase{
			transitions: `
				tls client  START > WAIT_SH > START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
				tls server  START > RECVD_CH > START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`,
			messages: `
				client client_hello
				server hello_retry_request
				server change_cipher_spec
				client change_cipher_spec
				client client_hello
				server server_hello
				server {encrypted_extensions}
				server {certificate}
				server {certificate_verify}
				server {finished}
				server {new_session_ticket}
				client {finished}
				server {alert close_notify}
				client {alert close_notify}`,
			want: want,
		})
		l.judge()
	})
}

// A patientConn gives a client nothing to read before some whole records are
// there: our server sends HelloRetryRequest and ChangeCipherSpec in two segments,
// and a client may answer the first before it has the second.
type patientConn struct {
	*net.TCPConn
	records int // still to wait for
	buf     bytes.Buffer
}

func (c *patientConn) Read(b []byte) (int, error) {
	for ; c.records > 0; c.records-- {
		header := make([]byte, 5)
		if _, err := io.ReadFull(c.TCPConn, header); err != nil {
			return 0, err
		}
		c.buf.Write(header)
		if _, err := io.CopyN(&c.buf, c.TCPConn, int64(header[3])<<8|int64(header[4])); err != nil {
			return 0, err
		}
	}
	if c.buf.Len() > 0 {
		return c.buf.Read(b)
	}
	return c.TCPConn.Read(b)
}

// The first connection brings a ticket, the second offers it as a pre-shared
// key: no certificate is sent.
func TestTLS13Resumed(t *testing.T) {
	resumed := established13
	resumed.Resumed, resumed.SignatureScheme = true, 0
	testResumed(t, handshakeCase{
		client: sClient13, transitions: tls13, messages: messages13, want: established13,
	}, handshakeCase{
		transitions: `
			tls client  START > WAIT_SH > WAIT_EE > WAIT_FINISHED > CONNECTED > CLOSED
			tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`,
		messages: `
			client client_hello
			server server_hello
			server change_cipher_spec
			server {encrypted_extensions}
			server {finished}
			server {new_session_ticket}
			client change_cipher_spec
			client {finished}
			server {alert close_notify}
			client {alert close_notify}`,
		want: resumed,
	})
}

// The hybrid of X25519 and ML-KEM-768: its share makes a ClientHello that does
// not fit into one segment of this link.
func TestTLS13PostQuantum(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newTLSLab(t, "--service", "chargen:100", "--mtu", "1280", "--no-offload")
		config := l.tlsConfig()
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // or it asks for no ticket
		config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
		l.goClient(l.dial(server), config)

		s := l.story()
		want := established13
		want.Group = event.Group(tls.X25519MLKEM768)
		s.wantHandshake(t, handshakeCase{transitions: tls13, messages: messages13, want: want})
		if hello := find[*event.Message](s)[0]; len(hello.Frames) < 2 {
			t.Errorf("the ClientHello of %d bytes came in packets %d, want more than one", hello.Len, hello.Frames)
		}
		l.judge()
	})
}

// goClient shakes hands as crypto/tls does, reads until the server has closed,
// and closes.
func (l *lab) goClient(raw net.Conn, config *tls.Config) {
	l.t.Helper()
	conn := tls.Client(raw, config)
	if _, err := io.ReadAll(conn); err != nil {
		l.t.Fatalf("reading from %v: %v", raw.RemoteAddr(), err)
	}
	l.held++
	l.awaitStates(event.StateFinWait2, l.held)
	if err := conn.Close(); err != nil {
		l.t.Errorf("closing: %v", err)
	}
	l.awaitStates(event.StateClosed, l.held)
}

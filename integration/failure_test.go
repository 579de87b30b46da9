package integration

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"synscope/event"
)

// The server cannot agree to anything in the ClientHello, says so in clear, and
// closes.
func TestClientHelloRefused(t *testing.T) {
	for _, c := range []struct {
		name, alert, cause string
		flags, client      []string
	}{
		{
			name: "version of the client too old", alert: "protocol_version",
			cause: "server does not speak a version that the client offers: alert protocol_version after client_hello",
			flags: []string{"--tls-min", "1.3"}, client: []string{"-tls1_2"},
		},
		{
			name: "version of the client too new", alert: "protocol_version",
			cause: "server does not speak a version that the client offers: alert protocol_version after client_hello",
			flags: []string{"--tls-min", "1.2", "--tls-max", "1.2"}, client: []string{"-tls1_3"},
		},
		{
			name: "TLS 1.2 suite", alert: "handshake_failure",
			cause:  "server found no common parameters with the client: alert handshake_failure after client_hello",
			client: []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"},
		},
		{
			name: "TLS 1.3 suite", alert: "handshake_failure",
			cause:  "server found no common parameters with the client: alert handshake_failure after client_hello",
			client: []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"},
		},
		{
			name: "TLS 1.2 group", alert: "handshake_failure",
			cause: "server found no common parameters with the client: alert handshake_failure after client_hello",
			flags: []string{"--groups", "secp384r1"}, client: []string{"-tls1_2", "-groups", "X25519:P-256"},
		},
		{
			name: "TLS 1.3 group", alert: "handshake_failure",
			cause: "server found no common parameters with the client: alert handshake_failure after client_hello",
			flags: []string{"--groups", "secp384r1"}, client: []string{"-tls1_3", "-groups", "X25519:P-256"},
		},
		{
			name: "application protocol", alert: "no_application_protocol",
			cause:  "server shares no application protocol with the client: alert no_application_protocol after client_hello",
			client: []string{"-alpn", "imap"},
		},
		{
			name: "needless fallback (RFC 7507)", alert: "inappropriate_fallback",
			cause:  "server was offered a needless fallback by the client: alert inappropriate_fallback after client_hello",
			client: []string{"-tls1_2", "-fallback_scsv"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t, c.flags...)
			l.openssl(server4, c.client...)
			s := l.story()
			s.wantTransitions(t, closedByServer+`
				tls client  START > WAIT_SH > FAILED
				tls server  START > RECVD_CH > FAILED`)
			s.wantMessages(t, "client client_hello\nserver alert "+c.alert)
			s.wantFailed(t, event.Server, c.cause)
			s.wantClose(t, "fin", event.Server)
			l.judge()
		})
	}
}

// What does not begin with a handshake record is no TLS: it is told as such, and
// the service answers in plain text.
func TestNotTLS(t *testing.T) {
	for _, c := range []struct{ name, sent, endpoint string }{
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", "the first byte is not that of a handshake record"},
		{"SSL 2.0", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\r\n\r\n", "a ClientHello of SSL 2.0 (RFC 5246, appendix E.2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t)
			if out := l.exchange(c.sent); !strings.HasPrefix(out, "HTTP/1.1 400 ") {
				t.Errorf("the mirror answered %q, want what HTTP says to nonsense", out)
			}
			s := l.story()
			s.wantTransitions(t, closedByServer)
			s.wantMessages(t, "")
			if u := one[*event.Undecoded](t, s); u.Reason != "not tls" || string(u.First) != c.sent[:min(len(c.sent), 16)] {
				t.Errorf("tls.undecoded: reason %q, first bytes %q", u.Reason, u.First)
			}
			if e := one[*event.TLSStep](t, s); e.Step != "plain" || e.Detail != c.endpoint {
				t.Errorf("tls.endpoint: step %q, detail %q, want plain, %q", e.Step, e.Detail, c.endpoint)
			}
			l.judge()
		})
	}
}

// What begins with the header of a handshake record and goes on as something else
// is TLS, and is refused with an alert.
func TestMalformedTLS(t *testing.T) {
	for _, c := range []struct{ name, sent, messages, cause, err string }{
		{
			"record too long", "\x16\x03\x01\xff\xff\x01", "server alert record_overflow",
			"server got a record that is too long from the client: alert record_overflow before any message",
			"tls: oversized record received with length 65535",
		},
		{
			"message too long", "\x16\x03\x01\x00\x05hello", "server alert internal_error",
			"server failed for reasons of its own: alert internal_error before any message",
			"tls: handshake message of length 6646892 bytes exceeds maximum of 65536 bytes",
		},
		{
			"no ClientHello", "\x16\x03\x01\x00\x04\x0e\x00\x00\x00", "client server_hello_done\nserver alert unexpected_message",
			"server got a message that it did not expect from the client: alert unexpected_message after server_hello_done",
			"tls: received unexpected handshake message of type *tls.serverHelloDoneMsg when waiting for *tls.clientHelloMsg",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t)
			l.exchange(c.sent)
			s := l.story()
			s.wantTransitions(t, closedByServer+`
				tls client  START > FAILED
				tls server  START > FAILED`)
			s.wantMessages(t, c.messages)
			if f := s.wantFailed(t, event.Server, c.cause); f.Error != c.err {
				t.Errorf("our endpoint says %q, want %q", f.Error, c.err)
			}
			l.judge()
		})
	}
}

// exchange sends bytes over TCP, and returns what the server sends until it
// closes, as it must before the client does.
func (l *lab) exchange(sent string) string {
	l.t.Helper()
	conn := l.dial(netip.MustParseAddrPort(server4 + ":443"))
	if _, err := io.WriteString(conn, sent); err != nil {
		l.t.Fatal(err)
	}
	out, err := io.ReadAll(conn)
	if err != nil {
		l.t.Fatal(err)
	}
	l.held++
	l.awaitStates(event.StateFinWait2, l.held)
	conn.Close()
	l.awaitStates(event.StateClosed, l.held)
	return string(out)
}

// The client closes in the middle of the handshake, without a word.
func TestClientGivesUp(t *testing.T) {
	l := newTLSLab(t)
	conn := l.dial(netip.MustParseAddrPort(server4 + ":443"))
	io.WriteString(conn, clientHello(t))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Fatal(err)
	}
	l.awaitStates(event.StateClosed, 1)
	s := l.story()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
		tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > FAILED
		tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > FAILED`)
	s.wantFailed(t, event.Client, "client closed the connection after finished, without an alert")
	s.wantClose(t, "fin", event.Client)
	l.judge()
}

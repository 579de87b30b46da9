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
		name, alert   string
		code          event.CauseCode
		cause         string
		flags, client []string
	}{
		{
			name: "version of the client too old", alert: "protocol_version", code: "no_common_version",
			cause: "server does not speak a version that the client offers (TLS 1.2 and older): alert protocol_version after client_hello; " +
				"the server accepts the versions TLS 1.3",
			flags: []string{"--tls-min", "1.3"}, client: []string{"-tls1_2"},
		},
		{
			name: "version of the client too new", alert: "protocol_version", code: "no_common_version",
			cause: "server does not speak a version that the client offers (TLS 1.3): alert protocol_version after client_hello; " +
				"the server accepts the versions TLS 1.1 to TLS 1.2",
			flags: []string{"--tls-min", "1.1", "--tls-max", "1.2"}, client: []string{"-tls1_3"},
		},
		{
			name: "TLS 1.2 suite", alert: "handshake_failure", code: "no_common_suite",
			cause: "server shares no cipher suite with the client, which offers TLS_DHE_RSA_WITH_AES_128_GCM_SHA256: " +
				"alert handshake_failure after client_hello; the server accepts the cipher suites TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			flags:  []string{"--cipher-suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
			client: []string{"-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"},
		},
		{
			name: "TLS 1.3 suite", alert: "handshake_failure", code: "no_common_suite",
			cause:  "server shares no cipher suite with the client, which offers TLS_AES_128_CCM_SHA256: alert handshake_failure after client_hello",
			client: []string{"-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"},
		},
		{
			name: "TLS 1.2 group", alert: "handshake_failure", code: "no_common_group",
			cause: "server shares no key exchange group with the client, which offers x25519, secp256r1: alert handshake_failure after client_hello; " +
				"the server accepts the groups secp384r1",
			flags: []string{"--groups", "secp384r1"}, client: []string{"-tls1_2", "-groups", "X25519:P-256"},
		},
		{
			name: "TLS 1.3 group", alert: "handshake_failure", code: "no_common_group",
			cause: "server shares no key exchange group with the client, which offers x25519, secp256r1: alert handshake_failure after client_hello; " +
				"the server accepts the groups secp384r1",
			flags: []string{"--groups", "secp384r1"}, client: []string{"-tls1_3", "-groups", "X25519:P-256"},
		},
		{
			name: "signature scheme", alert: "handshake_failure", code: "no_common_signature_scheme",
			cause: "server has no certificate that the signature schemes of the client allow, which offers rsa_pss_rsae_sha256: " +
				"alert handshake_failure after client_hello",
			flags: []string{"--keys", "ecdsa"}, client: []string{"-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"},
		},
		{
			name: "application protocol", alert: "no_application_protocol", code: "no_common_alpn",
			cause: "server shares no application protocol with the client, which offers imap: alert no_application_protocol after client_hello; " +
				"the server accepts the application protocols h2, http/1.1",
			client: []string{"-alpn", "imap"},
		},
		{
			name: "needless fallback (RFC 7507)", alert: "inappropriate_fallback", code: "needless_fallback",
			cause:  "server was offered a needless fallback by the client, which offers TLS 1.2 and older only: alert inappropriate_fallback after client_hello",
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
			s.wantFailed(t, event.Server, c.code, c.cause)
			s.wantClose(t, "fin", event.Server)
			l.judge()
		})
	}
}

// What does not begin with a handshake record is no TLS: it is told as such, and
// the service answers in plain text.
func TestNotTLS(t *testing.T) {
	const other = "the first byte is not that of a handshake record"
	for _, c := range []struct {
		name, sent, endpoint string
		code                 event.CauseCode
		cause                string
	}{
		{"SSH", "SSH-2.0-OpenSSH_9.2\r\n", other, "plain_text", "client sent SSH in plain text to port 443"},
		{
			"SSL 2.0", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\r\n\r\n", "a ClientHello of SSL 2.0 (RFC 5246, appendix E.2)",
			"ssl2", "client sent SSL 2.0 in plain text to port 443",
		},
		{"PROXY protocol", "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n", other, "proxy_header", "client sent the PROXY protocol in plain text to port 443"},
		{"unknown", "\x01\x02\x03\x04\x05\r\n\r\n", other, "not_tls", "client sent what is not TLS, beginning with "},
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
			s.wantCause(t, c.code, c.cause)
			l.judge()
		})
	}
}

// What begins with the header of a handshake record and goes on as something else
// is TLS, and is refused with an alert.
func TestMalformedTLS(t *testing.T) {
	for _, c := range []struct {
		name, sent, messages string
		code                 event.CauseCode
		cause, err           string
	}{
		{
			"record too long", "\x16\x03\x01\xff\xff\x01", "server alert record_overflow", "protocol_violation",
			"server got a record that is too long from the client: alert record_overflow before any message",
			"tls: oversized record received with length 65535",
		},
		{
			"message too long", "\x16\x03\x01\x00\x05hello", "server alert internal_error", "internal_error",
			"server failed for reasons of its own: alert internal_error before any message",
			"tls: handshake message of length 6646892 bytes exceeds maximum of 65536 bytes",
		},
		{
			"no ClientHello", "\x16\x03\x01\x00\x04\x0e\x00\x00\x00", "client server_hello_done\nserver alert unexpected_message", "protocol_violation",
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
			if f := s.wantFailed(t, event.Server, c.code, c.cause); f.Error != c.err {
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
	s.wantFailed(t, event.Client, "client_left", "client closed the connection after finished, without an alert")
	s.wantClose(t, "fin", event.Client)
	l.judge()
}

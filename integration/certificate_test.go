package integration

import (
	"strings"
	"testing"

	"synscope/event"
)

// An authCase is a handshake in which the server asks for a client certificate.
type authCase struct {
	name        string
	auth        string // of the daemon
	client      []string
	certificate string // who issued the client's: trusted, other, or nobody if it is empty
	transitions string // of TLS
	messages    string
	want        event.Established
	code        event.CauseCode // of tls.failed; empty: the handshake completes
	cause       string
}

func testClientAuth(t *testing.T, cases []authCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newNamespace(t)
			issuers := map[string]*issuer{"trusted": l.newIssuer("trusted"), "other": l.newIssuer("other")}
			l.serveCaptured("--time-wait", "100ms", "--service", "chargen:100",
				"--client-auth", c.auth, "--client-ca", issuers["trusted"].path)
			args := c.client
			if i := issuers[c.certificate]; i != nil {
				args = append(args, l.clientCert(i)...)
			}
			l.openssl(server4, args...)
			s := l.story()
			if c.code == "" {
				s.wantHandshake(t, handshakeCase{transitions: c.transitions, messages: c.messages, want: c.want})
			} else {
				s.wantTransitions(t, closedByServer+c.transitions)
				s.wantMessages(t, c.messages)
				s.wantFailed(t, event.Server, c.code, c.cause)
			}
			l.judge()
		})
	}
}

// wantFailed checks who gave up and why, and that there is a hint.
func (s story) wantFailed(t *testing.T, by event.Side, code event.CauseCode, cause string) *event.Failed {
	t.Helper()
	f := one[*event.Failed](t, s)
	if f.Side != by || f.Code != code || f.Cause != cause || f.Hint == "" {
		t.Errorf("tls.failed of %s:\n\tside %q, code %q, cause %q, hint %q\n\twant side %q, code %q, cause %q and a hint",
			s.open(), f.Side, f.Code, f.Cause, f.Hint, by, code, cause)
	}
	if c := one[*event.Close](t, s); c.Code != "" {
		t.Errorf("conn.close of %s says %q as well: %s", s.open(), c.Code, c.Cause)
	}
	return f
}

// wantCause checks what conn.close says that went wrong; an empty code is nothing.
func (s story) wantCause(t *testing.T, code event.CauseCode, cause string) {
	t.Helper()
	c := one[*event.Close](t, s)
	if c.Code != code || !strings.Contains(c.Cause, cause) || (c.Hint == "") != (code == "") {
		t.Errorf("conn.close of %s:\n\tcode %q, cause %q, hint %q\n\twant code %q, %q in the cause, and a hint",
			s.open(), c.Code, c.Cause, c.Hint, code, cause)
	}
}

// The server's flight has a CertificateRequest. The client has completed its
// handshake when it has sent its certificate, so that a refusal meets a client
// which is CONNECTED already.
func TestTLS13ClientCertificate(t *testing.T) {
	const (
		request = `
			client client_hello
			server server_hello
			server change_cipher_spec
			server {encrypted_extensions}
			server {certificate_request}
			server {certificate}
			server {certificate_verify}
			server {finished}
			client change_cipher_spec
			client {certificate}`
		closed = `
			server {new_session_ticket}
			server {alert close_notify}
			client {alert close_notify}`
		client   = "\ntls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CERT > WAIT_CV > WAIT_FINISHED > CONNECTED > "
		given    = "\ntls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_CERT > WAIT_CV > WAIT_FINISHED > CONNECTED > "
		notGiven = "\ntls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_CERT > WAIT_FINISHED > CONNECTED > "
		proof    = "\nclient {certificate_verify}\nclient {finished}"
	)
	accepted, requested := established13, established13
	accepted.ClientAuth, requested.ClientAuth = "given", "requested"
	testClientAuth(t, []authCase{
		{
			name: "trusted", auth: "verify", client: sClient13, certificate: "trusted",
			transitions: client + "CLOSED" + given + "CLOSED",
			messages:    request + proof + closed,
			want:        accepted,
		},
		{
			name: "absent, wished", auth: "request", client: sClient13,
			transitions: client + "CLOSED" + notGiven + "CLOSED",
			messages:    request + "\nclient {finished}" + closed,
			want:        requested,
		},
		{
			name: "absent, required", auth: "require", client: sClient13,
			transitions: client + "FAILED" + notGiven + "FAILED",
			messages:    request + "\nclient {finished}\nserver {alert certificate_required}",
			code:        "client_certificate_missing",
			cause:       "server requires a certificate of the client, and got none: alert certificate_required after certificate",
		},
		{
			name: "untrusted", auth: "verify", client: sClient13, certificate: "other",
			transitions: client + "FAILED" + given + "FAILED",
			messages:    request + proof + "\nserver {alert unknown_ca}",
			code:        "untrusted_authority",
			cause:       "server refused the client's certificate: it does not trust the issuer, CN=other, or misses an intermediate certificate, which was not sent: alert unknown_ca after certificate",
		},
	})
}

// The client sends its whole flight before the server judges the certificate. A
// server that refuses it never derives the keys with which the client's Finished
// is encrypted, so nobody can tell that message.
func TestTLS12ClientCertificate(t *testing.T) {
	const (
		request = `
			client client_hello
			server server_hello
			server certificate
			server server_key_exchange
			server certificate_request
			server server_hello_done
			client certificate
			client client_key_exchange`
		closed = `
			client change_cipher_spec
			client {finished}
			server new_session_ticket
			server change_cipher_spec
			server {finished}
			server {alert close_notify}
			client {alert close_notify}`
		client   = "\ntls client  START > WAIT_SH > WAIT_CERT > WAIT_SKE > WAIT_SHD > "
		given    = "\ntls server  START > RECVD_CH > NEGOTIATED > WAIT_CERT > WAIT_CKE > WAIT_CV > WAIT_CCS > WAIT_FINISHED > "
		notGiven = "\ntls server  START > RECVD_CH > NEGOTIATED > WAIT_CERT > WAIT_CKE > WAIT_CCS > WAIT_FINISHED > "
		proof    = "\nclient certificate_verify"
		done     = "WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED"
	)
	accepted, requested := established12, established12
	accepted.ClientAuth, requested.ClientAuth = "given", "requested"
	testClientAuth(t, []authCase{
		{
			name: "trusted", auth: "verify", client: sClient12, certificate: "trusted",
			transitions: client + done + given + "CONNECTED > CLOSED",
			messages:    request + proof + closed,
			want:        accepted,
		},
		{
			name: "absent, wished", auth: "request", client: sClient12,
			transitions: client + done + notGiven + "CONNECTED > CLOSED",
			messages:    request + closed,
			want:        requested,
		},
		{
			name: "absent, required", auth: "require", client: sClient12,
			transitions: client + "FAILED" + notGiven + "FAILED",
			messages:    request + "\nclient change_cipher_spec\nserver alert handshake_failure",
			code:        "client_certificate_missing",
			cause:       "server requires a certificate of the client, and got none: alert handshake_failure after certificate",
		},
		{
			name: "untrusted", auth: "verify", client: sClient12, certificate: "other",
			transitions: client + "FAILED" + given + "FAILED",
			messages:    request + proof + "\nclient change_cipher_spec\nserver alert unknown_ca",
			code:        "untrusted_authority",
			cause:       "server refused the client's certificate: it does not trust the issuer, CN=other, or misses an intermediate certificate, which was not sent: alert unknown_ca after certificate",
		},
	})
}

// refusing is a client of OpenSSL that knows no authority. Unlike s_client and
// curl it does not close at once after its alert: what it prints in between holds
// it.
const refusing = `
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.minimum_version = context.maximum_version = ssl.TLSVersion[sys.argv[2]]
context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
sock = socket.create_connection((sys.argv[1], 443))
conn = context.wrap_socket(sock, server_hostname=sys.argv[3], do_handshake_on_connect=False)
try:
    conn.do_handshake()
except ssl.SSLCertVerificationError as e:
    print("refused:", e.verify_message, flush=True)
conn.close()
`

// The client does not know our authority and says so. In TLS 1.3 OpenSSL 3.0
// sends that alert in clear although keys are on, and the server, which must not
// accept it, answers that it cannot decrypt: the wire has the truth.
func TestClientRefusesCertificate(t *testing.T) {
	for _, c := range []struct {
		name, version              string
		transitions, messages, err string
	}{
		{
			name: "TLS 1.3", version: "TLSv1_3",
			transitions: `
				tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > FAILED
				tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > FAILED`,
			messages: `
				client client_hello
				server server_hello
				server change_cipher_spec
				server {encrypted_extensions}
				server {certificate}
				server {certificate_verify}
				server {finished}
				server {new_session_ticket}
				client alert unknown_ca
				server {alert bad_record_mac}`,
			err: "local error: tls: bad record MAC",
		},
		{
			name: "TLS 1.2", version: "TLSv1_2",
			transitions: `
				tls client  START > WAIT_SH > WAIT_CERT > WAIT_SKE > WAIT_SHD > FAILED
				tls server  START > RECVD_CH > NEGOTIATED > WAIT_CKE > FAILED`,
			messages: `
				client client_hello
				server server_hello
				server certificate
				server server_key_exchange
				server server_hello_done
				client alert unknown_ca`,
			err: "remote error: tls: unknown certificate authority",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t)
			r := l.runHeld("python3", "-c", refusing, server4, c.version, hostname)
			if !strings.Contains(r.out, "refused: ") {
				t.Fatalf("the client did not refuse our certificate:\n%s", r.out)
			}
			s := l.story()
			// What the server sent after its certificate was not read.
			s.wantTransitions(t, resetByClient+c.transitions)
			s.wantClose(t, "rst", event.Client)
			s.wantMessages(t, c.messages)
			f := s.wantFailed(t, event.Client, "untrusted_authority", "client refused the server's certificate: it does not trust the issuer, "+
				s.issuer(t)+", or misses an intermediate certificate, which was not sent: alert unknown_ca after certificate")
			if f.Error != c.err {
				t.Errorf("our endpoint says %q, want %q", f.Error, c.err)
			}
			l.judge()
		})
	}
}

// issuer is who issued the server's certificate.
func (s story) issuer(t *testing.T) string {
	t.Helper()
	for _, m := range find[*event.Message](s) {
		if m.Certificate != nil {
			return m.Certificate.Chain[0].Issuer
		}
	}
	t.Fatal("no certificate was seen")
	return ""
}

package integration

import (
	"crypto/tls"
	"testing"

	"synscope/event"
)

// The states of docs/states.md, where keys are exchanged with ECDHE.
const tls12 = `
	tls client  START > WAIT_SH > WAIT_CERT > WAIT_SKE > WAIT_SHD > WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED
	tls server  START > RECVD_CH > NEGOTIATED > WAIT_CKE > WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED`

// Figure 1 of RFC 5246, section 7.3, with the ticket of RFC 5077.
const messages12 = `
	client client_hello
	server server_hello
	server certificate
	server server_key_exchange
	server server_hello_done
	client client_key_exchange
	client change_cipher_spec
	client {finished}
	server new_session_ticket
	server change_cipher_spec
	server {finished}
	server {alert close_notify}
	client {alert close_notify}`

// With the certificate's RSA key in place of ECDHE there is no
// ServerKeyExchange.
const (
	tls12RSA = `
	tls client  START > WAIT_SH > WAIT_CERT > WAIT_SHD > WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED
	tls server  START > RECVD_CH > NEGOTIATED > WAIT_CKE > WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED`

	messages12RSA = `
	client client_hello
	server server_hello
	server certificate
	server server_hello_done
	client client_key_exchange
	client change_cipher_spec
	client {finished}
	server new_session_ticket
	server change_cipher_spec
	server {finished}
	server {alert close_notify}
	client {alert close_notify}`
)

var established12 = event.Established{
	Version: event.VersionTLS12, CipherSuite: event.CipherSuite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
	Group: event.Group(tls.X25519), SignatureScheme: event.SignatureScheme(tls.ECDSAWithP256AndSHA256), RoundTrips: 2,
}

// sClient12 makes s_client offer what established12 has. P-256 is for the key of
// the certificate.
var sClient12 = []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-groups", "X25519:P-256"}

// Two round trips; Finished and what follows it is encrypted.
func TestTLS12Handshakes(t *testing.T) {
	ecdsa := handshakeCase{client: sClient12, transitions: tls12, messages: messages12, want: established12}

	chaCha := ecdsa.named("ChaCha20, IPv4", server4)
	chaCha.client = []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305", "-groups", "X25519:P-256"}
	chaCha.want.CipherSuite = event.CipherSuite(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)

	rsa := ecdsa.named("ECDHE-RSA, IPv4", server4)
	rsa.flags = []string{"--keys", "rsa"}
	rsa.client = []string{"-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384", "-groups", "X25519"}
	rsa.want.CipherSuite = event.CipherSuite(tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)
	rsa.want.SignatureScheme = event.SignatureScheme(tls.PSSWithSHA256)

	testHandshakes(t, []handshakeCase{
		ecdsa.named("ECDHE-ECDSA, IPv4", server4),
		ecdsa.named("ECDHE-ECDSA, IPv6", server6),
		chaCha,
		rsa,
		keyTransport("RSA, GCM", "TLS_RSA_WITH_AES_128_GCM_SHA256", tls.TLS_RSA_WITH_AES_128_GCM_SHA256),
		keyTransport("RSA, CBC", "TLS_RSA_WITH_AES_256_CBC_SHA", tls.TLS_RSA_WITH_AES_256_CBC_SHA),
		keyTransport("RSA, CBC with SHA-256", "TLS_RSA_WITH_AES_128_CBC_SHA256", tls.TLS_RSA_WITH_AES_128_CBC_SHA256),
	})
}

// keyTransport is a case in which the client encrypts the premaster secret to
// the server's RSA key (RFC 5246, section 7.4.7.1).
func keyTransport(name, suite string, id uint16) handshakeCase {
	return handshakeCase{
		name:        name,
		flags:       []string{"--keys", "rsa", "--cipher-suites", suite},
		client:      []string{"-tls1_2"},
		transitions: tls12RSA,
		messages:    messages12RSA,
		want:        event.Established{Version: event.VersionTLS12, CipherSuite: event.CipherSuite(id), RoundTrips: 2},
	}
}

// The older versions have the same messages; the signature's algorithm is fixed
// by the suite, and not told.
func TestTLS10And11(t *testing.T) {
	old := func(name, flag string, version event.Version) handshakeCase {
		return handshakeCase{
			name:        name,
			flags:       []string{"--tls-min", "1.0"},
			client:      []string{flag, "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", "-groups", "X25519:P-256"},
			transitions: tls12,
			messages:    messages12,
			want: event.Established{
				Version: version, CipherSuite: event.CipherSuite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA),
				Group: event.Group(tls.X25519), RoundTrips: 2,
			},
		}
	}
	testHandshakes(t, []handshakeCase{
		old("TLS 1.0", "-tls1", event.VersionTLS10),
		old("TLS 1.1", "-tls1_1", event.VersionTLS11),
	})
}

// The second connection offers the ticket of the first: figure 2 of RFC 5246,
// section 7.3, in which the server finishes first and no certificate is sent.
func TestTLS12Resumed(t *testing.T) {
	resumed := established12
	resumed.Resumed, resumed.RoundTrips, resumed.Group, resumed.SignatureScheme = true, 1, 0, 0
	testResumed(t, handshakeCase{
		client: sClient12, transitions: tls12, messages: messages12, want: established12,
	}, handshakeCase{
		transitions: `
			tls client  START > WAIT_SH > WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED
			tls server  START > RECVD_CH > NEGOTIATED > WAIT_CCS > WAIT_FINISHED > CONNECTED > CLOSED`,
		messages: `
			client client_hello
			server server_hello
			server new_session_ticket
			server change_cipher_spec
			server {finished}
			client change_cipher_spec
			client {finished}
			server {alert close_notify}
			client {alert close_notify}`,
		want: resumed,
	})
}

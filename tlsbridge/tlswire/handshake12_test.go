package tlswire

import (
	"bytes"
	"crypto/tls"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"synscope/event"
)

// Parts of the story of a TLS 1.2 handshake.
const (
	hello12 = `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		s server_hello
		server RECVD_CH > NEGOTIATED
		client WAIT_SH > WAIT_CERT
		s certificate`
	ephemeral12 = `
		client WAIT_CERT > WAIT_SKE
		s server_key_exchange
		client WAIT_SKE > WAIT_SHD`
	done12 = `
		s server_hello_done
		server NEGOTIATED > WAIT_CKE
		c client_key_exchange
		server WAIT_CKE > WAIT_CCS`
	finished12 = `
		c ccs
		server WAIT_CCS > WAIT_FINISHED
		c <finished>
		client WAIT_SHD > WAIT_CCS
		s ccs
		client WAIT_CCS > WAIT_FINISHED
		s <finished>
		server WAIT_FINISHED > CONNECTED
		client WAIT_FINISHED > CONNECTED`
	session12 = `
		s <application_data>
		c <application_data>
		c <alert warning close_notify>
		client CONNECTED > CLOSED
		s <alert warning close_notify>
		server CONNECTED > CLOSED`
)

func TestFullHandshakeOfOldVersions(t *testing.T) {
	for _, test := range []struct {
		version uint16
		suite   uint16
		rsa     bool
	}{
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, false},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, true},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, true},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, true},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_256_CBC_SHA, true},
		{tls.VersionTLS11, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, false},
		{tls.VersionTLS11, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, true},
		{tls.VersionTLS10, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, false},
		{tls.VersionTLS10, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, true},
		{tls.VersionTLS10, tls.TLS_RSA_WITH_RC4_128_SHA, true},
	} {
		name := event.Version(test.version).String() + " " + event.CipherSuite(test.suite).String()
		t.Run(name, func(t *testing.T) {
			rec := converse(configs(func(c, s *tls.Config) {
				c.MaxVersion, c.CipherSuites, s.CipherSuites = test.version, []uint16{test.suite}, []uint16{test.suite}
				if test.rsa {
					s.Certificates = []tls.Certificate{identities().rsa}
				}
			}))
			keyExchange, group := ephemeral12, "x25519"
			if !suiteOf(event.CipherSuite(test.suite)).serverKeyExchange() {
				keyExchange, group = "\nclient WAIT_CERT > WAIT_SHD", "0x0000"
			}
			decode(rec, expecting).want(t, hello12+keyExchange+done12+finished12+
				"\nestablished "+name+" "+group+" resumed=false auth=none rtt=2"+session12)
		})
	}
}

func TestTLS12ClientCertificate(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) {
		c.MaxVersion, s.ClientAuth = tls.VersionTLS12, tls.RequireAndVerifyClientCert
		c.Certificates = []tls.Certificate{identities().client}
	})), expecting).want(t, hello12+ephemeral12+`
		s certificate_request
		s server_hello_done
		server NEGOTIATED > WAIT_CERT
		c certificate
		server WAIT_CERT > WAIT_CKE
		c client_key_exchange
		server WAIT_CKE > WAIT_CV
		c certificate_verify
		server WAIT_CV > WAIT_CCS`+finished12+`
		established TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 x25519 resumed=false auth=given rtt=2`+session12)
}

func TestTLS12ClientCertificateNotGiven(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) {
		c.MaxVersion, s.ClientAuth = tls.VersionTLS12, tls.RequestClientCert
	})), expecting).want(t, hello12+ephemeral12+`
		s certificate_request
		s server_hello_done
		server NEGOTIATED > WAIT_CERT
		c certificate
		server WAIT_CERT > WAIT_CKE
		c client_key_exchange
		server WAIT_CKE > WAIT_CCS`+finished12+`
		established TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 x25519 resumed=false auth=requested rtt=2`+session12)
}

// resumable12 returns configurations that resume TLS 1.2 sessions, and the
// server's tickets' master secrets as candidates for the recordings.
func resumable12(t *testing.T) (client, server *tls.Config, masters *[][]byte) {
	client, server = configs(func(c, s *tls.Config) {
		c.MaxVersion = tls.VersionTLS12
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	})
	masters = new([][]byte)
	decrypt := server.Clone()
	server.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		state, err := decrypt.DecryptTicket(ticket, cs)
		if err != nil || state == nil {
			return state, err
		}
		b, err := state.Bytes()
		if err != nil {
			return nil, err
		}
		s := cryptobyte.String(b)
		var master cryptobyte.String
		if !s.Skip(2+1+2+8) || !s.ReadUint8LengthPrefixed(&master) {
			t.Error("the session state has another format")
		}
		*masters = append(*masters, bytes.Clone(master))
		return state, nil
	}
	return client, server, masters
}

const (
	ticket12 = `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		s server_hello
		server RECVD_CH > NEGOTIATED
		client WAIT_SH > WAIT_CCS
		s new_session_ticket
		s ccs
		client WAIT_CCS > WAIT_FINISHED`
	abbreviated12 = `
		s <finished>
		server NEGOTIATED > WAIT_CCS
		c ccs
		server WAIT_CCS > WAIT_FINISHED
		c <finished>
		client WAIT_FINISHED > CONNECTED
		server WAIT_FINISHED > CONNECTED
		established TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 0x0000 resumed=true auth=none rtt=1`
)

// clientRandom reads the random of the ClientHello that a recording starts with.
func (r *recording) clientRandom() []byte { return r.ops[0].bytes[11:43] }

// A resumed session of TLS 1.2 has no line in the key log: its master secret
// comes from the ticket.
func TestTLS12Resumption(t *testing.T) {
	c, s, masters := resumable12(t)
	converse(c, s)
	rec := converse(c, s)
	if len(*masters) != 1 {
		t.Fatalf("%d tickets were decrypted, want 1", len(*masters))
	}
	candidate := Secret{Label: "CLIENT_RANDOM", ClientRandom: rec.clientRandom(), Secret: (*masters)[0], Candidate: true}
	decode(rec, expecting, func(d *Decoder) { d.Secret(candidate) }).want(t, ticket12+abbreviated12+session12)

	// Without it, no more is told than the wire shows in clear.
	tr := decode(rec)
	tr.want(t, ticket12+`
		s undecoded no key: 1 records, 40 bytes
		c ccs
		c undecoded no key: 1 records, 40 bytes
		s <application_data>
		c <application_data>
		s undecoded no key: 1 records, 26 bytes
		c undecoded no key: 1 records, 26 bytes`)
	if s := tr.decoder.Summary(); s.StatesKnown || s.Established || s.Failure != nil {
		t.Errorf("without the secret the summary claims to know how the handshake ended: %+v", s)
	}
}

// A candidate of a ticket that the server declined must not be used.
func TestTLS12DeclinedTicket(t *testing.T) {
	rec := converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))
	wrong := Secret{Label: "CLIENT_RANDOM", ClientRandom: rec.clientRandom(), Secret: make([]byte, 48), Candidate: true}
	decode(rec, expecting, func(d *Decoder) { d.Secret(wrong) }).want(t, hello12+ephemeral12+done12+finished12+
		"\nestablished TLS 1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=2"+session12)
}

// If the client offers a ticket and no session ID, the ServerHello does not say
// whether the session is resumed (RFC 5077, section 3.4).
func TestTLS12TicketWithoutSessionID(t *testing.T) {
	k := &handshake{version: event.VersionTLS12, cipherSuite: 0xc02f, suite: suiteOf(0xc02f), ticketOffered: true}
	for _, test := range []struct {
		step step
		want event.HandshakeState
	}{
		{step{from: event.Server, typ: event.ServerHelloType}, ""},
		{step{from: event.Server, typ: event.CertificateType}, event.TLSWaitCert},
		{step{from: event.Server, typ: event.NewSessionTicketType}, event.TLSWaitCCS},
		{step{from: event.Server, ccs: true}, event.TLSWaitCCS},
	} {
		if got := k.client12(event.TLSWaitSH, test.step); got != test.want {
			t.Errorf("%s in WAIT_SH leads to %q, want %q", test.step.cause(), got, test.want)
		}
	}
}

package tlswire

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"

	"synscope/event"
)

func TestClientRefusesCertificate(t *testing.T) {
	// crypto/tls says bad_certificate for an unknown root.
	decode(converse(configs(func(c, s *tls.Config) { c.RootCAs = x509.NewCertPool() })), expecting).want(t,
		hello13+serverCCS+certificate13+clientCCS+`
		c {alert fatal bad_certificate}
		client WAIT_FINISHED > FAILED
		server WAIT_FINISHED > FAILED
		failed, certificate_refused: client refused the server's certificate, in which nothing visible is wrong: it does not trust the issuer, CN=root.test, or has a reason of its own: alert bad_certificate after certificate`)
}

// The server gives up before there is a master secret, so the client's Finished
// cannot be decrypted, and the state that follows it is not told. But a server
// that alerts in clear has not completed its handshake: the failure is certain.
func TestServerRefusesClientCertificate(t *testing.T) {
	client := identities().client
	decode(converse(authenticated12(&client)), expecting).want(t, hello12+ephemeral12+`
		s certificate_request
		s server_hello_done
		server NEGOTIATED > WAIT_CERT
		c certificate
		server WAIT_CERT > WAIT_CKE
		c client_key_exchange
		server WAIT_CKE > WAIT_CV
		c certificate_verify
		server WAIT_CV > WAIT_CCS
		c ccs
		server WAIT_CCS > WAIT_FINISHED
		c undecoded no key: 1 records, 40 bytes
		s alert fatal unknown_ca
		server WAIT_FINISHED > FAILED
		client WAIT_SHD > FAILED
		failed, untrusted_authority: server refused the client's certificate: it does not trust the issuer, CN=root.test, or misses an intermediate certificate, which was not sent: alert unknown_ca after certificate`)
}

// TLS 1.2 has no alert for a certificate that is missing: handshake_failure, or
// another one, stands for it (RFC 5246, section 7.4.6).
func TestServerMissesClientCertificate(t *testing.T) {
	tr := decode(converse(authenticated12(&tls.Certificate{})), expecting)
	tr.want(t, hello12+ephemeral12+`
		s certificate_request
		s server_hello_done
		server NEGOTIATED > WAIT_CERT
		c certificate
		server WAIT_CERT > WAIT_CKE
		c client_key_exchange
		server WAIT_CKE > WAIT_CCS
		c ccs
		server WAIT_CCS > WAIT_FINISHED
		c undecoded no key: 1 records, 40 bytes
		s alert fatal handshake_failure
		server WAIT_FINISHED > FAILED
		client WAIT_SHD > FAILED
		failed, client_certificate_missing: server requires a certificate of the client, and got none: alert handshake_failure after certificate`)
	if f := tr.decoder.Summary().Failure; f == nil || f.Code != event.CauseNoClientCertificate || f.Hint == "" {
		t.Errorf("the summary says %+v of the failure", f)
	}
}

// authenticated12 makes a TLS 1.2 server ask for a certificate that it trusts, and
// the client answer with the given one.
func authenticated12(answer *tls.Certificate) (client, server *tls.Config) {
	return configs(func(c, s *tls.Config) {
		c.MaxVersion, s.ClientAuth, s.ClientCAs = tls.VersionTLS12, tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return answer, nil }
	})
}

func TestNoCommonVersion(t *testing.T) {
	tr := decode(converse(configs(func(c, s *tls.Config) { c.MaxVersion, s.MinVersion = tls.VersionTLS12, tls.VersionTLS13 })), expecting)
	tr.want(t, `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		s alert fatal protocol_version
		server RECVD_CH > FAILED
		client WAIT_SH > FAILED
		failed, no_common_version: server does not speak a version that the client offers (TLS 1.2, TLS 1.1, TLS 1.0): alert protocol_version after client_hello`)
	if f := tr.decoder.Summary().Failure; f == nil || f.Side != event.Server || f.Hint == "" {
		t.Errorf("the summary says %+v of the failure", f)
	}
}

func TestNoCommonSuite(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) {
		c.MaxVersion = tls.VersionTLS12
		c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		s.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	})), expecting).want(t, `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		s alert fatal handshake_failure
		server RECVD_CH > FAILED
		client WAIT_SH > FAILED
		failed, no_common_parameters: server found no common parameters with the client, which offers TLS 1.2, TLS 1.1, TLS 1.0; cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; group x25519; 10 signature schemes: alert handshake_failure after client_hello`)
}

// upTo returns the recording until a client's or server's nth write, and then
// the end of the transport.
func (r *recording) upTo(n int, from event.Side, end op) *recording {
	cut := &recording{}
	for _, o := range r.ops {
		if o.bytes != nil && o.from == from {
			if n--; n < 0 {
				break
			}
		}
		cut.ops = append(cut.ops, o)
	}
	cut.ops = append(cut.ops, end)
	return cut
}

func TestTransportEndsBeforeFinished(t *testing.T) {
	rec := converse(configs(nil))
	clientGone := func(how string) *recording {
		return rec.upTo(1, event.Client, op{from: event.Client, end: how})
	}
	decode(clientGone("rst"), expecting).want(t, hello13+serverCCS+certificate13+`
		client WAIT_FINISHED > FAILED
		server WAIT_FINISHED > FAILED
		failed, client_left: client reset the connection after finished, without an alert`)
	decode(clientGone("fin"), expecting).want(t, hello13+serverCCS+certificate13+`
		client WAIT_FINISHED > FAILED
		server WAIT_FINISHED > FAILED
		failed, client_left: client closed the connection after finished, without an alert`)
}

func TestServerResetsAfterClientHello(t *testing.T) {
	rec := converse(configs(nil)).upTo(0, event.Server, op{from: event.Server, end: "rst"})
	decode(rec, expecting).want(t, `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		server RECVD_CH > FAILED
		client WAIT_SH > FAILED
		failed, reset_after_client_hello: server reset the connection after client_hello, without an alert`)
}

func TestNothingIsSent(t *testing.T) {
	decode(&recording{ops: []op{{from: event.Client, end: "fin"}, {from: event.Server, end: "fin"}}}).want(t, `
		client START > FAILED
		server START > FAILED
		failed, client_silent: client closed the connection before any message, without an alert`)
}

// A server that has sent its Finished and its FIN may still be reached by the
// client's: nothing has failed until the client ends too.
func TestHalfClosedServerMayStillBeConnected(t *testing.T) {
	rec := converse(configs(nil)).upTo(1, event.Client, op{from: event.Server, end: "fin"})
	decode(rec, expecting).want(t, hello13+serverCCS+certificate13)
	rec.ops = append(rec.ops, op{from: event.Client, end: "fin"})
	decode(rec, expecting).want(t, hello13+serverCCS+certificate13+`
		client WAIT_FINISHED > FAILED
		server WAIT_FINISHED > FAILED
		failed, client_left: client closed the connection after finished, without an alert`)
}

func TestResetAfterEstablished(t *testing.T) {
	rec := converse(configs(nil)).upTo(2, event.Client, op{from: event.Server, end: "rst"})
	decode(rec, expecting).want(t, hello13+serverCCS+certificate13+clientCCS+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=1
		s [application_data]
		server CONNECTED > CLOSED
		client CONNECTED > CLOSED`)
}

func TestPlainHTTP(t *testing.T) {
	tr := decode(&recording{ops: []op{
		{from: event.Client, bytes: []byte("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")},
		{from: event.Server, bytes: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")},
		{from: event.Server, end: "fin"}, {from: event.Client, end: "fin"},
	}})
	tr.want(t, `
		c undecoded not tls: 0 records, 5 bytes
		client START > FAILED
		server START > FAILED
		failed, plain_http: client does not speak TLS: its first bytes are "GET /", which looks like HTTP
		s undecoded not tls: 0 records, 5 bytes
		s undecoded not tls: 0 records, 23 bytes
		c undecoded not tls: 0 records, 30 bytes`)
}

func TestSSLv2Hello(t *testing.T) {
	hello := []byte{0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}
	decode(&recording{ops: []op{{from: event.Client, bytes: hello}}}).want(t, `
		c undecoded not tls: 0 records, 5 bytes
		client START > FAILED
		server START > FAILED
		failed, ssl2: client does not speak TLS: ClientHello in the format of SSL 2.0`)
}

// An alert of the receiver of the last Finished that comes after data of its own
// ends the session, and is not a refusal of the handshake.
func TestFatalAlertDuringSession(t *testing.T) {
	rec := converse(configs(nil))
	server := newSealer(t, 0x1301, rec.find(labelServerTraffic))
	server.key.seq = 1 // after its application data
	cut := rec.upTo(3, event.Client, op{from: event.Server, bytes: server.seal(recordAlert, []byte{2, 80}, 0)})
	decode(cut, expecting).want(t, hello13+serverCCS+certificate13+clientCCS+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=1
		s [application_data]
		c [application_data]
		s [alert fatal internal_error]
		server CONNECTED > FAILED
		client CONNECTED > FAILED`)
}

// Whatever a handshake fails of, there is a hint.
func TestEveryCauseHasAHint(t *testing.T) {
	for a, r := range refusals {
		if m, ok := remarks[r.code]; !ok || m.what == "" || m.hint == "" {
			t.Errorf("%v: the remark on %q is %+v", a, r.code, m)
		}
	}
	for code, m := range remarks {
		if m.hint == "" || !slices.Contains(event.CauseCodes(), code) {
			t.Errorf("%s: hint %q, or it is no code", code, m.hint)
		}
	}
}

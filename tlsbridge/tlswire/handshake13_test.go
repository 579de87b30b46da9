package tlswire

import (
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	_ "unsafe" // for go:linkname

	"synscope/event"
)

// Parts of the story of a TLS 1.3 handshake.
const (
	hello13 = `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		s server_hello
		server RECVD_CH > NEGOTIATED
		client WAIT_SH > WAIT_EE`
	retry13 = `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		s hello_retry_request
		server RECVD_CH > START
		client WAIT_SH > START
		s ccs dummy
		c ccs dummy`
	certificate13 = `
		s {encrypted_extensions}
		client WAIT_EE > WAIT_CERT_CR
		s {certificate}
		client WAIT_CERT_CR > WAIT_CV
		s {certificate_verify}
		client WAIT_CV > WAIT_FINISHED
		s {finished}
		server NEGOTIATED > WAIT_FLIGHT2
		server WAIT_FLIGHT2 > WAIT_FINISHED`
	requested13 = `
		s {encrypted_extensions}
		client WAIT_EE > WAIT_CERT_CR
		s {certificate_request}
		client WAIT_CERT_CR > WAIT_CERT
		s {certificate}
		client WAIT_CERT > WAIT_CV
		s {certificate_verify}
		client WAIT_CV > WAIT_FINISHED
		s {finished}
		server NEGOTIATED > WAIT_FLIGHT2
		server WAIT_FLIGHT2 > WAIT_CERT`
	finished13 = `
		c {finished}
		client WAIT_FINISHED > CONNECTED
		server WAIT_FINISHED > CONNECTED`
	session13 = `
		s [application_data]
		c [application_data]
		c [alert warning close_notify]
		client CONNECTED > CLOSED
		s [alert warning close_notify]
		server CONNECTED > CLOSED`
	serverCCS = "\ns ccs dummy"
	clientCCS = "\nc ccs dummy"
)

// crypto/tls has no setting for the suites of TLS 1.3, but it lets these two
// lists be linked to.
//
//go:linkname suites13 crypto/tls.defaultCipherSuitesTLS13
var suites13 []uint16

//go:linkname suites13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var suites13NoAES []uint16

// only13 lets crypto/tls know one suite of TLS 1.3 until the test ends.
func only13(t testing.TB, suite event.CipherSuite) {
	a, b := suites13, suites13NoAES
	t.Cleanup(func() { suites13, suites13NoAES = a, b })
	suites13, suites13NoAES = []uint16{uint16(suite)}, []uint16{uint16(suite)}
}

func TestTLS13EachSuite(t *testing.T) {
	for _, suite := range []event.CipherSuite{0x1301, 0x1302, 0x1303} {
		t.Run(suite.String(), func(t *testing.T) {
			only13(t, suite)
			decode(converse(configs(nil)), expecting).want(t, hello13+serverCCS+certificate13+clientCCS+finished13+
				"\nestablished TLS 1.3 "+suite.String()+" x25519 resumed=false auth=none rtt=1"+session13)
		})
	}
}

func TestTLS13HelloRetryRequest(t *testing.T) {
	tr := decode(converse(configs(func(c, s *tls.Config) {
		c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
		s.CurvePreferences = []tls.CurveID{tls.CurveP256}
	})), expecting)
	// The server's dummy follows its HelloRetryRequest, which the client may
	// have answered by then.
	const dummy, retried = "s ccs dummy", "client WAIT_SH > START"
	if i, j := slices.Index(tr.lines, dummy), slices.Index(tr.lines, retried); j >= 0 && i > j {
		tr.lines = slices.Insert(slices.Delete(tr.lines, i, i+1), j+1, dummy)
	}
	tr.want(t, retry13+hello13+certificate13+finished13+
		"\nestablished TLS 1.3 TLS_AES_128_GCM_SHA256 secp256r1 resumed=false auth=none rtt=2"+session13)
	if g := tr.message(event.HelloRetryRequest).ServerHello.Group; g != 23 {
		t.Errorf("the HelloRetryRequest asks for group %v, want secp256r1", g)
	}
}

func TestTLS13PostQuantumGroup(t *testing.T) {
	tr := decode(converse(configs(func(c, s *tls.Config) { c.CurvePreferences = nil })), expecting)
	if g := first[*event.Established](tr).Group; g.String() != "X25519MLKEM768" {
		t.Errorf("group %v, want X25519MLKEM768", g)
	}
}

func TestTLS13Resumption(t *testing.T) {
	c, s := configs(func(c, _ *tls.Config) { c.ClientSessionCache = tls.NewLRUClientSessionCache(1) })
	// The server knows enough for a ticket before it has the client's Finished.
	decode(converse(c, s), expecting).want(t, hello13+serverCCS+certificate13+"\ns [new_session_ticket]"+clientCCS+finished13+
		"\nestablished TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=1"+session13)
	decode(converse(c, s), expecting).want(t, hello13+serverCCS+`
		s {encrypted_extensions}
		client WAIT_EE > WAIT_FINISHED
		s {finished}
		server NEGOTIATED > WAIT_FLIGHT2
		server WAIT_FLIGHT2 > WAIT_FINISHED
		s [new_session_ticket]`+clientCCS+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=true auth=none rtt=1`+session13)
}

func TestTLS13ClientCertificate(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) {
		s.ClientAuth = tls.RequireAndVerifyClientCert
		c.Certificates = []tls.Certificate{identities().client}
	})), expecting).want(t, hello13+serverCCS+requested13+clientCCS+`
		c {certificate}
		server WAIT_CERT > WAIT_CV
		c {certificate_verify}
		server WAIT_CV > WAIT_FINISHED`+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=given rtt=1`+session13)
}

func TestTLS13ClientCertificateNotGiven(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) { s.ClientAuth = tls.RequestClientCert })), expecting).want(t,
		hello13+serverCCS+requested13+clientCCS+`
		c {certificate}
		server WAIT_CERT > WAIT_FINISHED`+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=requested rtt=1`+session13)
}

// In TLS 1.3 the client is connected before the server has looked at its
// certificate: the wire shows an established handshake, then the refusal.
func TestTLS13CertificateRequired(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) { s.ClientAuth = tls.RequireAnyClientCert })), expecting).want(t,
		hello13+serverCCS+requested13+clientCCS+`
		c {certificate}
		server WAIT_CERT > WAIT_FINISHED`+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=requested rtt=1
		s [alert fatal certificate_required]
		server CONNECTED > FAILED
		client CONNECTED > FAILED
		failed, client_certificate_missing: server requires a certificate of the client, and got none: alert certificate_required after certificate`)
}

// A sealer is a TLS 1.3 sender made for a test: it seals what crypto/tls cannot
// be made to send.
type sealer struct{ key *key13 }

func newSealer(tb testing.TB, suite event.CipherSuite, secret []byte) *sealer {
	k, err := newKey13(suiteOf(suite), secret)
	if err != nil {
		tb.Fatal(err)
	}
	return &sealer{k}
}

// seal makes a record with padding zeros behind the inner type.
func (s *sealer) seal(typ uint8, content []byte, padding int) []byte {
	inner := append(append([]byte{}, content...), typ)
	inner = append(inner, make([]byte, padding)...)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+s.key.aead.Overhead()))
	s.key.setNonce()
	s.key.seq++
	return s.key.aead.(cipher.AEAD).Seal(header, s.key.nonce[:], inner, header)
}

func (s *sealer) update(tb testing.TB) {
	k, err := s.key.next()
	if err != nil {
		tb.Fatal(err)
	}
	s.key = k
}

// find returns a secret of the recording.
func (r *recording) find(label string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.ops {
		if o.secret != nil && o.secret.Label == label {
			return o.secret.Secret
		}
	}
	return nil
}

// keyUpdates performs a handshake, then speaks for the client: KeyUpdate with a
// request, application data under the new keys in a padded record, close_notify.
// The server is a real one: it answers only if the sealing is right, and with a
// KeyUpdate of its own.
func keyUpdates(t *testing.T) *recording {
	rec := new(recording)
	clientEnd, serverEnd := newPipe(rec)
	c, s := configs(nil)
	s.KeyLogWriter = rec.secrets()
	done := make(chan error)
	go func() {
		conn := tls.Server(serverEnd, s)
		b := make([]byte, 4)
		_, err := io.ReadFull(conn, b)
		if err == nil {
			_, err = conn.Write([]byte("pong"))
			conn.Close()
		}
		done <- err
	}()
	if err := tls.Client(clientEnd, c).Handshake(); err != nil {
		t.Fatal(err)
	}
	client := newSealer(t, 0x1301, rec.find(labelClientTraffic))
	keyUpdate := []byte{byte(event.KeyUpdateType), 0, 0, 1, 1}
	flight := client.seal(recordHandshake, keyUpdate, 0)
	client.update(t)
	flight = append(flight, client.seal(recordApplicationData, []byte("ping"), 100)...)
	clientEnd.Write(append(flight, client.seal(recordAlert, []byte{1, 0}, 3)...))
	if err := <-done; err != nil {
		t.Fatalf("the server did not accept what the test sealed: %v", err)
	}
	return rec
}

func TestTLS13KeyUpdate(t *testing.T) {
	tr := decode(keyUpdates(t), expecting)
	tr.want(t, hello13+serverCCS+certificate13+clientCCS+finished13+`
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=1
		c [key_update]
		c [application_data]
		c [alert warning close_notify]
		client CONNECTED > CLOSED
		s [key_update]
		s [application_data]
		s [alert warning close_notify]
		server CONNECTED > CLOSED`)
	if !tr.message(event.KeyUpdateType).KeyUpdate.UpdateRequested {
		t.Error("the client's KeyUpdate requests one")
	}
}

// What OpenSSL 3.0 does: the client refuses the certificate in clear although
// its keys are on. The record is not in the encrypted sequence.
func TestTLS13AlertInClear(t *testing.T) {
	rec := converse(configs(nil))
	for i, o := range rec.ops {
		if o.from == event.Client && i > 0 { // the client's second flight
			rec.ops = append(rec.ops[:i:i], append([]op{{from: event.Client, bytes: []byte{21, 3, 3, 0, 2, 1, 0x5a}},
				{from: event.Client, bytes: []byte{21, 3, 3, 0, 2, 2, 48}}}, rec.ops[i:]...)...)
			break
		}
	}
	decode(rec, expecting).want(t, hello13+serverCCS+certificate13+`
		c alert warning user_canceled
		c alert fatal unknown_ca
		client WAIT_FINISHED > FAILED
		server WAIT_FINISHED > FAILED
		failed, untrusted_authority: client refused the server's certificate: it does not trust the issuer, CN=root.test, or misses an intermediate certificate, which was not sent: alert unknown_ca after certificate
		c ccs dummy
		c {finished}
		s [application_data]
		c [application_data]
		c [alert warning close_notify]
		s [alert warning close_notify]`)
}

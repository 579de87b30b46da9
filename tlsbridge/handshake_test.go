package tlsbridge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synscope/event"
)

var versions = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

// everything is a configuration that leaves nothing of crypto/tls out.
func everything() *TLSConfig {
	c := &TLSConfig{MinVersion: tls.VersionTLS10, SessionTickets: true}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		c.CipherSuites = append(c.CipherSuites, s.ID)
	}
	return c
}

// parseKeyLog returns what a client wrote to its KeyLogWriter.
func parseKeyLog(t *testing.T, log *bytes.Buffer) []secret {
	t.Helper()
	var secrets []secret
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		if len(f) != 3 {
			t.Fatalf("key log line %q", line)
		}
		secrets = append(secrets, secret{label: f[0], random: f[1], value: f[2]})
	}
	return secrets
}

func diffSecrets(want, got []secret) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(secret{}),
		cmpopts.SortSlices(func(a, b secret) bool { return a.label < b.label }))
}

func TestSecretsAreThoseOfTheClient(t *testing.T) {
	for _, v := range versions {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			f := start(t, service(Echo(), everything()))
			var log bytes.Buffer
			c := f.mustDialTLS(&tls.Config{MinVersion: v, MaxVersion: v, KeyLogWriter: &log})
			wantEcho(t, c, "hello")
			c.Close()
			f.stop()
			if want := parseKeyLog(t, &log); len(want) == 0 {
				t.Fatal("the client logged no secret")
			} else if d := diffSecrets(want, f.seen.secrets); d != "" {
				t.Errorf("secrets (-client +observer):\n%s", d)
			}
			if f.seen.starts != 1 || len(f.seen.ends) != 1 || f.seen.ends[0] != nil {
				t.Errorf("started %d times, ended with %v, want once each and well", f.seen.starts, f.seen.ends)
			}
			flow := event.Flow{Client: addrPort(c.LocalAddr()), Server: addrPort(c.RemoteAddr())}
			if len(f.seen.flows) != 1 || f.seen.flows[flow] == 0 {
				t.Errorf("steps were told of the flows %v, want %v", f.seen.flows, flow)
			}
			f.seen.want(t, "client_hello", true, "")
			f.seen.want(t, "sign", true, "ECDSA P-256")
			if s := f.seen.want(t, "handshake", true, tls.VersionName(v)); s.Duration <= 0 {
				t.Error("the handshake took no time")
			}
		})
	}
}

// Each cipher suite that crypto/tls implements, alone on both sides: the key
// that it needs is chosen by itself.
func TestEveryCipherSuite(t *testing.T) {
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		for _, v := range suite.SupportedVersions {
			if v == tls.VersionTLS13 {
				continue // not configurable, and in use above
			}
			t.Run(suite.Name+" "+tls.VersionName(v), func(t *testing.T) {
				f := start(t, service(Echo(), everything()))
				c := f.mustDialTLS(&tls.Config{MinVersion: v, MaxVersion: v, CipherSuites: []uint16{suite.ID}})
				wantEcho(t, c, "hello")
				if got := c.ConnectionState().CipherSuite; got != suite.ID {
					t.Errorf("negotiated %s", tls.CipherSuiteName(got))
				}
				f.seen.want(t, "handshake", true, suite.Name)
				if strings.HasPrefix(suite.Name, "TLS_RSA_") {
					f.seen.want(t, "sign", true, "RSA 2048, decrypting the premaster secret")
				}
			})
		}
	}
}

func TestDefaultsAreThoseOfCryptoTLS(t *testing.T) {
	f := start(t, Config{})
	for _, c := range []*tls.Config{
		{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
	} {
		if _, err := f.dialTLS(c); err == nil {
			t.Errorf("a client with only %+v was accepted", c.CipherSuites)
		}
	}
	f.stop()
	for _, err := range f.seen.ends {
		if err == nil {
			t.Error("a failed handshake ended without an error")
		}
	}
	for _, s := range f.seen.find("handshake") {
		if s.OK || s.Error == "" {
			t.Errorf("step %+v of a failed handshake", s)
		}
	}
}

func TestKeyTypeFollowsConfiguration(t *testing.T) {
	for _, test := range []struct {
		types []KeyType
		suite uint16 // the client's only one
		rsa   bool
	}{
		{nil, 0, false},
		{[]KeyType{RSA, ECDSA}, 0, true},
		{[]KeyType{RSA}, 0, true},
		{nil, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
		{[]KeyType{RSA, ECDSA}, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
	} {
		f := start(t, service(Echo(), &TLSConfig{KeyTypes: test.types}))
		conf := &tls.Config{}
		if test.suite != 0 {
			conf.MaxVersion, conf.CipherSuites = tls.VersionTLS12, []uint16{test.suite}
		}
		c := f.mustDialTLS(conf)
		if _, isRSA := c.ConnectionState().PeerCertificates[0].PublicKey.(*rsa.PublicKey); isRSA != test.rsa {
			t.Errorf("key types %v, suite %#x: RSA %v", test.types, test.suite, isRSA)
		}
	}
}

func TestGivenCertificatesAreUsed(t *testing.T) {
	other, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := other.Leaf("other.example", ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, service(Echo(), &TLSConfig{Certificates: []tls.Certificate{*cert}}))
	pool := x509.NewCertPool()
	pool.AddCert(other.Certificate())
	f.mustDialTLS(&tls.Config{RootCAs: pool, ServerName: "other.example"})
	f.seen.want(t, "sign", true, "ECDSA")
}

func TestCertificateFollowsServerName(t *testing.T) {
	f := start(t, Config{})
	c := f.mustDialTLS(&tls.Config{ServerName: "Shop.Example"})
	if err := c.ConnectionState().PeerCertificates[0].VerifyHostname("shop.example"); err != nil {
		t.Error(err)
	}
	f.seen.want(t, "client_hello", true, "shop.example")
}

func TestHostileServerNameGetsTheAddress(t *testing.T) {
	f := start(t, Config{})
	name := strings.Repeat("x", 64) + ".example"
	c := tls.Client(f.dial(), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := c.ConnectionState().PeerCertificates[0].VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	f.seen.want(t, "client_hello", true, "a label of 64 characters")
	f.seen.want(t, "client_hello", true, "the certificate is for 127.0.0.1")
}

func TestClientThatDoesNotTrustUs(t *testing.T) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		f := start(t, Config{})
		_, err := f.dialTLS(&tls.Config{RootCAs: x509.NewCertPool(), MinVersion: v, MaxVersion: v})
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("client: %v", err)
		}
		f.stop()
		f.seen.want(t, "handshake", false, "remote error: tls: bad certificate")
	}
}

func TestWrongConfigurationFailsTheHandshake(t *testing.T) {
	f := start(t, service(Echo(), &TLSConfig{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}))
	if _, err := f.dialTLS(&tls.Config{}); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("client: %v, want the alert internal_error", err)
	}
	f.stop()
	f.seen.want(t, "client_hello", false, "the lowest version, TLS 1.3, is above the highest, TLS 1.2")
}

// clientCertificate returns a certificate for client authentication, and the
// pool that verifies it.
func clientCertificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	template.Subject.CommonName = name
	der, err := x509.CreateCertificate(nil, template, a.cert, a.keys.ecdsa.Public(), a.signer)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate())
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.keys.ecdsa}, pool
}

func TestClientCertificates(t *testing.T) {
	good, pool := clientCertificate(t, "alice")
	stranger, _ := clientCertificate(t, "mallory")
	none := tls.Certificate{}
	tests := []struct {
		name   string
		policy tls.ClientAuthType
		given  *tls.Certificate
		ok     bool
		told   string // by the step verify
	}{
		{"requested, absent", tls.RequestClientCert, &none, true, "the client gave no certificate"},
		{"requested, given", tls.RequestClientCert, &stranger, true, "not verified: CN=mallory"},
		{"required, absent", tls.RequireAnyClientCert, &none, false, "the client gave no certificate"},
		{"required, given", tls.RequireAnyClientCert, &stranger, true, "not verified: CN=mallory"},
		{"verified if given, absent", tls.VerifyClientCertIfGiven, &none, true, "the client gave no certificate"},
		{"verified if given, good", tls.VerifyClientCertIfGiven, &good, true, "CN=alice"},
		{"verified if given, untrusted", tls.VerifyClientCertIfGiven, &stranger, false, "unknown authority"},
		{"required and verified, good", tls.RequireAndVerifyClientCert, &good, true, "CN=alice"},
		{"required and verified, untrusted", tls.RequireAndVerifyClientCert, &stranger, false, "CN=mallory"},
		{"required and verified, absent", tls.RequireAndVerifyClientCert, &none, false, "the client gave no certificate"},
	}
	for _, test := range tests {
		for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(test.name+", "+tls.VersionName(v), func(t *testing.T) {
				f := start(t, service(Echo(), &TLSConfig{ClientAuth: test.policy, ClientCAs: pool}))
				c, err := f.dialTLS(&tls.Config{MinVersion: v, MaxVersion: v,
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return test.given, nil }})
				if err == nil {
					// In TLS 1.3 the client learns of it after its Finished.
					_, err = io.WriteString(c, "x")
					if err == nil {
						_, err = c.Read(make([]byte, 1))
					}
				}
				if (err == nil) != test.ok {
					t.Errorf("client: %v", err)
				}
				if op, ok := errors.AsType[*net.OpError](err); !test.ok && (!ok || op.Op != "remote error") {
					t.Errorf("client: %v, want the alert, not a reset", err)
				}
				c.Close()
				f.stop()
				f.seen.want(t, "verify", test.ok, test.told)
				f.seen.want(t, "handshake", test.ok, "")
			})
		}
	}
}

func TestNoVerifyStepWithoutClientAuth(t *testing.T) {
	f := start(t, Config{})
	f.mustDialTLS(&tls.Config{})
	if s := f.seen.find("verify"); len(s) != 0 {
		t.Errorf("steps %+v", s)
	}
}

func TestALPN(t *testing.T) {
	tests := []struct {
		service Service
		server  []string
		client  []string
		want    string
		ok      bool
	}{
		{Mirror(), nil, []string{"http/1.1", "h2"}, "h2", true},
		{Mirror(), nil, []string{"http/1.1"}, "http/1.1", true},
		{Mirror(), nil, nil, "", true},
		{Mirror(), nil, []string{"imap"}, "", false}, // no_application_protocol
		{Mirror(), []string{}, []string{"imap"}, "", true},
		{Echo(), nil, []string{"imap"}, "", true},
		{Echo(), []string{"imap"}, []string{"imap"}, "imap", true},
	}
	for _, test := range tests {
		f := start(t, service(test.service, &TLSConfig{ALPN: test.server}))
		c, err := f.dialTLS(&tls.Config{NextProtos: test.client})
		if (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		} else if got := c.ConnectionState().NegotiatedProtocol; got != test.want {
			t.Errorf("%+v: negotiated %q", test, got)
		}
	}
}

func TestGroups(t *testing.T) {
	f := start(t, service(Echo(), &TLSConfig{Curves: []tls.CurveID{tls.CurveP384}}))
	// The client's key share is of another group: a HelloRetryRequest.
	c := f.mustDialTLS(&tls.Config{CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP384}})
	if s := c.ConnectionState(); s.CurveID != tls.CurveP384 || !s.HelloRetryRequest {
		t.Errorf("group %v, retry %v", s.CurveID, s.HelloRetryRequest)
	}
	f.seen.want(t, "client_hello", true, "")
}

func TestTimedKeyKeepsItsAbilities(t *testing.T) {
	w := watch{to: new(recorder)}
	a := authority()
	rsaKey, err := a.keys.rsa()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := timed(rsaKey, w).(timedDecrypter); !ok {
		t.Error("an RSA key lost Decrypt")
	}
	key := timed(a.keys.ecdsa, w)
	if _, ok := key.(timedDecrypter); ok {
		t.Error("an ECDSA key got Decrypt")
	}
	if timed(a.keys.ecdsa, watch{}) != any(a.keys.ecdsa) {
		t.Error("a key is wrapped though nobody watches")
	}
	if pub := key.(timedSigner).Public().(*ecdsa.PublicKey); !pub.Equal(a.keys.ecdsa.Public()) {
		t.Error("the public key changed")
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		config TLSConfig
		want   string // "" for a good one
	}{
		{TLSConfig{}, ""},
		{*everything(), ""},
		{TLSConfig{MinVersion: 0x0300}, "0x0300"},
		{TLSConfig{MaxVersion: 0x0305}, "0x0305"},
		{TLSConfig{MaxVersion: tls.VersionTLS11}, "TLS 1.2, is above the highest, TLS 1.1"},
		{TLSConfig{CipherSuites: []uint16{0x0033}}, "0x0033"},
		{TLSConfig{ALPN: []string{""}}, "1 to 255"},
		{TLSConfig{ALPN: []string{strings.Repeat("x", 256)}}, "1 to 255"},
		{TLSConfig{ClientAuth: 17}, "17"},
		{TLSConfig{ClientAuth: tls.VerifyClientCertIfGiven}, "ClientCAs"},
		{TLSConfig{KeyTypes: []KeyType{7}}, "key type 7"},
	} {
		err := test.config.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v, want %q", test.config, err, test.want)
		}
	}
}

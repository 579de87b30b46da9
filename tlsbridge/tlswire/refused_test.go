package tlswire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

// Clients refuse what is wrong with a certificate, each in its own words, and the
// certificate tells what they mean.
func TestClientsRefuseCertificate(t *testing.T) {
	root, other := newTestCA(t, "root"), newTestCA(t, "other")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	openssl := func(extra ...string) func(string) []string {
		return func(addr string) []string {
			return append([]string{"openssl", "s_client", "-connect", addr, "-CAfile", root.file(), "-verify_return_error",
				"-servername", "shop.test", "-verify_hostname", "shop.test"}, extra...)
		}
	}
	python := func(addr string) []string {
		return []string{"python3", "-c", `import socket, ssl, sys
host, port = sys.argv[1].split(":")
ssl.create_default_context(cafile=sys.argv[2]).wrap_socket(socket.create_connection((host, int(port))), server_hostname="shop.test")`, addr, root.file()}
	}
	gnutls := func(addr string) []string {
		host, port, _ := net.SplitHostPort(addr)
		return []string{"gnutls-cli", "--x509cafile", root.file(), "--sni-hostname", "shop.test", "--verify-hostname", "shop.test", "-p", port, host}
	}
	withOther := root.issue(key, nil)
	withOther.Certificate = append(withOther.Certificate, other.cert.Raw)
	withRoot := other.issue(key, nil)
	withRoot.Certificate = append(withRoot.Certificate, other.cert.Raw)
	selfSigned := &testCA{t: t, cert: other.cert, key: other.key}
	own := tls.Certificate{Certificate: [][]byte{selfSigned.cert.Raw}, PrivateKey: selfSigned.key}
	expired := root.issue(key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	early := root.issue(key, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) })
	wrongName := root.issue(key, func(c *x509.Certificate) { c.DNSNames = []string{"other.test", "*.other.test"} })
	client := root.issue(key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		client func(addr string) []string
		code   event.CauseCode
		parts  []string
	}{
		{"unknown issuer", other.issue(key, nil), openssl(), "untrusted_authority", []string{"the issuer, CN=other, or misses an intermediate", "alert unknown_ca"}},
		{"unknown root", withRoot, openssl(), "untrusted_authority", []string{"whose root, CN=other, it does not trust"}},
		{"self-signed", own, openssl(), "self_signed", []string{"is self-signed"}},
		{"without its issuer", withOther, openssl("-CAfile", other.file()), "incomplete_chain", []string{"was sent without that of its issuer, CN=root"}},
		{"expired", expired, openssl(), "expired", []string{"expired on 20"}},
		{"expired, Python", expired, python, "expired", []string{"expired on 20"}},
		{"expired by the client's clock", root.issue(key, nil), openssl("-attime", "4102444800"), "expired", []string{"its clock is wrong, or another certificate"}},
		{"not yet valid", early, openssl(), "not_yet_valid", []string{"is not valid before 20"}},
		{"wrong name", wrongName, openssl(), "wrong_name", []string{"is for other.test, *.other.test, and the client asked for shop.test", "bad_certificate"}},
		{"wrong name, Python", wrongName, python, "wrong_name", []string{"the client asked for shop.test"}},
		{"wrong name, GnuTLS", wrongName, gnutls, "wrong_name", []string{"the client asked for shop.test"}},
		{"weak key", root.issue(short, nil), openssl("-cipher", "DEFAULT@SECLEVEL=2"), "weak_certificate", []string{"has a key of RSA 1024 bits"}},
		{"revoked", root.issue(key, nil), openssl("-crl_check", "-CRL", root.revoking()), "revoked", []string{"alert certificate_revoked"}},
		{"for clients only", client, openssl("-purpose", "sslserver"), "unsupported_certificate", []string{"(ECDSA P-256, signed with ECDSA-SHA256)"}},
	} {
		for _, version := range []string{"TLS 1.2", "TLS 1.3"} {
			t.Run(c.name+", "+version, func(t *testing.T) {
				t.Parallel()
				config := &tls.Config{Certificates: []tls.Certificate{c.cert}, MaxVersion: tls.VersionTLS13}
				if version == "TLS 1.2" {
					config.MaxVersion = tls.VersionTLS12
				}
				decode(serveOnce(t, serveTLS(config), c.client), expecting).wantFailed(t, event.Client, c.code, c.parts...)
			})
		}
	}
}

// Curl looks at the name only after the handshake, and says nothing on the wire.
func TestDoubt(t *testing.T) {
	root := newTestCA(t, "root")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curl := func(addr string) []string {
		_, port, _ := net.SplitHostPort(addr)
		return []string{"curl", "-sS", "--noproxy", "*", "--cacert", root.file(), "--resolve", "shop.test:" + port + ":127.0.0.1",
			"--max-time", "1", "https://shop.test:" + port}
	}
	for _, c := range []struct{ name, doubt string }{
		{"other.test", "is for other.test, and the client asked for shop.test"},
		{"shop.test", ""},
	} {
		config := &tls.Config{Certificates: []tls.Certificate{root.issue(key, func(x *x509.Certificate) { x.DNSNames = []string{c.name} })}}
		tr := decode(serveOnce(t, serveTLS(config), curl), expecting)
		if got := tr.decoder.Doubt(); got != c.doubt {
			t.Errorf("certificate for %s: doubt %q, want %q\n%s", c.name, got, c.doubt, strings.Join(tr.lines, "\n"))
		}
	}
}

// Servers of others say no more than an alert, and only the ClientHello shows what
// they may have missed.
func TestServersRefuseClientHello(t *testing.T) {
	root := newTestCA(t, "root")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := root.issue(key, nil)
	certFile := writePEM(t, "CERTIFICATE", leaf.Certificate[0])
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := writePEM(t, "PRIVATE KEY", der)
	for _, c := range []struct {
		name           string
		server, client []string
		code           event.CauseCode
		parts          []string
	}{
		{
			"version", []string{"-tls1_3"}, []string{"-tls1_2"}, "no_common_version",
			[]string{"(TLS 1.2 and older): alert protocol_version"},
		},
		{
			"suite", []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"}, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"},
			"no_common_parameters", []string{"cipher suite TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;", "alert handshake_failure"},
		},
		{
			"group", []string{"-groups", "P-521"}, []string{"-tls1_3", "-groups", "X25519:P-256"}, "no_common_parameters",
			[]string{"groups x25519, secp256r1"},
		},
		{
			"signature scheme", nil, []string{"-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"}, "no_common_parameters",
			[]string{"signature scheme rsa_pss_rsae_sha256"},
		},
		{
			"application protocol", []string{"-alpn", "h2"}, []string{"-alpn", "imap"}, "no_common_alpn",
			[]string{"which offers imap"},
		},
		{
			"name", []string{"-servername", "shop.test", "-servername_fatal", "-cert2", certFile, "-key2", keyFile}, []string{"-servername", "else.test"}, "unrecognized_name",
			[]string{"asked for, else.test: alert unrecognized_name"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := freePort(t)
			background(t, append([]string{"openssl", "s_server", "-quiet", "-accept", addr, "-cert", certFile, "-key", keyFile}, c.server...)...)
			rec := relay(t, addr, func(addr string) []string {
				return append([]string{"openssl", "s_client", "-connect", addr}, c.client...)
			})
			decode(rec).wantFailed(t, event.Server, c.code, c.parts...)
		})
	}
}

// A server that has no certificate without a name, as crypto/tls with
// GetCertificate only.
func TestServerNameMissing(t *testing.T) {
	config := &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}
	rec := serveOnce(t, serveTLS(config), func(addr string) []string {
		return []string{"openssl", "s_client", "-connect", addr, "-noservername"}
	})
	decode(rec, expecting).wantFailed(t, event.Server, "server_name_missing", "sent none: alert unrecognized_name")
}

// A flippedSigner signs wrongly.
type flippedSigner struct{ crypto.Signer }

func (s flippedSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sum := append([]byte(nil), digest...)
	sum[0] ^= 1
	return s.Signer.Sign(r, sum, opts)
}

func TestWrongSignature(t *testing.T) {
	root := newTestCA(t, "root")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := root.issue(key, nil)
	leaf.PrivateKey = flippedSigner{key}
	rec := serveOnce(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{leaf}, MaxVersion: tls.VersionTLS12}), func(addr string) []string {
		return []string{"openssl", "s_client", "-connect", addr, "-CAfile", root.file()}
	})
	decode(rec, expecting).wantFailed(t, event.Client, "wrong_signature", "alert decrypt_error after server_")
}

// The client's Finished is changed on its way.
func TestDamagedOnTheWay(t *testing.T) {
	config := &tls.Config{Certificates: []tls.Certificate{identities().ecdsa}, MaxVersion: tls.VersionTLS12}
	rec := serveOnce(t, func(conn net.Conn, rec *recording) {
		damaging := &damagingConn{Conn: conn.(recordedConn).Conn}
		serveTLS(config)(recordedConn{damaging, rec}, rec)
	}, func(addr string) []string { return []string{"openssl", "s_client", "-connect", addr} })
	decode(rec, expecting).wantFailed(t, event.Server, "cannot_decrypt", "alert bad_record_mac")
}

// A damagingConn changes the last bit of the second flight that is read.
type damagingConn struct {
	net.Conn
	reads int
}

func (c *damagingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.reads++; c.reads == 2 {
		b[n-1] ^= 1
	}
	return n, err
}

// A server of plain text gets a ClientHello: net/http's answer, and a greeting as
// of a mail server that waits for one line.
func TestTLSToPlainPort(t *testing.T) {
	openssl := func(addr string) []string { return []string{"openssl", "s_client", "-connect", addr} }
	l := listen(t)
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(l)
	defer server.Close()
	decode(relay(t, l.Addr().String(), openssl)).wantFailed(t, event.Server, "tls_to_plain_port",
		`it answers the ClientHello with "HTTP/", which looks like HTTP`)

	mail := func(conn net.Conn, _ *recording) {
		conn.Read(make([]byte, 1))
		io.WriteString(conn, "500 what?\r\n")
	}
	decode(serveOnce(t, mail, openssl)).wantFailed(t, event.Server, "tls_to_plain_port", `"500 w", which looks like SMTP or FTP`)
}

// A server that reads the ClientHello and closes, or resets, or waits until the
// client has had enough of it.
func TestServerSaysNothing(t *testing.T) {
	openssl := func(addr string) []string { return []string{"openssl", "s_client", "-connect", addr} }
	closes := func(conn net.Conn, rec *recording) {
		conn.Read(make([]byte, 4096))
		rec.add(op{from: event.Server, end: "fin"})
	}
	decode(serveOnce(t, closes, openssl)).
		wantFailed(t, event.Server, "server_closed", "closed the connection after client_hello, without an alert")

	resets := func(conn net.Conn, rec *recording) {
		conn.Read(make([]byte, 4096))
		rec.add(op{from: event.Server, end: "rst"})
		raw := conn.(recordedConn).Conn.(*net.TCPConn)
		raw.SetLinger(0)
		raw.Close()
	}
	decode(serveOnce(t, resets, openssl)).
		wantFailed(t, event.Server, "reset_after_client_hello", "reset the connection after client_hello, without an alert")

	waits := func(conn net.Conn, _ *recording) { io.Copy(io.Discard, struct{ io.Reader }{conn}) }
	decode(serveOnce(t, waits, func(addr string) []string {
		return []string{"curl", "-sS", "--noproxy", "*", "--connect-timeout", "1", "https://" + addr}
	})).wantFailed(t, event.Client, "server_silent", "having waited", "which sent nothing")
}

// Alerts that no client or server at hand sends are put into a real handshake of
// TLS 1.2: those of the client behind the server's flight, those of the server
// behind the ClientHello.
func TestRareAlerts(t *testing.T) {
	rec := converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))
	for _, c := range []struct {
		from  event.Side
		alert byte
		code  event.CauseCode
		parts string
	}{
		{event.Server, 71, "too_weak", "too weak, which offers TLS 1.2, TLS 1.1, TLS 1.0; 10 cipher suites; group x25519; 10 signature schemes: alert insufficient_security"},
		{event.Server, 115, "unknown_psk", "alert unknown_psk_identity after client_hello"},
		{event.Client, 49, "access_denied", "alert access_denied after certificate"},
		{event.Client, 113, "bad_ocsp_response", "alert bad_certificate_status_response after certificate"},
		{event.Client, 70, "no_common_version", "that the server offers (it chose TLS 1.2): alert protocol_version after server_hello_done"},
		{event.Client, 121, "ech_required", "alert ech_required"},
		{event.Client, 117, "other_alert", "client ended the handshake: alert general_error"},
	} {
		before := 0 // writes of that side
		if c.from == event.Client {
			before = 1
		}
		cut := rec.upTo(before, c.from, op{from: c.from, bytes: []byte{recordAlert, 3, 3, 0, 2, 2, c.alert}})
		decode(cut).wantFailed(t, c.from, c.code, c.parts)
	}
}

// The client has sent its Finished, and the server does not answer it.
func TestClientGivesUp(t *testing.T) {
	rec := converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))
	cut := rec.upTo(1, event.Server, op{from: event.Client, end: "rst"})
	decode(cut, expecting).wantFailed(t, event.Client, "client_gave_up", "client reset the connection after finished", "having waited ")
}

// A ClientHello with a post-quantum key does not fit into one segment, which some
// middleboxes do not expect.
func TestSplitClientHelloIsReset(t *testing.T) {
	hello := converse(configs(func(c, s *tls.Config) { c.CurvePreferences = nil })).ops[0].bytes
	rec := &recording{ops: []op{
		{from: event.Client, bytes: hello[:1400]}, {from: event.Client, bytes: hello[1400:]}, {from: event.Server, end: "rst"},
	}}
	tr := decode(rec)
	tr.wantFailed(t, event.Server, "reset_after_client_hello", "server reset the connection after client_hello", "more than one segment holds")
	if f := first[*event.Failed](tr); f.Hint != hintSplit {
		t.Errorf("the hint is %q", f.Hint)
	}
}

func TestFlaws(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	good := event.X509{
		Subject: "CN=leaf", Issuer: "CN=ca", Names: []string{"shop.test", "*.shop.test", "192.0.2.1"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), PublicKey: "RSA 2048", Signature: "SHA256-RSA",
	}
	ca := event.X509{Subject: "CN=ca", Issuer: "CN=root", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), PublicKey: "RSA 4096", Signature: "SHA256-RSA"}
	with := func(x event.X509, edit func(*event.X509)) event.X509 {
		edit(&x)
		return x
	}
	for _, c := range []struct {
		name  string
		chain []event.X509
		asked string
		want  string
	}{
		{"nothing", []event.X509{good, ca}, "shop.test", ""},
		{"case and dot", []event.X509{good}, "SHOP.test.", ""},
		{"wildcard", []event.X509{good}, "www.shop.test", ""},
		{"wildcard of two labels", []event.X509{good}, "a.b.shop.test", "is for shop.test, *.shop.test, 192.0.2.1, and the client asked for a.b.shop.test"},
		{"address", []event.X509{good}, "192.0.2.1", ""},
		{"name not known", []event.X509{good}, "", ""},
		{"common name only", []event.X509{with(good, func(x *event.X509) { x.Names = nil })}, "leaf", "is for no name (its subject is not looked at), and the client asked for leaf"},
		{"too many names to know", []event.X509{with(good, func(x *event.X509) { x.Names = make([]string, maxNames+1) })}, "else.test", ""},
		{"expired issuer", []event.X509{good, with(ca, func(x *event.X509) { x.NotAfter = now.Add(-time.Hour) })}, "",
			"comes with one of CN=ca, which expired on 2026-11-25 11:00 UTC"},
		{"SHA-1", []event.X509{with(good, func(x *event.X509) { x.Signature = "SHA1-RSA" })}, "", "is signed with SHA1-RSA"},
		{"SHA-1 of a root", []event.X509{good, ca, {Subject: "CN=root", Issuer: "CN=root", SelfSigned: true, NotAfter: now.Add(time.Hour), Signature: "SHA1-RSA"}}, "", ""},
		{"malformed", []event.X509{{Malformed: "x"}}, "shop.test", ""},
		{"two", []event.X509{with(good, func(x *event.X509) { x.SelfSigned, x.NotAfter = true, now.Add(-time.Hour) })}, "",
			"expired on 2026-11-25 11:00 UTC, and is self-signed"},
	} {
		if got := sentence(flaws(c.chain, c.asked, now)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRecognize(t *testing.T) {
	for first, want := range map[string]Protocol{
		"GET / HTTP/1.1": ProtocolHTTP, "DELET": ProtocolHTTP, "HTTP/": ProtocolHTTP, "PRI *": ProtocolHTTP,
		"SSH-2": "SSH", "220 m": "SMTP or FTP", "* OK ": "IMAP", "PROXY": ProtocolPROXY, "\r\n\r\n\x00": ProtocolPROXY,
		"\x16\x03\x01\x02\x00": ProtocolTLS, "\x15\x03\x03\x00\x02\x02\x28": ProtocolTLS, "\x80\x2e\x01\x00\x02": ProtocolSSL2,
		"\x4a\x00\x00\x00\x0a8.0": "MySQL", "\x00\x00\x00\x08\x04": "PostgreSQL", "\x03\x00\x00\x13\x0e": "RDP",
		"": "", "G": "", "hello": "", "GETTY": "",
	} {
		if got := Recognize([]byte(first)); got != want {
			t.Errorf("%q looks like %q, want %q", first, got, want)
		}
	}
}

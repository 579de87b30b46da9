package tlswire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

// The client of crypto/tls has one alert for all that is wrong with a
// certificate. Where it is ours, its own error says what it was.
func TestOurClientRefuses(t *testing.T) {
	root, other := newTestCA(t, "root"), newTestCA(t, "other")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(edit func(*x509.Certificate)) tls.Certificate {
		return root.issue(key, func(c *x509.Certificate) {
			c.DNSNames = []string{"shop.test"}
			if edit != nil {
				edit(c)
			}
		})
	}
	for _, c := range []struct {
		name string
		edit func(client, server *tls.Config)
		code event.CauseCode
		side event.Side
		says string
	}{
		{"unknown issuer", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{other.issue(key, nil)}
		}, "untrusted_authority", event.Client, "synscope refused the server's certificate: it does not trust the issuer, CN=other, or misses"},
		{"self-signed", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{{Certificate: [][]byte{other.cert.Raw}, PrivateKey: other.key}}
			client.ServerName = "" // no name fits it
			client.InsecureSkipVerify = true
			client.VerifyConnection = func(s tls.ConnectionState) error {
				_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: client.RootCAs})
				return err
			}
		}, "self_signed", event.Client, "synscope refused the server's certificate, which is self-signed"},
		{"expired", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}
		}, "expired", event.Client, "synscope refused the server's certificate, which expired on 20"},
		{"not yet valid", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) })}
		}, "not_yet_valid", event.Client, "synscope refused the server's certificate, which is not valid before 20"},
		{"another name", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{issue(func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })}
		}, "wrong_name", event.Client, "synscope refused the server's certificate, which is for other.test, and the client asked for shop.test"},
		{"an address that it does not have", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{issue(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} })}
			client.ServerName = "192.0.2.9" // which is not sent
		}, "wrong_name", event.Client, "synscope refused the server's certificate: alert bad_certificate after certificate"},
		{"for clients only", func(client, server *tls.Config) {
			server.Certificates = []tls.Certificate{issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })}
		}, "unsupported_certificate", event.Client, "synscope refused the server's certificate (ECDSA P-256, signed with ECDSA-SHA256)"},
		{"an old server", func(client, server *tls.Config) {
			client.MinVersion, server.MaxVersion = tls.VersionTLS12, tls.VersionTLS11
		}, "no_common_version", event.Server, "server does not speak a version that synscope offers (TLS 1.3, TLS 1.2)"},
		{"no protocol in common", func(client, server *tls.Config) { server.NextProtos = []string{"imap"} },
			"no_common_alpn", event.Server, "server shares no application protocol with synscope, which offers h2, http/1.1"},
		{"no certificate of ours", func(client, server *tls.Config) { server.ClientAuth = tls.RequireAnyClientCert },
			"client_certificate_missing", event.Server, "server requires a certificate of synscope, and got none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := configs(c.edit)
			client.RootCAs = x509.NewCertPool()
			client.RootCAs.AddCert(root.cert)
			if c.side == event.Server { // whose certificate is the usual one
				client.RootCAs = identities().roots
			}
			rec := new(recording)
			rec.start = time.Now()
			clientEnd, serverEnd := newPipe(rec)
			client.KeyLogWriter = rec.secrets()
			done := make(chan struct{})
			go func() {
				defer close(done)
				tls.Server(serverEnd, server).Handshake()
				serverEnd.Close()
			}()
			conn := tls.Client(clientEnd, client)
			err := conn.Handshake()
			if err == nil { // in TLS 1.3 the server may still refuse
				_, err = conn.Read(make([]byte, 1))
			}
			clientEnd.Close()
			<-done
			f := decode(rec, expecting).decoder.Diagnose(Endpoint{Client: true, Error: err.Error()})
			if f == nil || f.Code != c.code || f.Side != c.side || !strings.HasPrefix(f.Cause, c.says) || f.Hint == "" {
				t.Fatalf("%+v, want %s: %q", f, c.code, c.says)
			}
		})
	}
}

// Where our client gives up without a word, who was to send next says why.
func TestOurClientGivesUp(t *testing.T) {
	client, server := configs(func(client, _ *tls.Config) { client.MaxVersion = tls.VersionTLS12 })
	whole := converse(client, server).ops
	for _, c := range []struct {
		ops  int // of the conversation, before it gives up
		code event.CauseCode
		says string
	}{
		{1, "server_silent", "synscope gave up the handshake after client_hello, without an alert, having waited 0ms for the server, which sent nothing: i/o timeout"},
		{2, "endpoint_error", "synscope gave up the handshake after server_hello_done, without an alert: i/o timeout"},
	} {
		rec := &recording{}
		for _, o := range whole { // of what was sent, the first
			if o.secret == nil && len(rec.ops) < c.ops {
				rec.ops = append(rec.ops, o)
			}
		}
		d := decode(rec).decoder
		d.End(rec.at(c.ops-1), event.Client, HowAbandoned)
		f := d.Diagnose(Endpoint{Client: true, Error: "i/o timeout"})
		if f == nil || f.Side != event.Client || f.Code != c.code || f.Cause != c.says {
			t.Errorf("after %d: %+v, want %s: %q", c.ops, f, c.code, c.says)
		}
	}
}

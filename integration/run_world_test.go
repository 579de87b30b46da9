package integration

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"synscope/event"
)

// Clients of all kinds fetch from servers of the world as if synscope were not
// there, trust what it shows them, and are told in full.
func TestRunWorldClients(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	server := o.far.start("ACCEPT", "sh", "-c", `exec openssl s_server -accept 8443 -www -cert "$1" -key "$2" >&2`, "sh", o.pki.path("good.pem"), o.pki.path("good.key"))
	t.Cleanup(server.kill)
	javaClass := filepath.Join(buildDir, "java")
	for _, c := range []struct {
		name    string
		command []string
		says    string
	}{
		{"curl", []string{"curl", "-sS", page}, "hello"},
		{"curl, IPv4", []string{"curl", "-4sS", page}, "hello"},
		{"curl, HTTP/1.1, by address", []string{"curl", "-sS", "--http1.1", "https://" + far4 + "/"}, "hello"},
		{"curl, from openssl s_server", []string{"curl", "-sS", "https://" + hostname + ":8443/"}, "Ciphers common between both SSL end points"},
		{"wget", []string{"wget", "-qO-", page}, "hello"},
		{"git", []string{"git", "ls-remote", page + "repo.git"}, "refs/heads/main"},
		{"Python", []string{"/usr/bin/python3", "-c", `import urllib.request; print(urllib.request.urlopen("` + page + `").status)`}, "200"},
		{"node", []string{"node", "-e", `require("https").get("` + page + `", {agent: false, headers: {Connection: "close"}}, (r) => { console.log(r.statusCode); r.resume() })`}, "200"},
		{"java", []string{"java", "-cp", javaClass, "Fetch", page}, "200"},
		{"Go", []string{filepath.Join(buildDir, "goclient"), page}, "200"},
		{"openssl s_client", []string{"openssl", "s_client", "-brief", "-verify_return_error", "-connect", hostname + ":443"}, "Verification: OK"},
		{"gnutls-cli", []string{"gnutls-cli", "--logfile=/dev/null", hostname}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.asEachUser(t, func(t *testing.T, b *bench) {
				out := b.run(c.command...)
				if out.status != 0 || !strings.Contains(out.stdout+out.stderr, c.says) {
					t.Fatalf("status %#x, want 0 and %q:\n%s%s", int(out.status), c.says, out.stdout, out.stderr)
				}
				for _, s := range out.stories {
					if strings.Contains(c.name, "by address") {
						one[*event.Established](t, s)
						continue
					}
					wantComplete(t, s)
				}
				if len(out.stories) == 0 || len(out.legs) != len(out.stories) {
					t.Errorf("%d connections, %d upstream legs", len(out.stories), len(out.legs))
				}
				for _, s := range out.legs {
					wantLegComplete(t, s)
				}
			})
		})
	}
}

// None of many requests on many connections fails, and each connection is told.
func TestRunWorldLoad(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	const conns = 50
	o.asEachUser(t, func(t *testing.T, b *bench) {
		out := b.run("h2load", "-n", "2000", "-c", strconv.Itoa(conns), page)
		if out.status != 0 || !strings.Contains(out.stdout, "2000 succeeded, 0 failed, 0 errored") {
			t.Errorf("status %#x\n%s%s", int(out.status), out.stdout, out.stderr)
		}
		if len(out.stories) != conns || len(out.legs) != conns {
			t.Errorf("%d connections, %d upstream legs are told, want %d", len(out.stories), len(out.legs), conns)
		}
	})
}

// wantLegComplete checks that an upstream leg of TLS 1.3 is told in full.
func wantLegComplete(t *testing.T, s story) {
	t.Helper()
	one[*event.Established](t, s)
	got := s.transitions()
	for _, want := range []string{
		"tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED",
		"tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the transitions of the leg have no %q:\n%s", want, got)
		}
	}
	if d := one[*event.Dialed](t, s); !d.OK {
		t.Errorf("the dial: %s", d.Error)
	}
	end := one[*event.Close](t, s)
	if end.SegmentsSeen == 0 || end.BytesServer == 0 || end.Code != "" {
		t.Errorf("the leg ended as %+v", end)
	}
	if gaps := find[*event.Gap](s); gaps != nil {
		t.Errorf("events of the leg are missing: %+v", gaps[0])
	}
}

// What a destination does to a SYN, the client meets.
func TestRunWorldUnanswered(t *testing.T) {
	o := newOutside(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // what must not be reached
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, c := range []struct {
		name string
		url  string
		exit int // of curl
		how  string
		code event.CauseCode // of the leg
		says string
	}{
		{"refused", "https://" + hostname + ":4/", 7, "refused", event.CauseRefused, ""},
		{"refused, IPv6", "https://[" + far6 + "]:4/", 7, "refused", event.CauseRefused, ""},
		{"silent", "https://silent.example/", 28, "dropped", event.CauseNoAnswer, ""},
		{"no route", "https://192.0.2.8/", 7, "dropped", event.CauseUnreachable, ""},
		{"no such name", "https://nowhere.example/", 6, "", "", ""},
		{"resolver that fails", "https://broken.example/", 6, "", "", ""},
		{"a name that leads to the loopback", "http://loop.example:" + portOf(listener.Addr()) + "/", 7, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.asEachUser(t, func(t *testing.T, b *bench) {
				out := b.run("curl", "-sS", "--connect-timeout", "1", c.url)
				if got := out.status.ExitStatus(); got != c.exit {
					t.Errorf("curl exits with %d, want %d:\n%s", got, c.exit, out.stderr)
				}
				if c.how == "" {
					if len(out.stories)+len(out.legs) > 0 {
						t.Errorf("%d connections, %d legs", len(out.stories), len(out.legs))
					}
					return
				}
				for _, s := range out.stories {
					end := one[*event.Close](t, s)
					if end.How != c.how || end.Code != event.CauseUpstreamFailed {
						t.Errorf("%s ended by %q, %s: %s", s.open(), end.How, end.Code, end.Cause)
					}
				}
				for _, s := range out.legs {
					if end := one[*event.Close](t, s); end.Code != c.code {
						t.Errorf("the leg ended by %q, %s: %s", end.How, end.Code, end.Cause)
					}
				}
				if len(out.stories) == 0 || len(out.legs) != len(out.stories) {
					t.Errorf("%d connections, %d legs", len(out.stories), len(out.legs))
				}
			})
		})
	}
}

func portOf(a net.Addr) string { return strconv.Itoa(a.(*net.TCPAddr).Port) }

// How a destination's TLS fails, the client's fails: by itself, and for the same
// reason.
func TestRunWorldFailures(t *testing.T) {
	o := newOutside(t)
	p := o.pki
	for port, name := range map[int]string{1001: "good", 1002: "expired", 1003: "self", 1004: "elsewhere", 1005: "unknown"} {
		o.serveTLS(port, &tls.Config{Certificates: []tls.Certificate{p.pair(name)}})
	}
	pool := x509.NewCertPool()
	pool.AddCert(p.root.cert)
	o.serveTLS(1006, &tls.Config{Certificates: []tls.Certificate{p.pair("good")}, MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10})
	o.serveTLS(1007, &tls.Config{Certificates: []tls.Certificate{p.pair("good")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	o.serveTLS(1008, &tls.Config{Certificates: []tls.Certificate{p.pair("good")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: tls.VersionTLS12})
	o.serve(1009, func(conn net.Conn) {
		conn.Read(make([]byte, 100))
		conn.(*net.TCPConn).SetLinger(0)
	})
	o.serve(1010, func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 100))
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
	})
	o.serve(1011, func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		io.WriteString(conn, "SSH-2.0-something\r\n")
	})
	o.serveTLS(1012, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("nobody") }})
	o.serve(1013, func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		conn.Write([]byte{21, 3, 3, 0, 2, 2, 112}) // unrecognized_name
		io.Copy(io.Discard, conn)
	})
	const leg = "upstream leg #2"
	for _, c := range []struct {
		name string
		port string
		args []string // of curl, besides
		exit int
		says string          // of curl
		code event.CauseCode // of the client's connection, whose cause names the leg
		leg  event.CauseCode
	}{
		{"good", "1001", nil, 0, "hello", "", ""},
		{"expired", "1002", nil, 60, "certificate has expired", event.CauseExpired, ""},
		{"expired, accepted", "1002", []string{"-k"}, 0, "hello", "", ""},
		{"self-signed", "1003", nil, 60, "self-signed certificate", event.CauseSelfSigned, ""},
		{"self-signed, accepted", "1003", []string{"-k"}, 0, "hello", "", ""},
		{"wrong name", "1004", nil, 60, "no alternative certificate subject name matches", event.CauseLeftAfterHandshake, ""},
		{"unknown issuer", "1005", nil, 60, "unable to get local issuer certificate", event.CauseUntrustedAuthority, ""},
		{"TLS 1.0 only", "1006", []string{"--tlsv1.2"}, 35, "protocol version", event.CauseUpstreamFailed, event.CauseNoCommonVersion},
		{"client certificate required, TLS 1.3", "1007", nil, 56, "certificate required", event.CauseUpstreamFailed, event.CauseNoClientCertificate},
		{"client certificate required, TLS 1.2", "1008", nil, 35, "handshake failure", event.CauseUpstreamFailed, event.CauseNoClientCertificate},
		{"reset in the handshake", "1009", nil, 35, "Connection reset by peer", event.CauseUpstreamFailed, event.CauseResetAfterHello},
		{"closed in the handshake", "1010", nil, 35, "unexpected eof|SSL_ERROR_SYSCALL", event.CauseUpstreamFailed, event.CauseServerClosed},
		{"no TLS", "1011", nil, 35, "wrong version number", event.CauseUpstreamFailed, event.CauseTLSToPlainPort},
		{"internal error", "1012", nil, 35, "internal error", event.CauseUpstreamFailed, event.CauseInternalError},
		{"unrecognized name", "1013", nil, 35, "unrecognized name", event.CauseUpstreamFailed, event.CauseUnrecognizedName},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.asEachUser(t, func(t *testing.T, b *bench) {
				url := "https://" + hostname + ":" + c.port + "/"
				args := append([]string{"curl", "-4sS", "-m", "20", url}, c.args...)
				// As it is without synscope, it is to be with it.
				plain := o.near.run(nil, args[0], append(args[1:], "--cacert", p.path("root.pem"))...)
				if plain.code != c.exit || !matches(c.says, plain.out) {
					t.Errorf("without synscope: exit %d, want %d and %q:\n%s", plain.code, c.exit, c.says, plain.out)
				}
				out := b.run(args...)
				if got := out.status.ExitStatus(); got != c.exit || !matches(c.says, out.stdout+out.stderr) {
					t.Errorf("curl exits with %d, want %d and %q:\n%s%s", got, c.exit, c.says, out.stdout, out.stderr)
				}
				if code, cause := out.story(t).cause(); code != c.code || code != "" && !strings.Contains(cause, leg) {
					t.Errorf("the cause is %s: %s, want %s with %q", code, cause, c.code, leg)
				}
				if len(out.legs) != 1 {
					t.Fatalf("%d upstream legs, want 1", len(out.legs))
				}
				if code, cause := out.legs[0].cause(); code != c.leg {
					t.Errorf("the cause of the leg is %s: %s, want %s", code, cause, c.leg)
				}
			})
		})
	}
}

// cause is why a connection went wrong.
func (s story) cause() (event.CauseCode, string) {
	for _, f := range find[*event.Failed](s) {
		return f.Code, f.Cause
	}
	for _, c := range find[*event.Close](s) {
		return c.Code, c.Cause
	}
	return "", ""
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// extensions are meetings by what the hellos ask for, and by the form of the
// messages.
var extensions = []meeting{
	{
		name: "TLS 1.2, OCSP stapling, nginx and curl",
		run: func(s *site) {
			s.nginx("ecdsa", "ssl_protocols TLSv1.2; ssl_stapling on; ssl_stapling_file "+s.pki.path("ecdsa.ocsp")+";")
			s.do("", s.curlClient("--cert-status")...)
		},
		shows:  []string{`"certificate_status"`, `"alpn":"h2"`},
		derive: []string{"swap 37", "vlan"},
	},
	{
		name: "TLS 1.3, OCSP stapling, nginx and OpenSSL",
		run: func(s *site) {
			s.nginx("ecdsa", "ssl_protocols TLSv1.3; ssl_stapling on; ssl_stapling_file "+s.pki.path("ecdsa.ocsp")+";")
			s.openssl("-status", "-alpn", "http/1.1")
		},
		shows: []string{`"ocsp":`, `"alpn":"http/1.1"`},
	},
	{
		name: "TLS 1.2, next protocol negotiation",
		run: func(s *site) {
			s.opensslServer("rsa", "-rev", "-tls1_2", "-nextprotoneg", "spdy/3")
			s.do("", s.opensslClient("-nextprotoneg", "spdy/3")...)
		},
		shows: []string{`"type":"67"`},
	},
	{
		name: "TLS 1.2, long chain in small records",
		run: func(s *site) {
			s.opensslServer("chained", "-www", "-tls1_2", "-max_send_frag", "512")
			s.openssl()
		},
		shows:  []string{`CN=link 1`},
		derive: []string{"swap 10", "lose 9", "fragment 600"},
	},
	{
		name: "TLS 1.3, long chain",
		run: func(s *site) {
			s.opensslServer("chained", "-www")
			s.openssl()
		},
		shows:  []string{`CN=link 1`},
		derive: []string{"fragment 600", "cut 9", "snap 1500", "join 6"},
	},
	{
		name: "TLS 1.2, max_fragment_length",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2")
			s.openssl("-maxfraglen", "512")
		},
		shows: []string{`"max_fragment_length"`},
	},
	{
		name: "TLS 1.3, record_size_limit, GnuTLS",
		run: func(s *site) {
			s.gnutlsServer("chained", "--disable-client-cert", "--recordsize", "600")
			s.gnutls()
		},
		shows: []string{`"record_size_limit":`},
	},

	// Alerts.
}

// failures are meetings that fail, or are hard to follow.
var failures = []meeting{
	{
		name: "alert unknown_ca",
		run: func(s *site) {
			s.nginx("ecdsa", "")
			s.try("", "curl", "-sS", "https://"+s.address()+"/")
		},
		shows:  []string{`"unknown_ca"`},
		derive: []string{"swap 41"},
	},
	{
		name: "alert handshake_failure",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-cipher", "AES128-SHA")
			s.try("", s.opensslClient("-tls1_2", "-cipher", "AES256-SHA")...)
		},
		shows: []string{`"handshake_failure"`},
	},
	{
		name: "alert protocol_version",
		run: func(s *site) {
			s.nginx("rsa", "ssl_protocols TLSv1.3;")
			s.try("", s.opensslClient("-tls1_2")...)
		},
		shows: []string{`"protocol_version"`},
	},
	{
		name: "no answer: connection refused",
		run: func(s *site) {
			s.try("", s.curlClient()...)
		},
		shows: []string{`"how":"refused"`},
	},
	{
		name: "plain HTTP to nginx's TLS port",
		run: func(s *site) {
			s.nginx("rsa", "")
			s.try("", "curl", "-sS", "http://"+s.address()+"/")
		},
		shows: []string{`"not tls"`},
	},

	// Without the keys: what is in clear.
	{
		name: "TLS 1.2 without keys, Java",
		form: form{secrets: none},
		run: func(s *site) {
			s.nginx("rsa", "ssl_protocols TLSv1.2;")
			s.do("", "keytool", "-printcert", "-sslserver", s.address())
		},
		shows:  []string{`"no key"`, `"certificate"`},
		derive: []string{"cut 10", "swap 11"},
	},
	{
		name: "TLS 1.3 without keys, node",
		form: form{secrets: none},
		run: func(s *site) {
			s.nginx("rsa", "ssl_protocols TLSv1.3;")
			s.do("", "node", "-e", `require("tls").connect({host: process.argv[1], port: process.argv[2], rejectUnauthorized: false},
				function() { this.end("GET / HTTP/1.0\r\n\r\n"); }).resume()`, "--", s.server.String(), sitePort)
		},
		shows: []string{`"no key"`, `"server_hello"`},
	},

	// Ways to travel.
	{
		name: "TLS 1.3 over Ethernet, node",
		form: form{device: "veth0"},
		run: func(s *site) {
			s.nginx("rsa", "ssl_protocols TLSv1.3;")
			s.do("", "node", "--tls-keylog="+s.path("keys"), "-e", `require("tls").connect({host: process.argv[1], port: process.argv[2], rejectUnauthorized: false},
				function() { this.end("GET / HTTP/1.0\r\n\r\n"); }).resume()`, "--", s.server.String(), sitePort)
		},
		shows:  []string{`"version":"TLS 1.3"`},
		derive: []string{"lose 10", "fragment 200", "vlan"},
	},
	{
		name: "TLS 1.3 with loss, Go",
		form: form{device: "veth0"},
		run: func(s *site) {
			const rule = `
				add table inet loss
				add chain inet loss input { type filter hook input priority 0; }
				add rule inet loss input tcp dport 1-65535 numgen inc mod 4 == 2 drop
			`
			s.nft(rule)
			s.client.nft(rule)
			s.goServer(s.goConfig("chained"))
			s.goTalk(s.goConfig("client"), nil)
			s.nft("delete table inet loss")
			s.client.nft("delete table inet loss")
		},
		shows:  []string{`"retransmit":true`},
		derive: []string{"cut 40", "swap 40"},
	},
	{
		name: "ClientHello in single bytes, Python",
		run: func(s *site) {
			s.listen("4434", func(conn net.Conn) { s.relay(conn, 1) })
			s.nginx("rsa", "ssl_protocols TLSv1.3;")
			s.do("", "python3", "-c", `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.keylog_filename = sys.argv[3]
conn = context.wrap_socket(socket.create_connection((sys.argv[1], 4434)), server_hostname=sys.argv[4])
conn.sendall(b"GET / HTTP/1.0\r\n\r\n")
while conn.recv(4096): pass
conn.unwrap()
`, s.server.String(), s.pki.path("ca.pem"), s.path("keys"), hostname)
		},
		shows:  []string{`"version":"TLS 1.3"`},
		derive: []string{"swap 12", "swap 503", "swap 506"},
	},
	{
		name: "STARTTLS in SMTP",
		run: func(s *site) {
			config := s.goConfig("ecdsa")
			s.listen("4433", func(conn net.Conn) { smtp(conn, config) })
			s.do("", s.opensslClient("-starttls", "smtp")...)
		},
		decode: []string{port(4433, "smtp")},
		shows:  []string{`"version":"TLS 1.3"`},
		derive: []string{"swap 38", "cut 38", "join 9"},
	},
	{
		name: "TLS in an HTTP CONNECT",
		run: func(s *site) {
			s.listen("3128", s.proxy)
			s.nginx("rsa", "ssl_protocols TLSv1.3;")
			s.do("", s.curlClient("-p", "-x", "http://"+net.JoinHostPort(s.server.String(), "3128"))...)
		},
		decode: []string{port(4433, "tls"), port(3128, "http")},
		shows:  []string{`"version":"TLS 1.3"`},
		derive: []string{"swap 39", "cut 39", "lose 39"},
	},
	{
		name: "ClientHello in small records, Go",
		run: func(s *site) {
			s.goServer(s.goConfig("ecdsa"))
			s.goTalk(s.goConfig("client"), func(conn net.Conn) net.Conn { return &recordSplitter{Conn: conn, size: 100} })
		},
		shows:  []string{`"records":1`, `"type":"client_hello"`},
		derive: []string{"swap 14", "lose 12"},
	},
	{
		name: "reset in the middle of the handshake, Go",
		run: func(s *site) {
			s.goServer(s.goConfig("chained"))
			s.resetAfterHello()
		},
		shows: []string{`"how":"rst"`, `"server_hello"`},
	},
	{
		name: "the same ports again, Go",
		run: func(s *site) {
			s.goServer(s.goConfig("ecdsa"))
			s.from = 5555
			for range 3 {
				s.goTalk(s.goConfig("client"), nil)
			}
		},
		shows: []string{`"conn":3`},
		// Not swapped: a SYN-ACK that comes before its SYN, on ports that were in
		// use, tshark takes for one of the connection to come.
		derive: []string{"cut 13"},
	},
	{
		name: "several clients at once",
		run: func(s *site) {
			s.nginx("ecdsa", "")
			url := "https://" + hostname + ":" + sitePort + "/"
			s.do("", s.curlClient("--no-keepalive", "--parallel", "--parallel-immediate", "--http1.1", url, url, url, url, url)...)
		},
		shows:  []string{`"conn":2`},
		derive: []string{"drop 11", "swap 13", "cut 11"},
	},
}

// earlyData has s_client resume a session and send early data, to the same server
// or to another (nil) that does not know the session.
func (s *site) earlyData(first, second *process) {
	s.t.Helper()
	p := s.talk(s.opensslClient("-sess_out", s.path("session"))...)
	p.say(s.t, "hello", first, "hello")
	first.say(s.t, "welcome", p, "welcome") // it has the ticket then
	p.leave(s.t)
	if second == nil {
		first.kill()
		second = s.opensslServer("ecdsa")
	}
	if err := os.WriteFile(s.path("early"), []byte("early\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p = s.talk(s.opensslClient("-sess_in", s.path("session"), "-early_data", s.path("early"))...)
	p.say(s.t, "again", second, "again")
	p.leave(s.t)
}

// A recordSplitter cuts the first record written into smaller ones.
type recordSplitter struct {
	net.Conn
	size int
}

func (r *recordSplitter) Write(b []byte) (int, error) {
	const header = 5
	size := r.size
	if r.size = 0; size == 0 {
		return r.Conn.Write(b)
	}
	var split []byte
	for content := b[header:]; len(content) > 0; {
		part := content[:min(size, len(content))]
		content = content[len(part):]
		split = append(append(split, b[0], b[1], b[2], 0, byte(len(part))), part...)
	}
	_, err := r.Conn.Write(split)
	return len(b), err
}

// resetAfterHello has a client reset the connection once the server has answered
// its ClientHello.
func (s *site) resetAfterHello() {
	s.t.Helper()
	raw, err := s.client.tryDial(netip.MustParseAddrPort(s.address()), clientTimeout)
	if err != nil {
		s.t.Fatal(err)
	}
	defer raw.Close()
	if err := tls.Client(resetter{raw.(*net.TCPConn)}, s.goConfig("client")).Handshake(); err == nil {
		s.t.Error("the handshake completed")
	}
}

// A resetter resets the connection at the first read.
type resetter struct{ *net.TCPConn }

func (r resetter) Read(b []byte) (int, error) {
	if _, err := r.TCPConn.Read(b[:1]); err != nil {
		return 0, err
	}
	r.SetLinger(0)
	r.Close()
	return 0, net.ErrClosed
}

// smtp is a server of RFC 5321 that knows nothing but STARTTLS (RFC 3207).
func smtp(conn net.Conn, config *tls.Config) {
	lines := bufio.NewReader(conn)
	fmt.Fprintf(conn, "220 %s ESMTP\r\n", hostname)
	for {
		line, err := lines.ReadString('\n')
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case err != nil:
			return
		case strings.EqualFold(verb, "EHLO"):
			fmt.Fprintf(conn, "250-%s\r\n250 STARTTLS\r\n", hostname)
		case strings.EqualFold(verb, "STARTTLS"):
			fmt.Fprint(conn, "220 go ahead\r\n")
			answer(tls.Server(conn, config))
			return
		default:
			fmt.Fprint(conn, "502 not known\r\n")
		}
	}
}

// proxy is an HTTP proxy that knows nothing but CONNECT, and knows one server.
func (s *site) proxy(conn net.Conn) {
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	fmt.Fprint(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	s.relay(conn, 0)
}

// relay copies between a client and the server, from the client in pieces of
// some bytes: 0 is as they come.
func (s *site) relay(client net.Conn, piece int) {
	server, err := s.tryDial(netip.MustParseAddrPort(s.address()), clientTimeout)
	if err != nil {
		return
	}
	defer server.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(client, server)
		client.(*net.TCPConn).CloseWrite()
	}()
	if piece > 0 {
		b := make([]byte, piece)
		for range 2000 {
			n, err := client.Read(b)
			if err != nil {
				break
			}
			server.Write(b[:n])
		}
	}
	io.Copy(server, client)
	server.(*net.TCPConn).CloseWrite()
	<-back
}

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

// A meeting is a server and a client of other makers, and what they do.
type meeting struct {
	name string
	form form
	run  func(s *site)
	// shows lists what the events must have, as JSON, so that the case is what
	// it is called.
	shows  []string
	decode []string // what tshark has to take ports for, if not all for TLS
	// derive names how further captures are made of this one.
	derive []string
	differ differences
}

// differences are those known of a meeting's capture (""), and of those derived
// from it.
type differences map[string]difference

// weak lets OpenSSL use what it refuses by default.
const weak = ":@SECLEVEL=0"

var meetings = []meeting{
	// TLS 1.0 to 1.2, by key exchange and cipher.
	{
		name: "TLS 1.0, RSA, AES-CBC",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1", "-cipher", "AES128-SHA"+weak)
			s.openssl("-tls1", "-cipher", "AES128-SHA"+weak)
		},
		shows:  []string{`"version":"TLS 1.0"`, `TLS_RSA_WITH_AES_128_CBC_SHA"`, `"exchange":"RSA"`},
		derive: []string{"drop 1", "swap 1", "cut 1", "answer"},
		differ: differences{"answer": {
			synscope: []string{"handshake 20", "alert 0"},
			reason: "here the server's Finished stands before the client's in the file, and tshark 4.0 does not decrypt the client's then; " +
				"the keys of each direction do not depend on the other's messages",
		}},
	},
	{
		name: "TLS 1.0, ECDHE-ECDSA, pcap of tcpdump",
		form: form{tool: "tcpdump", secrets: beside},
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www", "-tls1", "-cipher", "ECDHE-ECDSA-AES256-SHA"+weak)
			s.openssl("-tls1", "-cipher", "ALL"+weak)
		},
		shows:  []string{`"version":"TLS 1.0"`, `TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"`},
		derive: []string{"raw", "lose 21"},
	},
	{
		name: "TLS 1.1, DHE-RSA, pcap of nanoseconds",
		form: form{tool: "tcpdump", flags: []string{"--time-stamp-precision=nano"}, secrets: beside},
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_1", "-cipher", "DHE-RSA-AES256-SHA"+weak)
			s.openssl("-tls1_1", "-cipher", "ALL"+weak)
		},
		shows:  []string{`"version":"TLS 1.1"`, `TLS_DHE_RSA_WITH_AES_256_CBC_SHA"`, `"dh_bits":`},
		derive: []string{"drop 2", "cut 2"},
	},
	{
		name: "TLS 1.2, RSA, AES-CBC with SHA-256, encrypt-then-MAC",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-cipher", "AES128-SHA256")
			s.openssl()
		},
		shows:  []string{`TLS_RSA_WITH_AES_128_CBC_SHA256"`, `"encrypt_then_mac"`},
		derive: []string{"snap 200", "join 4"},
	},
	{
		name: "TLS 1.2, ECDHE-RSA, AES-CBC with SHA-384, MAC-then-encrypt",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-no_etm", "-cipher", "ECDHE-RSA-AES256-SHA384")
			s.openssl("-no_etm")
		},
		shows:  []string{`TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"`},
		derive: []string{"null", "swap 22"},
	},
	{
		name: "TLS 1.2, DHE-RSA, AES-GCM, cooked capture",
		form: form{device: "any", flags: []string{"-y", "LINUX_SLL"}},
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384")
			s.openssl()
		},
		shows: []string{`TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"`},
	},
	{
		name: "TLS 1.2, ECDHE-ECDSA, ChaCha20, cooked capture v2",
		form: form{device: "any", flags: []string{"-y", "LINUX_SLL2"}, pcap: true, secrets: beside},
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305")
			s.openssl()
		},
		shows:  []string{`TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"`},
		derive: []string{"swap 2", "cut 3"},
	},
	{
		name: "TLS 1.2, AES-CCM",
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM")
			s.openssl("-cipher", "ALL")
		},
		shows:  []string{`TLS_ECDHE_ECDSA_WITH_AES_128_CCM"`},
		derive: []string{"drop 23", "swap 23"},
	},
	{
		name: "TLS 1.2, AES-CCM with short tags",
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-CCM8"+weak)
			s.openssl("-cipher", "ALL"+weak)
		},
		shows: []string{`TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"`},
	},
	{
		name: "TLS 1.2, Camellia",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-cipher", "CAMELLIA128-SHA256")
			s.openssl("-cipher", "ALL")
		},
		shows: []string{`TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256"`, `"no cipher"`},
		differ: differences{"": {
			tshark: []string{"handshake 20", "handshake 20", "alert 0", "alert 0"},
			reason: "Camellia is not implemented in tlswire, and hardly used; what is in clear is told",
		}},
	},
	{
		name: "TLS 1.2, ARIA",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-cipher", "ECDHE-ARIA128-GCM-SHA256")
			s.openssl("-cipher", "ALL")
		},
		shows:  []string{`TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256"`},
		derive: []string{"cut 24"},
	},
	{
		name: "TLS 1.2, without encryption",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-cipher", "NULL-SHA256"+weak)
			s.openssl("-cipher", "NULL-SHA256"+weak)
		},
		shows:  []string{`TLS_RSA_WITH_NULL_SHA256"`},
		derive: []string{"cut 25", "swap 25"},
	},
	{
		name: "TLS 1.2, anonymous",
		run: func(s *site) {
			s.opensslServer("", "-www", "-tls1_2", "-cipher", "ADH-AES128-SHA"+weak)
			s.openssl("-cipher", "ADH-AES128-SHA"+weak)
		},
		shows:  []string{`TLS_DH_anon_WITH_AES_128_CBC_SHA"`},
		derive: []string{"lose 26"},
	},
	{
		name: "TLS 1.2, pre-shared key",
		run: func(s *site) {
			s.opensslServer("", "-www", "-tls1_2", "-psk", "00112233", "-cipher", "DHE-PSK-AES128-GCM-SHA256")
			s.openssl("-psk", "00112233", "-cipher", "ALL")
		},
		shows:  []string{`TLS_DHE_PSK_WITH_AES_128_GCM_SHA256"`},
		derive: []string{"raw", "cut 27"},
	},
	{
		name: "TLS 1.2, Ed25519, GnuTLS and OpenSSL",
		run: func(s *site) {
			s.gnutlsServer("ed25519", "--disable-client-cert", "--priority", "NORMAL:-VERS-TLS1.3")
			s.openssl("-tls1_2")
		},
		shows:  []string{`"signature_scheme":"ed25519"`, `"version":"TLS 1.2"`},
		derive: []string{"vlan", "swap 28"},
	},

	// Resumption.
	{
		name: "TLS 1.2, session ID resumed",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-no_ticket")
			s.openssl("-sess_out", s.path("session"))
			s.openssl("-sess_in", s.path("session"))
		},
		shows:  []string{`"resumed":true`},
		derive: []string{"swap 3", "lose 3"},
	},
	{
		name: "TLS 1.2, ticket resumed",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2")
			s.openssl("-sess_out", s.path("session"))
			s.openssl("-sess_in", s.path("session"))
		},
		shows:  []string{`"resumed":true`, `"new_session_ticket"`},
		derive: []string{"cut 29", "lose 29"},
	},
	{
		name: "TLS 1.2, resumed, GnuTLS",
		run: func(s *site) {
			s.gnutlsServer("ecdsa", "--disable-client-cert", "--priority", "NORMAL:-VERS-TLS1.3")
			s.gnutls("--resume")
		},
		shows: []string{`"no key"`},
		differ: differences{"": {
			tshark: []string{"handshake 20", "handshake 20", "alert 0", "alert 0"},
			reason: "GnuTLS logs no secret of a resumed TLS 1.2 session; tshark takes it from the session of an earlier connection, " +
				"and we read each connection by itself",
		}},
	},
	{
		name: "TLS 1.3, resumed",
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www")
			s.openssl("-sess_out", s.path("session"))
			s.openssl("-sess_in", s.path("session"))
		},
		shows:  []string{`"resumed":true`, `"version":"TLS 1.3"`},
		derive: []string{"drop 4", "swap 4", "cut 4"},
	},
	{
		name: "TLS 1.3, resumed, GnuTLS",
		run: func(s *site) {
			s.gnutlsServer("ecdsa", "--disable-client-cert")
			s.gnutls("--resume")
		},
		shows:  []string{`"resumed":true`, `"version":"TLS 1.3"`},
		derive: []string{"swap 30", "join 9"},
	},
	{
		name: "TLS 1.3, pre-shared key",
		run: func(s *site) {
			s.opensslServer("", "-www", "-psk", "00112233")
			s.openssl("-psk", "00112233")
		},
		shows:  []string{`"psk":0`, `"version":"TLS 1.3"`},
		derive: []string{"lose 31", "null"},
	},
	{
		name: "TLS 1.3, early data",
		run: func(s *site) {
			server := s.opensslServer("ecdsa", "-early_data")
			s.earlyData(server, server)
		},
		shows:  []string{`"early_data":true`, `"end_of_early_data"`},
		derive: []string{"lose 5", "cut 5"},
	},
	{
		name: "TLS 1.3, early data refused",
		run: func(s *site) {
			server := s.opensslServer("ecdsa", "-early_data")
			s.earlyData(server, nil)
		},
		shows:  []string{`"early_data":true`, `"epoch":"early"`},
		derive: []string{"swap 32", "cut 32"},
	},

	// TLS 1.3.
	{
		name: "TLS 1.3, AES-CCM",
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www", "-ciphersuites", "TLS_AES_128_CCM_SHA256")
			s.openssl("-ciphersuites", "TLS_AES_128_CCM_SHA256")
		},
		shows:  []string{`"cipher_suite":"TLS_AES_128_CCM_SHA256"`},
		derive: []string{"lose 33", "cut 33"},
	},
	{
		name: "TLS 1.3, ChaCha20, Ed25519, gzipped",
		form: form{gzip: true},
		run: func(s *site) {
			s.opensslServer("ed25519", "-www", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256")
			s.do("", s.curlClient()...)
		},
		shows: []string{`"cipher_suite":"TLS_CHACHA20_POLY1305_SHA256"`, `"signature_scheme":"ed25519"`},
	},
	{
		name: "TLS 1.3, HelloRetryRequest",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-groups", "P-384")
			s.openssl("-groups", "X25519:P-384")
		},
		shows:  []string{`"hello_retry_request"`, `"hello_retry":true`},
		derive: []string{"swap 5", "lose 6"},
	},
	{
		name: "TLS 1.3, key updates",
		run: func(s *site) {
			s.opensslServer("ecdsa", "-rev")
			p := s.talk(s.opensslClient()...)
			p.say(s.t, "hello", p, "olleh")
			p.say(s.t, "K", p, "KEYUPDATE")
			p.say(s.t, "again", p, "niaga")
			p.say(s.t, "k", p, "KEYUPDATE")
			p.say(s.t, "third", p, "driht")
			p.leave(s.t)
		},
		shows:  []string{`"update_requested":true`, `"update_requested":false`},
		derive: []string{"lose 7", "swap 6", "cut 6"},
	},
	{
		name: "TLS 1.3, padded records",
		run: func(s *site) {
			s.opensslServer("ecdsa", "-www", "-record_padding", "512")
			s.openssl("-record_padding", "512")
		},
		shows: []string{`"version":"TLS 1.3"`},
	},
	{
		name: "TLS 1.3, X25519MLKEM768, Go",
		run: func(s *site) {
			s.goServer(s.goConfig("ecdsa"))
			s.goTalk(s.goConfig("client"), nil)
		},
		shows:  []string{`"group":"X25519MLKEM768"`},
		derive: []string{"swap 7"},
	},

	// Client certificates.
	{
		name: "TLS 1.2, client certificate",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-tls1_2", "-Verify", "3")
			s.openssl("-cert", s.pki.path("client.pem"), "-key", s.pki.path("client.key"))
		},
		shows:  []string{`"client_auth":"given"`, `"version":"TLS 1.2"`},
		derive: []string{"swap 34", "fragment 400"},
	},
	{
		name: "TLS 1.3, client certificate, IPv6",
		form: form{ip6: true},
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-Verify", "3")
			s.openssl("-cert", s.pki.path("client.pem"), "-key", s.pki.path("client.key"))
		},
		shows:  []string{`"client_auth":"given"`, `"version":"TLS 1.3"`, `[::1]`},
		derive: []string{"swap 8", "cut 7"},
	},
	{
		name: "TLS 1.3, client certificate asked for and not given",
		run: func(s *site) {
			s.opensslServer("rsa", "-www", "-verify", "3")
			s.openssl()
		},
		shows:  []string{`"client_auth":"requested"`},
		derive: []string{"join 12", "snap 600"},
	},
	{
		name: "TLS 1.3, client certificate required and not given",
		run: func(s *site) {
			config := s.goConfig("ecdsa")
			config.ClientAuth = tls.RequireAndVerifyClientCert
			s.goServer(config)
			s.try("", s.curlClient()...)
		},
		shows: []string{`"certificate_required"`},
	},
	{
		name: "TLS 1.3, client certificate after the handshake",
		run: func(s *site) {
			server := s.opensslServer("ecdsa", "-verify", "3")
			p := s.talk(s.opensslClient("-enable_pha", "-cert", s.pki.path("client.pem"), "-key", s.pki.path("client.key"))...)
			p.say(s.t, "hello", server, "hello")
			server.say(s.t, "c", server, "SSL_do_handshake")
			p.say(s.t, "again", server, "again")
			p.leave(s.t)
		},
		shows: []string{`"post_handshake_auth"`, `"certificate_request"`},
		differ: differences{"": {
			synscope: []string{"alert 0"},
			reason: "tshark 4.0 changes keys at the client's second Finished, and does not decrypt what it sends after it; " +
				"there is no change of keys at post-handshake authentication (RFC 8446, sections 4.6.2 and 7.3)",
		}},
	},

	// Renegotiation.
	{
		name: "TLS 1.2, renegotiated by the client",
		run: func(s *site) {
			s.opensslServer("rsa", "-rev", "-tls1_2", "-client_renegotiation")
			p := s.talk(s.opensslClient()...)
			p.say(s.t, "hello", p, "olleh")
			p.say(s.t, "R", p, "RENEGOTIATING")
			p.say(s.t, "again", p, "niaga")
			p.leave(s.t)
		},
		shows:  []string{`"renegotiation_info"`},
		derive: []string{"lose 8", "swap 9", "cut 8"},
	},
	{
		name: "TLS 1.2, renegotiated by the server for a client certificate",
		run: func(s *site) {
			server := s.opensslServer("rsa", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA", "-no_resumption_on_reneg")
			p := s.talk(s.opensslClient("-cert", s.pki.path("client.pem"), "-key", s.pki.path("client.key"))...)
			p.say(s.t, "hello", server, "hello")
			server.say(s.t, "R", server, "SSL_do_handshake")
			p.say(s.t, "again", server, "again")
			p.leave(s.t)
		},
		shows:  []string{`"hello_request"`, `"certificate_verify"`},
		derive: []string{"swap 35", "lose 35", "cut 35"},
	},
	{
		name: "TLS 1.2, renegotiation refused",
		run: func(s *site) {
			s.opensslServer("rsa", "-rev", "-tls1_2", "-no_renegotiation")
			p := s.talk(s.opensslClient()...)
			p.say(s.t, "hello", p, "olleh")
			p.say(s.t, "R", p, "RENEGOTIATING")
			p.leave(s.t)
		},
		shows:  []string{`"no_renegotiation"`},
		derive: []string{"drop 36"},
	},
	{
		name: "TLS 1.2, renegotiated, GnuTLS",
		run: func(s *site) {
			s.gnutlsServer("ecdsa", "--disable-client-cert", "--priority", "NORMAL:-VERS-TLS1.3")
			s.gnutls("--rehandshake")
		},
		shows: []string{`"renegotiation_info"`},
	},

	// Extensions that add messages or change records.
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
		derive: []string{"swap 12"},
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
		shows:  []string{`"conn":3`},
		derive: []string{"cut 13", "swap 15"},
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

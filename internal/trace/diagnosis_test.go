package trace

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"synscope/event"
)

// closing runs a connection to a port and returns its conn.close.
func closing(t *testing.T, port uint16, story func(w *wire)) *event.Close {
	t.Helper()
	tr, events := newTestTracer(t, defaultLimits)
	w := newWire(t, tr)
	w.flow.Server = netip.AddrPortFrom(w.flow.Server.Addr(), port)
	story(w)
	w.sync()
	tr.Close()
	for _, e := range events.of(1) {
		if c, ok := e.Body.(*event.Close); ok {
			return c
		}
	}
	t.Fatal("no conn.close")
	return nil
}

// What goes wrong below TLS or beside it is told at the end, by what the segments
// showed.
func TestCauseOfClose(t *testing.T) {
	const hello = "\x16\x03\x01\x00\x05hello"
	realHello := record(t, tls.VersionTLS12).flights[0].data
	speak := func(client, server string) func(w *wire) {
		return func(w *wire) {
			w.connect()
			w.client(event.ACK|event.PSH, client)
			if server != "" {
				w.server(event.ACK|event.PSH, server)
			}
			w.client(event.FIN|event.ACK, "")
			w.becomes(event.StateCloseWait, "")
			w.server(event.FIN|event.ACK, "")
			w.becomes(event.StateLastAck, "close")
			w.client(event.ACK, "")
			w.becomes(event.StateClosed, "")
		}
	}
	const request = "GET / HTTP/1.1\r\n\r\n"
	for _, c := range []struct {
		name  string
		port  uint16
		story func(w *wire)
		code  event.CauseCode
		cause string
	}{
		{"HTTP to the port of HTTPS", 443, speak(request, "HTTP/1.1 200 OK\r\n"), "plain_http", "client sent HTTP in plain text to port 443, which is for TLS"},
		{"HTTP to any port", 8080, speak(request, "HTTP/1.1 200 OK\r\n"), "", ""},
		{"HTTP to a port of TLS", 8080, speak(request, "\x15\x03\x01\x00\x02\x02\x46"), "plain_http", "client sent HTTP in plain text to a server that takes TLS only"},
		{
			"HTTP to nginx", 8080, speak(request, "HTTP/1.1 400 Bad Request\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>"),
			"plain_http", "client sent HTTP in plain text to a server that takes TLS only",
		},
		{"PROXY header", 443, speak("PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n", ""), "proxy_header", "client sent the PROXY protocol in plain text to port 443, which is for TLS"},
		{"SSH", 443, speak("SSH-2.0-x\r\n", ""), "plain_text", "client sent SSH in plain text to port 443, which is for TLS"},
		{"SSL 2.0", 443, speak("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", ""), "ssl2", "client sent SSL 2.0 in plain text to port 443, which is for TLS"},
		{"nothing known", 993, speak("\x01\x02\x03\x04\x05", ""), "not_tls", `client sent what is not TLS, beginning with "\x01\x02\x03\x04\x05", to port 993, which is for TLS`},
		{
			"TLS to a server that speaks first", 25, func(w *wire) {
				w.connect()
				w.server(event.ACK|event.PSH, "220 mail.example ESMTP\r\n")
				w.client(event.ACK|event.PSH, hello)
				w.reset()
			}, "tls_to_plain_port", "client sent a ClientHello to a server that speaks SMTP or FTP in plain text",
		},
		{"STARTTLS", 25, func(w *wire) {
			w.connect()
			w.server(event.ACK|event.PSH, "220 mail.example ESMTP\r\n")
			w.client(event.ACK|event.PSH, "EHLO x\r\n")
			w.client(event.ACK|event.FIN, "")
		}, "", ""},
		{"SYN without an answer", 443, func(w *wire) {
			w.client(event.SYN, "")
			w.seq[event.Client]--
			w.client(event.SYN, "")
		}, "no_answer", "server did not answer: 2 SYNs in 1ms"},
		{"one SYN, seen as the observer stops", 443, func(w *wire) { w.client(event.SYN, "") }, "", ""},
		{"silence by policy", 443, func(w *wire) {
			w.client(event.SYN, "")
			w.drop(event.Client, "silence by policy", true)
		}, "no_answer", "server did not answer the SYN: silence by policy"},
		{"refused", 443, func(w *wire) {
			w.client(event.SYN, "")
			w.server(event.RST|event.ACK, "")
		}, "refused", "server refused the connection: it answered the SYN with RST"},
		{"SYN-ACK reset", 443, func(w *wire) {
			w.client(event.SYN, "")
			w.server(event.SYN|event.ACK, "")
			w.becomes(event.StateSynReceived, "")
			w.reset()
		}, "syn_ack_reset", "client answered the SYN-ACK with RST"},
		{"SYN-ACK not heard", 443, func(w *wire) {
			w.client(event.SYN, "")
			w.server(event.SYN|event.ACK, "")
			w.becomes(event.StateSynReceived, "")
			w.seq[event.Client]--
			w.client(event.SYN, "")
			w.becomes(event.StateClosed, "half-open deadline")
		}, "handshake_ack_missing", "client did not get the SYN-ACK: it sent 1 SYN more after it; the server sent 1 SYN-ACK"},
		{"ACK seen here only", 443, func(w *wire) {
			w.client(event.SYN, "")
			w.server(event.SYN|event.ACK, "")
			w.becomes(event.StateSynReceived, "")
			w.client(event.ACK, "")
			w.seq[event.Server]--
			w.server(event.SYN|event.ACK, "")
			w.becomes(event.StateClosed, "half-open deadline")
		}, "handshake_ack_lost", "server did not get the ACK of its SYN-ACK, which was seen here; it sent 2 SYN-ACKs"},
		{"nothing sent", 443, func(w *wire) {
			w.connect()
			w.reset()
		}, "client_silent", "client connected and sent nothing; the client reset the connection after 3ms"},
		{"ClientHello without an answer", 443, func(w *wire) {
			w.connect()
			w.client(event.ACK|event.PSH, realHello)
			w.seq[event.Client] -= uint32(len(realHello))
			w.client(event.ACK|event.PSH, realHello)
		}, "server_silent", "server had sent nothing for 1ms since the ClientHello when the observation ended; " +
			"the client sent its last segments again, 1 time, and nothing acknowledged them"},
		{"client gone", 7, func(w *wire) {
			w.connect()
			w.client(event.ACK|event.PSH, "x")
			for range 3 {
				w.server(event.ACK|event.PSH, "y")
				w.seq[event.Server]--
			}
			w.becomes(event.StateClosed, "")
		}, "peer_vanished", "client answers no more: the server sent its last segments again, 2 times"},
		{"reset", 7, func(w *wire) {
			w.connect()
			w.client(event.ACK|event.PSH, "x")
			w.server(event.ACK|event.PSH, "y")
			w.reset()
		}, "reset", "client reset the connection, 1ms after the last segment of the server"},
		{"reset of a socket that was closed", 7, func(w *wire) {
			w.connect()
			w.client(event.ACK|event.FIN, "")
			w.server(event.ACK|event.PSH, "y")
			w.reset()
		}, "", ""},
		{"in order", 7, speak("x", "y"), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := closing(t, c.port, c.story)
			if b.Code != c.code || b.Cause != c.cause || (b.Hint == "") != (c.code == "") {
				t.Errorf("how %s, code %q, hint %q, cause\n\t%s, want %q,\n\t%s", b.How, b.Code, b.Hint, b.Cause, c.code, c.cause)
			}
		})
	}
}

// A certificate that is visibly wrong, and a client that left after the handshake.
func TestDoubtIsTold(t *testing.T) {
	e := ending{how: "fin", by: event.Client, done: true, bytes: 1, seen: &evidence{}, doubt: "is self-signed"}
	if d := e.diagnose(); d.code != "left_after_handshake" || !strings.HasSuffix(d.cause, "certificate, which is self-signed") {
		t.Errorf("%+v", d)
	}
}

package integration

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"synscope/event"
)

// pythonClient fetches the mirror with the standard library. It prints the status
// before it reads the body, and closes without close_notify, as http.client does.
const pythonClient = `
import http.client, socket, ssl, sys
address, name, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
conn = http.client.HTTPSConnection(name)
conn.sock = context.wrap_socket(socket.create_connection((address, 443)), server_hostname=name)
conn.request("GET", "/", headers={"Connection": "close"})
response = conn.getresponse()
print(response.status, flush=True)
print(response.read().decode())
`

// nodeClient does the same with node.
const nodeClient = `
const https = require("https"), fs = require("fs");
const [address, name, ca] = process.argv.slice(1);
https.get({host: address, servername: name, ca: fs.readFileSync(ca), agent: false, headers: {Host: name, Connection: "close"}}, (response) => {
	fs.writeSync(1, response.statusCode + "\n");
	response.on("data", (data) => fs.writeSync(1, data));
});
`

// Clients of several TLS libraries, each with its own way to end: most answer the
// server's close_notify with their own, some send only FIN, and those that close
// with bytes unread reset the connection.
func TestClients(t *testing.T) {
	const (
		closeNotify = "\nclient {alert close_notify}"
		nothing     = ""
		page        = "https://" + hostname + "/"
	)
	for _, c := range []struct {
		name, alpn string
		flags      []string // of the daemon
		command    func(l *lab) []string
		says       string // what its output must have
		tcp, last  string // how it ends TCP and TLS
		nameless   bool   // it sends no server_name
	}{
		{
			name: "curl, HTTP/1.1", alpn: "http/1.1",
			command: func(l *lab) []string { return append([]string{"curl"}, l.curlArgs(page)...) },
			says:    "ClientHello", tcp: closedByServer, last: closeNotify,
		},
		{
			// The server closes when nothing moves, and curl does not read its close_notify.
			name: "curl, HTTP/2", alpn: "h2", flags: []string{"--idle-timeout", "2s"},
			command: func(l *lab) []string { return append([]string{"curl"}, l.curlArgs("--http2", page)...) },
			says:    "ClientHello", tcp: resetByClient, last: nothing,
		},
		{
			name: "gnutls-cli", flags: []string{"--service", "chargen:100"},
			command: func(l *lab) []string {
				return []string{"gnutls-cli", "--logfile", "/dev/null", "--x509cafile", l.ca(),
					"--sni-hostname", hostname, "--verify-hostname", hostname, server4}
			},
			says: "ABCDEFG", tcp: closedByServer, last: nothing,
		},
		{
			name:    "Python",
			command: func(l *lab) []string { return []string{"python3", "-c", pythonClient, server4, hostname, l.ca()} },
			says:    "ClientHello", tcp: resetByClient, last: nothing,
		},
		{
			name:    "node",
			command: func(l *lab) []string { return []string{"node", "-e", nodeClient, "--", server4, hostname, l.ca()} },
			says:    "ClientHello", tcp: closedByServer, last: closeNotify,
		},
		{
			// It reads nothing after the handshake, and prints the certificate.
			name: "java", flags: []string{"--service", "chargen:100"}, nameless: true,
			command: func(l *lab) []string { return []string{"keytool", "-printcert", "-sslserver", server4 + ":443"} },
			says:    "IPAddress: " + server4, tcp: resetByClient, last: nothing,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t, c.flags...)
			command := c.command(l)
			if r := l.runHeld(command[0], command[1:]...); r.code != 0 || !strings.Contains(r.out, c.says) {
				t.Errorf("%s: exit %d, want %q in its output:\n%s", command[0], r.code, c.says, r.out)
			}
			s := l.story()
			s.wantTransitions(t, c.tcp+tls13)
			s.wantMessages(t, strings.TrimSuffix(messages13, "\n\tclient {alert close_notify}")+c.last)
			want := event.Established{Version: event.VersionTLS13, ALPN: c.alpn, ServerName: hostname}
			if c.nameless {
				want.ServerName = ""
			}
			e := one[*event.Established](t, s)
			if got := (event.Established{Version: e.Version, ALPN: e.ALPN, ServerName: e.ServerName}); got != want {
				t.Errorf("tls.established: version %v, alpn %q, server name %q, want %v, %q, %q",
					got.Version, got.ALPN, got.ServerName, want.Version, want.ALPN, want.ServerName)
			}
			if c.tcp == closedByServer {
				s.wantClose(t, "fin", event.Server)
			} else {
				s.wantClose(t, "rst", event.Client)
			}
			l.judge()
		})
	}
}

// crypto/tls as a client, with its own choice of everything.
func TestClientGo(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newTLSLab(t, "--service", "chargen:100")
		config := l.tlsConfig()
		config.NextProtos = []string{"http/1.1"}
		l.goClient(l.dial(server), config)

		s := l.story()
		s.wantTransitions(t, closedByServer+tls13)
		// Without a session cache it asks for no ticket.
		s.wantMessages(t, strings.Replace(messages13, "\n\tserver {new_session_ticket}", "", 1))
		if e := one[*event.Established](t, s); e.Group != event.Group(tls.X25519MLKEM768) || e.ALPN != "http/1.1" {
			t.Errorf("tls.established: group %v, alpn %q", e.Group, e.ALPN)
		}
		s.wantClose(t, "fin", event.Server)
		l.judge()
	})
}

package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"synscope/event"
)

// recordClient asks the system's first resolver, or the one given, for a record,
// over UDP or TCP, and prints code, number of answers and all after the header.
const recordClient = `
import socket, struct, sys
name, kind, network = sys.argv[1], int(sys.argv[2]), sys.argv[3]
server = (sys.argv[4:] + [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")])[0]
q = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack(">2H", kind, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if network == "udp" else socket.SOCK_STREAM)
s.settimeout(20)
s.connect((server, 53))
if network == "udp":
	s.send(q)
	m = s.recv(65535)
else:
	s.sendall(struct.pack(">H", len(q)) + q)
	f = s.makefile("rb")
	m = f.read(struct.unpack(">H", f.read(2))[0])
print(m[3] & 15, "truncated" if m[2] & 2 else "whole", struct.unpack(">H", m[6:8])[0], m[12:])
`

// Names are answered as the host's resolvers answer them, of whatever type.
func TestRunWorldNames(t *testing.T) {
	o := newOutside(t)
	o.asEachUser(t, func(t *testing.T, b *bench) {
		for _, c := range []struct{ name, kind, network, want string }{
			{hostname, "1", "udp", "0 whole 1 "},
			{hostname, "1", "tcp", "0 whole 1 "},
			{hostname, "15", "udp", "0 whole 1 "},         // MX
			{hostname, "16", "udp", "0 whole 0 "},         // TXT: there is none
			{"www." + hostname, "1", "udp", "0 whole 2 "}, // by CNAME
			{"nowhere.example", "1", "udp", "3 whole 0 "}, // NXDOMAIN
			{"broken.example", "1", "udp", "2 whole 0 "},  // SERVFAIL
			{"large.example", "16", "udp", "0 truncated "},
			{"large.example", "16", "tcp", "0 whole 100 "},
		} {
			out := b.run("/usr/bin/python3", "-c", recordClient, c.name, c.kind, c.network)
			if out.status != 0 || !strings.HasPrefix(out.stdout, c.want) {
				t.Errorf("%s, type %s, %s: %q, want %q\n%s", c.name, c.kind, c.network, out.stdout, c.want, out.stderr)
			}
		}
		for _, network := range []string{"udp", "tcp"} {
			out := b.run("/usr/bin/python3", "-c", recordClient, hostname, "1", network, far4)
			if told := len(out.stories); !strings.HasPrefix(out.stdout, "0 whole 1 ") || network == "tcp" && told != 1 {
				t.Errorf("asked of another server by %s: %q, %d connections\n%s", network, out.stdout, told, out.stderr)
			}
		}
		// libc goes through the domains of resolv.conf, and /etc/hosts.
		out := b.run("sh", "-c", "getent ahostsv4 shop; getent hosts localhost; cat /etc/resolv.conf")
		for _, want := range []string{far4, "localhost", "search example", "nameserver 198.18.0.1"} {
			if !strings.Contains(out.stdout, want) {
				t.Errorf("no %q:\n%s%s", want, out.stdout, out.stderr)
			}
		}
		// Keys of ECH would hide the name from who opens TLS, and from nobody else.
		for flag, want := range map[string]bool{"open": false, "watch": true} {
			out := b.runFlags("--tls", flag, "--", "/usr/bin/python3", "-c", recordClient, hostname, "65", "udp")
			if !strings.HasPrefix(out.stdout, "0 whole 1 ") || strings.Contains(out.stdout, "ech-sites.example") != want {
				t.Errorf("with --tls %s the keys of ECH are there: %v, want %v:\n%s", flag, !want, want, out.stdout)
			}
		}
	})
}

// issuerClient prints who issued the certificate of a server, and whether it is
// trusted.
const issuerClient = `
import socket, ssl, sys
for name in sys.argv[1:]:
	with ssl.create_default_context().wrap_socket(socket.create_connection((name, 443)), server_hostname=name) as s:
		print(name, dict(x[0] for x in s.getpeercert()["issuer"])["commonName"])
`

// TLS is opened, but where it is to be watched: there the client sees the real
// certificate, and no secret is known.
func TestRunWorldWatch(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	o.asEachUser(t, func(t *testing.T, b *bench) {
		const www = "www." + hostname
		for i, c := range []struct {
			flags string
			real  map[string]bool // whose certificate is shown
		}{
			{"--tls open", map[string]bool{}},
			{"--tls watch", map[string]bool{hostname: true, www: true}},
			{"--watch " + hostname, map[string]bool{hostname: true}},
			{"--watch *." + hostname, map[string]bool{www: true}},
		} {
			events := b.path(fmt.Sprintf("watch-%d.jsonl", i))
			flags := append(strings.Fields(c.flags), "--events", events, "--format", "json", "--", "/usr/bin/python3", "-c", issuerClient, hostname, www)
			out := b.runFlags(flags...)
			for _, name := range []string{hostname, www} {
				if got := strings.Contains("\n"+out.stdout, "\n"+name+" root\n"); out.status != 0 || got != c.real[name] {
					t.Errorf("%s: the certificate of %s is the real one: %v, want %v\n%s%s", c.flags, name, got, c.real[name], out.stdout, out.stderr)
				}
			}
			passed, opened := 0, 0
			for _, e := range readEvents(t, events) {
				switch s, ok := e.Body.(*event.TLSStep); {
				case ok && s.Step == "pass":
					passed++
				case ok && s.Step == "likeness":
					opened++
				}
			}
			// Nothing but the ClientHello is looked at where all is only watched.
			if passed != len(c.real) || opened != 2-len(c.real) {
				t.Errorf("%s: %d passed, %d were opened", c.flags, passed, opened)
			}
		}
	})
}

// A destination that speaks first is heard at once, and one that both sides end
// alone is ended so.
func TestRunWorldPlain(t *testing.T) {
	o := newOutside(t)
	o.serve(25, func(conn net.Conn) {
		io.WriteString(conn, "220 mail.example\n")
		b, _ := io.ReadAll(conn)
		io.WriteString(conn, "221 you said "+string(b))
	})
	const link = "169.254.169.254" // where clouds tell machines about themselves
	o.far.host("ip", "-n", o.far.ns, "addr", "add", link+"/32", "dev", "up0")
	o.serve(80, answerHTTP)
	o.asEachUser(t, func(t *testing.T, b *bench) {
		out := b.run("/usr/bin/python3", "-c", `
import socket
s = socket.create_connection(("`+hostname+`", 25))
f = s.makefile("r")
print(f.readline(), end="")
s.sendall(b"QUIT")
s.shutdown(socket.SHUT_WR)
print(f.read())`)
		if local := b.run("curl", "-sS", "http://"+link+"/"); local.stdout != "hello\n" {
			t.Errorf("from %s: %q\n%s", link, local.stdout, local.stderr)
		}
		if want := "220 mail.example\n221 you said QUIT\n"; out.stdout != want {
			t.Errorf("it prints %q, want %q\n%s", out.stdout, want, out.stderr)
		}
		s := out.story(t)
		if end := one[*event.Close](t, s); end.How != "fin" || end.Code != "" || s[0].Body.(*event.Open).Name != hostname {
			t.Errorf("%s ended by %q: %s", s.open(), end.How, end.Cause)
		}
	})
}

// TLS is opened also where it begins late: after STARTTLS, and through a proxy.
func TestRunWorldTLSBeginsLater(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	config := &tls.Config{Certificates: []tls.Certificate{o.pki.pair("good")}}
	o.serve(587, func(conn net.Conn) {
		lines := bufio.NewReader(conn)
		io.WriteString(conn, "220 mail.example\r\n")
		lines.ReadString('\n')
		io.WriteString(conn, "250-mail.example\r\n250 STARTTLS\r\n")
		lines.ReadString('\n')
		io.WriteString(conn, "220 go\r\n")
		c := tls.Server(conn, config)
		c.Read(make([]byte, 1))
		c.Close()
	})
	o.serve(3128, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil || r.Method != http.MethodConnect {
			return
		}
		var to net.Conn
		o.far.inside(func() { to, err = net.Dial("tcp", far4+":443") })
		if err != nil {
			return
		}
		defer to.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(to, conn)
		io.Copy(conn, to)
	})
	o.asEachUser(t, func(t *testing.T, b *bench) {
		for _, c := range []struct {
			command []string
			says    string
		}{
			{[]string{"openssl", "s_client", "-brief", "-verify_return_error", "-starttls", "smtp", "-connect", hostname + ":587"}, "Verification: OK"},
			{[]string{"curl", "-4sS", "-x", "http://" + far4 + ":3128", page}, "hello"},
		} {
			out := b.run(c.command...)
			if out.status != 0 || !strings.Contains(out.stdout+out.stderr, c.says) {
				t.Errorf("%v: status %#x\n%s%s", c.command, int(out.status), out.stdout, out.stderr)
			}
			one[*event.Established](t, out.story(t))
			if len(out.legs) != 1 {
				t.Fatalf("%d upstream legs", len(out.legs))
			}
			one[*event.Established](t, out.legs[0])
		}
	})
}

// The loopback of the host is reached by name, if at all; its other addresses
// are reached as from another machine.
func TestRunWorldHost(t *testing.T) {
	o := newOutside(t)
	serve := func(address string) {
		var l net.Listener
		var err error
		o.near.inside(func() { l, err = net.Listen("tcp", address) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() { // ends with the listener
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(conn, "reached "+address+"\n")
				conn.Close()
			}
		}()
	}
	serve("127.0.0.1:7001")
	serve("[::1]:7001")
	serve("203.0.113.1:7002")
	const client = `
import socket, sys
for a in sys.argv[1:]:
	host, port = a.rsplit(":", 1)
	try:
		print(a, socket.create_connection((host, int(port)), 20).makefile().readline().strip())
	except OSError as e:
		print(a, e.__class__.__name__)
`
	o.asEachUser(t, func(t *testing.T, b *bench) {
		addresses := []string{"127.0.0.1:7001", "::1:7001", "::ffff:127.0.0.1:7001", "0.0.0.0:7001", "localhost:7001", "loop.example:7001", "203.0.113.1:7001", "203.0.113.1:7002"}
		out := b.run(append([]string{"/usr/bin/python3", "-c", client}, addresses...)...)
		if strings.Contains(out.stdout, "7001 reached") || strings.Count(out.stdout, "ConnectionRefusedError") != 7 || !strings.Contains(out.stdout, "203.0.113.1:7002 reached") {
			t.Errorf("reached is\n%s%s", out.stdout, out.stderr)
		}
		out = b.run("/usr/bin/python3", "-c", client, "host.internal:7001")
		if !strings.Contains(out.stdout, "gaierror") {
			t.Errorf("without the flag, the name: %s", out.stdout)
		}
		out = b.runFlags("--host-loopback", "--", "/usr/bin/python3", "-c", client, "host.internal:7001", "198.18.0.3:7001", "127.0.0.1:7001", "203.0.113.1:7001")
		if strings.Count(out.stdout, "reached") != 2 || !strings.Contains(out.stderr, "host.internal (") {
			t.Errorf("with the flag:\n%s%s", out.stdout, out.stderr)
		}
	})
}

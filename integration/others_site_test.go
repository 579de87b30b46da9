package integration

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A site is where a server and a client of other makers meet, and their packets
// are captured:
//
//	+----- the site -----+                +-- the client's namespace --+
//	|  server ---- lo ---- client    or   |                            |
//	|     \------ veth0 ------------------- veth0 --- client           |
//	|  dumpcap           |                |                            |
//	+--------------------+                +----------------------------+
type site struct {
	*lab
	client *lab // where clients run; on the loopback the site itself
	pki    *pki
	form   form
	server netip.Addr
	from   int    // the port of clients in Go; 0 is any
	file   string // the capture
}

// A form is how packets are captured and given to the reader.
type form struct {
	device  string // "" is lo; with veth0 the client has a namespace of its own
	ip6     bool
	tool    string // "" is dumpcap
	flags   []string
	pcap    bool
	gzip    bool
	secrets secrets
}

// secrets says where a reader finds them.
type secrets uint8

const (
	inside secrets = iota // in a Decryption Secrets Block
	beside                // in a key log
	none
)

const (
	sitePort = "4433"
	mark     = "the capture is complete up to here"
	get      = "GET / HTTP/1.0\r\n\r\n"
)

func newSite(t *testing.T, p *pki, f form) *site {
	t.Helper()
	s := &site{lab: newNamespace(t), pki: p, form: f, server: netip.MustParseAddr("127.0.0.1")}
	s.client = s.lab
	if f.ip6 {
		s.server = netip.IPv6Loopback()
	}
	device := f.device
	switch device {
	case "":
		device = "lo"
	case "veth0":
		s.server = netip.MustParseAddr("192.0.2.1")
		s.client = s.addClientNamespace()
	}
	s.capture(device)
	return s
}

// capture starts the capture of a device.
func (s *site) capture(device string) {
	s.t.Helper()
	s.file = s.path("capture")
	if s.form.tool == "tcpdump" {
		s.dump = s.start("listening on", "tcpdump", append([]string{"-U", "-Z", "root", "-i", device, "-w", s.file}, s.form.flags...)...)
		return
	}
	flags := append([]string{"-q", "-B", "64", "-i", device, "-w", s.file}, s.form.flags...)
	if s.form.pcap {
		flags = append(flags, "-P")
	}
	s.dump = s.start("File: ", "dumpcap", flags...)
}

// A captured is a capture file, and what is needed to read it.
type captured struct {
	file   string
	keys   string   // a key log, or ""
	decode []string // what tshark has to take ports for
}

// captured ends the capture.
func (s *site) captured() captured {
	s.t.Helper()
	s.client.inside(func() {
		conn, err := net.Dial("udp", net.JoinHostPort(s.server.String(), "9"))
		if err != nil {
			s.t.Error(err)
			return
		}
		defer conn.Close()
		s.eventually("the end of the capture", func() bool {
			conn.Write([]byte(mark)) // nobody listens: an error is as good
			return strings.Contains(s.read("capture"), mark)
		})
	})
	if err := s.dump.stop(syscall.SIGINT); err != nil {
		s.t.Fatalf("%s: %v\n%s", s.dump.cmd.Args, err, s.dump.stderr)
	}
	return s.withSecrets(s.file)
}

// withSecrets puts the secrets where the form wants them.
func (s *site) withSecrets(file string) captured {
	s.t.Helper()
	c := captured{file: file}
	if s.read("keys") != "" {
		switch s.form.secrets {
		case inside:
			c.file += ".secrets"
			s.host("editcap", "--inject-secrets", "tls,"+s.path("keys"), file, c.file)
		case beside:
			c.keys = s.path("keys")
		}
	}
	if s.form.gzip {
		c.file = s.zip(c.file)
	}
	return c
}

func (s *site) zip(file string) string {
	s.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(b)
	w.Close()
	if err := os.WriteFile(file+".gz", zipped.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file + ".gz"
}

func (s *site) address() string { return net.JoinHostPort(s.server.String(), sitePort) }

// verbose makes a command that says on standard error that it starts, and then
// all that it says.
func verbose(command []string) []string {
	return append([]string{"sh", "-c", `echo started >&2; exec "$@" >&2`, "sh"}, command...)
}

// serve starts a server, and returns when it listens.
func (s *site) serve(command ...string) *process {
	s.t.Helper()
	v := verbose(command)
	p := s.start("started", v[0], v[1:]...)
	s.t.Cleanup(p.kill)
	s.eventually(command[0]+" listens", func() bool {
		select {
		case <-p.done:
			s.t.Fatalf("%q ended: %v\n%s", command, p.err, p.stderr)
		default:
		}
		return s.run(nil, "ss", "-Hltn", "sport = :"+sitePort).out != ""
	})
	return p
}

// opensslServer starts s_server with a certificate of the pki, or with none.
func (s *site) opensslServer(cert string, args ...string) *process {
	s.t.Helper()
	command := []string{"openssl", "s_server", "-accept", sitePort}
	if cert == "" {
		command = append(command, "-nocert")
	} else {
		command = append(command, "-cert", s.pki.path(cert+".pem"), "-key", s.pki.path(cert+".key"),
			"-cert_chain", s.pki.path(cert+".pem"), "-CAfile", s.pki.path("ca.pem"))
	}
	return s.serve(append(command, args...)...)
}

func (s *site) gnutlsServer(cert string, args ...string) *process {
	s.t.Helper()
	return s.serve(append([]string{"gnutls-serv", "--port", sitePort, "--http", "--x509cafile", s.pki.path("ca.pem"),
		"--x509certfile", s.pki.path(cert + ".pem"), "--x509keyfile", s.pki.path(cert + ".key")}, args...)...)
}

// nginx starts it with settings of the server.
func (s *site) nginx(cert, settings string) *process {
	s.t.Helper()
	config := s.path("nginx.conf")
	text := fmt.Sprintf(`
		daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {}
		http {
			access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
			server {
				listen [::]:%s ssl http2 ipv6only=off;
				ssl_certificate %s; ssl_certificate_key %s;
				%s
				location / { return 200 "hello\n"; }
			}
		}`, sitePort, s.pki.path(cert+".pem"), s.pki.path(cert+".key"), settings)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return s.serve("nginx", "-p", s.dir, "-e", "stderr", "-c", config)
}

// goServer answers each connection of crypto/tls with what it sent first.
func (s *site) goServer(config *tls.Config) {
	s.t.Helper()
	s.listen(sitePort, func(conn net.Conn) { answer(tls.Server(conn, config)) })
}

// listen has f serve each connection to a port of the site.
func (s *site) listen(port string, f func(net.Conn)) {
	s.t.Helper()
	var l net.Listener
	s.inside(func() {
		var err error
		if l, err = net.Listen("tcp", net.JoinHostPort(s.server.String(), port)); err != nil {
			s.t.Error(err)
		}
	})
	if l == nil {
		s.t.FailNow()
	}
	var serving sync.WaitGroup
	s.t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(clientTimeout))
				f(conn)
			})
		}
	})
}

// answer sends back what is read first, and closes.
func answer(conn net.Conn) {
	b := make([]byte, 1<<10)
	if n, err := conn.Read(b); err == nil {
		conn.Write(b[:n])
	}
	conn.Close()
}

// goConfig is that of a client or server in Go: Certificate and key by name.
func (s *site) goConfig(cert string) *tls.Config {
	s.t.Helper()
	pair, err := tls.LoadX509KeyPair(s.pki.path(cert+".pem"), s.pki.path(cert+".key"))
	if err != nil {
		s.t.Fatal(err)
	}
	ca, err := os.ReadFile(s.pki.path("ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ServerName: hostname}
}

// goTalk is a client of crypto/tls, over a connection that wrap may change.
func (s *site) goTalk(config *tls.Config, wrap func(net.Conn) net.Conn) {
	s.t.Helper()
	keys, err := os.OpenFile(s.path("keys"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer keys.Close()
	config.KeyLogWriter = keys
	raw := s.connect()
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(clientTimeout))
	if wrap != nil {
		raw = wrap(raw)
	}
	conn := tls.Client(raw, config)
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		s.t.Fatal(err)
	}
	conn.Close()
}

// connect connects to the server, from the site's port if it has one: again, while an
// old connection between the same ports keeps it from that.
func (s *site) connect() (conn net.Conn) {
	s.t.Helper()
	d := net.Dialer{Timeout: clientTimeout, LocalAddr: &net.TCPAddr{Port: s.from}, Control: reuseAddress}
	s.eventually("a connection", func() bool {
		var err error
		s.client.inside(func() { conn, err = d.Dial("tcp", s.address()) })
		if err != nil && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			s.t.Fatal(err)
		}
		return err == nil
	})
	return conn
}

// reuseAddress lets a port be used that an old connection has.
func reuseAddress(_, _ string, c syscall.RawConn) error {
	var err error
	if controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); controlErr != nil {
		return controlErr
	}
	return err
}

// logged is a command with the file that it is to log its secrets to.
func (s *site) logged(command []string) []string {
	return append([]string{"env", "SSLKEYLOGFILE=" + s.path("keys")}, command...)
}

// try runs a client that may fail.
func (s *site) try(input string, command ...string) run {
	s.t.Helper()
	command = s.logged(command)
	return s.client.run(strings.NewReader(input), command[0], command[1:]...)
}

// do runs a client that must not fail.
func (s *site) do(input string, command ...string) {
	s.t.Helper()
	if r := s.try(input, command...); r.code != 0 {
		s.t.Fatalf("%q: exit %d\n%s", command, r.code, r.out)
	}
}

// opensslClient is the command of a client that asks for a page and reads it, or,
// in a conversation, says what it is told to say.
func (s *site) opensslClient(args ...string) []string {
	return append([]string{"openssl", "s_client", "-connect", s.address(), "-servername", hostname,
		"-keylogfile", s.path("keys"), "-CAfile", s.pki.path("ca.pem")}, args...)
}

// openssl gets a page with s_client.
func (s *site) openssl(args ...string) {
	s.t.Helper()
	s.do(get, s.opensslClient(append([]string{"-ign_eof"}, args...)...)...)
}

// curlClient is the command of a client that gets a page.
func (s *site) curlClient(args ...string) []string {
	return append([]string{"curl", "-sS", "--max-time", "30", "--cacert", s.pki.path("ca.pem"),
		"--connect-to", hostname + ":" + sitePort + ":" + s.address(), "https://" + hostname + ":" + sitePort + "/"}, args...)
}

func (s *site) gnutls(args ...string) {
	s.t.Helper()
	s.do(get, append([]string{"gnutls-cli", "--port", sitePort, "--logfile", "/dev/null", "--x509cafile", s.pki.path("ca.pem"),
		"--sni-hostname", hostname, "--verify-hostname", hostname, s.server.String()}, args...)...)
}

// talk starts a client for a conversation.
func (s *site) talk(command ...string) *process {
	s.t.Helper()
	v := s.logged(verbose(command))
	p := s.client.start("started", v[0], v[1:]...)
	s.t.Cleanup(p.kill)
	return p
}

// say writes a line to a process, and waits until hearer says a line that begins
// so.
func (p *process) say(t *testing.T, line string, hearer *process, reply string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		t.Fatalf("saying %q: %v\n%s", line, err, p.stderr)
	}
	hearer.awaitLine(t, reply)
}

// leave ends a client's input, and waits for its end.
func (p *process) leave(t *testing.T) {
	t.Helper()
	p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(clientTimeout):
		t.Fatalf("it does not end with its input:\n%s", p.stderr)
	}
}

// port returns a decode-as rule of tshark's.
func port(n int, protocol string) string { return "tcp.port==" + strconv.Itoa(n) + "," + protocol }

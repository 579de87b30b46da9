package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// An outside is the world of synscope run --to world.
//
//	+--- namespace near ---+         +------- namespace far --------+
//	|  synscope run        | --veth- |  203.0.113.2  2001:db8:7::2  |
//	|  203.0.113.1         |         |  DNS, nginx, openssl, …      |
//	|  2001:db8:7::1       |         |                              |
//	+----------------------+         +------------------------------+
type outside struct {
	t         *testing.T
	near, far *lab
	pki       *outsidePKI
}

const (
	far4   = "203.0.113.2"
	far6   = "2001:db8:7::2"
	silent = "198.51.100.7" // what far drops
)

// newOutside makes the two namespaces, and a DNS server in the far one.
func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t, near: newNamespace(t), far: newNamespace(t), pki: newOutsidePKI(t)}
	o.near.host("ip", "link", "add", "up0", "netns", o.near.ns, "type", "veth", "peer", "name", "up0", "netns", o.far.ns)
	for l, addresses := range map[*lab][]string{o.near: {"203.0.113.1/24", "2001:db8:7::1/64"}, o.far: {far4 + "/24", far6 + "/64"}} {
		for _, a := range addresses {
			l.host("ip", "-n", l.ns, "addr", "add", a, "dev", "up0", "nodad")
		}
		l.host("ip", "-n", l.ns, "link", "set", "up0", "up")
	}
	for _, a := range []string{far4, far6} { // until the neighbours know each other
		o.near.must("ping", "-c", "1", "-w", "20", a)
	}
	o.near.host("ip", "-n", o.near.ns, "route", "add", "default", "via", far4)
	o.near.host("ip", "-n", o.near.ns, "-6", "route", "add", "default", "via", far6)
	o.near.host("ip", "-n", o.near.ns, "route", "add", "unreachable", "192.0.2.8/32")
	// What ip netns exec has commands see as /etc/resolv.conf.
	etc := filepath.Join("/etc/netns", o.near.ns)
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(etc) })
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+far4+"\nsearch example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.serveNames()
	return o
}

// bench returns a bench of a user in the near namespace.
func (o *outside) bench(t *testing.T, u user) *bench {
	b := newBench(t, u)
	b.to, b.ns, b.roots = "world", o.near.ns, o.pki.path("root.pem")
	return b
}

// asEachUser runs a test in the near namespace, as root and as an ordinary user.
func (o *outside) asEachUser(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	for _, u := range users {
		t.Run(u.name, func(t *testing.T) { f(t, o.bench(t, u)) })
	}
}

// listen listens in the far namespace until the test ends.
func (o *outside) listen(network, address string) net.Listener {
	o.t.Helper()
	var l net.Listener
	var err error
	o.far.inside(func() { l, err = net.Listen(network, address) })
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { l.Close() })
	return l
}

// serve has each connection to a port of the far namespace handled and closed.
func (o *outside) serve(port int, handle func(net.Conn)) {
	l := o.listen("tcp", fmt.Sprintf(":%d", port))
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(clientTimeout))
				handle(conn)
			}()
		}
	}()
}

// serveTLS answers a request of HTTP on a port of the far namespace.
func (o *outside) serveTLS(port int, config *tls.Config) {
	o.serve(port, func(conn net.Conn) {
		c := tls.Server(conn, config)
		if c.Handshake() == nil {
			answerHTTP(c)
		}
		c.Close()
	})
}

// answerHTTP reads a request and answers it.
func answerHTTP(conn net.Conn) {
	if _, err := conn.Read(make([]byte, 4096)); err == nil {
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
	}
}

// zone is what the DNS server of the far namespace knows.
const zone = `
shop.example. 60 IN A 203.0.113.2
shop.example. 60 IN AAAA 2001:db8:7::2
shop.example. 60 IN MX 10 mail.shop.example.
shop.example. 60 IN HTTPS 1 . alpn=h2 ech=AEj+DQBEAQAgACAdd+scUi0IYFsXnUIU7ko2Nd9+F8M26pAGZVpz/KrWPgAEAAEAAWQVZWNoLXNpdGVzLmV4YW1wbGUubmV0AAA=
www.shop.example. 60 IN CNAME shop.example.
silent.example. 60 IN A 198.51.100.7
loop.example. 60 IN A 127.0.0.1
`

// serveNames answers DNS in the far namespace.
func (o *outside) serveNames() {
	o.t.Helper()
	records := make(map[string][]dns.RR)
	for p := dns.NewZoneParser(strings.NewReader(zone), "", ""); ; {
		rr, ok := p.Next()
		if !ok {
			if p.Err() != nil {
				o.t.Fatal(p.Err())
			}
			break
		}
		records[rr.Header().Name] = append(records[rr.Header().Name], rr)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := strings.ToLower(q.Question[0].Name)
		switch {
		case name == "broken.example.":
			m.Rcode = dns.RcodeServerFailure
		case name == "large.example." && w.LocalAddr().Network() == "udp":
			m.Truncated = true
		case name == "large.example.":
			for i := range 100 {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{fmt.Sprint("record ", i)}})
			}
		case records[name] == nil:
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range records[name] {
			if rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
			if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				for _, rr := range records[c.Target] {
					if rr.Header().Rrtype == q.Question[0].Qtype {
						m.Answer = append(m.Answer, rr)
					}
				}
			}
		}
		w.WriteMsg(m)
	})
	var packets net.PacketConn
	var err error
	o.far.inside(func() { packets, err = net.ListenPacket("udp", far4+":53") })
	if err != nil {
		o.t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: o.listen("tcp", far4+":53"), Handler: handler}} {
		go s.ActivateAndServe()
		o.t.Cleanup(func() { s.Shutdown() })
	}
}

// nginx serves a page, and a repository of git, on ports 443 and 80.
func (o *outside) nginx() {
	o.t.Helper()
	site := filepath.Join(o.far.dir, "site")
	for _, command := range [][]string{
		{"git", "init", "-q", "--bare", filepath.Join(site, "repo.git")},
		{"sh", "-c", "cd " + site + "/repo.git && git update-server-info && c=$(git -c user.name=x -c user.email=x commit-tree -m x $(git hash-object -wt tree /dev/null)) && git update-ref refs/heads/main $c && git update-server-info"},
		{"sh", "-c", "echo hello > " + site + "/index.html && chmod -R a+rX " + site},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			o.t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	config := fmt.Sprintf(`
		daemon off; master_process off; pid %[1]s/nginx.pid; error_log stderr notice; events { worker_connections 4096; }
		http {
			access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
			uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi; root %[2]s; default_type text/html;
			server { listen *:80; listen [::]:80; }
			server { listen *:443 ssl http2; listen [::]:443 ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate %[3]s; ssl_certificate_key %[4]s; }
		}`, o.far.dir, site, o.pki.path("good.pem"), o.pki.path("good.key"))
	file := o.far.path("nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		o.t.Fatal(err)
	}
	p := o.far.start("getrlimit", "nginx", "-p", o.far.dir, "-e", "stderr", "-c", file)
	o.t.Cleanup(p.kill)
}

// An outsidePKI has the root certificate that is trusted, and what else servers
// of the world show: NAME.pem and NAME.key.
type outsidePKI struct {
	*pki
	root *issued
}

func newOutsidePKI(t *testing.T) *outsidePKI {
	p := &outsidePKI{pki: &pki{t: t, dir: t.TempDir()}}
	for _, dir := range []string{p.dir, filepath.Dir(p.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.root = p.make("root", nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	other := p.make("other", nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	as := func(*x509.Certificate) {}
	p.make("good", p.root, as)
	p.make("expired", p.root, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-1, 0, 0), time.Now().AddDate(0, -1, 0)
	})
	p.make("elsewhere", p.root, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example"}, nil })
	p.make("self", nil, as)
	p.make("unknown", other, as)
	return p
}

// make writes a certificate, signed by parent (nil: by itself).
func (p *outsidePKI) make(name string, parent *issued, change func(*x509.Certificate)) *issued {
	p.t.Helper()
	key := p.key(elliptic.P256())
	if name == "good" {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			p.t.Fatal(err)
		}
		return p.sign(name, &issued{key: k}, parent, change)
	}
	return p.sign(name, &issued{key: key.(*ecdsa.PrivateKey)}, parent, change)
}

func (p *outsidePKI) sign(name string, i, parent *issued, change func(*x509.Certificate)) *issued {
	p.t.Helper()
	i.cert = &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Organization: []string{"Shop"}, CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{hostname, "*." + hostname}, IPAddresses: []net.IP{net.ParseIP(far4), net.ParseIP(far6)},
	}
	change(i.cert)
	if i.cert.IsCA {
		i.cert.ExtKeyUsage, i.cert.DNSNames, i.cert.IPAddresses = nil, nil, nil
	}
	if parent == nil {
		parent = i
	}
	der, err := x509.CreateCertificate(rand.Reader, i.cert, parent.cert, i.key.Public(), parent.key)
	pkcs8, keyErr := x509.MarshalPKCS8PrivateKey(i.key)
	if err := errors.Join(err, keyErr); err != nil {
		p.t.Fatal(err)
	}
	p.write(name+".pem", block("CERTIFICATE", der), 0o644)
	p.write(name+".key", block("PRIVATE KEY", pkcs8), 0o600)
	if i.cert, err = x509.ParseCertificate(der); err != nil {
		p.t.Fatal(err)
	}
	return i
}

// pair returns a certificate for crypto/tls.
func (p *outsidePKI) pair(name string) tls.Certificate {
	p.t.Helper()
	c, err := tls.LoadX509KeyPair(p.path(name+".pem"), p.path(name+".key"))
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

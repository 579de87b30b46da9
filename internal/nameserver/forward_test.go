package nameserver

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A resolver is one of the host's, over UDP and TCP.
func newResolver(t *testing.T, handle dns.HandlerFunc) (address string) {
	t.Helper()
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = stream.Addr().String()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{Listener: stream, Handler: handle}, {PacketConn: packets, Handler: handle}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() {
			s.Shutdown()
			<-done
		})
	}
	return address
}

// answers is a resolver that has these records, and REFUSED, SERVFAIL and NXDOMAIN
// for names that begin so.
func answers(records string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.AuthenticatedData = true
		for line := range strings.Lines(records) {
			if rr, err := dns.NewRR(strings.TrimSpace(line)); err != nil {
				panic(err)
			} else if rr.Header().Name == q.Question[0].Name {
				m.Answer = append(m.Answer, rr)
			}
		}
		for prefix, code := range map[string]int{"refused": dns.RcodeRefused, "failing": dns.RcodeServerFailure, "missing": dns.RcodeNameError} {
			if strings.HasPrefix(q.Question[0].Name, prefix) {
				m.Rcode = code
			}
		}
		if strings.HasPrefix(q.Question[0].Name, "long") && w.LocalAddr().Network() == "udp" {
			m.Answer, m.Truncated = nil, true
		}
		w.WriteMsg(m)
	}
}

func forwarder(servers ...string) *Forwarder {
	return &Forwarder{Servers: servers, Timeout: 10 * time.Second, Attempts: 1}
}

// records are the answers to a question, as text.
func (f *Forwarder) ask(t *testing.T, name string, kind uint16) (code string, answers []string) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, kind)
	m := f.Answer(t.Context(), q)
	if m.Id != q.Id || !m.Response || len(m.Question) != 1 || m.Question[0] != q.Question[0] {
		t.Errorf("%s: the answer is to something else:\n%v", name, m)
	}
	for _, rr := range m.Answer {
		answers = append(answers, strings.ReplaceAll(strings.TrimPrefix(rr.String(), rr.Header().Name+"\t"), "\t", " "))
	}
	return dns.RcodeToString[m.Rcode], answers
}

// Answers are passed on as they are, whatever they are.
func TestForward(t *testing.T) {
	good := newResolver(t, answers(`shop.example. 7 IN A 192.0.2.1
		shop.example. 7 IN MX 10 mail.example.
		shop.example. 7 IN TYPE65280 \# 2 0102
		long.example. 7 IN TXT "by TCP"`))
	bad := newResolver(t, answers(""))
	nobody, err := net.ListenPacket("udp", "127.0.0.1:0") // who does not answer
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	hasty := forwarder(nobody.LocalAddr().String(), good)
	hasty.Timeout = 50 * time.Millisecond
	for _, c := range []struct {
		name string
		f    *Forwarder
		ask  string
		code string
		want string
	}{
		{"all records", forwarder(good), "shop.example.", "NOERROR", `7 IN A 192.0.2.1, 7 IN MX 10 mail.example., 7 CLASS1 TYPE65280 \# 2 0102`},
		{"by TCP", forwarder(good), "long.example.", "NOERROR", `7 IN TXT "by TCP"`},
		{"no such name", forwarder(good), "missing.example.", "NXDOMAIN", ""},
		{"a failure", forwarder(bad), "failing.example.", "SERVFAIL", ""},
		{"a refusal", forwarder(bad), "refused.example.", "REFUSED", ""},
		{"nobody", forwarder("127.0.0.1:1"), "shop.example.", "SERVFAIL", ""},
		{"the second of two", forwarder("127.0.0.1:1", good), "shop.example.", "NOERROR", ""},
		{"the first is silent", hasty, "shop.example.", "NOERROR", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, got := c.f.ask(t, c.ask, dns.TypeANY)
			if code != c.code || c.want != "" && strings.Join(got, ", ") != c.want {
				t.Errorf("%s %q, want %s %q", code, got, c.code, c.want)
			}
		})
	}
}

// Which name an address was given for is known afterwards, also by way of an
// alias, and a bound number of them.
func TestForwardKnowsNames(t *testing.T) {
	f := forwarder(newResolver(t, answers(`www.example. 7 IN CNAME shop.example.
		www.example. 7 IN A 192.0.2.1
		www.example. 7 IN AAAA 2001:db8::1
		svc.example. 7 IN HTTPS 1 . ipv4hint=192.0.2.2 ipv6hint=2001:db8::2`)))
	f.ask(t, "www.example.", dns.TypeA)
	f.ask(t, "svc.example.", dns.TypeHTTPS)
	for address, want := range map[string]string{
		"192.0.2.1": "www.example", "2001:db8::1": "www.example", "192.0.2.2": "svc.example", "2001:db8::2": "svc.example", "192.0.2.3": "",
	} {
		if got := f.Name(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
	for i := range maxNames {
		f.note(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "many.example")
	}
	if n := len(f.names); n != maxNames || len(f.order) != n || f.Name(netip.MustParseAddr("192.0.2.1")) != "" {
		t.Errorf("%d names are kept, the first is %q", n, f.Name(netip.MustParseAddr("192.0.2.1")))
	}
}

// The keys of ECH are taken out, and all that they were signed with.
func TestForwardStripsECH(t *testing.T) {
	const with = `shop.example. 7 IN HTTPS 1 . mandatory=alpn,ech alpn=h2 ech=AAA=
		shop.example. 7 IN RRSIG HTTPS 13 2 7 20300101000000 20200101000000 1 example. AAAA
		shop.example. 7 IN RRSIG A 13 2 7 20300101000000 20200101000000 1 example. AAAA
		only.example. 7 IN SVCB 1 . mandatory=ech ech=AAA=
		none.example. 7 IN HTTPS 1 . alpn=h2
		none.example. 7 IN RRSIG HTTPS 13 2 7 20300101000000 20200101000000 1 example. AAAA`
	f := forwarder(newResolver(t, answers(with)))
	if _, got := f.ask(t, "shop.example.", dns.TypeHTTPS); len(got) != 3 || !strings.Contains(got[0], "ech=") {
		t.Errorf("it is taken out unasked: %q", got)
	}
	f.StripECH = true
	for name, want := range map[string][]string{
		"shop.example.": {`7 IN HTTPS 1 . mandatory="alpn" alpn="h2"`, "7 IN RRSIG A 13 2 7 20300101000000 20200101000000 1 example. AAAA"},
		"only.example.": {"7 IN SVCB 1 ."},
		"none.example.": {`7 IN HTTPS 1 . alpn="h2"`, "7 IN RRSIG HTTPS 13 2 7 20300101000000 20200101000000 1 example. AAAA"},
	} {
		if _, got := f.ask(t, name, dns.TypeHTTPS); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A server that forwards keeps localhost and names of its own to itself, and ends
// though a resolver does not answer.
func TestServeForwards(t *testing.T) {
	asked := make(chan string, 8)
	f := forwarder(newResolver(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked <- q.Question[0].Name
		if q.Question[0].Name != "silent.example." {
			w.WriteMsg(new(dns.Msg).SetReply(q))
		}
	}))
	f.Timeout = time.Hour
	s := newServer()
	s.Forward = f
	s.Hosts = map[string][2]netip.Addr{"host.internal": {netip.MustParseAddr("198.18.0.3"), netip.MustParseAddr("2001:2::3")}}
	for name, want := range map[string]string{"localhost": "NOERROR 127.0.0.1", "Host.internal": "NOERROR 198.18.0.3", "shop.example": "NOERROR"} {
		if got := ask(s, name, dns.TypeA); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := <-asked; got != "shop.example." || len(asked) > 0 {
		t.Errorf("asked for %s, and %d more", got, len(asked))
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServePacket(packets) }()
	conn, err := net.Dial("udp", packets.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	query, err := new(dns.Msg).SetQuestion("silent.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	conn.Write(query)
	<-asked
	packets.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A datagram for another server is answered as that one does, or not at all.
func TestServeAsksOthers(t *testing.T) {
	other := newResolver(t, answers("shop.example. 7 IN A 192.0.2.9"))
	var server atomic.Value
	server.Store("127.0.0.1:1") // where nobody is
	s := newServer()
	s.Forward = forwarder(newResolver(t, answers("shop.example. 7 IN A 192.0.2.1")))
	s.AskedOf = func(net.Addr) string { return server.Load().(string) }
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServePacket(packets) }()
	query := new(dns.Msg).SetQuestion("shop.example.", dns.TypeA)
	client := dns.Client{Timeout: 100 * time.Millisecond}
	if m, _, err := client.Exchange(query, packets.LocalAddr().String()); err == nil {
		t.Errorf("nobody answers with %v", m)
	}
	for _, want := range []string{"192.0.2.9", "192.0.2.1"} {
		server.Store(map[string]string{"192.0.2.9": other}[want])
		client.Timeout = 20 * time.Second
		m, _, err := client.Exchange(query, packets.LocalAddr().String())
		if err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("%v, %v, want %s", m, err, want)
		}
	}
	packets.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The resolvers are those that libc asks.
func TestNewForwarder(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"nameserver 192.0.2.1\nnameserver 2001:db8::1\noptions timeout:3 attempts:4\n":             "[192.0.2.1:53 [2001:db8::1]:53] 3s 4",
		"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n": "[192.0.2.1:53 192.0.2.2:53 192.0.2.3:53] 5s 2",
		"search example\n": "[127.0.0.1:53] 5s 2",
	} {
		file := filepath.Join(dir, "resolv.conf")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := NewForwarder(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(f.Servers, f.Timeout, f.Attempts); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if f, err := NewForwarder(filepath.Join(dir, "none")); err != nil || fmt.Sprint(f.Servers) != "[127.0.0.1:53]" {
		t.Errorf("without a file: %+v, %v", f, err)
	}
}

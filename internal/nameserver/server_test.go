package nameserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer() *Server {
	return &Server{Names: NewNames(netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:2::/48")), IPv6: true}
}

// ask returns the answer to a question as text: the code, and the records
// without name and TTL.
func ask(s *Server, name string, kind uint16) string {
	m := s.Answer(context.Background(), new(dns.Msg).SetQuestion(dns.Fqdn(name), kind))
	text := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		text += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	return text
}

func TestAnswer(t *testing.T) {
	s := newServer()
	v4, v6, _ := s.Names.Lookup("shop.example")
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"shop.example", dns.TypeA, "NOERROR " + v4.String()},
		{"SHOP.example", dns.TypeA, "NOERROR " + v4.String()},
		{"shop.example", dns.TypeAAAA, "NOERROR " + v6.String()},
		{"shop.example", dns.TypeHTTPS, fmt.Sprintf(`NOERROR 1 . alpn="h2,http/1.1" ipv4hint="%v" ipv6hint="%v"`, v4, v6)},
		{"shop.example", dns.TypeSVCB, fmt.Sprintf(`NOERROR 1 . alpn="h2,http/1.1" ipv4hint="%v" ipv6hint="%v"`, v4, v6)},
		{"shop.example", dns.TypeMX, "NOERROR"},
		{"localhost", dns.TypeA, "NOERROR 127.0.0.1"},
		{"db.localhost", dns.TypeAAAA, "NOERROR ::1"},
		{reverse(v4), dns.TypePTR, "NOERROR shop.example."},
		{reverse(v6), dns.TypePTR, "NOERROR shop.example."},
		{"1.2.0.192.in-addr.arpa", dns.TypePTR, "NXDOMAIN"},
		{"shop.example", dns.TypePTR, "NXDOMAIN"},
		{".", dns.TypeA, "NOERROR"},
	} {
		if got := ask(s, c.name, c.kind); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.name, dns.TypeToString[c.kind], got, c.want)
		}
	}
}

func reverse(a netip.Addr) string {
	name, err := dns.ReverseAddr(a.String())
	if err != nil {
		panic(err)
	}
	return name
}

func TestNoIPv6(t *testing.T) {
	s := newServer()
	s.IPv6 = false
	v4, _, _ := s.Names.Lookup("shop.example")
	for kind, want := range map[uint16]string{
		dns.TypeAAAA:  "NOERROR",
		dns.TypeHTTPS: fmt.Sprintf(`NOERROR 1 . alpn="h2,http/1.1" ipv4hint="%v"`, v4),
	} {
		if got := ask(s, "shop.example", kind); got != want {
			t.Errorf("%s: %s, want %s", dns.TypeToString[kind], got, want)
		}
	}
}

func TestWhatIsNoQuestion(t *testing.T) {
	s := newServer()
	update := new(dns.Msg).SetUpdate("example.")
	if m := s.Answer(t.Context(), update); m.Rcode != dns.RcodeNotImplemented {
		t.Errorf("an update: %s", dns.RcodeToString[m.Rcode])
	}
	if m := s.Answer(t.Context(), new(dns.Msg)); m.Rcode != dns.RcodeFormatError {
		t.Errorf("no question: %s", dns.RcodeToString[m.Rcode])
	}
}

// Each name keeps its address, no two have the same, and the last ones get none.
func TestNamesAreBounded(t *testing.T) {
	n := newServer().Names
	seen := make(map[netip.Addr]string)
	for i := range maxNames {
		name := fmt.Sprintf("host%d.example", i)
		v4, v6, ok := n.Lookup(name)
		if !ok || seen[v4] != "" || seen[v6] != "" {
			t.Fatalf("%s: %v, %v, %v; had by %q and %q", name, v4, v6, ok, seen[v4], seen[v6])
		}
		seen[v4], seen[v6] = name, name
	}
	for a, name := range seen {
		if got := n.Name(a); got != name {
			t.Fatalf("%v is %q, want %q", a, got, name)
		}
	}
	if _, _, ok := n.Lookup("host0.example"); !ok {
		t.Error("a name that had an address lost it")
	}
	if _, _, ok := n.Lookup("more.example"); ok {
		t.Error("a name beyond the bound got an address")
	}
	s := &Server{Names: n}
	if got := ask(s, "more.example", dns.TypeA); got != "SERVFAIL" {
		t.Errorf("beyond the bound: %s, want SERVFAIL", got)
	}
}

// A client of the library's own asks over a datagram socket and over a stream.
func TestServe(t *testing.T) {
	s := newServer()
	v4, _, _ := s.Names.Lookup("shop.example")
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- s.ServePacket(packets) }()
	go func() {
		conn, err := stream.Accept()
		if err == nil {
			err = s.ServeConn(t.Context(), conn)
			conn.Close()
		}
		done <- err
	}()
	for network, address := range map[string]string{"udp": packets.LocalAddr().String(), "tcp": stream.Addr().String()} {
		c := dns.Client{Net: network}
		m, _, err := c.Exchange(new(dns.Msg).SetQuestion("shop.example.", dns.TypeA), address)
		if err != nil || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != v4.String() {
			t.Errorf("%s: %v, %v", network, m, err)
		}
	}
	packets.Close()
	stream.Close()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzReverse(f *testing.F) {
	f.Add(strings.TrimSuffix(reverse(netip.MustParseAddr("192.0.2.1")), "."))
	f.Add(strings.TrimSuffix(reverse(netip.MustParseAddr("2001:db8::1")), "."))
	f.Fuzz(func(t *testing.T, name string) {
		if a, ok := parseReverse(name); ok && a.Is4() && strings.TrimSuffix(reverse(a), ".") != name {
			t.Errorf("%s is %v, whose name is %s", name, a, reverse(a))
		}
	})
}

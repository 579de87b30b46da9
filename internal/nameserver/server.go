package nameserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

const (
	// ttl is how long an answer is good for, in seconds. It does not change in
	// a run.
	ttl = 60
	// maxUDP is the longest answer over UDP, in bytes: more may not get through
	// in one packet (RFC 9715, section 3.2).
	maxUDP = 1232
)

// A Server answers queries. It must not be changed once it is in use; its
// methods may be called by several goroutines.
type Server struct {
	Names *Names
	// IPv6 says whether clients have IPv6. Without, names have no such
	// addresses.
	IPv6 bool
	// Forward is asked in place of Names. Nil: it is Names that answers.
	Forward *Forwarder
	// AskedOf returns the server that Forward is to ask in place of its own, an
	// address with a port, as the sender of a datagram meant another than this
	// one; or "". Nil: none does.
	AskedOf func(sender net.Addr) string
	// Hosts are names whose addresses, one of each family, are these, whatever
	// others say.
	Hosts map[string][2]netip.Addr
}

// maxQueries bounds the datagrams that are answered at once. One beyond waits.
const maxQueries = 64

// ServePacket answers what comes on conn until reading from it fails, and waits
// for the answers under way. It returns nil if conn was closed.
func (s *Server) ServePacket(conn net.PacketConn) error {
	b := make([]byte, dns.MaxMsgSize)
	var under sync.WaitGroup
	defer under.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // before Wait
	room := make(chan struct{}, maxQueries)
	for {
		n, from, err := conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		query := new(dns.Msg)
		if query.Unpack(b[:n]) != nil || query.Response {
			continue // nothing that an answer can be made for
		}
		room <- struct{}{}
		under.Go(func() {
			s.servePacket(ctx, conn, from, query)
			<-room
		})
	}
}

func (s *Server) servePacket(ctx context.Context, conn net.PacketConn, from net.Addr, query *dns.Msg) {
	var m *dns.Msg
	if other := s.other(from); other == "" {
		m = s.Answer(ctx, query)
	} else if m = s.Forward.AnswerOf(ctx, query, other); m == nil {
		return // nor did that server
	}
	m.Truncate(udpSize(query))
	if out, err := m.Pack(); err == nil {
		conn.WriteTo(out, from) // a lost answer is asked for again
	}
}

// other returns the server that the sender of a datagram meant, "" for this one.
func (s *Server) other(sender net.Addr) string {
	if s.Forward == nil || s.AskedOf == nil {
		return ""
	}
	return s.AskedOf(sender)
}

// udpSize returns how long an answer to a query may be (RFC 6891, section 6.2.3).
func udpSize(query *dns.Msg) int {
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
	}
	return min(size, maxUDP)
}

// ServeConn answers what comes on a stream, TCP (RFC 7766) or TLS (RFC 7858),
// until its end or that of ctx. It does not close it.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) error {
	c := &dns.Conn{Conn: stream{conn}}
	for {
		query, err := c.ReadMsg()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.WriteMsg(s.Answer(ctx, query)); err != nil {
			return err
		}
	}
}

// A stream hides what kind of connection it is from dns.Conn.
type stream struct{ net.Conn }

// Answer answers a query.
func (s *Server) Answer(ctx context.Context, query *dns.Msg) *dns.Msg {
	if s.Forward != nil && !s.isLocal(query) {
		return s.Forward.Answer(ctx, query)
	}
	m := new(dns.Msg)
	m.SetReply(query)
	m.RecursionAvailable = true
	if query.IsEdns0() != nil {
		m.SetEdns0(maxUDP, false)
	}
	switch {
	case query.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(query.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	default:
		s.answer(m, query.Question[0])
	}
	return m
}

func (s *Server) answer(m *dns.Msg, q dns.Question) {
	if q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		return
	}
	name := canonical(q.Name)
	switch {
	case q.Qtype == dns.TypePTR:
		s.answerPTR(m, q, name)
		return
	case !hasAddress(q):
		return // the name exists, but has no such record
	}
	v4, v6, ok := s.lookup(name)
	if !ok {
		m.Rcode = dns.RcodeServerFailure
		return
	}
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}
	switch q.Qtype {
	case dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: header, A: v4.AsSlice()}}
	case dns.TypeAAAA:
		if s.IPv6 {
			m.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: v6.AsSlice()}}
		}
	case dns.TypeHTTPS:
		m.Answer = []dns.RR{&dns.HTTPS{SVCB: s.binding(header, v4, v6)}}
	case dns.TypeSVCB:
		b := s.binding(header, v4, v6)
		m.Answer = []dns.RR{&b}
	}
}

// lookup returns the addresses of a name, and whether it could be given any.
func (s *Server) lookup(name string) (v4, v6 netip.Addr, ok bool) {
	if h, ok := s.Hosts[name]; ok {
		return h[0], h[1], true
	}
	if isLocalhost(name) {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(), true
	}
	return s.Names.Lookup(name)
}

// isLocalhost reports whether a canonical name is of the loopback interface (RFC
// 6761, section 6.3).
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// isLocal reports whether a query is for what no other server is to be asked.
func (s *Server) isLocal(query *dns.Msg) bool {
	if query.Opcode != dns.OpcodeQuery || len(query.Question) != 1 {
		return false
	}
	name := canonical(query.Question[0].Name)
	return isLocalhost(name) || s.Hosts[name] != [2]netip.Addr{}
}

// hasAddress reports whether a question is for something that leads to an
// address.
func hasAddress(q dns.Question) bool {
	switch q.Qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB:
		return canonical(q.Name) != ""
	}
	return false
}

// binding says that the name serves HTTP itself (RFC 9460, section 2.4.3).
func (s *Server) binding(header dns.RR_Header, v4, v6 netip.Addr) dns.SVCB {
	b := dns.SVCB{Hdr: header, Priority: 1, Target: ".", Value: []dns.SVCBKeyValue{
		&dns.SVCBAlpn{Alpn: []string{"h2", "http/1.1"}},
		&dns.SVCBIPv4Hint{Hint: []net.IP{v4.AsSlice()}},
	}}
	if s.IPv6 {
		b.Value = append(b.Value, &dns.SVCBIPv6Hint{Hint: []net.IP{v6.AsSlice()}})
	}
	return b
}

// answerPTR answers for the addresses that were given out.
func (s *Server) answerPTR(m *dns.Msg, q dns.Question, arpa string) {
	a, ok := parseReverse(arpa)
	name := ""
	if ok {
		name = s.Names.Name(a)
	}
	if name == "" {
		m.Rcode = dns.RcodeNameError
		return
	}
	m.Answer = []dns.RR{&dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: ttl}, Ptr: dns.Fqdn(name)}}
}

// parseReverse returns the address that a name below in-addr.arpa (RFC 1035,
// section 3.5) or ip6.arpa (RFC 3596, section 2.5) is for.
func parseReverse(name string) (netip.Addr, bool) {
	text := ""
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		for part := range strings.SplitSeq(digits, ".") {
			text = "." + part + text
		}
		text = strings.TrimPrefix(text, ".")
	} else if digits, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		for i, part := range strings.Split(digits, ".") {
			if i > 0 && i%4 == 0 {
				text = ":" + text
			}
			text = part + text
		}
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil
}

package nameserver

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A Forwarder answers queries by asking the resolvers of this host, and knows
// afterwards which name an address was given for. Its fields must not be changed
// once it is in use; its methods may be called by several goroutines.
type Forwarder struct {
	// Servers are asked in this order, each an address with a port.
	Servers []string
	// Timeout is how long an answer of one of them is waited for, Attempts how
	// often all of them are asked.
	Timeout  time.Duration
	Attempts int
	// StripECH takes the keys of Encrypted Client Hello (RFC 9849) out of HTTPS
	// and SVCB records, and with them the signatures: who answers a client in
	// the place of its server cannot decrypt such a hello.
	StripECH bool

	mu    sync.Mutex // guards the fields below
	names map[netip.Addr]string
	order []netip.Addr // of names, the oldest first
}

// NewForwarder returns a forwarder to the resolvers that a resolv.conf(5) names,
// those that libc asks too.
func NewForwarder(file string) (*Forwarder, error) {
	c, err := dns.ClientConfigFromFile(file)
	switch {
	case os.IsNotExist(err):
		c = &dns.ClientConfig{Timeout: 5, Attempts: 2, Port: "53"}
	case err != nil:
		return nil, err
	}
	if len(c.Servers) == 0 {
		c.Servers = []string{"127.0.0.1"}
	}
	f := &Forwarder{Timeout: time.Duration(c.Timeout) * time.Second, Attempts: c.Attempts}
	for _, s := range c.Servers[:min(len(c.Servers), maxServers)] {
		f.Servers = append(f.Servers, net.JoinHostPort(s, c.Port))
	}
	return f, nil
}

// maxServers is MAXNS of libc.
const maxServers = 3

// Answer answers a query as the resolvers do: the answer of the first of them
// that has one, or SERVFAIL when none has or ctx is done.
func (f *Forwarder) Answer(ctx context.Context, query *dns.Msg) *dns.Msg {
	var last *dns.Msg
	for range max(f.Attempts, 1) {
		for _, server := range f.Servers {
			m := f.AnswerOf(ctx, query, server)
			if m == nil {
				continue
			}
			if last = m; m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError {
				return m
			}
		}
		if last != nil || ctx.Err() != nil {
			break
		}
	}
	if last == nil {
		last = new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
		last.RecursionAvailable = true
	}
	return last
}

// AnswerOf answers a query as a server does, an address with a port; nil if it does
// not.
func (f *Forwarder) AnswerOf(ctx context.Context, query *dns.Msg, server string) *dns.Msg {
	ask := query.Copy()
	ask.Id = dns.Id()
	m, err := f.exchange(ctx, ask, server)
	if err != nil {
		return nil
	}
	m.Id = query.Id
	f.learn(query, m)
	if f.StripECH {
		stripECH(m)
	}
	return m
}

// exchange asks one server, by TCP if its answer by UDP was cut short.
func (f *Forwarder) exchange(ctx context.Context, query *dns.Msg, server string) (*dns.Msg, error) {
	m, err := f.exchangeBy(ctx, "udp", query, server)
	if err == nil && m.Truncated {
		return f.exchangeBy(ctx, "tcp", query, server)
	}
	return m, err
}

func (f *Forwarder) exchangeBy(ctx context.Context, network string, query *dns.Msg, server string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	client := dns.Client{Net: network, Timeout: f.Timeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	m, _, err := client.ExchangeWithConnContext(ctx, query, conn)
	if err == nil && !m.Response {
		err = dns.ErrId
	}
	return m, err
}

// learn notes which name the addresses of an answer were given for.
func (f *Forwarder) learn(query, answer *dns.Msg) {
	if len(query.Question) != 1 {
		return
	}
	name := canonical(query.Question[0].Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names == nil {
		f.names = make(map[netip.Addr]string)
	}
	for _, rr := range answer.Answer {
		for _, ip := range addressesOf(rr) {
			if a, ok := netip.AddrFromSlice(ip); ok {
				f.note(a.Unmap(), name)
			}
		}
	}
}

// note keeps at most maxNames addresses. The lock is held.
func (f *Forwarder) note(a netip.Addr, name string) {
	if _, ok := f.names[a]; !ok {
		if len(f.order) >= maxNames {
			delete(f.names, f.order[0])
			f.order = f.order[1:]
		}
		f.order = append(f.order, a)
	}
	f.names[a] = name
}

// Name returns the name that an address was last given for, or "".
func (f *Forwarder) Name(a netip.Addr) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.names[a]
}

// addressesOf returns the addresses that a record leads to.
func addressesOf(rr dns.RR) []net.IP {
	switch rr := rr.(type) {
	case *dns.A:
		return []net.IP{rr.A}
	case *dns.AAAA:
		return []net.IP{rr.AAAA}
	}
	var ips []net.IP
	if b := bindingOf(rr); b != nil {
		for _, kv := range b.Value {
			switch kv := kv.(type) {
			case *dns.SVCBIPv4Hint:
				ips = append(ips, kv.Hint...)
			case *dns.SVCBIPv6Hint:
				ips = append(ips, kv.Hint...)
			}
		}
	}
	return ips
}

// bindingOf returns the content of an HTTPS or SVCB record (RFC 9460), nil of
// others.
func bindingOf(rr dns.RR) *dns.SVCB {
	switch rr := rr.(type) {
	case *dns.HTTPS:
		return &rr.SVCB
	case *dns.SVCB:
		return rr
	}
	return nil
}

// stripECH takes the parameter "ech" out of an answer. What is left is not what
// was signed.
func stripECH(m *dns.Msg) {
	stripped := make(map[uint16]bool) // by type of record
	for _, section := range [][]dns.RR{m.Answer, m.Extra} {
		for _, rr := range section {
			b := bindingOf(rr)
			if b == nil {
				continue
			}
			n := len(b.Value)
			b.Value = slices.DeleteFunc(b.Value, func(kv dns.SVCBKeyValue) bool { return kv.Key() == dns.SVCB_ECHCONFIG })
			for i, kv := range b.Value {
				if mandatory, ok := kv.(*dns.SVCBMandatory); ok {
					codes := slices.DeleteFunc(mandatory.Code, func(k dns.SVCBKey) bool { return k == dns.SVCB_ECHCONFIG })
					if mandatory.Code = codes; len(codes) == 0 { // an empty list may not be (RFC 9460, section 8)
						b.Value = slices.Delete(b.Value, i, i+1)
					}
					break
				}
			}
			if len(b.Value) < n {
				stripped[rr.Header().Rrtype] = true
			}
		}
	}
	if len(stripped) == 0 {
		return
	}
	m.AuthenticatedData = false
	signature := func(rr dns.RR) bool {
		s, ok := rr.(*dns.RRSIG)
		return ok && stripped[s.TypeCovered]
	}
	m.Answer = slices.DeleteFunc(m.Answer, signature)
	m.Extra = slices.DeleteFunc(m.Extra, signature)
}

package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Match returns the first rule of Services that matches a connection to server
// whose client asked for serverName (empty if it did not), with its TLS settings
// complete: what the rule leaves open is that of c.TLS. If none matches, it
// returns a rule of the default service.
func (c *Config) Match(server netip.AddrPort, serverName string) ServiceRule {
	if i := c.MatchIndex(server, serverName); i >= 0 {
		_, r := c.Rule(i)
		return r
	}
	return ServiceRule{Service: c.Service, TLS: c.TLS}
}

// MatchIndex returns the index in Services of the rule that Match finds, or -1.
func (c *Config) MatchIndex(server netip.AddrPort, serverName string) int {
	return slices.IndexFunc(c.Services, func(r ServiceRule) bool {
		return matches(r.Prefix, r.Port, server) && matchesName(r.ServerName, serverName)
	})
}

// Rule returns a rule of Services with its TLS settings complete, and its key
// for Errorf.
func (c *Config) Rule(i int) (key string, r ServiceRule) {
	r = c.Services[i]
	r.TLS = r.TLS.over(c.TLS)
	return fmt.Sprintf("services[%d]", i), r
}

// Policy returns what is done with a SYN to server: that of the first rule of
// Accept that matches, or else [PolicyAccept].
func (c *Config) Policy(server netip.AddrPort) Policy {
	for _, r := range c.Accept {
		if matches(r.Prefix, r.Port, server) {
			return r.Policy
		}
	}
	return PolicyAccept
}

func matches(prefixes []netip.Prefix, ports []PortRange, server netip.AddrPort) bool {
	addr := server.Addr().Unmap()
	return (len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })) &&
		(len(ports) == 0 || slices.ContainsFunc(ports, func(r PortRange) bool { return r.contains(server.Port()) }))
}

func matchesName(names []ServerName, name string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(n ServerName) bool { return n.Matches(name) })
}

// over returns t with what it leaves open taken from base.
func (t TLS) over(base TLS) TLS {
	return TLS{
		MinVersion:   cmp.Or(t.MinVersion, base.MinVersion),
		MaxVersion:   cmp.Or(t.MaxVersion, base.MaxVersion),
		ClientAuth:   cmp.Or(t.ClientAuth, base.ClientAuth),
		ClientCA:     cmp.Or(t.ClientCA, base.ClientCA),
		Keys:         listOr(t.Keys, base.Keys),
		ALPN:         listOr(t.ALPN, base.ALPN),
		CipherSuites: listOr(t.CipherSuites, base.CipherSuites),
		Groups:       listOr(t.Groups, base.Groups),
	}
}

// listOr returns list, or base if list is nil: an empty list is a choice.
func listOr[T any](list, base []T) []T {
	if list == nil {
		return base
	}
	return list
}

package config

import (
	"fmt"
	"net/netip"
)

// MatchIndex returns the index of the first rule of Services that matches a
// connection, as Match does, or -1.
func (c *Config) MatchIndex(server netip.AddrPort, serverName string) int {
	for i := range c.Services {
		if r := &c.Services[i]; matches(r.Prefix, r.Port, server) && matchesName(r.ServerName, serverName) {
			return i
		}
	}
	return -1
}

// Rule returns the rule of that index, with its TLS settings complete as Match
// returns it, and its key for Errorf.
func (c *Config) Rule(i int) (key string, r ServiceRule) {
	r = c.Services[i]
	r.TLS = r.TLS.over(c.TLS)
	return fmt.Sprintf("services[%d]", i), r
}

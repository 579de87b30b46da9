package synscopetest

import (
	"net/http"
	"net/netip"

	"synscope/event"
	"synscope/stack"
	"synscope/tlsbridge"
	"synscope/tun/tuntest"
)

// A Config says how the endpoint is to answer. Its zero value answers HTTP with
// and without TLS, by the mirror: a page with the timeline of the connection.
type Config struct {
	// Handler answers HTTP, instead of the mirror.
	Handler http.Handler
	// Service answers what comes after the handshake, instead of HTTP.
	Service tlsbridge.Service
	// TLS says how our side negotiates. Nil is TLS 1.2 and 1.3 with session
	// tickets.
	TLS *tlsbridge.TLSConfig
	// Policy decides on each SYN: to refuse it, or be silent. It must not
	// block. Nil accepts all.
	Policy func(client, server netip.AddrPort) stack.Verdict

	// FromClient and FromServer decide on each packet on its way, one at a
	// time: to lose it, to send it twice, to hold it back; they may alter it.
	// Nil lets all pass.
	FromClient, FromServer func(packet []byte) tuntest.Verdict
}

// choose returns what answers each connection. It is the Select of tlsbridge.
func (c *Config) choose(event.Flow, string) tlsbridge.Endpoint {
	e := tlsbridge.Endpoint{Service: c.Service, TLS: c.TLS}
	if e.Service == nil && c.Handler != nil {
		e.Service = tlsbridge.HTTP(c.Handler)
	}
	return e
}

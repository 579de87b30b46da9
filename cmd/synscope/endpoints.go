package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"

	"synscope/event"
	"synscope/internal/config"
	"synscope/stack"
	"synscope/tlsbridge"
	"synscope/tun"
)

// endpoints are the services and TLS settings of a configuration, made once so
// that a connection only picks one.
type endpoints struct {
	cfg   *config.Config
	rules []tlsbridge.Endpoint // by the index of cfg.Services
	deflt tlsbridge.Endpoint
	pools map[string]*x509.CertPool
}

func newEndpoints(cfg *config.Config) (*endpoints, error) {
	e := &endpoints{cfg: cfg, pools: make(map[string]*x509.CertPool)}
	var err error
	if e.deflt, err = e.endpoint("", cfg.Service, cfg.TLS); err != nil {
		return nil, err
	}
	for i := range cfg.Services {
		key, r := cfg.Rule(i)
		ep, err := e.endpoint(key+".", r.Service, r.TLS)
		if err != nil {
			return nil, err
		}
		e.rules = append(e.rules, ep)
	}
	return e, nil
}

// endpoint makes one endpoint. Prefix is that of the keys in the configuration.
func (e *endpoints) endpoint(prefix, service string, t config.TLS) (tlsbridge.Endpoint, error) {
	s, err := tlsbridge.ServiceByName(service)
	if err != nil {
		return tlsbridge.Endpoint{}, e.cfg.Errorf(prefix+"service", "%s", plain(err))
	}
	tc := &tlsbridge.TLSConfig{
		MinVersion: uint16(t.MinVersion), MaxVersion: uint16(t.MaxVersion),
		ALPN: t.ALPN, ClientAuth: t.ClientAuth.Type(), SessionTickets: true,
	}
	for _, c := range t.CipherSuites {
		tc.CipherSuites = append(tc.CipherSuites, uint16(c))
	}
	for _, g := range t.Groups {
		tc.Curves = append(tc.Curves, tls.CurveID(g))
	}
	for _, k := range t.Keys {
		tc.KeyTypes = append(tc.KeyTypes, map[config.KeyType]tlsbridge.KeyType{
			config.KeyECDSA: tlsbridge.ECDSA, config.KeyRSA: tlsbridge.RSA,
		}[k])
	}
	if t.ClientCA != "" {
		if tc.ClientCAs, err = e.pool(t.ClientCA); err != nil {
			return tlsbridge.Endpoint{}, e.cfg.Errorf(prefix+"tls.client_ca", "%s: %v", t.ClientCA, err)
		}
	}
	if err := tc.Validate(); err != nil {
		return tlsbridge.Endpoint{}, e.cfg.Errorf(prefix+"tls", "%s", plain(err))
	}
	return tlsbridge.Endpoint{Service: s, TLS: tc}, nil
}

// plain is an error of tlsbridge without the package's name.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "tlsbridge: ") }

// pool reads a file of authorities, once.
func (e *endpoints) pool(path string) (*x509.CertPool, error) {
	if p := e.pools[path]; p != nil {
		return p, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, reason(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, errors.New("no PEM certificate in it")
	}
	e.pools[path] = p
	return p, nil
}

// choose picks the endpoint of a connection.
func (e *endpoints) choose(flow event.Flow, serverName string) tlsbridge.Endpoint {
	if i := e.cfg.MatchIndex(flow.Server, serverName); i >= 0 {
		return e.rules[i]
	}
	return e.deflt
}

func (d *daemon) bridgeConfig(cfg *config.Config, e *endpoints) tlsbridge.Config {
	return tlsbridge.Config{
		Authority: d.authority, TicketKeys: d.tickets, Select: e.choose,
		HandshakeTimeout: cfg.Timeouts.Handshake, IdleTimeout: cfg.Timeouts.Idle,
	}
}

func stackConfig(cfg *config.Config, dev tun.Device) stack.Config {
	c := stack.Config{
		Device: dev, Policy: policyOf(cfg),
		MaxConns: cfg.Limits.Connections, MaxConnsPerSource: cfg.Limits.ConnectionsPerSource,
		HalfOpenTimeout: cfg.Timeouts.HalfOpen, TimeWait: cfg.Timeouts.TimeWait,
	}
	for _, p := range cfg.TUN.Addresses {
		c.Prefixes = append(c.Prefixes, p.Masked())
	}
	return c
}

func policyOf(cfg *config.Config) func(client, server netip.AddrPort) stack.Verdict {
	return func(_, server netip.AddrPort) stack.Verdict {
		switch cfg.Policy(server) {
		case config.PolicyRefuse:
			return stack.Refuse
		case config.PolicySilence:
			return stack.Silence
		}
		return stack.Accept
	}
}

// clientCAFiles are the files of authorities that a configuration names.
func clientCAFiles(cfg *config.Config) []string {
	var paths []string
	add := func(p string) {
		if p != "" && !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	add(cfg.TLS.ClientCA)
	for _, r := range cfg.Services {
		add(r.TLS.ClientCA)
	}
	return paths
}

package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"synscope/event"
)

// The timeouts that a zero Config stands for.
const (
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultIdleTimeout      = 60 * time.Second
	DefaultDrainTimeout     = 2 * time.Second
)

// A Config says how a [Server] answers. Its zero value mirrors on every
// connection, plain or TLS, under an authority that nobody knows. It must not
// be changed once given to a server.
type Config struct {
	// Authority mints the certificates. Nil: the one the server has; a new
	// one, in memory, if it has none yet.
	Authority *Authority

	// TicketKeys encrypt session tickets: the first one new tickets, each of
	// them those offered. Empty: the keys the server has; a new random one if
	// it has none yet.
	TicketKeys [][32]byte

	// Select says which service answers a connection, with which TLS. It is
	// asked once: for TLS when the ClientHello is read, with the name of its
	// server_name extension as the client sent it, possibly hostile and
	// possibly empty; for plain text after the first byte, with an empty name.
	// It must not block. Nil: the zero Endpoint for all.
	Select func(flow event.Flow, serverName string) Endpoint

	// Destination returns the real destination of a client's connection, to
	// which it is then relayed. It is asked when the connection comes, and must
	// not block. Nil, or nil returned: it is answered by what Select says.
	Destination func(flow event.Flow) *Destination

	Observer Observer // nil: nobody is told
	Story    Story    // nil: the mirror has only the addresses to show

	// HandshakeTimeout is the time from the start of the connection to the
	// end of the TLS handshake, or to the first byte of plain text. Zero is
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// IdleTimeout ends a connection on which no byte moved for that long, in
	// either direction, after the handshake. Zero is DefaultIdleTimeout.
	IdleTimeout time.Duration
	// DrainTimeout is how long a connection that we close waits for the
	// client to close its side. Zero is DefaultDrainTimeout.
	DrainTimeout time.Duration

	tickets *tls.Config // has TicketKeys, which crypto/tls hashes, and nothing else
}

// An Endpoint is what answers a connection.
type Endpoint struct {
	Service Service    // nil: Mirror
	TLS     *TLSConfig // nil: the zero TLSConfig, but with session tickets
}

// A TLSConfig says how our side of TLS negotiates. The zero value is TLS 1.2
// and 1.3 as crypto/tls does them by default, without session tickets. It must
// not be changed once it is in use.
type TLSConfig struct {
	// MinVersion and MaxVersion are tls.VersionTLS10 to tls.VersionTLS13.
	// Zero is TLS 1.2 and TLS 1.3.
	MinVersion, MaxVersion uint16

	// CipherSuites are those of TLS 1.2 and older, of any that crypto/tls
	// implements, RSA key exchange, CBC and RC4 included. Nil: the defaults
	// of crypto/tls. The suites of TLS 1.3 are not configurable there.
	CipherSuites []uint16

	// Curves are the groups for the key exchange. Nil: those of crypto/tls.
	Curves []tls.CurveID

	// ALPN are the application protocols, the preferred first. Nil: those of
	// the service (h2 and http/1.1 for HTTP). Empty but not nil: none.
	ALPN []string

	// ClientAuth says whether a client certificate is asked for.
	ClientAuth tls.ClientAuthType
	// ClientCAs verify it, where ClientAuth says so.
	ClientCAs *x509.CertPool

	// KeyTypes are the types of key that the certificate may have, the
	// preferred first: the first that the client supports is taken. Nil:
	// ECDSA, RSA.
	KeyTypes []KeyType

	// SessionTickets allows resumption: RFC 5077, and RFC 8446, section 4.6.1.
	SessionTickets bool

	// Certificates are used instead of minted ones if there are any: the
	// first whose key the client supports, or else the first. Their names do
	// not matter.
	Certificates []tls.Certificate
}

// Validate returns an error if the configuration cannot work, naming the field.
func (t *TLSConfig) Validate() error {
	minVersion, maxVersion := t.versions()
	for _, v := range []uint16{minVersion, maxVersion} {
		if v < tls.VersionTLS10 || v > tls.VersionTLS13 {
			return fmt.Errorf("tlsbridge: TLS version 0x%04x is not one of TLS 1.0 to TLS 1.3", v)
		}
	}
	if minVersion > maxVersion {
		return fmt.Errorf("tlsbridge: the lowest version, %s, is above the highest, %s: set both",
			tls.VersionName(minVersion), tls.VersionName(maxVersion))
	}
	for _, id := range t.CipherSuites {
		if !implemented[id] {
			return fmt.Errorf("tlsbridge: cipher suite %s is not implemented by crypto/tls", tls.CipherSuiteName(id))
		}
	}
	for _, p := range t.ALPN {
		if len(p) == 0 || len(p) > 255 { // RFC 7301, section 3.1
			return fmt.Errorf("tlsbridge: application protocol %q is not of 1 to 255 bytes", p)
		}
	}
	if t.ClientAuth < tls.NoClientCert || t.ClientAuth > tls.RequireAndVerifyClientCert {
		return fmt.Errorf("tlsbridge: unknown client authentication %d", t.ClientAuth)
	}
	if t.ClientAuth >= tls.VerifyClientCertIfGiven && t.ClientCAs == nil {
		return errors.New("tlsbridge: client certificates are to be verified, but ClientCAs is nil: give the certificates of their issuers")
	}
	for _, k := range t.KeyTypes {
		if k != ECDSA && k != RSA {
			return fmt.Errorf("tlsbridge: unknown key type %d", k)
		}
	}
	return nil
}

func (t *TLSConfig) versions() (minVersion, maxVersion uint16) {
	minVersion, maxVersion = t.MinVersion, t.MaxVersion
	if minVersion == 0 {
		minVersion = tls.VersionTLS12
	}
	if maxVersion == 0 {
		maxVersion = tls.VersionTLS13
	}
	return minVersion, maxVersion
}

func (t *TLSConfig) keyTypes() []KeyType {
	if len(t.KeyTypes) == 0 {
		return defaultKeyTypes
	}
	return t.KeyTypes
}

var defaultKeyTypes = []KeyType{ECDSA, RSA}

// defaultTLS is what an Endpoint without TLSConfig gets.
var defaultTLS = &TLSConfig{SessionTickets: true}

// implemented tells which cipher suites crypto/tls has.
var implemented = func() map[uint16]bool {
	m := make(map[uint16]bool)
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		m[s.ID] = true
	}
	return m
}()

// complete returns a copy of c with its defaults filled in, those that the
// server keeps from old, which may be nil.
func (c Config) complete(old *Config) (*Config, error) {
	for _, d := range []struct {
		name  string
		value *time.Duration
		deflt time.Duration
	}{
		{"HandshakeTimeout", &c.HandshakeTimeout, DefaultHandshakeTimeout},
		{"IdleTimeout", &c.IdleTimeout, DefaultIdleTimeout},
		{"DrainTimeout", &c.DrainTimeout, DefaultDrainTimeout},
	} {
		if *d.value < 0 {
			return nil, fmt.Errorf("tlsbridge: %s is %v: it must be positive, or 0 for %v", d.name, *d.value, d.deflt)
		}
		if *d.value == 0 {
			*d.value = d.deflt
		}
	}
	if old != nil && c.Authority == nil {
		c.Authority = old.Authority
	}
	if old != nil && len(c.TicketKeys) == 0 {
		c.TicketKeys = old.TicketKeys
	}
	if c.Authority == nil {
		a, err := NewAuthority()
		if err != nil {
			return nil, err
		}
		c.Authority = a
	}
	if len(c.TicketKeys) == 0 {
		c.TicketKeys = [][32]byte{newTicketKey()}
	}
	c.tickets = new(tls.Config)
	c.tickets.SetSessionTicketKeys(c.TicketKeys)
	return &c, nil
}

// endpoint asks Select, and fills in what it left out.
func (c *Config) endpoint(flow event.Flow, serverName string) Endpoint {
	var e Endpoint
	if c.Select != nil {
		e = c.Select(flow, serverName)
	}
	if e.Service == nil {
		e.Service = Mirror()
	}
	if e.TLS == nil {
		e.TLS = defaultTLS
	}
	return e
}

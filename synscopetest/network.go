package synscopetest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope"
	"synscope/event"
	"synscope/internal/expect"
	"synscope/internal/host"
	"synscope/internal/ladder"
	"synscope/internal/nameserver"
	"synscope/stack"
	"synscope/tlsbridge"
	"synscope/tun/tuntest"
)

// The addresses of the network: those of the host, and the prefixes in which
// names get theirs. Every other address answers as well.
var (
	hostAddrs  = []netip.Addr{netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("2001:2::2")}
	names4     = netip.MustParsePrefix("198.18.0.0/15")
	names6     = netip.MustParsePrefix("2001:2::/48")
	everything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

const (
	mtu = 1500 // of the cable
	// patience bounds what goes on in memory and takes milliseconds.
	patience = 5 * time.Second
	// grace is how long Close waits for the test to close its connections.
	grace = time.Second
)

// A Network is an endpoint, and a host that is connected with it. Its methods
// may be called by several goroutines.
type Network struct {
	t         testing.TB
	authority *tlsbridge.Authority
	scope     *synscope.Scope
	host      *host.Host
	names     *nameserver.Names
	http      *http.Client

	closing  sync.Once
	closeErr error

	mu     sync.Mutex // guards what follows
	told   *sync.Cond // there was an event, or a connection was dialled or closed
	record *expect.Recorder
	open   map[uint64]bool           // connections without a conn.close
	newest map[netip.AddrPort]uint64 // the connection of each client address
	dialed map[*conn]bool            // what was dialled and is not closed
	closed []netip.AddrPort          // client addresses whose end was not told yet
}

// New starts a network. It ends with the test, which fails if it left a
// connection open, or if events were lost.
func New(t testing.TB, cfg Config) *Network {
	t.Helper()
	n := &Network{
		t: t, names: nameserver.NewNames(names4, names6),
		open: make(map[uint64]bool), newest: make(map[netip.AddrPort]uint64), dialed: make(map[*conn]bool),
	}
	n.told = sync.NewCond(&n.mu)
	if err := n.start(cfg); err != nil {
		t.Fatalf("synscopetest: %v", err)
	}
	n.http = &http.Client{Transport: &http.Transport{
		DialContext: n.DialContext, TLSClientConfig: n.TLSConfig(), ForceAttemptHTTP2: true,
	}}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *Network) start(cfg Config) error {
	var err error
	if n.record, err = expect.New(nil, true); err != nil {
		return err
	}
	if n.authority, err = tlsbridge.NewAuthority(); err != nil {
		return err
	}
	if cfg.TLS != nil {
		if err := cfg.TLS.Validate(); err != nil {
			return err
		}
	}
	ours, theirs := tuntest.Pipe(mtu, false)
	ours.SetFilter(cfg.FromServer)
	theirs.SetFilter(cfg.FromClient)
	if n.host, err = host.New(theirs, hostAddrs...); err != nil {
		ours.Close()
		return err
	}
	n.scope, err = synscope.Start(synscope.Config{
		Name:  n.names.Name,
		Stack: stack.Config{Device: ours, Prefixes: everything, Policy: cfg.Policy},
		TLS:   tlsbridge.Config{Authority: n.authority, Select: cfg.choose},
		Sinks: []synscope.Sink{sink{n}},
	})
	if err != nil {
		n.host.Close()
	}
	return err
}

// Client returns a client that goes through the network and trusts the endpoint.
// It is the same one each time. Its idle connections are closed by Close.
func (n *Network) Client() *http.Client { return n.http }

// TLSConfig returns a new configuration of a client that trusts the endpoint.
func (n *Network) TLSConfig() *tls.Config { return &tls.Config{RootCAs: n.Roots()} }

// Roots returns a new pool with the certificate of the endpoint's authority.
func (n *Network) Roots() *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(n.authority.Certificate())
	return roots
}

// Conns returns the connections so far, in the order of their opening. Those
// that the client side closed have ended; the others are told as far as the
// endpoint went, which is where it was when it last answered, or further.
func (n *Network) Conns() []event.Summary {
	n.settle()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.record.Conns()
}

// Timeline returns all events so far, as Conns. They must not be changed.
func (n *Network) Timeline() []*event.Event {
	n.settle()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.record.Timeline()
}

// Expect has the test fail unless an expression holds: over each connection, as
// `tls.version == "TLS 1.3"`, or over all of them and their events, as
// `conns.exists(c, c.alert == "unknown_ca")`; docs/run.md and docs/filter.md of
// synscope say what there is. The failure says what happened instead, with the
// ladders of the connections. It reports whether the expression held.
func (n *Network) Expect(expr string) bool {
	n.t.Helper()
	n.settle()
	n.mu.Lock()
	result, err := n.record.Check(expr)
	n.mu.Unlock()
	switch {
	case err != nil:
		n.t.Fatalf("synscopetest: %v", err)
	case result.Failure != "":
		var ladders strings.Builder
		for _, id := range result.Conns {
			ladders.WriteString("\n" + n.Ladder(id))
		}
		n.t.Errorf("%s%s", result.Failure, &ladders)
	}
	return result.Failure == ""
}

// Ladder draws a connection, as far as it went. It returns "" if there is no
// such connection.
func (n *Network) Ladder(conn uint64) string {
	n.mu.Lock()
	events := n.record.Events(conn)
	n.mu.Unlock()
	var b strings.Builder
	ladder.Render(&b, events, ladder.Options{Unicode: true}) // a builder takes all
	return b.String()
}

// Close ends the network; what is open is closed. The error says what is wrong
// with the test: connections that it left open, or more events than are kept. It
// is idempotent. New has it called at the end of the test.
func (n *Network) Close() error {
	n.closing.Do(func() {
		n.http.CloseIdleConnections()
		left := n.leftOpen()
		n.settle()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if left != nil {
			cancel() // nobody will close them
		}
		n.scope.Shutdown(ctx)
		n.host.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		n.closeErr = errors.Join(left, n.record.Lost())
		if n.closeErr != nil {
			n.closeErr = fmt.Errorf("synscopetest: %w", n.closeErr)
		}
	})
	return n.closeErr
}

// DialContext connects to a TCP port of the endpoint, as [net.Dialer] does. Any
// name has addresses, an IPv4 one being taken unless the network is "tcp6".
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := n.resolve(network, address)
	var raw net.Conn
	if err == nil {
		raw, err = n.host.DialContext(ctx, network, to.String())
	}
	if err != nil {
		var already *net.OpError
		if !errors.As(err, &already) {
			err = &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return nil, err
	}
	c := &conn{Conn: raw, network: n}
	n.mu.Lock()
	n.dialed[c] = true
	n.mu.Unlock()
	return c, nil
}

// resolve returns the address and port that a host and port stand for.
func (n *Network) resolve(network, address string) (netip.AddrPort, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return netip.AddrPort{}, net.UnknownNetworkError(network)
	}
	name, service, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := net.LookupPort(network, service)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return netip.AddrPortFrom(a.Unmap(), uint16(port)), nil
	}
	v4, v6, ok := n.names.Lookup(name)
	switch {
	case !ok || name == "":
		return netip.AddrPort{}, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case network == "tcp6":
		return netip.AddrPortFrom(v6, uint16(port)), nil
	}
	return netip.AddrPortFrom(v4, uint16(port)), nil
}

package stack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"synscope/tun"
)

const nicID tcpip.NICID = 1

// A Verdict is what is done with a SYN.
type Verdict int

const (
	Accept          Verdict = iota // complete the handshake
	Refuse                         // answer with RST, as a closed port does
	Silence                        // do not answer, as a firewall does
	NetUnreachable                 // answer with ICMP, as a router without a route does
	HostUnreachable                // answer with ICMP, as a router that finds no such host does
)

// Config says how a Stack is to behave. Device and Prefixes are required; the
// zero value of the rest gives the defaults.
type Config struct {
	// Device carries the packets. The Stack owns it from New on and closes it.
	Device tun.Device
	// Prefixes are the addresses that answer.
	Prefixes []netip.Prefix
	// Policy decides on each SYN, on the device's read loop: it must not
	// block. Nil accepts all.
	Policy func(client, server netip.AddrPort) Verdict
	// Decide takes the place of Policy where a verdict takes time. It is called
	// on the device's read loop and must not block: it calls decided when it
	// knows, from any goroutine. Until then the SYN is held, and one that the
	// client sends again waits with it. Why says for the observer why a SYN is
	// not accepted.
	Decide func(client, server netip.AddrPort, decided func(v Verdict, why string))
	// NoEcho has ICMP echo requests answered with ICMP unreachable: nobody is
	// to take for reachable what was not asked.
	NoEcho bool
	// Observer is told everything. Nil means nobody.
	Observer Observer

	// MaxConns and MaxConnsPerSource bound the accepted connections that are
	// neither CLOSED nor in TIME-WAIT. A SYN beyond is dropped and told, and
	// what was half-open before the bound was reached is reset. Defaults
	// 16384 and no bound.
	MaxConns, MaxConnsPerSource int
	// Backlog bounds the half-open endpoints of a port. Beyond it SYN cookies
	// are sent (RFC 4987, section 3.6). Default 1024.
	Backlog int
	// HalfOpenTimeout ends an endpoint in SYN-RECEIVED. Default 30 s.
	HalfOpenTimeout time.Duration
	// TimeWait is how long an endpoint stays in TIME-WAIT: twice the maximum
	// segment lifetime (RFC 9293, section 3.6.1). Default 60 s.
	TimeWait time.Duration
	// ListenerIdle is how long a port stays open without a SYN. Default 10 s.
	ListenerIdle time.Duration
}

func (c *Config) setDefaults() {
	if c.MaxConns == 0 {
		c.MaxConns = 16384
	}
	if c.Backlog == 0 {
		c.Backlog = 1024
	}
	if c.HalfOpenTimeout == 0 {
		c.HalfOpenTimeout = 30 * time.Second
	}
	if c.TimeWait == 0 {
		c.TimeWait = 60 * time.Second
	}
	if c.ListenerIdle == 0 {
		c.ListenerIdle = 10 * time.Second
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
}

// A Stack is a running netstack. It is a net.Listener for all addresses and
// ports that it serves. Its methods may be called by several goroutines.
type Stack struct {
	cfg       Config
	obs       Observer
	stack     *gstack.Stack
	link      *link
	flows     flows
	listeners listeners
	limits    limits
	sweep     sweeper
	held      heldSYNs
	icmpLimit rate // owned by the read loop

	cookiesMu sync.Mutex
	cookies   bool // SYN cookies are sent on all ports

	policyMu sync.RWMutex
	policyFn func(client, server netip.AddrPort) Verdict

	udpMu sync.Mutex
	udp   map[uint16]*Datagrams // by port

	accepted  chan *Conn
	closing   chan struct{} // closed by StopAccepting
	stopOnce  sync.Once
	closeOnce sync.Once
	acceptor  sync.WaitGroup // acceptLoop
	linkDone  chan struct{}  // closed when the device can no longer be read
}

// New starts a Stack. On an error the device is closed.
func New(cfg Config) (*Stack, error) {
	if cfg.Device == nil {
		return nil, errors.New("stack: Config.Device is nil")
	}
	cfg.setDefaults()
	s := &Stack{
		cfg:       cfg,
		obs:       cfg.Observer,
		policyFn:  cfg.Policy,
		limits:    limits{total: cfg.MaxConns, perSource: cfg.MaxConnsPerSource},
		icmpLimit: icmpRate,
		accepted:  make(chan *Conn, 64),
		closing:   make(chan struct{}),
		linkDone:  make(chan struct{}),
	}
	s.flows.init(s.obs, &s.limits)
	s.sweep.init(s)
	s.stack = gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocolProbe(s.probe)},
	})
	s.listeners.init(s.stack, cfg.Backlog)
	s.link = &link{stack: s, dev: cfg.Device, mtu: uint32(cfg.Device.MTU())}
	if err := s.configure(); err != nil {
		s.link.stop()
		s.stack.Destroy()
		return nil, fmt.Errorf("stack: %w", err)
	}
	s.sweep.maxTimeWait.Store(maxTimeWait)
	s.sweep.start()
	s.acceptor.Add(1) // for acceptLoop
	go s.acceptLoop()
	return s, nil
}

// allIPv4 is an address of a prefix that all addresses are in.
var allIPv4 = tcpip.ProtocolAddress{
	Protocol:          header.IPv4ProtocolNumber,
	AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{0, 0, 0, 1})},
}

// configure sets the protocol options and attaches the link.
func (s *Stack) configure() error {
	var (
		cubic    = tcpip.CongestionControlOption("cubic")
		timeWait = tcpip.TCPTimeWaitTimeoutOption(s.cfg.TimeWait)
		// Netstack's tail loss probe has no floor: on a link of microseconds
		// it retransmits for nothing, and the trace shows it.
		recovery = tcpip.TCPRecovery(0)
	)
	for _, opt := range []tcpip.SettableTransportProtocolOption{&cubic, &timeWait, &recovery} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return fmt.Errorf("set %T: %s", opt, err)
		}
	}
	// Promiscuous takes packets for addresses that the interface does not
	// have, spoofing answers from them. For that, netstack gives the interface
	// each address while it is used, and with each packet of IPv4 looks through
	// all that it has, for broadcasts. So all of IPv4 are given to it at once.
	s.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	steps := []func() tcpip.Error{
		func() tcpip.Error {
			return s.stack.CreateNICWithOptions(nicID, s.link, gstack.NICOptions{Disabled: true})
		},
		func() tcpip.Error { return s.stack.SetPromiscuousMode(nicID, true) },
		func() tcpip.Error { return s.stack.SetSpoofing(nicID, true) },
		func() tcpip.Error {
			return s.stack.AddProtocolAddress(nicID, allIPv4, gstack.AddressProperties{})
		},
		func() tcpip.Error { return s.stack.EnableNIC(nicID) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return errors.New(err.String())
		}
	}
	return nil
}

// SetPolicy replaces the policy for the SYNs that arrive from now on.
func (s *Stack) SetPolicy(f func(client, server netip.AddrPort) Verdict) {
	s.policyMu.Lock()
	s.policyFn = f
	s.policyMu.Unlock()
}

func (s *Stack) policy(client, server netip.AddrPort) Verdict {
	s.policyMu.RLock()
	f := s.policyFn
	s.policyMu.RUnlock()
	if f == nil {
		return Accept
	}
	return f(client, server)
}

// acceptLoop takes connections out of the listeners' queues.
func (s *Stack) acceptLoop() {
	defer s.acceptor.Done()
	for {
		select {
		case <-s.closing:
			return
		case l := <-s.listeners.readyC:
			l.ready.Store(false)
			for s.acceptFrom(l) {
			}
		}
	}
}

// acceptFrom takes one connection, and reports whether there may be more.
func (s *Stack) acceptFrom(l *listener) bool {
	ep, wq, terr := l.ep.Accept(nil)
	if terr != nil {
		return false
	}
	tep := ep.(*tcp.Endpoint)
	f := s.flows.add(tep.Info().(*gstack.TransportEndpointInfo).ID, tep)
	if f == nil { // the client reset it before it was accepted
		tep.Abort() // frees what was received
		return true
	}
	if f.cookie {
		l.tookCookie()
	}
	if reason := s.flows.accept(f, wq); reason != "" {
		f.explain("abort: "+reason, false)
		tep.Abort()
		s.flows.poll(f)
		return true
	}
	c := &Conn{TCPConn: gonet.NewTCPConn(wq, ep), stack: s, f: f}
	select {
	case s.accepted <- c:
		return true
	case <-s.closing:
		c.Abort("shutdown")
		return false
	}
}

// Accept returns the next connection. It implements net.Listener; the error
// after StopAccepting or Close is net.ErrClosed.
func (s *Stack) Accept() (net.Conn, error) {
	select {
	case c := <-s.accepted:
		return c, nil
	case <-s.closing:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener with the first served prefix.
func (s *Stack) Addr() net.Addr {
	if len(s.cfg.Prefixes) == 0 {
		return &net.TCPAddr{}
	}
	return &net.TCPAddr{IP: s.cfg.Prefixes[0].Addr().AsSlice()}
}

// Down returns a channel that is closed when the device can no longer be read:
// after Close, or when the interface is gone. Err then says why.
func (s *Stack) Down() <-chan struct{} { return s.linkDone }

// Err returns why the device could no longer be read. It may be called after
// Down's channel is closed.
func (s *Stack) Err() error { return s.link.readErr }

// StopAccepting closes all ports: SYNs are dropped from now on, and Accept
// returns net.ErrClosed. Open connections go on.
func (s *Stack) StopAccepting() {
	s.stopOnce.Do(func() {
		s.flows.ending.Store(true)
		close(s.closing)
		s.closeHeld()
		s.acceptor.Wait()
		s.listeners.closeAll()
		for {
			select {
			case c := <-s.accepted:
				c.Abort("shutdown")
				continue
			default:
			}
			return
		}
	})
}

// Close resets what is still open, closes the device and waits for everything
// that the Stack started. It is idempotent.
func (s *Stack) Close() error {
	s.closeOnce.Do(func() {
		s.StopAccepting()
		s.sweep.stop()
		for _, f := range s.flows.all() {
			s.flows.poll(f) // what it came to before the abort
			f.explain("abort: shutdown", false)
			f.ep.Abort()
			s.flows.poll(f)
		}
		// Destroy waits for the link under a lock that the read loop needs to
		// deliver a packet, so that the loop has to be over before.
		s.link.stop()
		s.stack.Destroy()
		for _, f := range s.flows.all() {
			s.flows.poll(f)
		}
	})
	return nil
}

// Stats are counts of what a Stack holds now and has done.
type Stats struct {
	Open        int    // accepted connections that are neither CLOSED nor in TIME-WAIT
	Endpoints   int    // TCP endpoints that are not CLOSED, TIME-WAIT included
	Ports       int    // listening ports
	WriteErrors uint64 // packets that the device did not take
}

// Stats returns the current counts.
func (s *Stack) Stats() Stats {
	s.flows.mu.RLock()
	n := len(s.flows.byKey)
	s.flows.mu.RUnlock()
	return Stats{Open: s.limits.count(), Endpoints: n, Ports: s.listeners.count(), WriteErrors: s.link.writeErrs.Load()}
}

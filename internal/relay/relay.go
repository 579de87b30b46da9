// Package relay forwards datagrams from the network of a sandbox into the world,
// as they are, and the answers back.
//
// A flow is the datagrams between one client address and one server address.
// Each has a socket of the kernel's, which is connected, so that the ICMP errors
// that a client would hear of come to it: they are passed on. As a NAT does, a
// flow is forgotten when nothing came for a while. Its beginning and its end are
// told, with the version of QUIC if that is what it begins with, and nothing
// between.
package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"synscope/event"
	"synscope/stack"
)

const (
	// DefaultIdle is how long a flow is kept on which nothing comes: what a NAT
	// keeps at least (RFC 4787, section 4.3).
	DefaultIdle = 2 * time.Minute
	// DefaultMaxFlows bounds the flows, each of which is a socket and a
	// goroutine.
	DefaultMaxFlows = 1024
)

// A Conn is the sandbox's side: a stack.Datagrams.
type Conn interface {
	net.PacketConn // addresses are of type stack.UDPFlow
	Unreachable(b []byte, addr net.Addr)
}

// An Observer is told of the flows, from several goroutines.
type Observer interface {
	UDPFlow(f event.UDPFlow)
	UDPEnd(f event.UDPEnd)
}

// A Relay forwards what comes on Conn. Its fields must not be changed once Serve
// was called.
type Relay struct {
	Conn     Conn
	Observer Observer // nil: nobody is told

	// To returns the address in the world that a server address stands for.
	// With an error the client gets an ICMP error. It must not block. Nil: each
	// stands for itself.
	To func(server netip.AddrPort) (netip.AddrPort, error)
	// Name returns the name that a server's address was given for, or "".
	// Nil: there are none.
	Name func(netip.Addr) string

	Idle     time.Duration // 0: DefaultIdle
	MaxFlows int           // 0: DefaultMaxFlows

	mu      sync.Mutex
	flows   map[event.Flow]*flow
	reading sync.WaitGroup // flow.answer
}

// Serve forwards until Conn is closed. It ends all flows, and waits for that. For
// their end to be told, Conn is to be closed before the Observer is.
func (r *Relay) Serve() error {
	if r.Idle == 0 {
		r.Idle = DefaultIdle
	}
	if r.MaxFlows == 0 {
		r.MaxFlows = DefaultMaxFlows
	}
	r.flows = make(map[event.Flow]*flow)
	b := make([]byte, maxDatagram)
	for {
		n, addr, err := r.Conn.ReadFrom(b)
		if err != nil {
			r.endAll()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		r.forward(b[:n], addr.(stack.UDPFlow))
	}
}

// forward takes a datagram of a client.
func (r *Relay) forward(b []byte, addr stack.UDPFlow) {
	r.mu.Lock()
	f := r.flows[addr.Flow]
	r.mu.Unlock()
	if f == nil {
		f = r.begin(b, addr)
	}
	if f != nil {
		f.send(b)
	}
}

// begin makes a flow for its first datagram. It returns nil if there is no way.
func (r *Relay) begin(b []byte, addr stack.UDPFlow) *flow {
	f := newFlow(r, addr)
	told := event.UDPFlow{Client: addr.Client, Server: addr.Server, QUIC: quicVersion(b)}
	if r.Name != nil {
		told.Name = r.Name(addr.Server.Addr())
	}
	to, err := addr.Server, error(nil)
	if r.To != nil {
		to, err = r.To(addr.Server)
	}
	if err == nil {
		if to != addr.Server {
			told.To = to.String()
		}
		f.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	}
	if r.Observer != nil {
		r.Observer.UDPFlow(told)
	}
	if err != nil {
		f.fromClient(b)
		f.unreachable()
		r.tellEnd(f, "failed", err)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.flows) >= r.MaxFlows {
		r.evict()
	}
	r.flows[addr.Flow] = f
	r.reading.Go(f.answer)
	return f
}

// evict ends the flow on which nothing came for the longest time. The caller
// holds r.mu.
func (r *Relay) evict() {
	var oldest *flow
	for _, f := range r.flows {
		if oldest == nil || f.lastActive().Before(oldest.lastActive()) {
			oldest = f
		}
	}
	r.forget(oldest, "evicted", nil)
}

// forget ends a flow, once. The caller holds r.mu.
func (r *Relay) forget(f *flow, how string, err error) {
	if r.flows[f.addr.Flow] != f {
		return
	}
	delete(r.flows, f.addr.Flow)
	f.conn.Close()
	r.tellEnd(f, how, err)
}

func (r *Relay) tellEnd(f *flow, how string, err error) {
	if r.Observer == nil {
		return
	}
	end := f.counts()
	end.How = how
	if err != nil {
		end.Error = err.Error()
	}
	r.Observer.UDPEnd(end)
}

// endAll ends all flows, and waits until nobody reads their sockets.
func (r *Relay) endAll() {
	r.mu.Lock()
	for _, f := range r.flows {
		r.forget(f, "shutdown", nil)
	}
	r.mu.Unlock()
	r.reading.Wait()
}

package synscope

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"synscope/event"
	"synscope/internal/outside"
	"synscope/internal/trace"
	"synscope/stack"
	"synscope/tlsbridge"
)

// A World has connections go to their real destinations. Those are dialled from
// where this process is, at the client's SYN, which is then answered as the
// destination answered.
type World struct {
	// Ours reports which connections are answered by Config.TLS.Select all the
	// same. It must not block. Nil: none.
	Ours func(flow event.Flow) bool
	// Open reports whether TLS with a server of that name, possibly hostile and
	// possibly empty, is terminated and made anew, so that it can be told in
	// full, or passes untouched. It must not block. Nil: all passes untouched.
	Open func(serverName string) bool
	// Roots are the authorities that destinations are judged by. Nil: those of
	// the system.
	Roots *x509.CertPool
	// Loopback has addresses lead to those of this host's loopback, which is
	// not reached otherwise.
	Loopback map[netip.Addr]netip.Addr
}

// A crossing is a World at work: between the stack, which asks it for verdicts,
// and the bridge, which gets the connections from it.
type crossing struct {
	World
	dialer *outside.Dialer
	name   func(netip.Addr) string // may be nil
}

func newCrossing(w World, name func(netip.Addr) string, tracer *trace.Tracer) *crossing {
	return &crossing{World: w, name: name, dialer: &outside.Dialer{
		Name: name, Loopback: w.Loopback,
		Dialled: func(client event.Flow, d event.Dial, conn net.Conn) net.Conn {
			var told tlsbridge.UpstreamObserver // nil: nobody
			if tracer != nil {
				told = tracer.Upstream(client, d)
			}
			if conn == nil {
				return nil
			}
			return tlsbridge.NewTap(conn, told)
		},
	}}
}

// decide is the Decide of the stack.
func (c *crossing) decide(client, server netip.AddrPort, decided func(stack.Verdict, string)) {
	flow := event.Flow{Client: client, Server: server}
	if c.Ours != nil && c.Ours(flow) {
		decided(stack.Accept, "")
		return
	}
	c.dialer.Dial(flow, func(r outside.Result, err error) {
		decided(verdicts[r], why(err))
	})
}

// why says why a dial failed, without what the event says anyway.
func why(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &errno):
		return "the destination: " + errno.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "the destination does not answer"
	}
	return "the destination: " + err.Error()
}

var verdicts = map[outside.Result]stack.Verdict{
	outside.Connected:       stack.Accept,
	outside.Refused:         stack.Refuse,
	outside.Silent:          stack.Silence,
	outside.NetUnreachable:  stack.NetUnreachable,
	outside.HostUnreachable: stack.HostUnreachable,
}

// A watcher is the observer of the stack, which has the crossing drop what was
// dialled for a client that is gone before its connection was accepted.
type watcher struct {
	stack.Observer
	crossing *crossing
}

// State implements stack.Observer.
func (w watcher) State(s event.EndpointState) {
	w.Observer.State(s)
	if s.Old == event.StateSynReceived && s.New == event.StateClosed {
		w.crossing.dialer.Drop(s.Flow)
	}
}

// destination is the Destination of the bridge.
func (c *crossing) destination(flow event.Flow) *tlsbridge.Destination {
	if c.Ours != nil && c.Ours(flow) {
		return nil
	}
	d := &tlsbridge.Destination{Open: c.Open, Roots: c.Roots}
	if c.name != nil {
		d.Name = c.name(flow.Server.Addr())
	}
	d.Conn, _ = c.dialer.Claim(flow).(*tlsbridge.Tap)
	return d
}

// Package synscope is a TCP and TLS endpoint in user space that shows its work:
// what exactly happened between SYN and Finished, as one timeline.
//
// [Start] runs a netstack behind a device, a TLS endpoint behind the netstack,
// and a tracer that turns what both do into events:
//
//	tun.Device > stack.Stack > tlsbridge.Server > service
//	                  \              /
//	                   trace.Tracer > Sink, Sink, …
//
// With [Config.World] a connection goes on to its real destination in place of a
// service, and both legs are told.
//
// The device is a TUN interface (package tun) or one in memory (package
// tun/tuntest), which needs no privileges.
//
// [Run] has the device be the network of a command, as `synscope run` does.
package synscope

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"synscope/event"
	"synscope/internal/trace"
	"synscope/stack"
	"synscope/tlsbridge"
	"synscope/tlsbridge/tlswire"
)

// A Sink takes events, each once and in order. It is called on one goroutine
// and must not block: what is slow belongs behind NewQueue.
type Sink interface {
	Event(e *event.Event)
}

// A Queue is a Sink that hands events on to another on a goroutine of its own.
// It is bounded; what found no room is told by a trace.gap in its place. It is
// closed after Shutdown has returned.
type Queue = trace.Queue

// NewQueue starts a queue of at most max events before sink. Flush, if it is not
// nil, is called whenever the queue has run empty.
func NewQueue(sink Sink, flush func() error, max int) *Queue {
	return trace.NewQueue(sink, flush, max)
}

// A KeyLog takes the TLS secrets of the connections, for decrypting captures of
// them. Secrets are never part of an event.
type KeyLog interface {
	Secret(s tlswire.Secret)
}

// A Capture takes every packet and the secrets of the connections, in the order
// of the frames; see internal/pcapng for the one of the command.
type Capture = trace.Capture

// Config says what a Scope is to do. Stack.Device and Stack.Prefixes, and
// TLS.Authority, are required.
type Config struct {
	// Stack configures the netstack. Its Observer is set by Start.
	Stack stack.Config
	// TLS configures the TLS endpoint and the services. Its Observer and, if
	// it is nil, its Story are set by Start.
	TLS tlsbridge.Config
	// World has connections go to their real destinations. Nil: TLS answers
	// them all.
	World *World
	// Name returns the host name that the address of a server was given for,
	// or "". It must not block. Nil means that there are none.
	Name func(netip.Addr) string
	// Sinks take the events.
	Sinks []Sink
	// KeyLog takes the secrets. Nil means nobody.
	KeyLog KeyLog
	// Capture takes the packets. Nil means nobody. It is usually one of the
	// Sinks as well, to comment on the packets.
	Capture Capture
	// Untraced has nothing observed: Sinks, KeyLog and Capture get nothing,
	// and the mirror has only the addresses to show, as TLS.Story is nil.
	Untraced bool
}

// A Scope is a running endpoint. Its methods may be called by several
// goroutines.
type Scope struct {
	tracer *trace.Tracer // nil: untraced
	stack  *stack.Stack
	bridge *tlsbridge.Server
	world  *crossing // nil: none

	serving   sync.WaitGroup // bridge.Serve
	closeOnce sync.Once
	closeErr  error
}

// Start starts an endpoint. It owns cfg.Stack.Device from then on, also if it
// returns an error. Packets are read from when Start is called.
func Start(cfg Config) (*Scope, error) {
	if cfg.Stack.Device == nil {
		return nil, errors.New("synscope: Config.Stack.Device is nil")
	}
	s := &Scope{}
	tcfg := trace.Config{
		Device: cfg.Stack.Device.Name(), Name: cfg.Name, Endpoint: event.Server, KeyLog: cfg.KeyLog, Capture: cfg.Capture,
	}
	for _, sink := range cfg.Sinks {
		tcfg.Sinks = append(tcfg.Sinks, sink)
	}
	if !cfg.Untraced {
		s.tracer = trace.New(tcfg)
		cfg.Stack.Observer = s.tracer
	}
	if cfg.World != nil {
		s.world = newCrossing(*cfg.World, cfg.Name, s.tracer)
		cfg.Stack.Decide, cfg.TLS.Destination = s.world.decide, s.world.destination
	}
	var err error
	if s.bridge, err = tlsbridge.New(s.traced(cfg.TLS)); err != nil {
		cfg.Stack.Device.Close()
		s.closeTracer()
		return nil, err
	}
	if s.world != nil && s.tracer != nil { // untraced, what was dialled in vain waits for its time
		cfg.Stack.Observer = watcher{s.tracer, s.world}
	}
	if s.stack, err = stack.New(cfg.Stack); err != nil {
		s.closeTracer()
		return nil, err
	}
	s.serving.Add(1) // for bridge.Serve
	go func() {
		defer s.serving.Done()
		s.bridge.Serve(listener{s.stack}) // ends when the stack stops accepting
	}()
	return s, nil
}

// traced has the tracer observe a TLS endpoint, and tell its mirror.
func (s *Scope) traced(tls tlsbridge.Config) tlsbridge.Config {
	if s.tracer == nil {
		return tls
	}
	tls.Observer = observer{s.tracer}
	if tls.Story == nil {
		tls.Story = story{s.tracer}
	}
	return tls
}

func (s *Scope) closeTracer() {
	if s.tracer != nil {
		s.tracer.Close()
	}
}

// An observer is a tracer as the bridge sees it.
type observer struct{ *trace.Tracer }

func (o observer) Upstream(client event.Flow, dial event.Dial) tlsbridge.UpstreamObserver {
	return o.Tracer.Upstream(client, dial)
}

// A listener is a stack as the bridge sees it, which closes its listeners first
// of all: open connections must outlive that.
type listener struct{ *stack.Stack }

func (l listener) Close() error {
	l.StopAccepting()
	return nil
}

// Reconfigure replaces what is decided for each new connection: the policy for
// SYNs, and the TLS endpoint's configuration. Open connections go on as they
// were.
func (s *Scope) Reconfigure(policy func(client, server netip.AddrPort) stack.Verdict, tls tlsbridge.Config) error {
	if s.world != nil {
		tls.Destination = s.world.destination
	}
	if err := s.bridge.Reconfigure(s.traced(tls)); err != nil {
		return err
	}
	s.stack.SetPolicy(policy)
	return nil
}

// DeviceChanged tells the sinks of a change of the interface.
func (s *Scope) DeviceChanged(d event.Device) { s.tell(&d) }

// UDPFlow and UDPEnd tell the sinks of datagrams that whoever listens on UDP
// forwards.
func (s *Scope) UDPFlow(f event.UDPFlow) { s.tell(&f) }
func (s *Scope) UDPEnd(f event.UDPEnd)   { s.tell(&f) }

func (s *Scope) tell(body event.Body) {
	if s.tracer != nil {
		s.tracer.Tell(body)
	}
}

// Events returns the events so far of the newest connection of a flow, or nil
// if there is none that is open, or if it is not traced.
func (s *Scope) Events(ctx context.Context, flow event.Flow) ([]*event.Event, error) {
	if s.tracer == nil {
		return nil, nil
	}
	if err := s.tracer.Sync(ctx); err != nil {
		return nil, err
	}
	return s.tracer.Events(flow), nil
}

// ListenUDP takes the datagrams to a port, or with 0 to all ports that nobody
// else takes, on whatever served address. It ends when it is closed or the Scope
// is.
func (s *Scope) ListenUDP(port uint16) (*stack.Datagrams, error) { return s.stack.ListenUDP(port) }

// Stats returns counts of what the stack holds.
func (s *Scope) Stats() stack.Stats { return s.stack.Stats() }

// Down returns a channel that is closed when the device can no longer be read;
// Err then says why.
func (s *Scope) Down() <-chan struct{} { return s.stack.Down() }

// Err returns why the device can no longer be read. It may be called after
// Down's channel is closed.
func (s *Scope) Err() error { return s.stack.Err() }

// Shutdown ends the endpoint in order: no new connection is accepted, open ones
// are closed orderly until ctx is done, what is left is reset, and the sinks
// get the last events. It waits for all that Start started. It is idempotent.
func (s *Scope) Shutdown(ctx context.Context) error {
	s.closeOnce.Do(func() {
		if s.world != nil {
			s.world.dialer.Close()
		}
		s.stack.StopAccepting()
		s.serving.Wait()
		s.closeErr = s.bridge.Shutdown(ctx)
		s.stack.Close()
		s.closeTracer()
	})
	return s.closeErr
}

// Close is Shutdown without waiting for open connections.
func (s *Scope) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	return nil
}

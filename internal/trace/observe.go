package trace

import (
	"context"
	"errors"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// Packet queues a packet and returns its ordinal in the run. With the methods
// below, it implements stack.Observer.
func (t *Tracer) Packet(p *event.Packet) uint64 { return t.q.pushPacket(p) }

// State queues a state of one of our endpoints.
func (t *Tracer) State(s event.EndpointState) {
	t.q.push(observation{at: s.Time, flow: s.Flow, state: &s})
}

// Drop queues that a segment was kept from the stack.
func (t *Tracer) Drop(d event.PacketDrop) {
	t.q.push(observation{at: d.Time, flow: d.Flow, drop: &d})
}

// Unreachable queues a packet that no connection can come of.
func (t *Tracer) Unreachable(at time.Time, u *event.Unreachable) {
	t.q.push(observation{at: at, unreachable: u})
}

// Tell queues what belongs to no connection, as a change of the interface.
func (t *Tracer) Tell(body event.Body) {
	t.q.push(observation{at: time.Now(), other: body})
}

// TLSStart queues that our TLS endpoint begins a handshake. With the methods
// below, it implements tlsbridge.Observer.
func (t *Tracer) TLSStart(flow event.Flow) { t.tls(flow, tlsObservation{start: true}) }

// Secret queues a secret of a connection. The slices are the tracer's from then
// on.
func (t *Tracer) Secret(flow event.Flow, label string, clientRandom, secret []byte, candidate bool) {
	t.tls(flow, tlsObservation{secret: &tlswire.Secret{
		Label: label, ClientRandom: clientRandom, Secret: secret, Candidate: candidate,
	}})
}

// Step queues what our TLS endpoint says of a step.
func (t *Tracer) Step(flow event.Flow, step event.TLSStep) { t.tls(flow, tlsObservation{step: &step}) }

// TLSEnd queues that our TLS endpoint's handshake is over.
func (t *Tracer) TLSEnd(flow event.Flow, err error) { t.tls(flow, tlsEnded(err)) }

// tlsEnded is the end of a handshake of our TLS endpoint.
func tlsEnded(err error) tlsObservation {
	o := tlsObservation{end: true}
	if err != nil {
		o.err = err.Error()
	}
	return o
}

func (t *Tracer) tls(flow event.Flow, o tlsObservation) {
	t.q.push(observation{at: time.Now(), flow: flow, tls: &o})
}

// errClosed is the error of Sync when the tracer is closed.
var errClosed = errors.New("trace: the tracer is closed")

// Sync waits until everything observed before the call has been told to the
// sinks, or ctx is done.
func (t *Tracer) Sync(ctx context.Context) error {
	done := make(chan struct{})
	if !t.q.push(observation{at: time.Now(), barrier: done}) {
		return errClosed
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

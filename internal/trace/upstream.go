package trace

import "synscope/event"

// An Upstream is an upstream leg as the bridge tells of it. It implements
// tlsbridge.UpstreamObserver.
type Upstream struct {
	t *Tracer
}

// Upstream queues what came of dialling a destination for the connection of a
// client, and returns who is told of the leg.
func (t *Tracer) Upstream(client event.Flow, dial event.Dial) *Upstream {
	return &Upstream{t: t}
}

// Bytes queues the next bytes of a direction. They are copied.
func (u *Upstream) Bytes(from event.Side, b []byte) {}

// End queues that a direction ended: "fin", or "rst", which ends both.
func (u *Upstream) End(from event.Side, how string) {}

// TLSStart queues that our TLS client begins a handshake.
func (u *Upstream) TLSStart() {}

// Secret queues a secret. Its arguments are copied.
func (u *Upstream) Secret(label string, clientRandom, secret []byte) {}

// Step queues what our TLS client says of a step.
func (u *Upstream) Step(step event.TLSStep) {}

// TLSEnd queues that our TLS client's handshake is over.
func (u *Upstream) TLSEnd(err error) {}

// Close queues that the leg is closed.
func (u *Upstream) Close(info event.TransportInfo) {}

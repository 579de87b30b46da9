package trace

import (
	"bytes"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// An Upstream is an upstream leg as the bridge tells of it: with its methods, it
// implements tlsbridge.UpstreamObserver.
type Upstream struct {
	q    *queue
	lost [3]int // by Side: bytes that found no room, not told yet; guarded by q
	conn *conn  // owned by the tracer's goroutine; nil before it is opened
}

// Upstream queues what came of dialling a destination for the connection of a
// client, and returns who is told of the leg.
func (t *Tracer) Upstream(client event.Flow, dial event.Dial) *Upstream {
	u := &Upstream{q: &t.q}
	t.q.push(observation{at: dial.Time.Add(dial.Duration), flow: client, leg: u, upstream: &legObservation{dial: &dial}})
	return u
}

// Bytes queues the next bytes of a direction. They are copied.
func (u *Upstream) Bytes(from event.Side, b []byte) { u.q.pushBytes(u, time.Now(), from, b) }

// End queues that a direction ended: "fin", "rst", which ends both, or "timeout",
// if we gave up waiting.
func (u *Upstream) End(from event.Side, how string) {
	u.tell(&legObservation{from: from, end: how})
}

// Close queues that the leg is closed.
func (u *Upstream) Close(info event.TransportInfo) { u.tell(&legObservation{info: &info}) }

func (u *Upstream) tell(o *legObservation) {
	u.q.push(observation{at: time.Now(), leg: u, upstream: o})
}

// TLSStart queues that our TLS client begins a handshake.
func (u *Upstream) TLSStart() { u.tls(tlsObservation{start: true}) }

// Secret queues a secret. Its arguments are copied.
func (u *Upstream) Secret(label string, clientRandom, secret []byte) {
	u.tls(tlsObservation{secret: &tlswire.Secret{
		Label: label, ClientRandom: bytes.Clone(clientRandom), Secret: bytes.Clone(secret),
	}})
}

// Step queues what our TLS client says of a step.
func (u *Upstream) Step(step event.TLSStep) { u.tls(tlsObservation{step: &step}) }

// TLSEnd queues that our TLS client's handshake is over.
func (u *Upstream) TLSEnd(err error) { u.tls(tlsEnded(err)) }

func (u *Upstream) tls(o tlsObservation) {
	u.q.push(observation{at: time.Now(), leg: u, tls: &o})
}

package tlsbridge

import "synscope/event"

// An UpstreamObserver is told of an upstream leg: the connection to the real
// destination that was dialled for the connection of a client. Its methods must
// not block. They may be called from several goroutines; of each direction, and
// of the TLS endpoint, one at a time. What it is given is copied.
type UpstreamObserver interface {
	// Bytes tells the next bytes of a direction: from Client what we write,
	// from Server what we read.
	Bytes(from event.Side, b []byte)

	// End tells that a direction ended: "fin", or "rst", which ends both.
	End(from event.Side, how string)

	// TLSStart, Secret, Step and TLSEnd are those of Observer, of our TLS
	// client on the leg. They are not called where bytes pass through.
	TLSStart()
	Secret(label string, clientRandom, secret []byte)
	Step(step event.TLSStep)
	TLSEnd(err error)

	// Close tells that the leg is closed, with what the kernel counted. What
	// is told after it is ignored.
	Close(info event.TransportInfo)
}

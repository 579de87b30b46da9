package trace

import (
	"net/netip"

	"synscope/event"
	"synscope/internal/pack"
	"synscope/tlsbridge/tlswire"
)

// A Sink takes events. It is called on the tracer's goroutine and must not
// block; see Queue for one that may.
type Sink interface {
	Event(e *event.Event)
}

// A BatchSink is a Sink that takes several events at once. It gets them a little
// later, when the observations at hand are done, by Events only. The slice is valid
// during the call.
type BatchSink interface {
	Sink
	Events(es []*event.Event)
}

// A Keeper is a Sink that keeps the events of connections that are open. When one
// rests, it is given them packed, to have in their place.
type Keeper interface {
	Sink
	// Packed gives events of a connection that Event was given before. It is
	// called as Event is.
	Packed(conn uint64, p *pack.Packed)
}

// A KeyLog takes the secrets of connections, once each, when it is known that
// they were used. It is called on the tracer's goroutine, which waits for it.
type KeyLog interface {
	Secret(s tlswire.Secret)
}

// A Capture takes every packet, with the connection that it belongs to (0: none),
// in the order of the frames, and the secrets of the connections. It is called
// on the tracer's goroutine and must not block.
type Capture interface {
	// Packet takes a packet, in one or more Views, of which the first has all
	// headers. What p refers to is valid during the call.
	Packet(frame, conn uint64, p event.Packet)
	// Secret takes a secret of a connection.
	Secret(conn uint64, s tlswire.Secret)
	// Ready tells that no secret of the connection is to be waited for: its
	// handshake is over, or it carries no TLS.
	Ready(conn uint64)
}

// Config says what a Tracer is to do.
type Config struct {
	// Device names the interface, for conn.open.
	Device string
	// Name returns the host name that the address of a server was given for,
	// or "", for conn.open. It is called on the tracer's goroutine and must
	// not block. Nil means that there are none.
	Name func(netip.Addr) string
	// Endpoint is the side whose TCP states the endpoint itself tells, so
	// that they are not inferred: Server for a stack of ours, NoSide for
	// packets of others.
	Endpoint event.Side
	// Sinks take the events, in this order, but each BatchSink a little later.
	Sinks []Sink
	// KeyLog takes the secrets. Nil means nobody.
	KeyLog KeyLog
	// Capture takes the packets. Nil means nobody. It is usually one of the
	// Sinks as well.
	Capture Capture
}

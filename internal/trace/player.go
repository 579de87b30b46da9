package trace

import (
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// A Recorded packet is one of a capture.
type Recorded struct {
	// Time is when it was captured; the zero time if that is not known.
	Time time.Time
	// Frame is the ordinal of the packet, ascending.
	Frame uint64
	// IP is the packet from its IP header on, valid during the call of Packet.
	IP []byte
	// Len is the length of the packet on the wire: more than len(IP) where the
	// capture cut it.
	Len int
}

// A player makes events of recorded packets. It goes by their times: the events
// of a packet are told before packet returns. It is owned by one goroutine.
type player struct {
	engine *engine
	begun  bool
	swept  time.Time // when housekeep was last called
}

// newPlayer returns a player. Of cfg, Endpoint is to be NoSide.
func newPlayer(cfg Config, l limits) *player {
	e := newEngine(cfg, l, time.Time{})
	e.keys = newKeyRing(l.randoms)
	return &player{engine: e}
}

// packet tells what a packet means. It reports whether it is one of TCP.
func (r *player) packet(p Recorded) bool {
	e := r.engine
	at := r.clock(p.Time)
	if !isTCP(&e.pkt, &p) {
		return false
	}
	o := observation{at: at}
	o.packet = &packet{frame: p.Frame, buf: p.IP, length: p.Len}
	o.flow, o.packet.from = e.orient()
	e.segment(&o)
	return true
}

// isTCP parses a packet, and reports whether it is a whole one of TCP.
func isTCP(into *tcptrack.Packet, p *Recorded) bool {
	return into.ParseLen(p.IP, p.Len) == nil && into.Protocol == tcptrack.ProtocolTCP && !into.Fragment
}

// clock sets the time of the engine, which never goes back, and returns that of
// the packet: its own, or, if it has none, the newest one before it.
func (r *player) clock(at time.Time) time.Time {
	e := r.engine
	if at.IsZero() {
		return e.now
	}
	if !r.begun {
		r.begun = true
		e.start, e.now, r.swept = at, at, at
	}
	if at.After(e.now) {
		e.now = at
	}
	if e.now.Sub(r.swept) >= housekeeping {
		e.housekeep()
		r.swept = e.now
	}
	return at
}

// secret takes a secret, for whatever connection has its client random.
func (r *player) secret(s tlswire.Secret) { r.engine.keys.add(s) }

// close ends the connections that the recording left open.
func (r *player) close() { r.engine.closeAll("end_of_capture") }

// orient says which connection the packet at hand is of, and from which side.
func (t *engine) orient() (event.Flow, event.Side) {
	p := &t.pkt
	ahead, back := event.Flow{Client: p.Src, Server: p.Dst}, event.Flow{Client: p.Dst, Server: p.Src}
	syn := p.Flags.Has(event.SYN) && !p.Flags.Has(event.ACK)
	if t.conns[ahead] != nil {
		return ahead, event.Client
	}
	if c := t.conns[back]; c != nil {
		if !syn || !c.closed {
			return back, event.Server
		}
		c.forget() // the ports are used the other way round now
	}
	if syn || !p.Flags.Has(event.SYN) && t.sentByClient() {
		return ahead, event.Client
	}
	return back, event.Server
}

// sentByClient reports whether the packet at hand, the first of its connection
// and no SYN, is from the client.
func (t *engine) sentByClient() bool {
	p := &t.pkt
	const clientHello, serverHello = 1, 2
	switch tlswire.HelloType(p.Payload) {
	case clientHello:
		return true
	case serverHello:
		return false
	}
	return p.Src.Port() >= p.Dst.Port()
}

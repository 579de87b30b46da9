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
	// IP is the packet from its IP header on, valid during the call.
	IP []byte
	// Len is the length of the packet on the wire: more than len(IP) where the
	// capture cut it.
	Len int
}

// A Replay makes events of recorded packets. It goes by their times and has no
// goroutine: the events of a packet are told before Packet returns. Which side
// is the client is told by the segments; see [Replay.Packet]. Both sides' states
// are inferred. Checksums are not verified: a sender that leaves them to its
// device is captured before they are made. It is owned by one goroutine.
type Replay struct {
	engine *engine
	begun  bool
	swept  time.Time // when housekeep was last called
}

// NewReplay returns a Replay. Of cfg, Endpoint is to be NoSide.
func NewReplay(cfg Config) *Replay { return newReplay(cfg, replayLimits) }

func newReplay(cfg Config, l limits) *Replay {
	e := newEngine(cfg, l, time.Time{})
	e.keys = newKeyRing(l.randoms)
	return &Replay{engine: e}
}

// Packet tells what a packet means. It reports whether it is one of TCP; others
// are passed over, and so is one whose headers are malformed.
//
// The client of a connection is who sent its SYN. Where the capture begins
// later, it is who sent a ClientHello or was sent a ServerHello, if the first
// segment seen has one of them, and else the side with the higher port.
func (r *Replay) Packet(p Recorded) bool {
	e := r.engine
	at := r.clock(p.Time)
	if e.pkt.ParseLen(p.IP, p.Len) != nil || e.pkt.Protocol != tcptrack.ProtocolTCP || e.pkt.Fragment {
		return false
	}
	o := observation{at: at}
	o.packet = &packet{frame: p.Frame, buf: p.IP, length: p.Len}
	o.flow, o.packet.from = e.orient()
	e.segment(&o)
	return true
}

// clock sets the time of the engine, which never goes back, and returns that of
// the packet: its own, or, if it has none, the newest one before it.
func (r *Replay) clock(at time.Time) time.Time {
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

// Secret takes a secret, for whatever connection has its client random. It is to
// come before the packets that it opens. The secret is the Replay's from then
// on.
func (r *Replay) Secret(s tlswire.Secret) {
	r.engine.keys.add(s)
	if n := r.engine.keys.takeDropped(); n > 0 {
		r.Lost(n, "secrets", "more client randoms than are kept")
	}
}

// Lost tells that n of something could not be read.
func (r *Replay) Lost(n uint64, what, reason string) {
	r.engine.tell(r.engine.now, &event.Gap{Lost: n, What: what, Reason: reason})
}

// Close ends the connections that the recording left open, each with a
// conn.close.
func (r *Replay) Close() { r.engine.closeAll("end_of_capture") }

// orient says which connection the packet at hand is of, and from which side.
func (t *engine) orient() (event.Flow, event.Side) {
	p := &t.pkt
	ahead, back := event.Flow{Client: p.Src, Server: p.Dst}, event.Flow{Client: p.Dst, Server: p.Src}
	syn := p.Flags.Has(event.SYN) && !p.Flags.Has(event.ACK)
	if t.conns[ahead] != nil {
		return ahead, event.Client
	}
	if c := t.conns[back]; c != nil && !(syn && c.closed) {
		return back, event.Server
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

package stack

import (
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"synscope/event"
)

// maxHeldSYNs bounds the SYNs whose verdict is awaited. One beyond is dropped and
// told: the client sends it again.
const maxHeldSYNs = 1024

// heldSYNs are the SYNs whose verdict is awaited, by the flow that they begin.
type heldSYNs struct {
	// mu is held while a verdict is carried out, so that none is after close.
	mu     sync.Mutex
	byFlow map[event.Flow]*inbound
	given  givenSYNs
	closed bool
}

// settling is how long netstack is left to answer a SYN that it was given. Where
// thousands of connections are made at once on few cores, it may take more than a
// second. It is less than two retransmissions take (RFC 6298, section 2), so that
// one is soon tried again that netstack dropped.
const settling = 2 * time.Second

// maxGivenSYNs bounds what is remembered of them.
const maxGivenSYNs = 4096

// givenSYNs are the SYNs that netstack was given within settling. Until it has
// answered one there is no endpoint, and one that is sent again looks new.
type givenSYNs struct {
	at    map[synID]time.Time
	order []synID // the oldest first
}

// A synID is the same for a SYN that is sent again, and for no other.
type synID struct {
	flow event.Flow
	seq  uint32
}

func (g *givenSYNs) add(id synID, now time.Time) {
	for len(g.order) > 0 && (len(g.order) >= maxGivenSYNs || !g.has(g.order[0], now)) {
		delete(g.at, g.order[0])
		g.order = g.order[1:]
	}
	if g.at == nil {
		g.at = make(map[synID]time.Time)
	}
	g.at[id] = now
	g.order = append(g.order, id)
}

func (g *givenSYNs) has(id synID, now time.Time) bool {
	at, ok := g.at[id]
	return ok && now.Sub(at) < settling
}

// closeHeld gives up the SYNs that are held, and tells of each that it will not
// be answered.
func (s *Stack) closeHeld() {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	s.held.closed = true
	for _, in := range s.held.byFlow {
		s.drop(in, "no verdict so far", true)
	}
	s.held.byFlow = nil
}

// hold keeps a SYN until Config.Decide has decided on it. It runs on the read
// loop.
func (s *Stack) hold(in *inbound) {
	flow := event.Flow{Client: in.pkt.Src, Server: in.pkt.Dst}
	fresh, reason := s.held.add(flow, in)
	if reason != "" {
		s.drop(in, reason, false)
	}
	if !fresh {
		return
	}
	s.cfg.Decide(flow.Client, flow.Server, func(v Verdict, why string) { s.decided(flow, v, why) })
}

// add keeps a copy of a SYN, or returns why not. That one before it is held, or
// was given to netstack just now, is no reason to tell of: it waits for the same
// verdict, or the same answer.
func (h *heldSYNs) add(flow event.Flow, in *inbound) (fresh bool, refused string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return false, "shutting down"
	case h.byFlow[flow] != nil, h.given.has(synID{flow, in.pkt.Seq}, in.Time):
		return false, ""
	case len(h.byFlow) >= maxHeldSYNs:
		return false, "too many SYNs are held"
	}
	if h.byFlow == nil {
		h.byFlow = make(map[event.Flow]*inbound)
	}
	h.byFlow[flow] = in.clone()
	return true, ""
}

// clone returns a copy that outlives the read loop's buffers.
func (in *inbound) clone() *inbound {
	var b []byte
	for _, v := range in.Views {
		b = append(b, v...)
	}
	c := &inbound{Packet: in.Packet, verified: in.verified, frame: in.frame}
	c.Memory = nil
	c.Views = append(c.views[:0], b)
	c.pkt.Parse(b) // as it was parsed before
	return c
}

// decided carries out the verdict on a held SYN.
func (s *Stack) decided(flow event.Flow, v Verdict, why string) {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	in := s.held.byFlow[flow]
	if in == nil {
		return // decided before, or the stack is closed
	}
	delete(s.held.byFlow, flow)
	if s.judge(in, v, why) {
		s.held.given.add(synID{flow, in.pkt.Seq}, time.Now())
		s.link.deliver(flow.Server.Addr().Is4(), gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(in.Views[0])}))
	}
}

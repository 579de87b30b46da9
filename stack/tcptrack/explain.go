package tcptrack

import "synscope/event"

// Explain says why a side moved from one state to another, where its endpoint
// itself told the states: from the segments seen so far. For what an
// application does, and where no segment explains it, the caller knows more.
func (c *Conn) Explain(side event.Side, old, new event.State) event.Cause {
	h, peer := &c.halfs[side], &c.halfs[side.Peer()]
	segment := func(n uint64) event.Cause {
		if n == 0 {
			return event.Cause{By: event.Unknown}
		}
		return bySegment(n)
	}
	switch new {
	case event.StateSynSent:
		return byCall("connect", h.synN)
	case event.StateSynReceived:
		return segment(peer.synN)
	case event.StateEstablished:
		if old == event.StateSynSent {
			return segment(max(peer.synN, h.synAckedN))
		}
		return segment(h.synAckedN)
	case event.StateFinWait1, event.StateLastAck:
		return byCall("close", h.finN)
	case event.StateCloseWait, event.StateClosing:
		return segment(peer.finN)
	case event.StateFinWait2:
		return segment(h.finAckedN)
	case event.StateTimeWait:
		if old == event.StateClosing {
			return segment(h.finAckedN)
		}
		return segment(peer.finN)
	case event.StateClosed:
		switch {
		case old == event.StateTimeWait:
			return event.Cause{By: event.ByTimer, What: "TIME-WAIT"}
		case old == event.StateLastAck && h.finAckedN != 0:
			return segment(h.finAckedN)
		}
		return segment(h.resetN) // by a RST of the peer's
	}
	return event.Cause{By: event.Unknown}
}

// steps are the transitions of RFC 9293, figure 5, that an endpoint makes after
// a passive open without any other having been possible in between.
var steps = map[event.State]event.State{
	event.StateListen:      event.StateSynReceived,
	event.StateSynReceived: event.StateEstablished,
	event.StateEstablished: event.StateCloseWait,
	event.StateCloseWait:   event.StateLastAck,
}

// Path returns the states after old, up to and with new, that an endpoint must
// have gone through, where some were too short to be observed. It returns nil
// if new is not reached by a passive open and close alone, or in more than one
// way.
func Path(old, new event.State) []event.State {
	if old == event.StateListen && new == event.StateEstablished {
		return nil // with a SYN cookie there is no SYN-RECEIVED
	}
	var path []event.State
	for s, ok := steps[old]; ok; s, ok = steps[s] {
		path = append(path, s)
		if s == new {
			return path
		}
	}
	return nil
}

// Path is like the function Path for one side of this connection, whose
// segments tell one more case: from FIN-WAIT-1 to TIME-WAIT it went through
// FIN-WAIT-2 if its FIN was acknowledged first or by the peer's FIN itself (RFC
// 9293, section 3.10.7.4, fifth and eighth step), and else through CLOSING.
func (c *Conn) Path(side event.Side, old, new event.State) []event.State {
	if old == event.StateFinWait1 && new == event.StateTimeWait {
		acked, fin := c.halfs[side].finAckedN, c.halfs[side.Peer()].finN
		switch {
		case acked == 0 || fin == 0:
			return nil
		case acked <= fin:
			return []event.State{event.StateFinWait2, event.StateTimeWait}
		}
		return []event.State{event.StateClosing, event.StateTimeWait}
	}
	return Path(old, new)
}

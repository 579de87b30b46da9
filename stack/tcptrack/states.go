package tcptrack

import "synscope/event"

// The state machine of RFC 9293, figure 5, as far as segments show it:
//
//	                        +--------+  SYN seen   +--------+
//	                        | CLOSED |             | LISTEN |
//	                        +--------+             +--------+
//	              sends SYN  |                        |  answers SYN with SYN-ACK
//	                         V                        V
//	                    +----------+          +--------------+
//	                    | SYN-SENT |--------->| SYN-RECEIVED |
//	                    +----------+ SYN came +--------------+
//	        acks the SYN-ACK |                        |  ACK of its SYN came
//	                         +------->+-------------+<+
//	              sends FIN  |        | ESTABLISHED |  |  acks the peer's FIN
//	              +----------+--------+-------------+--+---------+
//	              V                                              V
//	       +------------+  acks the peer's FIN             +------------+
//	       | FIN-WAIT-1 |-------------+                    | CLOSE-WAIT |
//	       +------------+             |                    +------------+
//	  ACK of FIN |                    V                          | sends FIN
//	             V               +---------+                     V
//	       +------------+        | CLOSING |               +----------+
//	       | FIN-WAIT-2 |        +---------+               | LAST-ACK |
//	       +------------+             | ACK of FIN          +----------+
//	  acks the   |                    V                          | ACK of FIN
//	  peer's FIN |              +-----------+                    V
//	             +------------->| TIME-WAIT |               +--------+
//	                            +-----------+               | CLOSED |
//	                                                        +--------+
//
// A side is known to have accepted the peer's FIN when it acknowledges it, not
// when the FIN was sent.

// move records a transition.
func (c *Conn) move(side event.Side, to event.State, cause event.Cause) {
	h := &c.halfs[side]
	c.transitions = append(c.transitions, Transition{side, h.state, to, cause})
	h.state = to
}

func bySegment(n uint64) event.Cause { return event.Cause{By: event.BySegment, N: n} }
func byCall(what string, n uint64) event.Cause {
	return event.Cause{By: event.ByCall, What: what, N: n}
}

// advance makes the transitions that a segment without RST implies.
func (c *Conn) advance(n uint64, from event.Side, s, r *half, p *Packet) {
	if p.Flags.Has(event.SYN) {
		c.syn(n, from, s, r, p)
	}
	if p.Flags.Has(event.ACK) {
		c.ack(n, from, s, r, p)
	}
	if p.Flags.Has(event.FIN) && !s.fin {
		switch s.state {
		case event.StateEstablished, event.StateSynReceived:
			c.move(from, event.StateFinWait1, byCall("close", n))
		case event.StateCloseWait:
			c.move(from, event.StateLastAck, byCall("close", n))
		}
	}
}

func (c *Conn) syn(n uint64, from event.Side, s, r *half, p *Packet) {
	answer := p.Flags.Has(event.ACK)
	switch {
	case !answer && s.state == event.StateClosed && s.synN == n:
		c.move(from, event.StateSynSent, byCall("connect", n))
	case !answer && s.state == event.StateListen && s.synN == n: // simultaneous open
		s.state = event.StateClosed
		c.move(from, event.StateSynSent, byCall("connect", n))
	case answer && s.state == event.StateListen && r.synN != 0 && p.Ack == r.isn+1:
		c.move(from, event.StateSynReceived, bySegment(r.synN))
	}
	if !answer && s.synN == n && r.state == event.StateSynSent {
		c.move(from.Peer(), event.StateSynReceived, bySegment(n))
		if s.state == event.StateSynSent && r.synN != 0 {
			// Both SYNs crossed: this side will get the other's too.
			c.move(from, event.StateSynReceived, bySegment(r.synN))
		}
	}
}

// ack makes the transitions of an acknowledgement: those of its sender, which
// has accepted what it acknowledges, and those of its receiver.
func (c *Conn) ack(n uint64, from event.Side, s, r *half, p *Packet) {
	if r.synN != 0 && !less(p.Ack, r.isn+1) && !less(r.next, p.Ack) {
		if r.synAckedN == 0 {
			r.synAckedN = n
		}
		if s.state == event.StateSynSent && !p.Flags.Has(event.SYN) {
			c.move(from, event.StateEstablished, bySegment(r.synN))
		}
		if r.state == event.StateSynReceived {
			c.move(from.Peer(), event.StateEstablished, bySegment(n))
		}
		if !c.established && s.state.Synchronized() && r.state.Synchronized() {
			c.established = true
			c.result.Established = true
		}
	}
	if !r.fin || less(p.Ack, r.finSeq+1) || less(r.next, p.Ack) || r.finAckedN != 0 {
		return
	}
	r.finAckedN = n
	c.acceptFIN(from, s, r)
	switch r.state {
	case event.StateFinWait1:
		if s.fin && s.finAckedN == 0 {
			break // the FINs crossed: acceptFIN will tell, when this side acknowledges the other's
		}
		c.move(from.Peer(), event.StateFinWait2, bySegment(n))
	case event.StateClosing:
		c.move(from.Peer(), event.StateTimeWait, bySegment(n))
	case event.StateLastAck:
		c.move(from.Peer(), event.StateClosed, bySegment(n))
	}
	if s.finAckedN != 0 && c.closed == "" {
		c.closed, c.closedBy = "fin", from
		if r.finN < s.finN || s.finN == 0 {
			c.closedBy = from.Peer()
		}
	}
}

// acceptFIN makes the transition of a side that acknowledges the peer's FIN.
func (c *Conn) acceptFIN(side event.Side, s, r *half) {
	cause := bySegment(r.finN)
	switch s.state {
	case event.StateEstablished, event.StateSynReceived:
		c.move(side, event.StateCloseWait, cause)
	case event.StateFinWait1:
		c.move(side, event.StateClosing, cause)
		if s.finAckedN != 0 {
			c.move(side, event.StateTimeWait, bySegment(s.finAckedN))
		}
	case event.StateFinWait2:
		c.move(side, event.StateTimeWait, cause)
	}
}

// reset makes the transitions of a RST, if its receiver must accept it (RFC
// 9293, section 3.10.7). A receiver may have got more than it acknowledged.
func (c *Conn) reset(n uint64, from event.Side, s, r *half, p *Packet) {
	acceptable := false
	switch {
	case r.state == event.StateSynSent:
		acceptable = p.Flags.Has(event.ACK) && p.Ack == r.next
	case r.acks:
		acceptable = !less(p.Seq, r.ack) && !less(s.next, p.Seq) || p.Seq == r.ack
	case s.synN != 0:
		acceptable = p.Seq == s.isn+1 || p.Seq == s.next
	default:
		acceptable = true
	}
	if !acceptable {
		return
	}
	refused := r.state == event.StateSynSent
	r.resetN = n
	c.result.Reset = true
	for _, side := range []event.Side{from, from.Peer()} {
		switch c.halfs[side].state {
		case event.NoState, event.StateClosed, event.StateListen, event.StateTimeWait:
		default:
			c.move(side, event.StateClosed, bySegment(n))
		}
	}
	if c.closed == "" {
		c.closed, c.closedBy = "rst", from
		if refused {
			c.closed = "refused"
		}
	}
}

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
// when the FIN was sent. A RST leads to CLOSED from every state but TIME-WAIT,
// from SYN-RECEIVED as well: the connection is gone, its listener is not.

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
	if p.Flags.Has(event.ACK) && !less(r.next, p.Ack) {
		c.ack(n, from, s, r, p)
	}
	if p.Flags.Has(event.FIN) && !p.Flags.Has(event.SYN) {
		c.fin(n, from, s, p)
	}
}

// syn makes the transitions of the sender of a SYN. In a simultaneous open
// (section 3.5, figure 8) that it got the peer's SYN shows in its SYN-ACK.
func (c *Conn) syn(n uint64, from event.Side, s, r *half, p *Packet) {
	if c.closed != "" {
		return
	}
	acks := p.Flags.Has(event.ACK) && r.synN != 0 && r.acksSYN(p)
	switch s.state {
	case event.StateListen:
		if acks {
			c.move(from, event.StateSynReceived, bySegment(r.synN))
		} else if !p.Flags.Has(event.ACK) {
			s.state = event.StateClosed // it did not listen
			c.move(from, event.StateSynSent, byCall("connect", n))
		}
	case event.StateClosed:
		if !p.Flags.Has(event.ACK) {
			c.move(from, event.StateSynSent, byCall("connect", n))
		}
	case event.StateSynSent:
		if acks {
			c.move(from, event.StateSynReceived, bySegment(r.synN))
		}
	}
}

// acksSYN reports whether a segment of the peer's acknowledges h's SYN, and
// nothing that h did not send. It is exact while h's SYN is in the window.
func (h *half) acksSYN(p *Packet) bool {
	return p.Flags.Has(event.ACK) && less(h.isn, p.Ack) && !less(h.next, p.Ack)
}

// ack makes the transitions of an acknowledgement: those of its sender, which
// has accepted what it acknowledges, and those of its receiver.
func (c *Conn) ack(n uint64, from event.Side, s, r *half, p *Packet) {
	if r.synN != 0 && r.acksSYN(p) {
		c.ackSYN(n, from, s, r, p)
	}
	if r.fin && r.finAckedN == 0 && less(r.finSeq, p.Ack) {
		c.ackFIN(n, from, s, r)
	}
}

func (c *Conn) ackSYN(n uint64, from event.Side, s, r *half, p *Packet) {
	if r.synAckedN == 0 {
		r.synAckedN = n
		if p.Ack == r.isn+1 {
			r.stream.drop() // the data of the SYN was not taken
		}
	}
	if s.state == event.StateSynSent && !p.Flags.Has(event.SYN) {
		c.move(from, event.StateEstablished, bySegment(max(r.synN, s.synAckedN)))
		if from == event.Client {
			c.rtt, c.handshake = max(c.last-r.synAt, 0), max(c.last-c.first, 0)
		}
	}
	if r.state == event.StateSynReceived {
		c.move(from.Peer(), event.StateEstablished, bySegment(n))
	}
	if s.state == event.StateSynReceived && s.synAckedN != 0 { // the SYN-ACKs crossed
		c.move(from, event.StateEstablished, bySegment(s.synAckedN))
	}
	if !c.established && s.state.Synchronized() && r.state.Synchronized() {
		c.established = true
		c.result.Established = true
	}
}

// ackFIN makes the transitions of the first acknowledgement of r's FIN.
func (c *Conn) ackFIN(n uint64, from event.Side, s, r *half) {
	r.finAckedN = n
	cause := bySegment(r.finN)
	switch s.state {
	case event.StateEstablished:
		c.move(from, event.StateCloseWait, cause)
	case event.StateFinWait1:
		c.move(from, event.StateClosing, cause)
		if s.finAckedN != 0 {
			c.move(from, event.StateTimeWait, bySegment(s.finAckedN))
		}
	case event.StateFinWait2:
		c.move(from, event.StateTimeWait, cause)
	}
	switch r.state {
	case event.StateFinWait1:
		if s.fin && s.finAckedN == 0 {
			// The FINs crossed, and the peer's was sent before this ACK:
			// what it made of both is told when it acknowledges that FIN.
			break
		}
		c.move(from.Peer(), event.StateFinWait2, bySegment(n))
	case event.StateClosing:
		c.move(from.Peer(), event.StateTimeWait, bySegment(n))
	case event.StateLastAck:
		c.move(from.Peer(), event.StateClosed, bySegment(n))
	}
	if s.finAckedN != 0 && c.closed == "" {
		c.closed, c.closedBy = "fin", c.firstFIN
	}
}

// fin takes a FIN and makes the transition of its sender. A receiver takes none
// from below the bytes it has, and of two the one that is reached first.
func (c *Conn) fin(n uint64, from event.Side, s *half, p *Packet) {
	seq := p.Seq + uint32(p.Len)
	if s.finAckedN != 0 || less(seq, s.stream.next) || s.fin && less(s.finSeq, seq) {
		return
	}
	if c.firstFIN == event.NoSide {
		c.firstFIN = from
	}
	if !s.fin {
		s.finTSVal, s.finTimed = p.Options.TSVal, p.Options.HasTimestamps
	}
	s.fin, s.finSeq, s.finN = true, seq, n
	switch s.state {
	case event.StateEstablished, event.StateSynReceived:
		c.move(from, event.StateFinWait1, byCall("close", n))
	case event.StateCloseWait:
		c.move(from, event.StateLastAck, byCall("close", n))
	}
}

// reset makes the transitions of a RST, if its receiver must accept it.
func (c *Conn) reset(n uint64, from event.Side, s, r *half, p *Packet) {
	if !acceptableRST(s, r, p) {
		return
	}
	r.resetN = n
	how := "rst"
	if r.state == event.StateSynSent && !s.seen {
		how = "refused"
	}
	for _, side := range []event.Side{from, from.Peer()} {
		switch c.halfs[side].state {
		case event.NoState, event.StateClosed, event.StateListen, event.StateTimeWait:
		default:
			c.move(side, event.StateClosed, bySegment(n))
		}
	}
	if c.closed == "" {
		c.closed, c.closedBy = how, from
		c.result.Reset = true
	}
}

// acceptableRST reports whether r must accept a RST of s's (sections 3.10.7.3
// and 3.5.3): in SYN-SENT one that acknowledges its SYN, else one at RCV.NXT.
// That is from what it acknowledged up to all that s sent: it may have got more
// than it acknowledged.
func acceptableRST(s, r *half, p *Packet) bool {
	switch {
	case r.state == event.StateSynSent && r.acksSYN(p):
		return true
	case r.acks:
		return p.Seq == r.ack || less(r.ack, p.Seq) && !less(s.next, p.Seq)
	case s.synN != 0:
		return p.Seq == s.isn+1 || p.Seq == s.next
	}
	return r.state != event.StateSynSent
}

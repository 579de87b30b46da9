package stack

import (
	"net/netip"
	"testing"

	"synscope/event"
)

// A question is one that Config.Decide was asked.
type question struct {
	flow    event.Flow
	decided func(Verdict)
}

func newDecider() (chan question, func(client, server netip.AddrPort, decided func(Verdict))) {
	asked := make(chan question, maxHeldSYNs+1)
	return asked, func(client, server netip.AddrPort, decided func(Verdict)) {
		asked <- question{event.Flow{Client: client, Server: server}, decided}
	}
}

// A SYN is answered when the verdict is known, and not before.
func TestHeldSYN(t *testing.T) {
	for family, flow := range endpointPairs {
		t.Run(family, func(t *testing.T) {
			asked, decide := newDecider()
			h := newRawHost(t, Config{Decide: decide})
			c := h.conn(flow.Client, flow.Server)
			c.send(syn, "")
			q := <-asked
			if q.flow != c.flow {
				t.Errorf("asked for %v, want %v", q.flow, c.flow)
			}
			h.fence() // nothing comes

			// Sent again it is no new question.
			c.snd--
			c.send(syn, "")
			if d := h.rec.wantDrop("one before it is held"); d.Final || d.Flow != c.flow {
				t.Errorf("told is %+v", d)
			}
			h.fence()

			q.decided(Accept)
			c.want(synAck, "")
			c.send(ack, "")
			h.accept().Close()
			q.decided(Refuse) // too late to mean anything
			if len(asked) != 0 {
				t.Error("asked again")
			}
		})
	}
}

func TestHeldSYNIsRefused(t *testing.T) {
	asked, decide := newDecider()
	h := newRawHost(t, Config{Decide: decide})
	c := h.conn(client4, server4)
	c.send(syn, "")
	(<-asked).decided(Refuse)
	if p := c.read(); p.Flags != rstAck || p.Ack != c.snd {
		t.Errorf("the answer is [%v] ack %d", p.Flags, p.Ack)
	}
	// The next try is asked for anew.
	c.snd--
	c.send(syn, "")
	(<-asked).decided(Silence)
	if d := h.rec.wantDrop("silence by policy"); !d.Final || d.Flow != c.flow {
		t.Errorf("told is %+v", d)
	}
	if n := h.stack.Stats(); n != (Stats{}) {
		t.Errorf("left is %+v", n)
	}
}

func TestHeldSYNsAreBounded(t *testing.T) {
	asked, decide := newDecider()
	h := newRawHost(t, Config{Decide: decide})
	for i := range maxHeldSYNs + 1 {
		h.conn(netip.AddrPortFrom(client4.Addr(), uint16(10000+i)), server4).send(syn, "")
	}
	h.rec.wantDrop("too many SYNs are held")
	if n := len(asked); n != maxHeldSYNs {
		t.Errorf("asked for %d", n)
	}
	h.stack.Close()
	(<-asked).decided(Accept) // does nothing
}

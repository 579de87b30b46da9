package stack

import (
	"net/netip"
	"testing"
	"time"

	"synscope/event"
)

// A question is one that Config.Decide was asked.
type question struct {
	flow    event.Flow
	decided func(Verdict, string)
}

func newDecider() (chan question, func(client, server netip.AddrPort, decided func(Verdict, string))) {
	asked := make(chan question, maxHeldSYNs+1)
	return asked, func(client, server netip.AddrPort, decided func(Verdict, string)) {
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
			h.fence()

			q.decided(Accept, "")
			c.want(synAck, "")
			c.send(ack, "")
			h.accept().Close()
			q.decided(Refuse, "") // too late to mean anything
			if len(asked) != 0 {
				t.Error("asked again")
			}
		})
	}
}

// A verdict may be known at once.
func TestHeldSYNIsDecidedAtOnce(t *testing.T) {
	h := newRawHost(t, Config{Decide: func(_, _ netip.AddrPort, decided func(Verdict, string)) { decided(Accept, "") }})
	c := h.conn(client4, server4)
	c.send(syn, "")
	c.want(synAck, "")
	c.send(ack, "")
	h.accept().Close()
}

func TestHeldSYNIsRefused(t *testing.T) {
	asked, decide := newDecider()
	h := newRawHost(t, Config{Decide: decide})
	c := h.conn(client4, server4)
	c.send(syn, "")
	(<-asked).decided(Refuse, "")
	if p := c.read(); p.Flags != rstAck || p.Ack != c.snd {
		t.Errorf("the answer is [%v] ack %d", p.Flags, p.Ack)
	}
	// The next try is asked for anew.
	c.snd--
	c.send(syn, "")
	(<-asked).decided(Silence, "of the destination")
	if d := h.rec.wantDrop("of the destination"); !d.Final || d.Flow != c.flow {
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
	(<-asked).decided(Accept, "") // does nothing
}

// A destination without a way to it is answered for as a router would.
func TestHeldSYNIsUnreachable(t *testing.T) {
	for family, flow := range endpointPairs {
		for verdict, code := range map[Verdict][2]uint8{NetUnreachable: {0, 0}, HostUnreachable: {1, 3}} { // RFC 792; RFC 4443, section 3.1
			asked, decide := newDecider()
			h := newRawHost(t, Config{Decide: decide})
			h.conn(flow.Client, flow.Server).send(syn, "")
			(<-asked).decided(verdict, "why")
			icmp := checkICMP(t, h.next(), flow.Server.Addr(), flow.Client.Addr())
			want, told := [2]uint8{3, code[0]}, map[Verdict]string{NetUnreachable: "icmp net unreachable", HostUnreachable: "icmp host unreachable"}[verdict]
			if flow.Server.Addr().Is6() {
				want, told = [2]uint8{1, code[1]}, map[Verdict]string{NetUnreachable: "icmp no route to destination", HostUnreachable: "icmp address unreachable"}[verdict]
			}
			if [2]uint8(icmp) != want {
				t.Errorf("%s: type and code %d, want %d", family, icmp[:2], want)
			}
			if d := h.rec.wantDrop("answered by " + told + ": why"); !d.Final {
				t.Errorf("told is %+v", d)
			}
		}
	}
}

// A SYN that is sent again while netstack has not answered the first is no new
// question. One of another connection is.
func TestGivenSYNs(t *testing.T) {
	now := time.Now()
	flow := event.Flow{Client: client4, Server: server4}
	held := heldSYNs{}
	held.given.add(synID{flow, 7}, now)
	for _, test := range []struct {
		what  string
		seq   uint32
		after time.Duration
		fresh bool
	}{
		{"the same", 7, settling / 2, false},
		{"the same, long after", 7, settling, true},
		{"another", 8, settling / 2, true},
	} {
		in := new(inbound)
		in.Time, in.pkt.Seq = now.Add(test.after), test.seq
		fresh, refused := held.add(flow, in)
		if fresh != test.fresh || refused != "" {
			t.Errorf("%s: fresh: %v, refused: %q; want fresh: %v", test.what, fresh, refused, test.fresh)
		}
		held.byFlow = nil
	}
	for i := range 3 * maxGivenSYNs {
		held.given.add(synID{flow, uint32(100 + i)}, now)
	}
	if n := len(held.given.order); n != maxGivenSYNs || len(held.given.at) != n {
		t.Errorf("%d and %d are remembered, want %d", n, len(held.given.at), maxGivenSYNs)
	}
	held.given.add(synID{flow, 7}, now.Add(settling))
	if n := len(held.given.order); n != 1 || len(held.given.at) != n {
		t.Errorf("after a while %d and %d are remembered, want 1", n, len(held.given.at))
	}
}

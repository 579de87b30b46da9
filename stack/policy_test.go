package stack

import (
	"net/netip"
	"testing"

	"synscope/event"
)

// always is a policy of one verdict.
func always(v Verdict) func(client, server netip.AddrPort) Verdict {
	return func(_, _ netip.AddrPort) Verdict { return v }
}

// A refused SYN gets what a closed port answers: <SEQ=0><ACK=SEG.SEQ+SEG.LEN>
// <CTL=RST,ACK> (RFC 9293, section 3.10.7.1).
func TestRefuse(t *testing.T) {
	for family, flow := range endpointPairs {
		for _, tt := range []struct {
			name    string
			flags   event.Flags
			payload string
			ack     uint32
		}{
			{"SYN", syn, "", 1001},
			{"SYN with data (RFC 7413)", syn, "early", 1006},
			{"SYN FIN", syn | fin, "", 1002},
			{"SYN with ECN setup (RFC 3168)", syn | event.ECE | event.CWR, "", 1001},
		} {
			t.Run(tt.name+" "+family, func(t *testing.T) {
				h := newRawHost(t, Config{Policy: always(Refuse)})
				c := h.conn(flow.Client, flow.Server)
				c.send(tt.flags, tt.payload)
				p := c.read()
				if p.Flags != rstAck || p.Seq != 0 || p.Ack != tt.ack || p.Len != 0 {
					t.Errorf("the answer is [%v] seq %d ack %d len %d, want [RST ACK] seq 0 ack %d len 0", p.Flags, p.Seq, p.Ack, p.Len, tt.ack)
				}
				if n := h.stack.Stats(); n != (Stats{}) {
					t.Errorf("left is %+v", n)
				}
				h.rec.wantTold("client: "+tt.flags.String(), "server: RST ACK")
			})
		}
	}
}

// A RST is never answered with a RST, even if it is a SYN too.
func TestRefuseNotReset(t *testing.T) {
	h := newRawHost(t, Config{Policy: always(Refuse)})
	c := h.conn(client4, server4)
	c.send(syn|rst, "")
	h.fence()
	h.stack.Close() // netstack has handled it
	h.rec.wantTold("client: SYN RST")
}

// Port 0 is reserved (RFC 6335, section 6): it is closed.
func TestPortZero(t *testing.T) {
	h := newRawHost(t, Config{})
	c := h.conn(client4, netip.AddrPortFrom(server4.Addr(), 0))
	c.send(syn, "")
	if p := c.read(); p.Flags != rstAck || p.Ack != c.snd {
		t.Errorf("the answer is [%v] ack %d", p.Flags, p.Ack)
	}
	if n := h.stack.Stats().Ports; n != 0 {
		t.Errorf("%d ports are open", n)
	}
}

func TestSilence(t *testing.T) {
	h := newRawHost(t, Config{Policy: always(Silence)})
	c := h.conn(client4, server4)
	c.send(syn, "")
	d := h.rec.wantDrop("silence by policy")
	if !d.Final || d.From != event.Client || d.Flow != c.flow || d.Frame != 1 {
		t.Errorf("told is %+v", d)
	}
	h.fence()
	h.rec.wantTold("client: SYN")
}

// The policy is asked for each new connection, with its addresses, and
// SetPolicy holds for the SYNs from then on.
func TestSetPolicy(t *testing.T) {
	asked := make(chan event.Flow, 10)
	record := func(v Verdict) func(client, server netip.AddrPort) Verdict {
		return func(client, server netip.AddrPort) Verdict {
			asked <- event.Flow{Client: client, Server: server}
			return v
		}
	}
	h := newRawHost(t, Config{Policy: record(Accept)})
	first := h.conn(client4, server4)
	first.send(syn, "")
	first.want(synAck, "")

	h.stack.SetPolicy(record(Refuse))
	second := h.conn(client6, server6)
	second.send(syn, "")
	if p := second.read(); p.Flags != rstAck {
		t.Errorf("the second SYN got [%v], want [RST ACK]", p.Flags)
	}

	// A SYN that is sent again was decided before.
	first.snd--
	first.send(syn, "")
	first.read()
	first.send(ack, "")
	h.accept()

	h.stack.SetPolicy(nil)
	third := h.open(client6, server6)
	h.accept()

	for _, want := range []event.Flow{first.flow, second.flow} {
		if got := <-asked; got != want {
			t.Errorf("the policy was asked for %v, want %v", got, want)
		}
	}
	if len(asked) != 0 {
		t.Errorf("the policy was asked for %v as well", <-asked)
	}
	if third.flow != second.flow {
		t.Errorf("the third connection is %v", third.flow)
	}
}

// A SYN for a flow in TIME-WAIT is a new connection, and so is decided.
func TestPolicyInTimeWait(t *testing.T) {
	h := newRawHost(t, Config{})
	c := h.open(client4, server4)
	h.accept().Close()
	c.want(finAck, "")
	c.send(finAck, "")
	c.want(ack, "")
	h.stack.SetPolicy(always(Refuse))
	c.snd += 100_000
	c.send(syn, "")
	if p := c.read(); p.Flags != rstAck || p.Ack != c.snd {
		t.Errorf("the SYN got [%v] ack %d, want [RST ACK] ack %d", p.Flags, p.Ack, c.snd)
	}
}

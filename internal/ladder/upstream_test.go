package ladder

import (
	"net/netip"
	"reflect"
	"time"

	"synscope/event"
)

// dialled is how long it takes to dial a destination.
const dialled = 12_304 * us

// legOf is a connection as the upstream leg that was dialled for it: the same
// TLS, and nothing of its segments.
func legOf(events []*event.Event) []*event.Event {
	leg := newLeg(&event.Dialed{OK: true, Duration: dialled})
	for _, e := range events {
		c := *e
		switch b := e.Body.(type) {
		case *event.Open, *event.Segment, *event.TCPState, *event.TLSStep, *event.Fault:
			continue
		case *event.Close:
			x := *b
			x.SegmentsSeen, x.BothFIN, x.TCPHandshake, x.RTT, x.Signing = 17, b.How == "fin", dialled, 11_950*us, 0
			x.Duration += dialled
			c.Body, c.View = &x, event.Endpoint
		default:
			c.Body = framesRemoved(b)
		}
		c.T += dialled
		leg = append(leg, numbered(&c, leg))
	}
	return leg
}

// newLeg is a leg that was dialled.
func newLeg(d *event.Dialed) []*event.Event {
	o := &event.Open{Server: netip.MustParseAddrPort("203.0.113.7:443"), Name: "shop.example", Upstream: true, UpstreamOf: 7}
	if d.OK {
		o.Client = netip.MustParseAddrPort("10.0.0.2:41234")
	}
	leg := []*event.Event{numbered(&event.Event{View: event.Endpoint, Body: o}, nil)}
	return append(leg, numbered(&event.Event{View: event.Endpoint, From: client, T: d.Duration, Body: d}, leg))
}

func numbered(e *event.Event, after []*event.Event) *event.Event {
	e.Time, e.Conn, e.N = began.Add(e.T), 8, uint64(len(after)+1)
	return e
}

// framesRemoved copies a body without its frames.
func framesRemoved(b event.Body) event.Body {
	c := reflect.New(reflect.TypeOf(b).Elem())
	c.Elem().Set(reflect.ValueOf(b).Elem())
	if f := c.Elem().FieldByName("Frames"); f.IsValid() {
		f.SetZero()
	}
	return c.Interface().(event.Body)
}

// insert puts a word of ours before the n-th last event.
func insert(leg []*event.Event, n int, b event.Body) []*event.Event {
	at := len(leg) - n
	e := &event.Event{View: event.Endpoint, From: client, T: leg[at-1].T, Body: b}
	leg = append(leg[:at:at], append([]*event.Event{e}, leg[at:]...)...)
	for i, e := range leg {
		numbered(e, leg[:i])
	}
	return leg
}

func upstream13() []*event.Event {
	leg := legOf(tls13Full())
	for i, e := range leg {
		if _, ok := e.Body.(*event.Established); ok {
			leg = insert(leg, len(leg)-i-1, &event.TLSStep{Step: "verify", OK: true, Detail: "CN=shop.example"})
		}
	}
	return leg
}

const expiredCause = "synscope refused the server's certificate, which expired on 2026-11-20 00:00 UTC: alert bad_certificate after certificate"

func upstreamExpired() []*event.Event {
	leg := legOf(unknownCA())
	for _, e := range leg {
		switch b := e.Body.(type) {
		case *event.Message:
			if b.Certificate != nil {
				b.Certificate.Chain[0].NotAfter = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
			}
		case *event.Alert:
			b.Description, b.Code = 42, 42
		case *event.TLSState:
			if b.Cause == "alert unknown_ca" {
				b.Cause = "alert bad_certificate"
			}
		case *event.Failed:
			*b = event.Failed{
				Side: client, Code: event.CauseExpired, Cause: expiredCause,
				Error: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-24T09:26:53Z is after 2026-11-20T00:00:00Z",
				Hint:  "renew the certificate, and reload the server that has it; if its dates are right, correct the clock of the side that refused it",
			}
		case *event.Close:
			e.From, b.BothFIN = client, false
		}
	}
	return leg
}

func upstreamReset() []*event.Event {
	leg := legOf(resetMidHandshake())
	for _, e := range leg {
		if b, ok := e.Body.(*event.Failed); ok {
			*b = event.Failed{Side: server, Code: event.CauseResetAfterHello, Cause: "server reset the connection after client_hello, without an alert"}
		}
	}
	return leg
}

func upstreamRefused() []*event.Event {
	const took = 412 * us
	leg := newLeg(&event.Dialed{Error: "dial tcp 203.0.113.7:443: connect: connection refused", Duration: took})
	return append(leg, numbered(&event.Event{View: event.Endpoint, T: took, Body: &event.Close{
		How: "refused", Code: event.CauseRefused, Cause: "server refused the connection, 0.41ms after it was dialled",
		Hint: "nothing listens on this port, a policy refuses it, or a firewall rejects it", Duration: took,
	}}, leg))
}

// upstreamGap is a leg of which bytes found no room.
func upstreamGap() []*event.Event {
	leg := legOf(plainHTTP())
	leg = insert(leg, 1, &event.Gap{Lost: 65536, What: "bytes", Reason: "the tracer's queue was full"})
	leg[len(leg)-2].View, leg[len(leg)-2].From = event.Wire, server
	return leg
}

// upstreamFailed is the connection of the client whose upstream leg was refused a
// valid certificate.
func upstreamFailed() []*event.Event {
	k := newTalk(443)
	k.events[0].Body.(*event.Open).Name = "shop.example"
	k.handshake()
	k.clientHello13(320, 1530, hello13(4588, 29))
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.at(14_310).data(server, 7)
	k.alert(server, "fatal", 80, event.EpochPlain)
	k.waits(server, "alert internal_error", event.TLSFailed)
	k.waits(client, "alert internal_error", event.TLSFailed)
	k.say(server, &event.Failed{
		Side: server, Code: event.CauseUpstreamFailed, Leg: 8, Error: "tlsbridge: the upstream leg failed",
		Cause: "upstream leg #8 to shop.example (203.0.113.7:443) failed: " + expiredCause,
		Hint:  "renew the certificate, and reload the server that has it; if its dates are right, correct the clock of the side that refused it",
	})
	k.at(14_330).segment(server, event.FIN|event.ACK, 0)
	k.comesTo(server, event.StateFinWait1)
	k.comesTo(client, event.StateCloseWait)
	k.at(14_402).segment(client, event.FIN|event.ACK, 0)
	k.comesTo(client, event.StateLastAck)
	k.comesTo(server, event.StateTimeWait)
	k.at(14_420).ack(server)
	k.comesTo(client, event.StateClosed)
	return k.end("fin", event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us, WaitingServer: 13_990 * us})
}

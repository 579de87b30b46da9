package tlswire

import (
	"fmt"
	"strings"

	"synscope/event"
)

// A transcript collects what a Decoder tells, one line for each event:
//
//	c client_hello            a message from the client, in clear
//	s {finished}              under handshake keys
//	s [new_session_ticket]    under application keys
//	c <finished>              under the keys of TLS 1.2 and older
//	c (end_of_early_data)     under the early data key
//	client START > WAIT_SH    a transition
type transcript struct {
	decoder *Decoder
	lines   []string
	bodies  []event.Body
	stamps  []Stamp
}

func (t *transcript) emit(at Stamp, from event.Side, body event.Body) {
	t.lines = append(t.lines, line(from, body))
	t.bodies = append(t.bodies, body)
	t.stamps = append(t.stamps, at)
}

func line(from event.Side, body event.Body) string {
	who := map[event.Side]string{event.Client: "c", event.Server: "s"}[from]
	switch b := body.(type) {
	case *event.Message:
		s := who + " " + bracket(b.Epoch, b.Type.String())
		if b.Encrypted != (b.Epoch != event.EpochPlain) {
			s += " (encrypted contradicts its epoch)"
		}
		if b.Malformed != "" {
			s += " malformed: " + b.Malformed
		}
		return s
	case *event.ChangeCipherSpec:
		if b.Dummy {
			return who + " ccs dummy"
		}
		return who + " ccs"
	case *event.Alert:
		return who + " " + bracket(b.Epoch, "alert "+b.Level+" "+b.Description.String())
	case *event.ApplicationData:
		return who + " " + bracket(b.Epoch, "application_data")
	case *event.Undecoded:
		return strings.TrimSpace(fmt.Sprintf("%s undecoded %s: %d records, %d bytes", who, b.Reason, b.Records, b.Len))
	case *event.TLSState:
		return fmt.Sprintf("%s %s > %s", b.Side, b.Old, b.New)
	case *event.Established:
		return fmt.Sprintf("established %s %s %s resumed=%t auth=%s rtt=%d", b.Version, b.CipherSuite, b.Group, b.Resumed, b.ClientAuth, b.RoundTrips)
	case *event.Failed:
		return "failed, " + string(b.Code) + ": " + b.Cause
	}
	return fmt.Sprintf("unexpected %T", body)
}

func bracket(e event.Epoch, s string) string {
	pair := map[event.Epoch]string{
		event.EpochHandshake: "{}", event.EpochApplication: "[]", event.EpochEncrypted: "<>", event.EpochEarly: "()",
	}[e]
	if pair == "" {
		return s
	}
	return pair[:1] + s + pair[1:]
}

// first returns the first body of type B.
func first[B event.Body](t *transcript) (b B) {
	for _, body := range t.bodies {
		if b, ok := body.(B); ok {
			return b
		}
	}
	return b
}

// message returns the first message of a type.
func (t *transcript) message(typ event.HandshakeType) *event.Message {
	for _, body := range t.bodies {
		if m, ok := body.(*event.Message); ok && m.Type == typ {
			return m
		}
	}
	return nil
}

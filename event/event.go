package event

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unsafe"
)

// A Kind names what an event tells. The kinds and their fields are listed in
// docs/events.md; kinds and fields are only ever added.
type Kind string

// A View says where the knowledge comes from.
type View string

const (
	Wire     View = "wire"     // what the packets say, or the bytes of an upstream leg
	Endpoint View = "endpoint" // what netstack, the kernel and crypto/tls say their own state is
)

// A Side is one end of a connection. It is the only way an event names a
// direction: a segment, record or message is from the side that sent it.
type Side uint8

const (
	NoSide Side = iota // neither: the connection as a whole, or the network
	Client             // sent the first SYN
	Server             // answered it
)

// Peer returns the other side. The peer of NoSide is NoSide.
func (s Side) Peer() Side {
	switch s {
	case Client:
		return Server
	case Server:
		return Client
	}
	return NoSide
}

func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Server:
		return "server"
	}
	return ""
}

// MarshalText encodes the side as "client", "server" or "".
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *Side) UnmarshalText(b []byte) error {
	switch string(b) {
	case "client":
		*s = Client
	case "server":
		*s = Server
	case "":
		*s = NoSide
	default:
		return fmt.Errorf("event: unknown side %q", b)
	}
	return nil
}

// A Flow is the pair of addresses of a connection, oriented: Client sent the
// first SYN. It is comparable. A later connection may reuse a Flow.
type Flow struct {
	Client netip.AddrPort
	Server netip.AddrPort
}

func (f Flow) String() string { return f.Client.String() + " > " + f.Server.String() }

// A Body holds the fields of one kind of event. Each kind has one body type, all
// of them in this package.
type Body interface {
	Kind() Kind
	// appendFields appends the fields as JSON, each with a comma before it.
	appendFields(b []byte) []byte
	// referred is the memory of the body and of what it refers to.
	referred() int
}

// An Event is one step of the timeline. An event and all that its body refers
// to are immutable once emitted, and may be shared between goroutines.
type Event struct {
	// Time is the wall clock when the cause of the event was observed.
	Time time.Time
	// T is the monotonic time since the first segment of the connection
	// (since the start of the run where Conn is 0). Events are in the order
	// of N; T may step back where a step could be told only later.
	T time.Duration
	// Conn is the connection, unique in the run, from 1; 0 for an event that
	// belongs to none.
	Conn uint64
	// N is the ordinal within the connection, from 1, without holes.
	N uint64
	// View says where the knowledge comes from.
	View View
	// From is the side that sent what the event tells of, or whose state it is.
	From Side
	// Body holds the fields of the event's kind. It is never nil.
	Body Body
}

// Kind returns the kind of the event, which is that of its body.
func (e *Event) Kind() Kind { return e.Body.Kind() }

// Size estimates the memory of the event in bytes: its own, that of its body and of
// what the body refers to, without what the allocator adds. Text that two events
// share is counted for each.
func (e *Event) Size() int { return int(unsafe.Sizeof(*e)) + e.Body.referred() }

// header is the part of the JSON encoding that all kinds share.
type header struct {
	Time time.Time `json:"time"`
	T    int64     `json:"t"`
	Conn uint64    `json:"conn"`
	N    uint64    `json:"n"`
	Kind Kind      `json:"kind"`
	View View      `json:"view"`
	From string    `json:"from,omitempty"`
}

// MarshalJSON encodes the event as one flat object: the shared fields, then
// those of the body.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

// UnmarshalJSON is the inverse of MarshalJSON. An unknown kind is an error:
// the log was written by a newer version.
func (e *Event) UnmarshalJSON(b []byte) error {
	var h header
	if err := json.Unmarshal(b, &h); err != nil {
		return err
	}
	body := NewBody(h.Kind)
	if body == nil {
		return fmt.Errorf("event: unknown kind %q", h.Kind)
	}
	if err := json.Unmarshal(b, body); err != nil {
		return err
	}
	*e = Event{Time: h.Time, T: time.Duration(h.T), Conn: h.Conn, N: h.N, View: h.View, Body: body}
	return e.From.UnmarshalText([]byte(h.From))
}

// bodies lists every kind once, with a constructor of its body.
var bodies = []func() Body{
	func() Body { return new(Open) },
	func() Body { return new(Segment) },
	func() Body { return new(TCPState) },
	func() Body { return new(Drop) },
	func() Body { return new(Dialed) },
	func() Body { return new(Message) },
	func() Body { return new(ChangeCipherSpec) },
	func() Body { return new(Alert) },
	func() Body { return new(ApplicationData) },
	func() Body { return new(Undecoded) },
	func() Body { return new(TLSState) },
	func() Body { return new(TLSStep) },
	func() Body { return new(Established) },
	func() Body { return new(Failed) },
	func() Body { return new(Fault) },
	func() Body { return new(Close) },
	func() Body { return new(Gap) },
	func() Body { return new(Unreachable) },
	func() Body { return new(UDPFlow) },
	func() Body { return new(UDPEnd) },
	func() Body { return new(Device) },
	func() Body { return new(CaptureEnd) },
}

var newBodies = func() map[Kind]func() Body {
	m := make(map[Kind]func() Body, len(bodies))
	for _, f := range bodies {
		m[f().Kind()] = f
	}
	return m
}()

// NewBody returns an empty body of the kind, or nil if there is no such kind.
func NewBody(k Kind) Body {
	if f := newBodies[k]; f != nil {
		return f()
	}
	return nil
}

// Kinds returns every kind there is, in the order of docs/events.md.
func Kinds() []Kind {
	ks := make([]Kind, len(bodies))
	for i, f := range bodies {
		ks[i] = f().Kind()
	}
	return ks
}

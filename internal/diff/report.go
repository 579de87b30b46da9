package diff

import (
	"net/netip"
	"slices"
	"time"

	"synscope/event"
)

// A Subject is one of the two connections to compare.
type Subject struct {
	Name   string         // what the user calls it, as "java.jsonl#2"
	Events []*event.Event // in the order of their ordinals; they may be incomplete
}

// A Report says how two connections differ. Its JSON encoding is documented in
// docs/diff.md; fields are only ever added.
type Report struct {
	A Head `json:"a"`
	B Head `json:"b"`
	// Same is set where no section has a difference, and the steps and the
	// outcome are the same.
	Same     bool      `json:"same"`
	Sections []Section `json:"sections"`
	// Steps are those of both connections, aligned, each connection's in its
	// own order. Where each side took the same steps in both, and only where
	// the sides crossed each other differs, the order is that of one of them.
	Steps []Step `json:"steps"`
	// PartAt is the index in Steps of the first that only one connection has,
	// nil where there is none.
	PartAt *int `json:"part_at"`
	// HandshakesPart is set where that is before both had completed their
	// handshakes.
	HandshakesPart bool `json:"handshakes_part"`
	// Uncompared counts the steps beyond the bound.
	Uncompared int      `json:"uncompared,omitempty"`
	Timing     []Timing `json:"timing"`
	Verdict    Verdict  `json:"verdict"`
}

// A Head says which connection it is, and what came of it.
type Head struct {
	Name       string         `json:"name"`
	Conn       uint64         `json:"conn"`
	Client     netip.AddrPort `json:"client"`
	Server     netip.AddrPort `json:"server"`
	ServerName string         `json:"server_name,omitempty"`
	JA4        string         `json:"ja4,omitempty"`
	Opened     time.Time      `json:"opened"`
	Outcome    string         `json:"outcome"`        // one line for a person
	Completed  bool           `json:"completed"`      // the TLS handshake
	Lost       uint64         `json:"lost,omitempty"` // what is missing of its events
}

// A Section is a group of fields: "tcp", "client_hello", "agreed" or
// "certificate".
type Section struct {
	Name   string  `json:"name"`
	Fields []Field `json:"fields"`
}

// Differs reports whether any field does.
func (s Section) Differs() bool { return slices.ContainsFunc(s.Fields, Field.Differs) }

// only returns "A" or "B" where the other has none of the fields, else "".
func (s Section) only() string {
	switch {
	case !slices.ContainsFunc(s.Fields, func(f Field) bool { return len(f.B) > 0 }):
		return "A"
	case !slices.ContainsFunc(s.Fields, func(f Field) bool { return len(f.A) > 0 }):
		return "B"
	}
	return ""
}

// A Field is one value, or one list, of both connections.
type Field struct {
	Name string   `json:"name"` // as in the JSON encoding of the events, where they have it
	List bool     `json:"list,omitempty"`
	A    []string `json:"a,omitempty"` // in its own order; empty: absent
	B    []string `json:"b,omitempty"`
	// OnlyA and OnlyB hold what the other has not.
	OnlyA []string `json:"only_a,omitempty"`
	OnlyB []string `json:"only_b,omitempty"`
	// Reordered is set where the values that both have stand in another order.
	Reordered bool `json:"reordered,omitempty"`
}

// Differs reports whether the field is not the same in A and B.
func (f Field) Differs() bool { return len(f.OnlyA)+len(f.OnlyB) > 0 || f.Reordered }

// A Step is something that a side did, in A, in B, or in both.
type Step struct {
	A *Moment `json:"a,omitempty"`
	B *Moment `json:"b,omitempty"`
}

// Common reports whether both connections have the step.
func (s Step) Common() bool { return s.A != nil && s.B != nil }

// A Moment is a step as it was in one of the connections.
type Moment struct {
	T    time.Duration `json:"t"` // since the connection's first segment; ns
	N    uint64        `json:"n"` // the ordinal of its event
	From event.Side    `json:"from"`
	// What it is, in the brackets of RFC 8446, section 2, where it was
	// encrypted: {..} with handshake keys, [..] with application keys.
	What string `json:"what"`

	id      string // What, without the brackets
	segment bool   // it is a segment of TCP
}

// A Timing is a length of time in both connections; 0 where it is not known.
type Timing struct {
	Name string        `json:"name"`
	A    time.Duration `json:"a,omitempty"` // ns
	B    time.Duration `json:"b,omitempty"` // ns
}

// A Verdict says in words what most probably matters.
type Verdict struct {
	Summary string `json:"summary"`
	// Evidence are sentences, each an observation that bears on the summary.
	Evidence []string `json:"evidence,omitempty"`
	Hint     string   `json:"hint,omitempty"` // what to do about a failure
}

// Uses reports whether Compare looks at an event. Others, the segments of bulk
// data, need not be kept.
func Uses(e *event.Event) bool {
	s, ok := e.Body.(*event.Segment)
	return !ok || s.Flags&(event.SYN|event.FIN|event.RST) != 0 || s.Retransmit || s.OutOfOrder
}

// Compare compares two connections.
func Compare(a, b Subject) *Report {
	x, y := lookAt(a, b)
	r := &Report{A: x.head(), B: y.head(), Sections: sections(x, y), Timing: timings(x, y)}
	r.Steps, r.Uncompared = align(x, y)
	if i := slices.IndexFunc(r.Steps, func(s Step) bool { return !s.Common() }); i >= 0 {
		r.PartAt = &i
		r.HandshakesPart = !x.completed() || !y.completed() || i < max(x.handshake(x.steps), y.handshake(y.steps))
	}
	r.Same = r.A.Outcome == r.B.Outcome && r.PartAt == nil && !slices.ContainsFunc(r.Sections, Section.Differs)
	r.Verdict = judge(r, x, y)
	return r
}

// field returns the field of that name in a section.
func (r *Report) field(section, name string) Field {
	for _, s := range r.Sections {
		for _, f := range s.Fields {
			if s.Name == section && f.Name == name {
				return f
			}
		}
	}
	return Field{Name: name}
}

func timings(x, y *conn) []Timing {
	var ts []Timing
	for _, t := range []Timing{
		{"tcp_handshake", x.TCP.Handshake, y.TCP.Handshake},
		{"round_trip", x.TCP.RTT, y.TCP.RTT},
		{"tls_handshake", x.TLS.Handshake, y.TLS.Handshake},
		{"waiting_client", x.close.WaitingClient, y.close.WaitingClient},
		{"waiting_server", x.close.WaitingServer, y.close.WaitingServer},
		{"signing", x.close.Signing, y.close.Signing},
		{"duration", x.TCP.Duration, y.TCP.Duration},
	} {
		if t.A != 0 || t.B != 0 {
			ts = append(ts, t)
		}
	}
	return ts
}

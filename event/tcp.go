package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Flags are the control bits of a TCP header (RFC 9293, section 3.1).
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// flagNames is in the order in which flags are told: the ones that matter to
// the state machine first.
var flagNames = []struct {
	f    Flags
	name string
}{
	{SYN, "SYN"}, {FIN, "FIN"}, {RST, "RST"}, {PSH, "PSH"}, {ACK, "ACK"}, {URG, "URG"}, {ECE, "ECE"}, {CWR, "CWR"},
}

// Has reports whether all of the given bits are set.
func (f Flags) Has(bits Flags) bool { return f&bits == bits }

// Names returns the names of the set bits, in a fixed order.
func (f Flags) Names() []string {
	ns := make([]string, 0, 3)
	for _, x := range flagNames {
		if f&x.f != 0 {
			ns = append(ns, x.name)
		}
	}
	return ns
}

// String returns the names joined with spaces, as "SYN ACK".
func (f Flags) String() string { return strings.Join(f.Names(), " ") }

// MarshalJSON encodes the flags as a list of names.
func (f Flags) MarshalJSON() ([]byte, error) { return json.Marshal(f.Names()) }

// UnmarshalJSON is the inverse of MarshalJSON.
func (f *Flags) UnmarshalJSON(b []byte) error {
	var ns []string
	if err := json.Unmarshal(b, &ns); err != nil {
		return err
	}
	*f = 0
next:
	for _, n := range ns {
		for _, x := range flagNames {
			if x.name == n {
				*f |= x.f
				continue next
			}
		}
		return fmt.Errorf("event: unknown TCP flag %q", n)
	}
	return nil
}

// A SACKBlock is one block of a SACK option: sequence numbers [Left, Right)
// that arrived (RFC 2018, section 3).
type SACKBlock struct {
	Left  uint32 `json:"left"`
	Right uint32 `json:"right"`
}

// Timestamps is the value of a TCP timestamps option (RFC 7323, section 3.2).
type Timestamps struct {
	Val uint32 `json:"val"`
	Ecr uint32 `json:"ecr"`
}

// TCPOptions are the options of a TCP header that this project tells of.
type TCPOptions struct {
	MSS           uint16      `json:"mss,omitempty"`            // maximum segment size, 0 where absent (RFC 9293, section 3.7.1)
	WindowScale   *uint8      `json:"ws,omitempty"`             // shift count, nil where absent (RFC 7323, section 2.2)
	SACKPermitted bool        `json:"sack_permitted,omitempty"` // RFC 2018, section 2
	SACK          []SACKBlock `json:"sack,omitempty"`
	Timestamps    *Timestamps `json:"ts,omitempty"`
	FastOpen      bool        `json:"fast_open,omitempty"` // a TCP Fast Open option is present (RFC 7413)
	Unknown       Codes       `json:"unknown,omitempty"`   // kinds of options not listed above
	Malformed     bool        `json:"malformed,omitempty"` // the list ends in the middle of an option
}

// Segment tells of one TCP segment on the link, in either direction.
type Segment struct {
	Flags   Flags      `json:"flags"`
	Seq     uint32     `json:"seq"`
	Ack     uint32     `json:"ack"`     // meaningful with the ACK flag only
	SeqRel  int64      `json:"seq_rel"` // relative to the sender's initial sequence number
	AckRel  int64      `json:"ack_rel"` // relative to the peer's initial sequence number
	Len     int        `json:"len"`     // bytes of payload
	Window  int        `json:"win"`     // as in the header, before scaling
	Options TCPOptions `json:"options,omitzero"`

	Retransmit bool `json:"retransmit,omitempty"`   // all of it was sent before
	OutOfOrder bool `json:"out_of_order,omitempty"` // it begins beyond the next expected byte
	DupAck     bool `json:"dup_ack,omitempty"`      // acknowledges nothing new, carries nothing, changes no window
	KeepAlive  bool `json:"keep_alive,omitempty"`   // probes from below the next sequence number (RFC 9293, section 3.8.4)
	ZeroWindow bool `json:"zero_window,omitempty"`  // closes the window
	SYNCookie  bool `json:"syn_cookie,omitempty"`   // SYN-ACK without a half-open endpoint: its number is a cookie (RFC 4987, section 3.6)
	BadSum     bool `json:"bad_checksum,omitempty"` // the TCP checksum is wrong

	// Offload is the segment size of a super-packet that stands for several
	// segments on a real wire; 0 for an ordinary one.
	Offload int `json:"offload,omitempty"`
	// Frame is the ordinal of the packet in the run, from 1, and its number
	// in the capture file.
	Frame uint64 `json:"frame"`
}

// Kind returns "tcp.segment".
func (*Segment) Kind() Kind { return "tcp.segment" }

// A State is a state of the TCP state machine (RFC 9293, section 3.3.2).
type State uint8

// The states, by their names in RFC 9293. NoState is the zero value and never
// logged as a new state.
const (
	NoState State = iota
	StateClosed
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
)

var stateNames = [...]string{"", "CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED",
	"FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("STATE-%d", uint8(s))
}

// Synchronized reports whether both initial sequence numbers are agreed:
// ESTABLISHED and what follows (RFC 9293, section 3.3.2).
func (s State) Synchronized() bool { return s >= StateEstablished && s <= StateTimeWait }

// MarshalText encodes the state by its name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *State) UnmarshalText(b []byte) error {
	for i, n := range stateNames {
		if n == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("event: unknown TCP state %q", b)
}

// A Trigger is what moves a TCP endpoint from one state to another: RFC 9293,
// section 3.10, knows segments, calls and timeouts.
type Trigger string

const (
	BySegment Trigger = "segment" // a segment arrived or was sent
	ByCall    Trigger = "call"    // the application called
	ByTimer   Trigger = "timer"   // a timer expired
	Unknown   Trigger = "unknown" // nothing that was observed explains it
)

// A Cause is why a TCP endpoint changed its state.
type Cause struct {
	By Trigger `json:"by"`
	// N is the ordinal of the tcp.segment event, for BySegment; for ByCall of
	// the segment that shows the call, if it was inferred from one.
	N uint64 `json:"n,omitempty"`
	// What names the call or the timer: "close", "abort", "listen",
	// "half-open deadline", "TIME-WAIT", "retransmission", …
	What string `json:"what,omitempty"`
}

func (c Cause) String() string {
	switch {
	case c.By == BySegment && c.N != 0:
		return fmt.Sprintf("segment %d", c.N)
	case c.What != "":
		return string(c.By) + " " + c.What
	}
	return string(c.By)
}

// TCPState tells of one transition of one side's endpoint. From is that side.
// With view wire the state is inferred from the segments, with view endpoint it
// is netstack's own.
type TCPState struct {
	Side  Side  `json:"side"`
	Old   State `json:"old"`
	New   State `json:"new"`
	Cause Cause `json:"cause"`
}

// Kind returns "tcp.state".
func (*TCPState) Kind() Kind { return "tcp.state" }

// Drop tells of a segment of From's that went no further: it was kept from our
// stack, or, if it is ours, the device did not take it.
type Drop struct {
	// N is the ordinal of the tcp.segment event, 0 where it is not known which.
	N uint64 `json:"segment,omitempty"`
	// Reason is why: "bad checksum", "no timestamp option", "accept limit", …
	Reason string `json:"reason"`
}

// Kind returns "tcp.drop".
func (*Drop) Kind() Kind { return "tcp.drop" }

// Dialed tells what came of dialling the destination of an upstream leg. Its
// segments are the kernel's, and not seen.
type Dialed struct {
	OK       bool          `json:"ok"`
	Error    string        `json:"error,omitempty"` // the kernel's, where it failed
	Duration time.Duration `json:"duration"`        // until it was connected, or had failed; ns
}

// Kind returns "tcp.dial".
func (*Dialed) Kind() Kind { return "tcp.dial" }

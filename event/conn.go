package event

import (
	"net/netip"
	"time"
)

// Open is the first event of a connection.
type Open struct {
	Client   netip.AddrPort `json:"client"`
	Server   netip.AddrPort `json:"server"`
	Name     string         `json:"name,omitempty"`     // the host name that the server's address was given for
	Device   string         `json:"device,omitempty"`   // the interface it came in on
	Scenario string         `json:"scenario,omitempty"` // the scenario applied to it
	// MidStream is set where the first segment seen was not a SYN: what was
	// before is not known.
	MidStream bool `json:"mid_stream,omitempty"`
	// Upstream is set on an upstream leg: the connection, of the kernel's, to
	// the real destination that we dialled for a client. Its client is us;
	// the address of it is empty where the dial failed.
	Upstream bool `json:"upstream,omitempty"`
	// UpstreamOf is the connection of that client; 0 where it is not known.
	UpstreamOf uint64 `json:"upstream_of,omitempty"`
}

// Kind returns "conn.open".
func (*Open) Kind() Kind { return "conn.open" }

// Close tells how a connection ended, when nothing is left to exchange: both
// FINs are acknowledged, or a RST was seen, or it was given up. Only the end of
// TIME-WAIT, stray segments and what our TLS endpoint says late may follow it.
type Close struct {
	// How is "fin" (orderly), "rst" (From reset it), "refused" (RST for the
	// first SYN), "timeout" (an endpoint gave up), "dropped" (the SYN was
	// ignored), "shutdown" (the observer stopped), "end_of_capture" (it was
	// still open at the end of the capture) or "evicted" (not followed
	// further: no room, or silent for two hours, or in the handshake of a
	// capture for a minute). Of an upstream leg that could not be dialled it is
	// also "unreachable" (no way to the destination), "canceled" (it was no
	// longer needed) or "failed".
	How string `json:"how"`

	// Code, Cause and Hint are as those of Failed, for what went wrong below
	// TLS or beside it; absent where nothing did, or tls.failed tells it.
	Code  CauseCode `json:"code,omitempty"`
	Cause string    `json:"cause,omitempty"`
	Hint  string    `json:"hint,omitempty"`
	Leg   uint64    `json:"leg,omitempty"` // the upstream leg that it comes from, if it does

	BytesClient   uint64 `json:"bytes_client"` // payload sent by the client, each byte once
	BytesServer   uint64 `json:"bytes_server"` // of an upstream leg: as much of it as we read
	SegmentsSeen  uint64 `json:"segments"`     // of an upstream leg: as the kernel counted them
	Retransmits   uint64 `json:"retransmits"`  // of an upstream leg: those of the kernel
	OutOfOrder    uint64 `json:"out_of_order,omitempty"`
	TLSCutShort   bool   `json:"tls_cut_short,omitempty"` // ended after the handshake without close_notify (RFC 8446, section 6.1)
	HandshakeDone bool   `json:"handshake_done"`          // the TCP handshake completed
	// BothFIN is set with How "rst" if both sides had sent FIN before: the one
	// that reset had closed its socket. Of an upstream leg it is set with How
	// "fin" as well, if the FIN of both was seen: nobody waits there for that
	// of the server.
	BothFIN bool `json:"both_fin,omitempty"`

	RTT          time.Duration `json:"rtt,omitempty"`           // SYN-ACK to the ACK of it, from the last SYN-ACK sent; of an upstream leg the kernel's, smoothed; ns
	TCPHandshake time.Duration `json:"tcp_handshake,omitempty"` // first SYN to the ACK of the SYN-ACK; of an upstream leg the dial; ns
	TLSHandshake time.Duration `json:"tls_handshake,omitempty"` // first byte of ClientHello to the last Finished; ns
	Duration     time.Duration `json:"duration"`                // first segment to the last; ns

	// Where the time of the TLS handshake went, from the wire: who was to send.
	WaitingClient time.Duration `json:"waiting_client,omitempty"`
	WaitingServer time.Duration `json:"waiting_server,omitempty"`
	// Of WaitingServer, as our endpoint measured it.
	Signing time.Duration `json:"signing,omitempty"`
}

// Kind returns "conn.close".
func (*Close) Kind() Kind { return "conn.close" }

// Fault tells of something that a scenario did on purpose.
type Fault struct {
	Scenario string `json:"scenario"`
	At       string `json:"at"`     // the step
	Action   string `json:"action"` // what was done
}

// Kind returns "fault".
func (*Fault) Kind() Kind { return "fault" }

// Gap tells that observations or events were lost because a bound was hit.
type Gap struct {
	Lost   uint64 `json:"lost"`   // how many
	What   string `json:"what"`   // of what: "packets", "observations" (what our endpoints tell), "events", "bytes", "secrets", "datagrams", "fragments"
	Reason string `json:"reason"` // which bound, and where
}

// Kind returns "trace.gap".
func (*Gap) Kind() Kind { return "trace.gap" }

// Unreachable tells of a packet that no connection can come of: for an address
// outside the served prefixes, or of a protocol that is not served.
type Unreachable struct {
	Src      string `json:"src"` // address, with port where the protocol has them
	Dst      string `json:"dst"`
	Protocol string `json:"protocol"`         // "tcp", "udp", "icmp", or the number
	Reason   string `json:"reason"`           // "address outside the served prefixes", …
	Answer   string `json:"answer,omitempty"` // what was sent back, "icmp net unreachable", empty for nothing
	Frame    uint64 `json:"frame"`
}

// Kind returns "ip.unreachable".
func (*Unreachable) Kind() Kind { return "ip.unreachable" }

// Device tells of a change of the network interface under the stack.
type Device struct {
	Name   string `json:"name"`
	Change string `json:"change"` // "up", "down", "deleted"
}

// Kind returns "device".
func (*Device) Kind() Kind { return "device" }

// CaptureEnd tells that a capture of the packets ended before the run did.
// Everything else goes on.
type CaptureEnd struct {
	File   string `json:"file"` // as it was asked for
	Reason string `json:"reason"`
}

// Kind returns "capture.end".
func (*CaptureEnd) Kind() Kind { return "capture.end" }

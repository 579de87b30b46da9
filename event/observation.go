package event

import "time"

// The types below are observations: what the data path sees, before anything is
// made of it. The tracer turns them into events; a capture keeps the packets.

// A Packet is one IP packet, possibly a super-packet, as it crosses the link.
// It and what it refers to are valid only during the call that tells of it; with
// Memory, the bytes may be kept.
type Packet struct {
	Time time.Time
	// From is Client for a packet from the device to the stack, Server for
	// one that the stack sends.
	From Side
	// Views hold the packet from its IP header on, in order.
	Views [][]byte
	// Memory is what the bytes of the Views are in, for an observer that keeps
	// them without a copy. It is nil if they are in a buffer that is used again
	// after the call.
	Memory Memory
	// Len is the length of all views.
	Len int
	// Stray is set on a packet for an address that is not served: no
	// connection comes of it.
	Stray bool
	// SegmentSize is not 0 for a super-packet: the payload of each segment
	// that it stands for.
	SegmentSize int
	// PartialChecksum is set where the transport checksum covers only the
	// pseudo-header so far, and is left to the device to complete.
	PartialChecksum bool
	// SYNCookie is set on a SYN-ACK for which no endpoint exists: its
	// sequence number is a cookie (RFC 4987, section 3.6).
	SYNCookie bool
}

// A Memory is memory that many refer to, and nobody writes to while they do. Its
// methods may be called from any goroutine.
type Memory interface {
	// Hold keeps the memory as it is, until Release is called once for it.
	Hold()
	Release()
}

// An EndpointState is one state of one TCP endpoint of ours.
type EndpointState struct {
	Time time.Time
	Flow Flow
	// Endpoint tells endpoints with the same flow apart. It is unique in the
	// run and never 0.
	Endpoint uint64
	Old, New State
	// Call names the call or deadline of ours that led to it, if one did.
	Call string
	// Timer is set where Call is a deadline of ours.
	Timer bool
}

// A PacketDrop is a segment that was seen but went no further: one of the
// client's that was kept from the stack, or one of the stack's that the device
// did not take.
type PacketDrop struct {
	Time   time.Time
	Flow   Flow
	From   Side
	Frame  uint64
	Reason string
	// Final is set on a SYN that will not be answered: no connection comes
	// of it.
	Final bool
}

// A Dial is what came of dialling a destination for the connection of a client:
// a TCP connection of the kernel's, of which no packet is seen.
type Dial struct {
	Time     time.Time // when it began
	Duration time.Duration
	// Flow is from our address to the destination. Client is the zero
	// AddrPort where the dial failed.
	Flow Flow
	// Name is the host name that the destination was found by, or "".
	Name string
	Err  error // as net.Dialer gives it; nil if the connection was made
}

// A TransportInfo is what the kernel counted of a TCP connection until it was
// closed (struct tcp_info). The zero value says that it was not asked.
type TransportInfo struct {
	RTT         time.Duration // smoothed (RFC 6298)
	SegmentsOut uint64
	SegmentsIn  uint64
	Retransmits uint64 // segments that the kernel sent again
}

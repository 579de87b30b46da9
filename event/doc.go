// Package event is the event model of synscope: what can be told about a TCP
// connection and the TLS handshake on it, as one ordered timeline.
//
// An [Event] is a small header (when, which connection, who) and a [Body], one
// type for each [Kind]. The bodies use the field's own words: states of RFC
// 9293 and RFC 8446, names of the IANA registries. The same values are logged
// as JSON lines, drawn as a ladder and asserted on in tests.
//
// Two views are never mixed ([View]): wire is what the packets say, endpoint is
// what netstack and crypto/tls say of themselves. Where they differ, the
// difference is a finding.
//
// The data path makes observations ([Packet], [EndpointState], [PacketDrop]);
// the tracer, package internal/trace, makes events of them and hands them, in
// order, to sinks. docs/events.md is the reference of their encoding.
//
// The package does not decode, render or store anything, and it imports only
// the standard library.
package event

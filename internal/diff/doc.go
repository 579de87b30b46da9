// Package diff compares two connections, called A and B: what their hellos
// offer, what was agreed on, where their handshakes part, and how long each
// took.
//
// [Compare] is pure: it takes the events of both and returns a [Report], which
// [Render] draws for a person and encoding/json encodes for a machine. What two
// runs of the same client never share is no difference: ports, sequence
// numbers, random values, times, and which of the values that RFC 8701 reserves
// a client picked (all of them are written GREASE). Nor is the order in which
// steps of different sides passed each other on the way.
//
// The steps of each side are aligned on what they are, not on what is in them:
// that the ServerHello of A chose other values than that of B stands under what
// was agreed on. A report states what was observed; it does not say that a
// difference is the cause of a failure, only that it bears on it.
//
// All that comes from a peer is bounded and, by Render, escaped.
package diff

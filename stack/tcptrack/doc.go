// Package tcptrack follows TCP connections from their packets alone.
//
// A [Packet] is a parsed IP packet. A [Conn] takes the segments of one
// connection, in the order in which they crossed one point between the two
// sides, and says of each what it means: relative numbers, retransmission,
// reordering, the transitions of RFC 9293's state machine that it implies for
// either side, and which bytes of the stream it makes available in order.
//
// Relative numbers are those of the common analysers: the SYN is 0, the first
// byte of data is 1. Where a connection is joined in midstream, its first byte
// seen is 1, and its states are not told.
//
// What the packets do not say is not told: a timer that expires, a FIN queued
// behind a closed window, a segment that the receiver ignores for a reason of
// its own. The end of TIME-WAIT is never seen. The receiver's window is not
// enforced: a sender that violates it may have bytes shown here that its peer
// never took.
//
// The package is pure: no goroutines, no clocks, no I/O. Everything in a packet
// is taken to be hostile; what is kept of it is bounded.
package tcptrack

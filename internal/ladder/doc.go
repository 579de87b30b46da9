// Package ladder draws the events of a connection for a person: the client at
// the left, the server at the right, time downwards, an arrow for each segment
// and below it the TLS messages that it carried.
//
// A step is a row with an arrow (a segment, or a run of segments folded into
// one) or a note (a fault, a gap, a timer). What a segment carried stands below
// its arrow as blocks. The states that a step brought a side to stand outside
// the two lifelines, TCP states with hyphens (SYN-SENT), TLS states with
// underscores (WAIT_SH). As in RFC 8446, section 2, {..} is encrypted with the
// handshake keys, [..] with the application keys, (..) with the early ones. A
// "!" in the first column marks what is not as it should be.
//
// [Render] draws one connection; a [Writer] draws each connection of a stream
// of events when it ends.
//
// All text that a peer can choose is escaped and cut to a bound. No line is
// wider than [Options].Width columns: only characters of one column are printed.
// What is not drawn (plain acknowledgements, the segments of bulk data) is
// counted.
//
// The package does not decide whether to use colour or Unicode: its caller knows
// the terminal and NO_COLOR.
package ladder

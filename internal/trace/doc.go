// Package trace turns observations into events.
//
// The data path tells a [Tracer] of packets, endpoint states and TLS secrets;
// each is copied into a bounded queue, and the data path goes on. One goroutine
// takes them out, finds the connection ([synscope/stack/tcptrack]), decodes its
// TLS ([synscope/tlsbridge/tlswire]) and emits events, numbered and in order,
// to the sinks. A sink that may be slow is put behind a [Queue] of its own.
//
// An upstream leg, which the bridge dials for a client, is told by an [Upstream]:
// its bytes go through the same queue and the same decoder, and it is a
// connection of its own.
//
// Nothing is lost silently: where a bound is hit, a trace.gap event counts what
// was lost and says which bound it was.
//
// Tracer implements the observer interfaces of packages stack and tlsbridge; it
// imports neither, so that it runs on recorded packets as well.
package trace

// Package pack keeps events in little memory, where they are rarely looked at:
// those of connections that are open and rest.
//
// The events of a handshake take some 10 KB of memory. Those of one connection
// resemble those of another, but for numbers: as JSON, and compressed by DEFLATE
// (RFC 1951) with what another connection said as its dictionary, they take little
// more than 1 KB. To pack them costs some 100 us, and to unpack them several times
// that.
package pack

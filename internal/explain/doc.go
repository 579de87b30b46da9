// Package explain holds the texts that say what each step of a connection is
// for: the segments of the TCP handshake, the messages of the TLS 1.3 and TLS
// 1.2 handshakes, and how both protocols close. "synscope explain" prints them,
// and the ladder sets them below the steps of a real connection.
//
// A step's name is the registry's name of a handshake message (client_hello) or
// a short name (syn-ack). Where TLS 1.2 gives a message another meaning than TLS
// 1.3, its step has the same name with the suffix "-1.2".
//
// The package does not look at connections: the numbers of a particular one are
// the ladder's.
package explain

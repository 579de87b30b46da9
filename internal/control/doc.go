// Package control is how other processes ask a running daemon: HTTP on a Unix
// socket. docs/control.md has the routes.
//
// [Listen] opens the socket while the daemon still has its privileges. A
// [Server] is a sink of the tracer: it keeps the events of recent connections,
// the history, and hands those that come to any number of readers. A [Client]
// is the other end.
//
// The history is bounded by connections and by bytes, and each reader has a
// bounded queue of its own, so that nobody slows the tracer or another reader.
// What is lost is told by a trace.gap in its place.
//
// Who may ask is a matter of the socket's mode and of the peer's credentials,
// which are looked at before anything is read. There is nothing to change
// through the socket, and no secret to read.
package control

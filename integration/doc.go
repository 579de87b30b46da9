// Package integration tests the built binary with real clients, in network
// namespaces that the tests make and remove. It has no code of its own.
//
// Each test says what happened in full: the complete list of transitions of
// both layers on both sides. The packets are captured on the interface as well,
// and tshark, which shares no code with us, must tell the same segments,
// handshake messages and alerts.
//
// The tests need root, and the programs that tools_test.go lists; without them
// they fail. make test installs what is missing.
package integration

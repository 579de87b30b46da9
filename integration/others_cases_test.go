package integration

import (
	"slices"
)

// A meeting is a server and a client of other makers, and what they do.
type meeting struct {
	name string
	form form
	run  func(s *site)
	// shows lists what the events must have, as JSON, so that the case is what
	// it is called.
	shows  []string
	decode []string // what tshark has to take ports for, if not all for TLS
	// derive names how further captures are made of this one.
	derive []string
	differ differences
}

// differences are those known of a meeting's capture (""), and of those derived
// from it.
type differences map[string]difference

// weak lets OpenSSL use what it refuses by default.
const weak = ":@SECLEVEL=0"

var meetings = slices.Concat(suites, extensions, failures)

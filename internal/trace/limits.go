package trace

import "time"

// The times after which the tracer lets go.
const (
	// housekeeping is how often it looks for what to let go of.
	housekeeping = 250 * time.Millisecond
	// maxTimeWait is how long after its end a connection is kept for the end
	// of our endpoint's TIME-WAIT: twice the maximum segment lifetime (RFC
	// 9293, section 3.4.2), and some.
	maxTimeWait = 5 * time.Minute
	// embryonicTimeout is how long a handshake without an endpoint of ours is
	// waited for: its SYN was dropped or answered with a cookie.
	embryonicTimeout = 64 * time.Second
	// idleTimeout is how long any other connection is followed without a
	// word of it: what RFC 5382, section 5, asks of a NAT.
	idleTimeout = 2*time.Hour + 4*time.Minute
	// restAfter is how long nothing is heard of a connection until what is kept
	// of it is made small.
	restAfter = 500 * time.Millisecond
	// maxHold is how long a connection waits for a word of our TLS endpoint:
	// a key, or the end of its handshake.
	maxHold = 2 * time.Second
)

// limits bound what a Tracer keeps. They are fields for the tests' sake.
type limits struct {
	// conns are the connections followed at once. The one that was silent
	// for longest gives way.
	conns int
	// embryonic are those whose handshake is not complete and that have no
	// endpoint of ours: in a SYN flood each costs about 2 KB. HalfOpen are
	// those that have one. It sends its SYN-ACK again, which would be told as
	// another connection if the first were gone, so that this is more than
	// the stack has of them.
	embryonic, halfOpen int
	// linger is how long a connection that ended is kept for stray segments,
	// and ended how many are.
	linger time.Duration
	ended  int
	// randoms are the client randoms whose secrets are kept, of a recording.
	randoms int

	// queuedPackets and queuedBytes are the packets that wait for the tracer,
	// the latter with the rest of their buffers. What is held of the data path
	// may be in memory of twice its length.
	queuedPackets, queuedBytes int
	// queuedOthers are the other observations: a connection makes about a
	// dozen, so that packets hit their bound first.
	queuedOthers int

	// held are the observations of a connection that wait for a key, and
	// heldBytes the packets among those of all connections.
	held, heldBytes int

	// history are the events kept of a connection, and histories the bytes of
	// those of all. What comes beyond still goes to the sinks.
	history, histories int
}

var defaultLimits = limits{
	conns:         1 << 17,
	embryonic:     4096,
	halfOpen:      1 << 14,
	linger:        2 * time.Second,
	ended:         1 << 17,
	queuedPackets: 1 << 17,
	queuedBytes:   64 << 20,
	queuedOthers:  1 << 18,
	held:          512,
	heldBytes:     32 << 20,
	history:       1024,
	histories:     64 << 20,
}

// replayLimits are those of a Replay: it has no queue, and segments may stray
// long after the end in a recording of a slow network.
var replayLimits = limits{
	conns:     1 << 17,
	embryonic: 1 << 14,
	linger:    time.Minute,
	ended:     1 << 12,
	randoms:   1 << 17,
}

// shared returns the limits of one of n that share them. Secrets are known to
// all.
func (l limits) shared(n int) limits {
	l.conns /= n
	l.embryonic /= n
	l.ended /= n
	return l
}

package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// A Destination is what a client's connection is for.
type Destination struct {
	// Conn is the connection to it, which the server owns from now on. Nil: it
	// is gone, and the client's is reset.
	Conn *Tap
	// Name is the host name that its address was found by, or "".
	Name string
	// Open reports whether TLS is terminated, for the name of the server_name
	// extension, possibly hostile and possibly empty, and made anew to the
	// destination. If not, or if it is nil, it passes untouched. It must not
	// block.
	Open func(serverName string) bool
	// Roots are the authorities that the destination's certificate is judged
	// by. Nil: those of the system.
	Roots *x509.CertPool
}

// maxHello bounds what is kept of a client's first bytes while they may still
// have to pass untouched: a ClientHello may have 64 KB, in small records.
const maxHello = 256 << 10

// A bridge is a connection that is relayed to its destination.
type bridge struct {
	*conn
	near, far *span
	spoken    bool // the client has said something; owned by who reads from it
}

// serveBridge relays the connection and closes both.
func (c *conn) serveBridge() {
	raw := c.transport.raw
	defer raw.Close()
	defer c.transport.Close()
	near := &span{Conn: c.transport, raw: raw}
	if c.to.Conn == nil {
		near.abort("the connection to the destination is gone")
		return
	}
	defer c.to.Conn.Close()
	b := &bridge{conn: c, near: near, far: &span{Conn: c.to.Conn, raw: c.to.Conn}}
	b.serve()
}

// serve passes on what comes until both directions have ended. Who speaks first is
// not known, and TLS may begin after other words (STARTTLS, HTTP CONNECT).
func (b *bridge) serve() {
	b.near.begins = b.begins
	down := b.passDown()
	up := pass(b.far, b.near)
	if up == stopped {
		b.near.begins = nil
		if b.far.pause(down) {
			if !b.open() {
				return
			}
			b.transport.begin(0)
			down = b.passDown()
		}
		up = pass(b.far, b.near)
	}
	b.end(up, <-down)
}

// passDown passes on what comes from the destination, and returns who is told
// when that has ended.
func (b *bridge) passDown() chan ending {
	down := make(chan ending, 1)
	b.server.workers.do(func() { down <- pass(b.near, b.far) }) // ends with the far span, or paused
	return down
}

// end closes both spans when both directions have ended.
func (b *bridge) end(how ...ending) {
	if slices.Contains(how, endedReset) || slices.Contains(how, endedUnwritable) {
		b.near.abort("the other side of the bridge was reset")
		b.far.abort("")
		return
	}
	if !b.near.fin { // the server shuts down
		drain(b.near.raw, b.config.DrainTimeout)
	}
	b.near.raw.Close()
	b.far.raw.Close()
}

// begins looks at what the client sends, and reports true where TLS begins that
// may be opened.
func (b *bridge) begins(chunk []byte) bool {
	first := !b.spoken
	b.spoken = true
	hello := first && chunk[0] == recordHandshake || tlswire.HelloType(chunk) == uint8(event.ClientHelloType)
	switch {
	case hello && b.to.Open != nil:
		return true
	case hello:
		b.watch.ok(stepPass, untouched)
		b.near.begins = nil
	case first:
		b.watch.ok(stepPlain, describePlain(chunk))
	}
	return false
}

// untouched is the detail of stepPass.
const untouched = "TLS passes untouched"

// errUntouched has crypto/tls give up on a client that is to pass untouched.
var errUntouched = errors.New("tlsbridge: TLS is to pass untouched")

// open makes both handshakes, and returns true if the spans are to be relayed: as
// TLS, or untouched where TLS is not to be opened, or is not such that crypto/tls
// could. Nothing was sent to the client then.
func (b *bridge) open() bool {
	t := b.transport
	t.muted = true
	t.replay(b.near.ahead, maxHello)
	b.near.ahead = nil
	t.SetDeadline(time.Now().Add(b.config.HandshakeTimeout))
	o := &opening{bridge: b}
	start := time.Now()
	conn := tls.Server(b.near, &tls.Config{GetConfigForClient: o.configure})
	err := conn.Handshake()
	if !o.begun {
		t.muted = false
		return b.passUntouched(err)
	}
	err = b.config.explain(err)
	detail := ""
	if err == nil {
		detail = describe(conn.ConnectionState())
	} else if o.failure != nil {
		err = o.failure // crypto/tls only carried it out
	}
	b.watch.timed(stepHandshake, detail, start, err)
	b.watch.end(err)
	if err != nil {
		o.end(err)
		return false
	}
	b.near.tls, b.far.tls = conn, o.client
	b.near.sealer = newSealer(conn.ConnectionState().CipherSuite, o.secret)
	return true
}

// passUntouched has all that was read so far be read again. Err is why it is not
// opened.
func (b *bridge) passUntouched(err error) bool {
	t := b.transport
	if t.more {
		b.watch.failed(stepClose, fmt.Sprintf("the ClientHello is longer than %d bytes", maxHello))
		b.near.abort("too long a ClientHello")
		return false
	}
	t.rewind()
	detail := untouched
	if !errors.Is(err, errUntouched) {
		detail += ": " + err.Error()
	}
	b.watch.ok(stepPass, detail)
	return true
}

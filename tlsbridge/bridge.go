package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
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

func (b *bridge) serve() {
	// Who speaks first is not known: what the destination says is passed on at
	// once.
	begun, spoke := make(chan ending, 1), make(chan bool, 1)
	go func() { // ends with the far span, or by silence
		ok := b.far.await()
		spoke <- ok
		if ok {
			begun <- pass(b.near, b.far)
		}
	}()
	first, err := b.transport.first()
	switch {
	case err != nil:
		b.near.after = err // to be met again
	case first != recordHandshake:
		b.watch.ok(stepPlain, describePlain(b.transport.head))
	case b.to.Open == nil:
		b.watch.ok(stepPass, untouched)
	case b.silence(spoke):
		begun = nil
		if !b.open() {
			return
		}
	}
	b.transport.begin(0)
	relay(b.near, b.far, begun, b.config.DrainTimeout)
}

// silence ends the waiting for what the destination says, and reports whether it
// has said nothing.
func (b *bridge) silence(spoke chan bool) bool {
	b.far.SetReadDeadline(past)
	defer b.far.SetReadDeadline(time.Time{})
	return !<-spoke
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
	t.keepMax, t.muted = maxHello, true
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
	switch {
	case err == nil:
		b.near.tls, b.far.tls = conn, o.client
		b.near.sealer = newSealer(conn.ConnectionState().CipherSuite, o.secret)
		return true
	case o.failure != nil:
		o.end()
	default:
		b.close(nil) // crypto/tls has sent its alert, or was sent one
		o.client.Close()
	}
	return false
}

// passUntouched has all that was read so far be read again. Err is why it is not
// opened.
func (b *bridge) passUntouched(err error) bool {
	t := b.transport
	if t.cut {
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

package tlsbridge

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"time"
)

// maxDrain bounds the bytes read and thrown away while the client has not
// closed yet. A client that goes on sending more than that gets a RST.
const maxDrain = 1 << 20

// A halfCloser can end its own direction only.
type halfCloser interface {
	CloseWrite() error
}

// close ends the connection in order. conn is its TLS, if the handshake was
// completed:
//
//	close_notify  no more application data (RFC 8446, section 6.1)
//	FIN           no more bytes
//	drain         what the client still sends, until its FIN: to close with
//	              bytes unread would send a RST, and a RST takes with it what
//	              the client has not read yet (RFC 9293, section 3.10.4)
//	close
func (c *conn) close(conn *tls.Conn) {
	raw := c.transport.raw
	defer raw.Close()
	if conn != nil && !c.transport.closed() {
		conn.CloseWrite() // an error is the client's end, and seen below
	}
	c.transport.Close()
	half, ok := raw.(halfCloser)
	if !ok || half.CloseWrite() != nil || c.transport.finned.Load() {
		return // it cannot half-close, is gone already, or the client was first
	}
	if why := drain(raw, c.config.DrainTimeout); why != "" {
		c.watch.failed(stepClose, why)
	}
}

// drain reads until the client closes. It returns why it gave up, or "".
func drain(raw net.Conn, timeout time.Duration) string {
	if raw.SetReadDeadline(time.Now().Add(timeout)) != nil {
		return ""
	}
	defer raw.SetReadDeadline(time.Time{}) // netstack keeps the timer
	n, err := io.Copy(io.Discard, io.LimitReader(raw, maxDrain))
	switch {
	case timedOut(err):
		return fmt.Sprintf("the client did not close within %v of our FIN", timeout)
	case n == maxDrain:
		return fmt.Sprintf("the client sent %d bytes after our FIN and did not close", n)
	}
	return ""
}

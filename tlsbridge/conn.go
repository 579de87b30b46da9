package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"synscope/event"
)

// A conn is one connection, from its first byte to its close. All of it runs on
// the goroutine of Server.run, except for drain and abort.
type conn struct {
	server    *Server
	config    *Config // as it was when the connection came
	transport *transport
	watch     watch
	to        *Destination // nil: it is ours to answer

	mu       sync.Mutex         // guards the fields below
	stop     context.CancelFunc // ends the service that is running, if one is
	graceful bool               // that service ends by itself
	spoke    bool               // the client has sent its first bytes
	draining bool               // the server shuts down
}

func newConn(s *Server, raw net.Conn) *conn {
	config := s.config.Load()
	// The addresses are taken now: some stacks forget them after a RST.
	flow := event.Flow{Client: addrPort(raw.RemoteAddr()), Server: addrPort(raw.LocalAddr())}
	c := &conn{server: s, config: config, transport: newTransport(raw), watch: watch{flow, config.Observer}}
	if config.Destination != nil {
		c.to = config.Destination(flow)
	}
	return c
}

// addrPort returns the address as packets have it: unmapped and without zone;
// or the zero AddrPort if it is none of TCP.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case nil:
	case *net.TCPAddr:
		ap = a.AddrPort()
	default:
		ap, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// A talk is what a connection has come to when its service is to be run. It is run
// by Server.run, not from below: most connections wait there, and what led to the
// service would keep their stacks from being made smaller.
type talk struct {
	service Service
	session *Session
	tls     *tls.Conn // nil: plain text
	ctx     context.Context
	cancel  context.CancelFunc
}

// open brings the connection to where its service is to be run, for end to be
// called after it. It returns nil, and has closed the connection, where none is.
func (c *conn) open(ctx context.Context) *talk {
	if c.to != nil {
		c.serveBridge()
		return nil
	}
	c.transport.SetDeadline(time.Now().Add(c.config.HandshakeTimeout))
	first, err := c.transport.first()
	if err == nil {
		c.mu.Lock()
		c.spoke = true
		c.mu.Unlock()
	}
	switch {
	case err != nil:
		c.silent(err)
		return nil
	case first == recordHandshake:
		return c.openTLS(ctx)
	}
	return c.openPlain(ctx)
}

// silent ends a connection that sent nothing.
func (c *conn) silent(err error) {
	if timedOut(err) && !c.isDraining() {
		c.watch.failed(stepClose, fmt.Sprintf("the client sent nothing for %v", c.config.HandshakeTimeout))
	}
	c.close(nil)
}

func (c *conn) openPlain(ctx context.Context) *talk {
	c.watch.ok(stepPlain, describePlain(c.transport.head))
	endpoint := c.config.endpoint(c.watch.flow, "")
	return c.begin(ctx, &talk{service: endpoint.Service, session: &Session{Conn: c.transport}})
}

func (c *conn) openTLS(ctx context.Context) *talk {
	conn, endpoint, err := c.handshake()
	if err != nil {
		c.close(nil) // crypto/tls has sent its alert: see that it arrives
		return nil
	}
	state := conn.ConnectionState()
	return c.begin(ctx, &talk{service: endpoint.Service, session: &Session{Conn: conn, TLS: &state}, tls: conn})
}

// begin begins the service, unless the server shuts down.
func (c *conn) begin(ctx context.Context, t *talk) *talk {
	t.ctx, t.cancel = context.WithCancel(ctx)
	s := t.session
	s.Flow, s.Story = c.watch.flow, c.config.Story
	s.transport, s.http = c.transport, c.server.http
	c.transport.begin(c.config.IdleTimeout)
	_, graceful := t.service.(httpService)
	if !c.setService(t.cancel, graceful) {
		t.cancel()
		c.close(t.tls)
		return nil
	}
	return t
}

// end closes the connection after its service, which returned err.
func (c *conn) end(t *talk, err error) {
	if why := c.transport.why(); why != "" {
		c.watch.failed(stepClose, why)
	} else if err != nil && !ended(err) {
		c.watch.failed(stepClose, err.Error())
	}
	t.cancel()
	c.close(t.tls)
}

// setService notes what drain has to end. It returns false if the server shuts
// down already.
func (c *conn) setService(stop context.CancelFunc, graceful bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return false
	}
	c.stop, c.graceful = stop, graceful
	return true
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// ended reports whether err says no more than that the connection is over,
// which the wire says better.
func ended(err error) bool {
	_, op := errors.AsType[*net.OpError](err)
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || timedOut(err) || op
}

// drain asks the connection to end: at once if it waits for the client, after
// the handshake or the answer in progress if not.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	switch {
	case c.to != nil:
		c.transport.stopReading()
	case c.stop == nil && c.spoke:
		// In the handshake: no service will follow it.
	case c.graceful && !c.transport.fresh.Load():
		// HTTP, and not before its first request: net/http knows where the
		// requests end.
		c.stop()
	case c.stop != nil:
		c.stop()
		fallthrough
	default:
		c.transport.stopReading()
	}
}

// abort closes the connection under whatever it is doing.
func (c *conn) abort() {
	c.transport.raw.Close()
	if c.to != nil && c.to.Conn != nil {
		c.to.Conn.Close()
	}
}

// describePlain says why bytes are taken as plain text. What they are is for the
// wire's view to tell.
func describePlain(head []byte) string {
	if len(head) > 2 && head[0]&0x80 != 0 && head[2] == 1 {
		return "a ClientHello of SSL 2.0 (RFC 5246, appendix E.2)"
	}
	return "the first byte is not that of a handshake record"
}

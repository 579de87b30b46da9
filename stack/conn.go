package stack

import (
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"synscope/event"
)

// A Conn is an accepted TCP connection. It is a net.Conn that can also be
// half-closed and reset. Its methods may be called by several goroutines.
type Conn struct {
	*gonet.TCPConn
	stack *Stack
	f     *flow
	once  sync.Once
}

// Flow returns the addresses of the connection.
func (c *Conn) Flow() event.Flow { return c.f.ev }

// LocalAddr returns the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.f.ev.Server) }

// RemoteAddr returns the client's address, also after a RST.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.f.ev.Client) }

// CloseWrite sends FIN and leaves the connection open for reading (RFC 9293,
// section 3.6).
func (c *Conn) CloseWrite() error {
	c.f.explainClose("shutdown")
	defer c.stack.flows.poll(c.f)
	return c.TCPConn.CloseWrite()
}

// Close closes both directions. With received data unread netstack sends RST
// instead of FIN (RFC 9293, section 3.6.1). It returns nil; after Close, Abort
// does nothing.
func (c *Conn) Close() error {
	c.end(func() {
		c.f.explainClose("close")
		c.TCPConn.Close()
	})
	return nil
}

// Abort resets the connection (RFC 9293, section 3.10.5). Reason is told as the
// cause of the states that follow.
func (c *Conn) Abort(reason string) {
	c.end(func() {
		c.f.explain("abort: "+reason, false)
		c.f.ep.Abort()
	})
}

func (c *Conn) end(how func()) {
	c.once.Do(func() {
		how()
		c.stack.flows.poll(c.f)
	})
}

// limits counts the accepted connections that are neither CLOSED nor in
// TIME-WAIT. One that its owner closed counts until then: its buffers are kept
// for as long.
type limits struct {
	total, perSource int // bounds; 0: none

	mu      sync.Mutex
	open    int
	sources map[netip.Addr]int
}

// full returns why a connection from src cannot be taken, or "".
func (l *limits) full(src netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fullLocked(src)
}

func (l *limits) fullLocked(src netip.Addr) string {
	switch {
	case l.total > 0 && l.open >= l.total:
		return "connection limit"
	case l.perSource > 0 && l.sources[src] >= l.perSource:
		return "connection limit per source"
	}
	return ""
}

// take counts a connection from src, unless it is one too many.
func (l *limits) take(src netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reason := l.fullLocked(src); reason != "" {
		return reason
	}
	if l.sources == nil {
		l.sources = make(map[netip.Addr]int)
	}
	l.open++
	l.sources[src]++
	return ""
}

func (l *limits) release(src netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.sources[src]--; l.sources[src] <= 0 {
		delete(l.sources, src)
	}
}

func (l *limits) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

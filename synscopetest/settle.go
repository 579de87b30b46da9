package synscopetest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"synscope/event"
)

// A conn is a connection that the test dialled.
type conn struct {
	net.Conn
	network *Network
	once    sync.Once
}

// Close closes the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		n := c.network
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.dialed, c)
		n.closed = append(n.closed, addressOf(c.LocalAddr()))
		n.told.Broadcast()
	})
	return err
}

// CloseWrite sends a FIN, as that of [net.TCPConn].
func (c *conn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

func addressOf(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// A sink takes the events of the scope.
type sink struct{ *Network }

// Event implements synscope.Sink.
func (s sink) Event(e *event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.Event(e)
	switch b := e.Body.(type) {
	case *event.Open:
		s.open[e.Conn] = true
		s.newest[b.Client] = e.Conn
	case *event.Close:
		delete(s.open, e.Conn)
		s.told.Broadcast()
	}
}

// settle waits until the end of every connection that the client side closed is
// told, and what was observed of the others.
func (n *Network) settle() {
	n.wait(patience, func() bool {
		n.closed = slices.DeleteFunc(n.closed, func(client netip.AddrPort) bool {
			id, seen := n.newest[client]
			return seen && !n.open[id]
		})
		return len(n.closed) == 0
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n.scope.Events(ctx, event.Flow{}) // waits for what was observed; in vain when the scope is closed
}

// leftOpen returns an error that names what was dialled and is not closed. What
// is being closed is waited for.
func (n *Network) leftOpen() error {
	if n.wait(grace, func() bool { return len(n.dialed) == 0 }) {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var peers []string
	for c := range n.dialed {
		peers = append(peers, c.RemoteAddr().String())
	}
	slices.Sort(peers)
	return fmt.Errorf("the test left connections open: %s", strings.Join(peers, ", "))
}

// wait waits until a condition, which is called with n.mu held, is met. It gives
// up after a time, and returns false then.
func (n *Network) wait(limit time.Duration, met func() bool) bool {
	timeout := false
	timer := time.AfterFunc(limit, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		timeout = true
		n.told.Broadcast()
	})
	defer timer.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	for !met() {
		if timeout {
			return false
		}
		n.told.Wait()
	}
	return true
}

package stack

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxListeners bounds how many ports can be open at once: 65,535 ports of two
// families would cost a port scan about 100 MB.
const maxListeners = 4096

var errTooManyListeners = errors.New("too many ports in use")

type listenerKey struct {
	proto tcpip.NetworkProtocolNumber
	port  uint16
}

func listenerKeyOf(server netip.AddrPort) listenerKey {
	if server.Addr().Is4() {
		return listenerKey{header.IPv4ProtocolNumber, server.Port()}
	}
	return listenerKey{header.IPv6ProtocolNumber, server.Port()}
}

// A listener accepts on one port of one IP version, for all addresses.
type listener struct {
	key     listenerKey
	ep      tcpip.Endpoint
	wq      waiter.Queue
	entry   waiter.Entry
	ready   atomic.Bool  // it is in listeners.readyC
	lastSYN atomic.Int64 // Unix time in nanoseconds
	cookies int64        // connections made of SYN cookies; owned by the acceptor
}

// cookieMemory is more than what a connection that was made of a SYN cookie sent
// before it existed, in netstack's accounting, and maxCookieMemory the most that
// is made up for.
const (
	cookieMemory    = 8 << 10
	maxCookieMemory = 256 << 20
)

// tookCookie makes up for memory that netstack counts twice. What comes for such
// a connection before it exists is queued for the listener, moved to the
// connection, and given back by that alone. When the listener's receive buffer
// seems full, which takes a few hundred connections, everything with payload is
// dropped that comes before a connection exists: its client sends it again only
// after a timeout, of 200 ms on Linux.
func (l *listener) tookCookie() {
	l.cookies++
	l.ep.SocketOptions().SetReceiveBufferSize(tcp.DefaultReceiveBufferSize+min(l.cookies*cookieMemory, maxCookieMemory), false)
}

// listeners are the ports that are open now.
type listeners struct {
	stack   *gstack.Stack
	backlog int
	readyC  chan *listener // has room for every listener, so that nobody waits

	mu     sync.Mutex
	open   map[listenerKey]*listener
	closed bool
}

func (ls *listeners) init(s *gstack.Stack, backlog int) {
	ls.stack, ls.backlog = s, backlog
	ls.readyC = make(chan *listener, maxListeners)
	ls.open = make(map[listenerKey]*listener)
}

// ensure opens the port of dst if it is not.
func (ls *listeners) ensure(dst netip.AddrPort) error {
	key := listenerKeyOf(dst)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return errors.New("shutting down")
	}
	l := ls.open[key]
	if l == nil {
		if len(ls.open) >= maxListeners {
			return errTooManyListeners
		}
		var err error
		if l, err = ls.listen(key); err != nil {
			return err
		}
		ls.open[key] = l
	}
	l.lastSYN.Store(time.Now().UnixNano())
	return nil
}

// listen makes a listener. The lock is held.
func (ls *listeners) listen(key listenerKey) (*listener, error) {
	l := &listener{key: key}
	ep, terr := ls.stack.NewEndpoint(tcp.ProtocolNumber, key.proto, &l.wq)
	if terr != nil {
		return nil, errors.New(terr.String())
	}
	l.ep = ep
	// Connections of an earlier listener of the port may be open still.
	ep.SocketOptions().SetReuseAddress(true)
	if key.proto == header.IPv6ProtocolNumber {
		ep.SocketOptions().SetV6Only(true)
	}
	if terr := ep.Bind(tcpip.FullAddress{Port: key.port}); terr != nil {
		ep.Close()
		return nil, errors.New(terr.String())
	}
	l.entry = waiter.NewFunctionEntry(waiter.ReadableEvents, func(waiter.EventMask) {
		if l.ready.CompareAndSwap(false, true) {
			ls.readyC <- l
		}
	})
	l.wq.EventRegister(&l.entry)
	// Netstack counts the half-open endpoints against one less.
	if terr := ep.Listen(ls.backlog + 1); terr != nil {
		ep.Close()
		return nil, errors.New(terr.String())
	}
	return l, nil
}

// closeIdle closes the listeners that saw no SYN since the deadline, that no
// half-open endpoint depends on, and whose connections are all accepted. The
// lock is held until the ports are free, so that ensure can open them again.
func (ls *listeners) closeIdle(deadline time.Time, halfOpen map[listenerKey]bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for key, l := range ls.open {
		if l.lastSYN.Load() < deadline.UnixNano() && !halfOpen[key] && l.ep.Readiness(waiter.ReadableEvents) == 0 {
			delete(ls.open, key)
			l.close()
		}
	}
}

// close ends the listener and resets what it holds. The entry goes first: to
// close is an event too, and would put the listener into readyC.
func (l *listener) close() {
	l.wq.EventUnregister(&l.entry)
	l.ep.Close()
}

// closeAll closes every listener and lets no new one be made.
func (ls *listeners) closeAll() {
	ls.mu.Lock()
	ls.closed = true
	open := ls.open
	ls.open = nil
	ls.mu.Unlock()
	for _, l := range open {
		l.close()
	}
}

// count returns how many ports are open.
func (ls *listeners) count() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.open)
}

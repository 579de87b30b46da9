package outside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"synscope/event"
)

const (
	// maxDials bounds the dials that are under way and the connections that are
	// kept, together. Each is a descriptor and a goroutine.
	maxDials = 1024

	// DefaultTimeout is a little more than Linux sends SYNs for, 127 s, so that
	// it is the kernel that gives up.
	DefaultTimeout = 150 * time.Second
	// DefaultKeep is a little more than what a client may take to acknowledge
	// a SYN-ACK.
	DefaultKeep = 30 * time.Second
)

// A Dialer dials destinations. Its fields must not be changed once it is in use;
// its methods may be called by several goroutines.
type Dialer struct {
	// Dialled is told what came of each dial, on a goroutine of its own. Conn
	// is nil if d.Err is not; what Dialled returns is kept in its place. Nil:
	// nobody is told.
	Dialled func(client event.Flow, d event.Dial, conn net.Conn) net.Conn
	// Name returns the name that an address was found by, or "". Nil: none.
	Name func(netip.Addr) string
	// Loopback has addresses lead to those of this host's loopback, which are
	// not reached otherwise.
	Loopback map[netip.Addr]netip.Addr
	// Timeout bounds a dial, and Keep the time that a connection is kept. Zero
	// is DefaultTimeout and DefaultKeep.
	Timeout, Keep time.Duration

	dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error) // nil: the kernel's; for tests

	mu     sync.Mutex // guards the fields below
	dials  map[event.Flow]*attempt
	closed bool
	under  sync.WaitGroup // the goroutines of dials under way
}

// An attempt is a dial under way or, with a conn, one whose connection is kept.
type attempt struct {
	cancel context.CancelFunc
	conn   net.Conn
	expiry *time.Timer // closes conn
}

// A givenUp is the error of a dial that Close has ended. It is a timeout: nobody
// had answered.
type givenUp struct{}

func (givenUp) Error() string   { return "no answer so far" }
func (givenUp) Timeout() bool   { return true }
func (givenUp) Temporary() bool { return false }

// ErrLoopback is the error of a dial to the loopback of this host.
var ErrLoopback = errors.New("the loopback of the host is not to be reached")

// ErrTooMany is the error of a dial for which there is no room.
var ErrTooMany = errors.New("too many destinations are being dialled")

// Dial dials the server of a client's flow, and calls done with what came of it,
// once, on another goroutine or before it returns. For one flow, Dial is not
// called again before that.
func (d *Dialer) Dial(client event.Flow, done func(Result, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(d.Timeout, DefaultTimeout))
	a := &attempt{cancel: cancel}
	if err := d.add(client, a); err != nil {
		cancel()
		d.tell(client, time.Now(), nil, err)
		done(resultOf(err), err)
		return
	}
	go func() { // ends with the dial
		defer d.under.Done()
		defer cancel()
		start := time.Now()
		conn, err := d.connect(ctx, client.Server)
		if conn == nil && errors.Is(ctx.Err(), context.Canceled) {
			err = givenUp{}
		}
		conn = d.tell(client, start, conn, err)
		d.keep(client, a, conn)
		done(resultOf(err), err)
	}()
}

// add notes a dial that is to begin, or returns why none is. One before it, of a
// connection that came to nothing, is over.
func (d *Dialer) add(client event.Flow, a *attempt) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.dials[client]; old != nil {
		delete(d.dials, client)
		old.end()
	}
	switch {
	case d.closed:
		return givenUp{}
	case len(d.dials) >= maxDials:
		return ErrTooMany
	case d.dials == nil:
		d.dials = make(map[event.Flow]*attempt)
	}
	d.dials[client] = a
	d.under.Add(1) // for the goroutine of Dial
	return nil
}

func (d *Dialer) connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	to, err := Destination(to, d.Loopback)
	if err != nil {
		return nil, err
	}
	if d.dial != nil {
		return d.dial(ctx, to)
	}
	nd := net.Dialer{KeepAlive: -1} // the client has its own, or none
	return nd.DialContext(ctx, "tcp", to.String())
}

// Destination returns where an address of the client's leads: to itself, unless
// it is one of loopback. The loopback of this host is not reached otherwise; the
// error is ErrLoopback then.
func Destination(to netip.AddrPort, loopback map[netip.Addr]netip.Addr) (netip.AddrPort, error) {
	if a, ok := loopback[to.Addr()]; ok {
		return netip.AddrPortFrom(a, to.Port()), nil
	}
	if a := to.Addr().Unmap(); a.IsLoopback() || a.IsUnspecified() {
		return netip.AddrPort{}, ErrLoopback
	}
	return to, nil
}

func (d *Dialer) tell(client event.Flow, start time.Time, conn net.Conn, err error) net.Conn {
	if d.Dialled == nil {
		return conn
	}
	told := event.Dial{Time: start, Duration: time.Since(start), Flow: event.Flow{Server: client.Server}, Err: err}
	if conn != nil {
		if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
			ap := local.AddrPort()
			told.Flow.Client = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		}
	}
	if d.Name != nil {
		told.Name = d.Name(client.Server.Addr())
	}
	return d.Dialled(client, told, conn)
}

// keep keeps the connection that was made, if one was, until it is claimed.
func (d *Dialer) keep(client event.Flow, a *attempt, conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dials[client] != a { // closed meanwhile
		if conn != nil {
			conn.Close()
		}
		return
	}
	if conn == nil {
		delete(d.dials, client)
		return
	}
	a.conn = conn
	a.expiry = time.AfterFunc(orDefault(d.Keep, DefaultKeep), func() { d.expire(client, a) })
}

func (d *Dialer) expire(client event.Flow, a *attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dials[client] == a {
		delete(d.dials, client)
		a.end()
	}
}

// Claim returns the connection that was made for a client's, which is the
// caller's from then on; nil if there is none.
func (d *Dialer) Claim(client event.Flow) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.dials[client]
	if a == nil || a.conn == nil {
		return nil
	}
	delete(d.dials, client)
	a.expiry.Stop()
	return a.conn
}

// Drop closes the connection that is kept for a client's, if one is: the client is
// gone. It does not block.
func (d *Dialer) Drop(client event.Flow) {
	if conn := d.Claim(client); conn != nil {
		conn.Close()
	}
}

// Close cancels the dials under way, closes the connections that are kept, and
// waits for all that Dial started.
func (d *Dialer) Close() error {
	d.mu.Lock()
	d.closed = true
	for _, a := range d.dials {
		a.end()
	}
	d.dials = nil
	d.mu.Unlock()
	d.under.Wait()
	return nil
}

// end gives a dial up. The lock is held.
func (a *attempt) end() {
	a.cancel()
	if a.conn != nil {
		a.expiry.Stop()
		a.conn.Close()
	}
}

func orDefault(v, deflt time.Duration) time.Duration {
	if v == 0 {
		return deflt
	}
	return v
}

// A Result is how a destination answered, as the client is to meet it.
type Result int

const (
	Connected       Result = iota
	Refused                // it sent a RST
	Silent                 // nothing came, or nothing that the client could see
	NetUnreachable         // there is no route to it
	HostUnreachable        // there is, but not to the host
)

func resultOf(err error) Result {
	switch {
	case err == nil:
		return Connected
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, ErrLoopback):
		return Refused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
		return NetUnreachable
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return HostUnreachable
	}
	return Silent
}

package tlsbridge

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A transport is the connection under TLS, or under a plain service. It keeps
// the first bytes, ends reads and writes when nothing moves for too long, and
// does not really close: Close only says that the service is done, and the
// conn that owns the transport then closes in order.
//
// All that TLS sends leaves through Write, and all it receives enters through
// Read.
//
// Most deadlines are moved before they come, and netstack makes a timer for each.
// So one timer watches over both directions, and raw is given a deadline only to
// end what is in progress, when it is time.
type transport struct {
	raw net.Conn

	// Owned by the goroutine that reads.
	head    []byte // the first bytes received, until the service begins
	unread  []byte // those of them not yet given to Read
	keeping bool   // Read adds to head
	keepMax int    // how much of it
	more    bool   // there was more

	muted bool // what is written goes nowhere; owned by the goroutine that writes

	out   holder
	moved atomic.Int64 // when a byte last moved; nanoseconds since epoch
	fresh atomic.Bool  // the service waits for the first words of the client

	finned atomic.Bool // the client's FIN was read

	mu      sync.Mutex // guards the fields below, and the deadlines of raw
	idle    time.Duration
	user    [2]time.Time // deadlines set from above, by direction
	stopped bool         // reads are over: the server shuts down
	idled   bool         // a read or write ended because nothing moved
	done    bool         // the service is done
	cut     [2]bool      // raw has a deadline in the past, by direction
	alarm   *time.Timer  // calls ring; nil: it was not needed yet
	rings   time.Time    // when alarm does so; zero: it does not

	ended chan struct{} // closed when done
}

type direction int

const (
	reading direction = iota
	writing
)

var (
	epoch = time.Now() // for monotonic time in an atomic integer
	past  = time.Unix(1, 0)

	errNoBytes = errors.New("tlsbridge: nothing received")
)

// A timeoutError ends a read or write. It is permanent to crypto/tls, and no
// protocol error to net/http.
type timeoutError string

func (e timeoutError) Error() string   { return string(e) }
func (e timeoutError) Timeout() bool   { return true }
func (e timeoutError) Temporary() bool { return false }

const (
	errIdle    = timeoutError("tlsbridge: the connection is idle")
	errStopped = timeoutError("tlsbridge: the server shuts down")
)

func newTransport(raw net.Conn) *transport {
	t := &transport{raw: raw, keepMax: maxHead, ended: make(chan struct{})}
	t.touch()
	return t
}

// first waits for the first bytes, keeps them to be read again, and returns the
// first of them.
func (t *transport) first() (byte, error) {
	head := make([]byte, maxHead)
	n, err := t.Read(head)
	if n == 0 {
		if err == nil {
			err = errNoBytes
		}
		return 0, err
	}
	t.head = head[:n]
	t.unread = t.head
	t.keeping = true
	return t.head[0], nil
}

// begin starts the service: the head is forgotten, and idle counts.
func (t *transport) begin(idle time.Duration) {
	t.head, t.keeping = nil, false
	t.fresh.Store(len(t.unread) == 0)
	t.touch()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle = idle
	t.user = [2]time.Time{}
	t.apply(reading)
	t.apply(writing)
}

func (t *transport) touch() { t.moved.Store(int64(time.Since(epoch))) }

func (t *transport) Read(b []byte) (int, error) {
	if len(t.unread) > 0 {
		n := copy(b, t.unread)
		if t.unread = t.unread[n:]; len(t.unread) == 0 {
			t.unread = nil
		}
		return n, nil
	}
	for {
		n, err := t.raw.Read(b)
		if n > 0 {
			t.touch()
			if t.fresh.Load() {
				t.fresh.Store(false)
			}
			if t.keeping {
				t.keep(b[:n])
			}
		}
		if err == io.EOF {
			t.finned.Store(true)
		}
		if n > 0 || !timedOut(err) {
			return n, err
		}
		if err := t.goOn(reading); err != nil {
			return 0, err
		}
	}
}

// keep adds to the head what there is room for.
func (t *transport) keep(b []byte) {
	n := min(t.keepMax-len(t.head), len(b))
	t.head = append(t.head, b[:n]...)
	t.more = t.more || n < len(b)
}

// replay has head be read again, and kept with what is read after it, up to max
// bytes.
func (t *transport) replay(head []byte, max int) {
	t.head, t.unread, t.keeping, t.keepMax = head, head, true, max
}

// forget gives up the head: it was not for others to read.
func (t *transport) forget() {
	t.head, t.keeping, t.muted = nil, false, false
}

// rewind has the head be read again, and forgets it.
func (t *transport) rewind() {
	t.unread, t.head, t.keeping = t.head, nil, false
}

func (t *transport) Write(b []byte) (int, error) {
	if t.muted {
		return len(b), nil
	}
	return t.out.write(b, t.send)
}

// hold collects what is written until flush, which passes it on.
func (t *transport) hold()        { t.out.hold() }
func (t *transport) flush() error { return t.out.flush(t.send) }

// send writes to raw.
func (t *transport) send(b []byte) (int, error) {
	t.touch() // else the close_notify of an idle connection would be too late
	sent := 0
	for {
		n, err := t.raw.Write(b[sent:])
		if n > 0 {
			t.touch()
		}
		sent += n
		if !timedOut(err) {
			return sent, err
		}
		if err := t.goOn(writing); err != nil {
			return sent, err
		}
	}
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// goOn decides what a deadline of raw that fired meant: it returns the error to
// end with, or nil to go on. Bytes may have moved since, or a deadline been moved.
func (t *transport) goOn(d direction) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.over(d); err != nil {
		t.idled = t.idled || err == errIdle
		return err
	}
	return t.apply(d)
}

// over returns why a direction is over now, or nil. t.mu is held.
func (t *transport) over(d direction) error {
	now := time.Now()
	switch {
	case t.done:
		return net.ErrClosed
	case t.stopped && d == reading:
		return errStopped
	case !t.user[d].IsZero() && !now.Before(t.user[d]):
		return os.ErrDeadlineExceeded
	case t.idle > 0 && now.Sub(t.idleSince()) >= t.idle:
		return errIdle
	}
	return nil
}

func (t *transport) idleSince() time.Time { return epoch.Add(time.Duration(t.moved.Load())) }

// apply ends the read or write in progress, and the next, if the direction is over,
// and else sees to it that it is looked at again when it may be. t.mu is held.
func (t *transport) apply(d direction) error {
	cut := t.over(d) != nil
	if !cut {
		t.ringBy(t.user[d])
		if t.idle > 0 {
			t.ringBy(t.idleSince().Add(t.idle))
		}
	}
	if cut == t.cut[d] {
		return nil
	}
	t.cut[d] = cut
	var deadline time.Time
	if cut {
		deadline = past
	}
	if d == reading {
		return t.raw.SetReadDeadline(deadline)
	}
	return t.raw.SetWriteDeadline(deadline)
}

// ringBy has the alarm ring at some time at the latest. t.mu is held.
func (t *transport) ringBy(at time.Time) {
	if at.IsZero() || !t.rings.IsZero() && !at.Before(t.rings) {
		return
	}
	t.rings = at
	if t.alarm == nil {
		t.alarm = time.AfterFunc(time.Until(at), t.ring)
	} else {
		t.alarm.Reset(time.Until(at))
	}
}

// ring looks whether a direction is over.
func (t *transport) ring() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rings = time.Time{}
	if !t.done { // else the deadlines of raw are those of the drain
		t.apply(reading)
		t.apply(writing)
	}
}

func (t *transport) setDeadline(d direction, deadline time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return net.ErrClosed
	}
	t.user[d] = deadline
	return t.apply(d)
}

func (t *transport) SetReadDeadline(at time.Time) error  { return t.setDeadline(reading, at) }
func (t *transport) SetWriteDeadline(at time.Time) error { return t.setDeadline(writing, at) }

func (t *transport) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

// stopReading ends the read in progress and all later ones.
func (t *transport) stopReading() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if !t.done { // else the deadlines of raw are those of the drain
		t.apply(reading)
	}
}

// Close ends the reads and writes in progress and all later ones. The client
// does not notice.
func (t *transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return nil
	}
	t.done = true
	close(t.ended)
	if t.alarm != nil {
		t.alarm.Stop()
	}
	return errors.Join(t.apply(reading), t.apply(writing))
}

// why returns why the service ended though the client did not end it, or "".
func (t *transport) why() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idled {
		return fmt.Sprintf("nothing moved for %v", t.idle)
	}
	return ""
}

func (t *transport) closed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

func (t *transport) LocalAddr() net.Addr  { return t.raw.LocalAddr() }
func (t *transport) RemoteAddr() net.Addr { return t.raw.RemoteAddr() }

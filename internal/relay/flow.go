package relay

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"synscope/event"
	"synscope/stack"
)

const (
	maxDatagram = 1 << 16
	// maxAnswer is the longest datagram from the world that is passed on, if
	// the interface takes it: a longer one is cut by the read, and lost.
	maxAnswer = 9 << 10
	// maxQuoted is how much of a datagram an ICMP error quotes.
	maxQuoted = 64
)

// A flow is the datagrams between a client and a server.
type flow struct {
	relay *Relay
	addr  stack.UDPFlow
	conn  *net.UDPConn // connected

	mu          sync.Mutex // guards what follows
	end         event.UDPEnd
	began, last time.Time
	quoted      []byte // of the client's last datagram
}

func newFlow(r *Relay, addr stack.UDPFlow) *flow {
	now := time.Now()
	return &flow{relay: r, addr: addr, end: event.UDPEnd{Client: addr.Client, Server: addr.Server}, began: now, last: now}
}

func (f *flow) lastActive() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// counts returns what the flow was.
func (f *flow) counts() event.UDPEnd {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end.Duration = f.last.Sub(f.began)
	return f.end
}

// send sends a datagram of the client into the world.
func (f *flow) send(b []byte) {
	f.fromClient(b)
	if _, err := f.conn.Write(b); err != nil {
		f.failed(err)
	}
}

func (f *flow) fromClient(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = time.Now()
	f.end.DatagramsClient++
	f.end.BytesClient += uint64(len(b))
	f.quoted = append(f.quoted[:0], b[:min(len(b), maxQuoted)]...)
}

// answer passes on what comes from the world, until the flow ends.
func (f *flow) answer() {
	b := make([]byte, maxAnswer+1)
	for {
		f.conn.SetReadDeadline(f.lastActive().Add(f.relay.Idle)) // fails when it is closed, as Read does then
		n, err := f.conn.Read(b)
		switch {
		case err == nil:
			f.fromServer(b[:n])
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Since(f.lastActive()) >= f.relay.Idle {
				f.finish("idle", nil)
				return
			}
		case !f.failed(err):
			f.finish("failed", err)
			return
		}
	}
}

func (f *flow) finish(how string, err error) {
	f.relay.mu.Lock()
	defer f.relay.mu.Unlock()
	f.relay.forget(f, how, err)
}

// fromServer passes a datagram of the server on.
func (f *flow) fromServer(b []byte) {
	var err error
	lost := len(b) > maxAnswer
	if !lost {
		_, err = f.relay.Conn.WriteTo(b, f.addr)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = time.Now()
	f.end.DatagramsServer++
	f.end.BytesServer += uint64(len(b))
	if lost || err != nil {
		f.end.Lost++
	}
}

// failed takes an error of the socket, and reports whether it goes on. What the
// kernel heard by ICMP comes as the error of the next call.
func (f *flow) failed(err error) bool {
	for _, icmp := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.ENOPROTOOPT} {
		if errors.Is(err, icmp) {
			f.unreachable()
			return true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end.Lost++
	return errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, syscall.ENOBUFS)
}

// unreachable tells the client that its last datagram did not arrive.
func (f *flow) unreachable() {
	f.mu.Lock()
	f.end.Unreachable++
	quoted := append([]byte(nil), f.quoted...)
	f.mu.Unlock()
	f.relay.Conn.Unreachable(quoted, f.addr)
}

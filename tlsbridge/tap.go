package tlsbridge

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"synscope/event"
)

// A Tap is a net.Conn, whose own end is the client, that tells an
// UpstreamObserver what crosses it and how it ends. It goes under crypto/tls.
// It is as safe for concurrent use as its Conn.
//
// Bytes are told when Read has returned them and before Write passes them on,
// so that an answer is never told before its question.
type Tap struct {
	net.Conn
	to    UpstreamObserver
	ahead int // bytes told that a Write did not pass on; owned by who writes

	mu   sync.Mutex // guards what follows
	fins [3]bool    // by Side: its end was told
	over bool       // the end of both was told

	once sync.Once // for close
	err  error     // of it
}

// NewTap wraps conn. A nil observer means nobody.
func NewTap(conn net.Conn, to UpstreamObserver) *Tap {
	if to == nil {
		to = nobody{}
	}
	return &Tap{Conn: conn, to: to}
}

// Read reads from the connection, and tells what it has read.
func (t *Tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n > 0 {
		t.to.Bytes(event.Server, b[:n])
	}
	t.tell(err)
	return n, err
}

// Write tells what it is to write, and writes it. Who tries again after a Write
// that was cut short begins where that one ended, and nothing is told twice.
func (t *Tap) Write(b []byte) (int, error) {
	if len(b) > t.ahead {
		t.to.Bytes(event.Client, b[t.ahead:])
		t.ahead = len(b)
	}
	n, err := t.Conn.Write(b)
	t.ahead -= n
	t.tell(err)
	return n, err
}

// tell tells of the end that an error of the connection means.
func (t *Tap) tell(err error) {
	switch {
	case errors.Is(err, io.EOF):
		t.end(event.Server, "fin")
	case errors.Is(err, syscall.EPIPE): // a RST after the FIN, says the kernel
		t.end(event.Server, "fin")
		t.end(event.Server, "rst")
	case errors.Is(err, syscall.ECONNRESET):
		t.end(event.Server, "rst")
	case errors.Is(err, syscall.ETIMEDOUT): // the kernel gave up; no deadline
		t.end(event.Client, "timeout")
	}
}

// end tells that a direction ended, once.
func (t *Tap) end(from event.Side, how string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || how == "fin" && t.fins[from] {
		return
	}
	t.fins[from], t.over = true, how != "fin"
	t.to.End(from, how)
}

// CloseWrite sends FIN, and goes on reading.
func (t *Tap) CloseWrite() error {
	half, ok := t.Conn.(halfCloser)
	if !ok {
		return errors.ErrUnsupported
	}
	err := half.CloseWrite()
	if err == nil {
		t.end(event.Client, "fin")
	}
	return err
}

// Close closes the connection. With bytes left that were not read, the kernel
// sends a RST (RFC 9293, section 3.10.4).
func (t *Tap) Close() error { return t.close(false) }

// Abort closes the connection with a RST.
func (t *Tap) Abort() error { return t.close(true) }

func (t *Tap) close(abort bool) error {
	t.once.Do(func() {
		k := askKernel(t.Conn)
		t.tell(k.err)
		how := "fin"
		if c, ok := t.Conn.(*net.TCPConn); ok && abort {
			c.SetLinger(0)
		}
		if abort || k.unread {
			how = "rst"
		}
		t.err = t.Conn.Close()
		t.end(event.Client, how)
		t.to.Close(k.info)
	})
	return t.err
}

// A verdict is what the kernel knows of a connection that is to be closed.
type verdict struct {
	info   event.TransportInfo
	unread bool  // bytes of the peer were not read
	err    error // how the peer ended it, if nobody has read that
}

// askKernel returns the kernel's verdict, the zero verdict of a connection that
// is not the kernel's.
func askKernel(conn net.Conn) (v verdict) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return v
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return v
	}
	raw.Control(func(fd uintptr) {
		k, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		v.info = event.TransportInfo{
			RTT:         time.Duration(k.Rtt) * time.Microsecond,
			SegmentsOut: uint64(k.Segs_out), SegmentsIn: uint64(k.Segs_in), Retransmits: uint64(k.Total_retrans),
		}
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		v.unread = err == nil && n > 0
		if e, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
			v.err = syscall.Errno(e)
		} else if finReceived(k.State) && !v.unread {
			v.err = io.EOF
		}
	})
	return v
}

// finReceived reports whether the peer has sent its FIN, by Linux's state of TCP
// (include/net/tcp_states.h).
func finReceived(state uint8) bool {
	const closed, closeWait, lastACK = 7, 8, 9 // closed: after the FIN of both
	return state == closed || state == closeWait || state == lastACK
}

// nobody is the UpstreamObserver that is not there.
type nobody struct{}

func (nobody) Bytes(event.Side, []byte)      {}
func (nobody) End(event.Side, string)        {}
func (nobody) TLSStart()                     {}
func (nobody) Secret(string, []byte, []byte) {}
func (nobody) Step(event.TLSStep)            {}
func (nobody) TLSEnd(error)                  {}
func (nobody) Close(event.TransportInfo)     {}

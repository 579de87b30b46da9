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

	once sync.Once // for the end
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
	switch {
	case errors.Is(err, io.EOF):
		t.to.End(event.Server, "fin")
	case errors.Is(err, syscall.ECONNRESET):
		t.to.End(event.Server, "rst")
	}
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
	if errors.Is(err, syscall.ECONNRESET) {
		t.to.End(event.Server, "rst")
	}
	return n, err
}

// CloseWrite sends FIN, and goes on reading.
func (t *Tap) CloseWrite() error {
	half, ok := t.Conn.(halfCloser)
	if !ok {
		return errors.ErrUnsupported
	}
	err := half.CloseWrite()
	if err == nil {
		t.to.End(event.Client, "fin")
	}
	return err
}

// Close closes the connection. With bytes left that were not read, the kernel
// sends a RST (RFC 9293, section 3.10.4).
func (t *Tap) Close() error { return t.end(false) }

// Abort closes the connection with a RST.
func (t *Tap) Abort() error { return t.end(true) }

func (t *Tap) end(abort bool) error {
	t.once.Do(func() {
		info, unread := kernelInfo(t.Conn)
		how := "fin"
		if c, ok := t.Conn.(*net.TCPConn); ok && abort {
			c.SetLinger(0)
		}
		if abort || unread {
			how = "rst"
		}
		t.err = t.Conn.Close()
		t.to.End(event.Client, how)
		t.to.Close(info)
	})
	return t.err
}

// kernelInfo returns what the kernel knows of a connection, and whether bytes of
// it were not read yet. Of one that is not the kernel's it knows nothing.
func kernelInfo(conn net.Conn) (info event.TransportInfo, unread bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return info, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return info, false
	}
	raw.Control(func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		unread = err == nil && n > 0
		if k, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			info = transportInfo(k)
		}
	})
	return info, unread
}

func transportInfo(k *unix.TCPInfo) event.TransportInfo {
	info := event.TransportInfo{
		RTT: time.Duration(k.Rtt) * time.Microsecond, MinRTT: time.Duration(k.Min_rtt) * time.Microsecond,
		SegmentsOut: uint64(k.Segs_out), SegmentsIn: uint64(k.Segs_in), Retransmits: uint64(k.Total_retrans),
		BytesAcked: k.Bytes_acked, BytesReceived: k.Bytes_received,
	}
	if int(k.State) < len(kernelStates) {
		info.State = kernelStates[k.State]
	}
	return info
}

// kernelStates are Linux's states of TCP (include/net/tcp_states.h).
var kernelStates = [...]event.State{
	1: event.StateEstablished, 2: event.StateSynSent, 3: event.StateSynReceived, 4: event.StateFinWait1,
	5: event.StateFinWait2, 6: event.StateTimeWait, 7: event.StateClosed, 8: event.StateCloseWait,
	9: event.StateLastAck, 10: event.StateListen, 11: event.StateClosing, 12: event.StateSynReceived, // TCP_NEW_SYN_RECV
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

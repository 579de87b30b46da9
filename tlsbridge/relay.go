package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"sync/atomic"
	"time"
)

// A span is one of the two connections of a bridge: the near one to the client,
// or the far one to the destination.
type span struct {
	net.Conn           // what is read and written: its TCP, or the transport on that
	raw      net.Conn  // its TCP
	tls      *tls.Conn // on it; nil: bytes pass as they are
	sealer   *sealer   // of alerts on it; nil: there can be none

	// begins looks at what is passed on, and reports true where that is to
	// stop before it. Nil: nowhere.
	begins func(b []byte) bool
	paused atomic.Bool // reading was made to stop by a deadline

	ahead  []byte      // what was read, and is to be read again
	fin    bool        // the peer's FIN was read; owned by who reads
	broken atomic.Bool // it could not be written
}

// Read reads from TCP.
func (s *span) Read(b []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(b, s.ahead)
		s.ahead = s.ahead[n:]
		return n, nil
	}
	n, err := s.Conn.Read(b)
	s.fin = s.fin || errors.Is(err, io.EOF)
	return n, err
}

// Write writes to TCP.
func (s *span) Write(b []byte) (int, error) {
	if s.sealer != nil {
		s.sealer.count(b)
	}
	return s.Conn.Write(b)
}

// stream is what is passed on: what is in TLS, or else all.
func (s *span) stream() io.ReadWriter {
	if s.tls != nil {
		return s.tls
	}
	return s
}

// closeWrite sends FIN.
func (s *span) closeWrite() {
	if half, ok := s.raw.(halfCloser); ok {
		half.CloseWrite() // an error is the peer's end
	}
}

// An aborter can end itself by a RST.
type aborter interface {
	Abort(reason string)
}

// abort sends RST.
func (s *span) abort(reason string) {
	switch c := s.raw.(type) {
	case aborter:
		c.Abort(reason)
	case *Tap:
		c.Abort()
	default:
		if tcp, ok := c.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		c.Close()
	}
}

// An ending is how one direction of a bridge ended.
type ending int

const (
	endedFIN         ending = iota // FIN, without close_notify if there was TLS
	endedCloseNotify               // close_notify (RFC 8446, section 6.1)
	endedAlert                     // another alert
	endedReset                     // RST, or what cannot be read any further
	endedUnwritable                // the other side does not take any more

	stopped // it has not ended: TLS begins, or it was paused
)

// pass passes on what comes from one span until it ends, and then has the other
// meet the same end.
func pass(to, from *span) ending {
	how, alert := copyStream(to, from)
	if how == endedCloseNotify {
		to.tls.CloseWrite()
		how = from.awaitFIN()
	}
	switch how {
	case endedFIN:
		to.closeWrite()
	case endedAlert:
		if to.sealer != nil {
			to.sealer.alert(to, alert)
		}
		to.closeWrite()
	case endedReset:
		to.abort("the other side of the bridge was reset")
	}
	return how
}

// copyStream passes on what comes from one span until it ends.
func copyStream(to, from *span) (how ending, alert uint8) {
	var buf buffer
	defer buf.release()
	in, out := from.stream(), to.stream()
	for {
		n, err := in.Read(buf.bytes())
		if n > 0 {
			if from.begins != nil && from.begins(buf.bytes()[:n]) {
				from.ahead = bytes.Clone(buf.bytes()[:n])
				return stopped, 0
			}
			if _, err := out.Write(buf.bytes()[:n]); err != nil {
				to.broken.Store(true)
				return endedUnwritable, 0
			}
		}
		if err != nil {
			return from.endOf(err)
		}
		buf.fit(n)
	}
}

// endOf says what an error of reading a span means.
func (s *span) endOf(err error) (how ending, alert uint8) {
	alert, alerted := alertOf(err)
	switch {
	case s.paused.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		return stopped, 0
	case s.broken.Load():
		return endedReset, 0 // and a write has taken the error away
	case alerted:
		return endedAlert, alert
	case errors.Is(err, errStopped):
		return endedFIN, 0
	case s.tls != nil && errors.Is(err, io.EOF) && !s.fin:
		return endedCloseNotify, 0
	case s.fin:
		return endedFIN, 0
	}
	return endedReset, 0
}

// awaitFIN reads past what follows a close_notify, which is to be ignored.
func (s *span) awaitFIN() ending {
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{s}); err != nil && !errors.Is(err, errStopped) {
		return endedReset
	}
	return endedFIN
}

// pause has whoever passes on what comes from the span stop, and reports true if
// it had not ended before. Passing tells how.
func (s *span) pause(passing chan ending) bool {
	s.paused.Store(true)
	s.SetReadDeadline(past)
	how := <-passing
	s.SetReadDeadline(time.Time{})
	s.paused.Store(false)
	if how == stopped {
		return true
	}
	passing <- how
	return false
}

// alertOf returns the alert that a peer ended TLS with, if that is what err says.
// The type that crypto/tls has for it is not exported.
func alertOf(err error) (alert uint8, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(v.Uint()), true
}

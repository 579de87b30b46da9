package tlswire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"synscope/event"
)

// A Tap is a net.Conn that shows the bytes it carries to a Decoder, where there
// are no packets to take them from. It goes under crypto/tls: the Tap wraps the
// transport, and tls.Server or tls.Client wraps the Tap.
//
// Bytes are shown when Read has returned them and before Write passes them on,
// so that an answer is never shown before its question. What a Write that fails
// did not send is shown all the same.
//
// A Tap is as safe for concurrent use as its Conn; the Decoder is guarded by the
// Tap's lock, and the Decoder's Emit is called with it held, so Emit must not
// call the Tap.
type Tap struct {
	net.Conn
	local event.Side
	now   func() Stamp

	mu      sync.Mutex // guards what follows
	decoder *Decoder
	partial []byte // of a key log line
}

// NewTap wraps conn, whose own end is local: what is written is from local, what
// is read is from its peer. The clock now may be nil; then it is the time since
// now.
func NewTap(conn net.Conn, d *Decoder, local event.Side, now func() Stamp) *Tap {
	if now == nil {
		start := time.Now()
		now = func() Stamp {
			t := time.Now()
			return Stamp{Time: t, T: t.Sub(start)}
		}
	}
	return &Tap{Conn: conn, local: local, now: now, decoder: d}
}

// Do calls f with the Decoder, which nobody else uses meanwhile.
func (t *Tap) Do(f func(*Decoder)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.decoder)
}

// Read reads from the connection. Its end is shown as "fin", and "rst" if the
// peer reset it.
func (t *Tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.Do(func(d *Decoder) {
		d.Feed(t.now(), t.local.Peer(), b[:n])
		switch {
		case errors.Is(err, io.EOF):
			d.End(t.now(), t.local.Peer(), "fin")
		case errors.Is(err, syscall.ECONNRESET):
			d.End(t.now(), t.local.Peer(), "rst")
		}
	})
	return n, err
}

// Write writes to the connection.
func (t *Tap) Write(b []byte) (int, error) {
	t.Do(func(d *Decoder) { d.Feed(t.now(), t.local, b) })
	return t.Conn.Write(b)
}

// CloseWrite shuts the writing side down if the connection can do that.
func (t *Tap) CloseWrite() error {
	c, ok := t.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	t.Do(func(d *Decoder) { d.End(t.now(), t.local, "fin") })
	return c.CloseWrite()
}

// Close closes the connection.
func (t *Tap) Close() error {
	t.Do(func(d *Decoder) { d.End(t.now(), t.local, "fin") })
	return t.Conn.Close()
}

// KeyLogWriter returns a writer for tls.Config.KeyLogWriter, which gives the
// secrets to the Decoder. Lines that are no secret are ignored. It must be of
// this connection's Config alone, or the Decoder is given secrets of others.
func (t *Tap) KeyLogWriter() io.Writer { return keyLogWriter{t} }

type keyLogWriter struct{ t *Tap }

func (w keyLogWriter) Write(b []byte) (int, error) {
	w.t.Do(func(d *Decoder) {
		t := w.t
		t.partial = append(t.partial, b...)
		for {
			line, rest, found := bytes.Cut(t.partial, []byte("\n"))
			if !found {
				break
			}
			if s, ok, err := ParseKeyLogLine(string(line)); ok && err == nil {
				d.Secret(s)
			}
			t.partial = append(t.partial[:0], rest...)
		}
		if len(t.partial) > maxKeyLogLine {
			t.partial = nil
		}
	})
	return len(b), nil
}

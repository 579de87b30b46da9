package tlsbridge

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Each direction ends at its own deadline, to the moment, whatever other deadline
// was set before it, and goes on when that is moved.
func TestTransportDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		tr := newTransport(near)
		read := func() error { _, err := tr.Read(make([]byte, 1)); return err }
		write := func() error { _, err := tr.Write([]byte("x")); return err }
		start := time.Now()
		ends := func(what string, do func() error, want error, after time.Duration) {
			t.Helper()
			if err := do(); !errors.Is(err, want) || time.Since(start) != after {
				t.Errorf("%s: %v after %v, want %v after %v", what, err, time.Since(start), want, after)
			}
		}

		tr.SetDeadline(start.Add(30 * time.Second))
		tr.SetWriteDeadline(start.Add(5 * time.Second))
		ends("an earlier deadline", write, os.ErrDeadlineExceeded, 5*time.Second)
		ends("the first one", read, os.ErrDeadlineExceeded, 30*time.Second)

		tr.begin(time.Minute) // until 1m30s
		time.AfterFunc(time.Minute-time.Second, func() { far.Write([]byte("x")) })
		ends("a byte", read, nil, 89*time.Second)
		go func() { io.ReadFull(far, make([]byte, 1)) }()
		ends("a byte", write, nil, 89*time.Second)
		ends("a minute in which nothing moves", read, errIdle, 149*time.Second)
		go func() { io.ReadFull(far, make([]byte, 1)) }()
		ends("writing all the same", write, nil, 149*time.Second)

		tr.SetReadDeadline(time.Now().Add(time.Second))
		time.AfterFunc(500*time.Millisecond, func() { tr.SetReadDeadline(time.Time{}) })
		time.AfterFunc(2*time.Second, func() { far.Write([]byte("x")) })
		ends("a deadline that was taken back", read, nil, 151*time.Second)
		time.AfterFunc(time.Second, func() { tr.SetReadDeadline(past) })
		ends("one set while reading", read, os.ErrDeadlineExceeded, 152*time.Second)
		time.AfterFunc(time.Second, func() { tr.SetReadDeadline(time.Time{}) })
		ends("one that is over", read, os.ErrDeadlineExceeded, 152*time.Second)

		time.Sleep(2 * time.Second)
		time.AfterFunc(time.Second, func() { tr.Close() })
		ends("closing", read, net.ErrClosed, 155*time.Second)
		ends("closed", write, net.ErrClosed, 155*time.Second)
		if err := tr.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a deadline after Close: %v", err)
		}
	})
}

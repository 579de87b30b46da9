package tlsbridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"synscope/event"
)

// A Service talks to the client of one connection after the handshake.
//
// A Service may have a method ALPN() []string: the application protocols that
// it speaks, the preferred first.
type Service interface {
	// Serve returns when it or the client is done; the connection is closed
	// in order then. When the server shuts down, ctx is done and reading from
	// the session fails, while writing goes on. The end of the connection is
	// no error worth returning; another one is told as a step "close".
	Serve(ctx context.Context, s *Session) error
}

// A Session is a connection on its way through a service. Reads and writes end
// with an error when nothing moves for the idle timeout.
type Session struct {
	net.Conn                      // the *tls.Conn, or the plain connection
	Flow     event.Flow           // its addresses
	TLS      *tls.ConnectionState // nil: plain text
	Story    Story                // may be nil

	transport *transport
	http      *httpEngine
}

// ServiceByName returns the service that configurations call by that name:
// "mirror", "echo", "discard", "chargen", or "chargen:N" for N bytes.
func ServiceByName(name string) (Service, error) {
	kind, argument, given := strings.Cut(name, ":")
	var limit int64
	if given {
		var err error
		if limit, err = strconv.ParseInt(argument, 10, 64); err != nil || limit < 1 || kind != "chargen" {
			return nil, fmt.Errorf("tlsbridge: service %q: only chargen has an argument, a number of bytes above 0", name)
		}
	}
	switch kind {
	case "mirror":
		return Mirror(), nil
	case "echo":
		return Echo(), nil
	case "discard":
		return Discard(), nil
	case "chargen":
		return Chargen(limit), nil
	}
	return nil, fmt.Errorf("tlsbridge: unknown service %q: it is one of mirror, echo, discard, chargen and chargen:BYTES", name)
}

// Echo returns the service that sends back what it receives (RFC 862).
func Echo() Service { return echo{} }

type echo struct{}

func (echo) Serve(_ context.Context, s *Session) error {
	var buf buffer
	defer buf.release()
	for {
		n, err := s.Read(buf.bytes())
		if n > 0 {
			if _, err := s.Write(buf.bytes()[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		buf.fit(n)
	}
}

// Discard returns the service that throws away what it receives (RFC 863).
func Discard() Service { return discard{} }

type discard struct{}

func (discard) Serve(_ context.Context, s *Session) error {
	var buf buffer
	defer buf.release()
	for {
		n, err := s.Read(buf.bytes())
		if err != nil {
			return err
		}
		buf.fit(n)
	}
}

const (
	smallBuffer = 512
	largeBuffer = 64 << 10
)

// A buffer is small while a connection is idle or slow, and large, borrowed
// from a pool, while it is busy: idle connections are many. The zero buffer is
// ready for use.
type buffer struct {
	small []byte
	large *[largeBuffer]byte
}

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

func (b *buffer) bytes() []byte {
	if b.large != nil {
		return b.large[:]
	}
	if b.small == nil {
		b.small = make([]byte, smallBuffer)
	}
	return b.small
}

// fit changes the size for the next read, after one of n bytes.
func (b *buffer) fit(n int) {
	switch {
	case n < smallBuffer:
		b.release()
	case b.large == nil:
		b.large = largeBuffers.Get().(*[largeBuffer]byte)
	}
}

func (b *buffer) release() {
	if b.large != nil {
		largeBuffers.Put(b.large)
		b.large = nil
	}
}

// Chargen returns the service that sends the pattern of RFC 864, in large
// writes, and throws away what it receives. With a limit above 0 it sends that
// many bytes, also to a client that has half-closed; else it sends until the
// client closes its side.
func Chargen(limit int64) Service { return chargen{limit} }

type chargen struct{ limit int64 }

func (g chargen) Serve(ctx context.Context, s *Session) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	read := make(chan struct{})
	go func() { // ends with the client, or when the writing has ended
		defer close(read)
		_, err := io.Copy(io.Discard, s.Conn)
		if g.limit <= 0 {
			cancel(err)
		}
	}()
	err := g.write(ctx, s)
	s.transport.stopReading()
	<-read
	return err
}

var errShort = errors.New("tlsbridge: the server shut down before the end of the stream")

func (g chargen) write(ctx context.Context, s *Session) error {
	for sent := int64(0); g.limit <= 0 || sent < g.limit; {
		if ctx.Err() != nil {
			if g.limit > 0 {
				return errShort
			}
			return nil
		}
		b := chargenBlock()
		if g.limit > 0 {
			b = b[:min(int64(len(b)), g.limit-sent)]
		}
		n, err := s.Write(b)
		if err != nil {
			return err
		}
		sent += int64(n)
	}
	return nil
}

// chargenBlock is a whole number of periods of the pattern of RFC 864, section
// "data syntax", close to 64 KB: 95 lines, each of 72 of the 95 printing
// characters, beginning one character later than the line before.
var chargenBlock = sync.OnceValue(func() []byte {
	const printing, line, periods = 95, 72, 9
	b := make([]byte, 0, periods*printing*(line+2))
	for i := range periods * printing {
		for j := range line {
			b = append(b, byte(' '+(i+j)%printing))
		}
		b = append(b, "\r\n"...)
	}
	return b
})

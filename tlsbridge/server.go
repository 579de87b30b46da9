package tlsbridge

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Server answers connections. Its methods are safe for concurrent use.
type Server struct {
	config atomic.Pointer[Config]
	http   *httpEngine

	verified verifiedChains // of destinations

	mu        sync.Mutex // guards the fields below
	closing   bool       // no further connection is taken
	conns     map[*conn]struct{}
	listeners map[net.Listener]struct{}

	// running counts the connections, those of ServeConn included. It is
	// entered under mu while not closing.
	running sync.WaitGroup
	workers workers // for the connections that Serve takes, and the way back of bridges
}

// New returns a server with the given configuration.
func New(config Config) (*Server, error) {
	s := &Server{
		http:      newHTTPEngine(),
		conns:     make(map[*conn]struct{}),
		listeners: make(map[net.Listener]struct{}),
	}
	if err := s.Reconfigure(config); err != nil {
		return nil, err
	}
	return s, nil
}

// Reconfigure replaces the configuration for the connections that come from now
// on. Those there are keep the one they came under. After an error nothing has
// changed.
func (s *Server) Reconfigure(config Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := config.complete(s.config.Load())
	if err != nil {
		return err
	}
	s.config.Store(c)
	return nil
}

// Authority returns the authority in use.
func (s *Server) Authority() *Authority { return s.config.Load().Authority }

// acceptPause is the time to the next try when the system is out of resources.
const acceptPause = 50 * time.Millisecond

// Serve accepts connections from l and serves each on a goroutine of its own,
// until l is closed, and then returns nil. [Server.Shutdown] and [Server.Close]
// close l, and wait for its connections; Serve does not. Another error of
// Accept is returned, l closed.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.addListener(l) {
		return nil
	}
	defer s.removeListener(l)
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
			if c := s.enter(raw); c != nil {
				s.workers.do(func() { s.run(context.Background(), c) })
			}
		case errors.Is(err, net.ErrClosed) || s.isClosing():
			return nil
		case outOfResources(err):
			time.Sleep(acceptPause)
		default:
			return err
		}
	}
}

func outOfResources(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ServeConn serves one connection and returns when it is closed. It closes it
// at once if ctx is done or the server is closed.
func (s *Server) ServeConn(ctx context.Context, raw net.Conn) {
	if c := s.enter(raw); c != nil {
		s.run(ctx, c)
	}
}

// enter takes a connection on, to be given to run. It returns nil, and has
// closed the connection, if the server is closing.
func (s *Server) enter(raw net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		raw.Close()
		return nil
	}
	c := newConn(s, raw)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	return c
}

func (s *Server) run(ctx context.Context, c *conn) {
	defer s.running.Done()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}()
	defer afterDone(ctx, c.abort)()
	if t := c.open(ctx); t != nil {
		c.end(t, t.service.Serve(t.ctx, t.session))
	}
}

// afterDone calls f on a goroutine of its own when ctx is done. The function
// that it returns calls that off, or waits for f if it is too late.
func afterDone(ctx context.Context, f func()) (callOff func()) {
	if ctx.Done() == nil { // it never is
		return func() {}
	}
	finished := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(finished)
		f()
	})
	return func() {
		if !stop() {
			<-finished
		}
	}
}

// Shutdown ends the server in order. It closes the listeners and the idle
// connections, lets each handshake and each answer in progress come to its end,
// and returns nil when the last connection is closed. When ctx is done it
// closes those left at once, and returns the error of ctx. No goroutine of the
// server is left when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.startClosing() {
		c.drain()
	}
	callOff := afterDone(ctx, s.abortAll)
	s.http.shutdown(ctx)
	s.running.Wait()
	s.workers.close()
	callOff()
	return ctx.Err()
}

// Close is Shutdown without patience: all connections are closed at once.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	return nil
}

// startClosing closes the listeners and returns the connections there are: no
// other will come.
func (s *Server) startClosing() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

func (s *Server) abortAll() {
	for _, c := range s.startClosing() {
		c.abort()
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.listeners[l] = struct{}{}
	}
	return !s.closing
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

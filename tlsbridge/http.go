package tlsbridge

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxHTTPHeader bounds the header of a request; a longer one is answered
	// with 431.
	maxHTTPHeader = 64 << 10
	// httpHeaderTimeout bounds the time that the header of a request takes.
	httpHeaderTimeout = 30 * time.Second
)

// HTTP returns the service that answers requests of HTTP/1.1 and, where the
// client asks for it by ALPN or, without TLS, by prior knowledge (RFC 9113,
// section 3), HTTP/2. [SessionFrom] tells the handler which connection a
// request came on. When the server shuts down, requests in progress are
// answered, and the server waits for handlers to return.
func HTTP(h http.Handler) Service { return httpService{h} }

type httpService struct{ handler http.Handler }

func (httpService) ALPN() []string { return []string{"h2", "http/1.1"} }

func (h httpService) Serve(_ context.Context, s *Session) error {
	if s.TLS != nil && s.TLS.NegotiatedProtocol == "h2" {
		// net/http ends HTTP/2 with GOAWAY in any state. And what the client
		// said with its Finished is with crypto/tls already.
		s.transport.fresh.Store(false)
	}
	return s.http.serve(&exchange{session: s, handler: h.handler, over: make(chan struct{})})
}

// SessionFrom returns the session that a request of the HTTP service came on,
// nil for a request of another server. It is not to be read or written.
func SessionFrom(ctx context.Context) *Session {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.session
	}
	return nil
}

type exchangeKey struct{}

// An exchange is one connection that net/http serves.
type exchange struct {
	session  *Session
	handler  http.Handler
	over     chan struct{} // closed when net/http is done with the connection
	hijacked bool          // written before over is closed

	mu       sync.Mutex
	ended    bool // no handler may start
	handlers sync.WaitGroup
}

// enter is called by each handler. It returns false if it is too late.
func (x *exchange) enter() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.handlers.Add(1)
	}
	return !x.ended
}

// wait returns when net/http and all handlers are done.
func (x *exchange) wait() {
	<-x.over
	if x.hijacked {
		<-x.session.transport.ended
	}
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	x.handlers.Wait()
}

// An httpEngine is the one http.Server behind all HTTP services of a Server. It
// is also the listener from which that http.Server takes its connections.
type httpEngine struct {
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}

	mu        sync.Mutex // guards the fields below
	exchanges map[net.Conn]*exchange
	running   chan struct{} // closed when server.Serve has returned; nil: it was not started
	stopped   bool
}

func newHTTPEngine() *httpEngine {
	e := &httpEngine{
		conns:     make(chan net.Conn),
		closed:    make(chan struct{}),
		exchanges: make(map[net.Conn]*exchange),
	}
	e.server = &http.Server{
		Handler:           http.HandlerFunc(dispatch),
		MaxHeaderBytes:    maxHTTPHeader,
		ReadHeaderTimeout: httpHeaderTimeout,
		ConnContext:       e.connContext,
		ConnState:         e.connState,
		Protocols:         new(http.Protocols),
		// What clients do wrong is seen on the wire.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	e.server.Protocols.SetHTTP1(true)
	e.server.Protocols.SetHTTP2(true)
	e.server.Protocols.SetUnencryptedHTTP2(true)
	return e
}

// serve hands a connection to net/http and returns when it is done with it.
func (e *httpEngine) serve(x *exchange) error {
	if !e.add(x) {
		return nil
	}
	select {
	case e.conns <- x.session.Conn:
		x.wait()
	case <-e.closed:
		e.remove(x.session.Conn)
	}
	return nil
}

// add registers x, and starts net/http if x is the first.
func (e *httpEngine) add(x *exchange) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return false
	}
	e.exchanges[x.session.Conn] = x
	if e.running == nil {
		running := make(chan struct{})
		e.running = running
		go func() { // ends when shutdown closes the listener
			defer close(running)
			e.server.Serve(e)
		}()
	}
	return true
}

func (e *httpEngine) find(c net.Conn) *exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.exchanges[c]
}

func (e *httpEngine) remove(c net.Conn) *exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.exchanges[c]
	delete(e.exchanges, c)
	return x
}

// shutdown answers the requests in progress, or when ctx is done gives them up.
func (e *httpEngine) shutdown(ctx context.Context) {
	e.mu.Lock()
	e.stopped = true
	running := e.running
	e.mu.Unlock()
	if e.server.Shutdown(ctx) != nil {
		e.server.Close()
	}
	e.Close() // also if Serve was not yet there to do so
	if running != nil {
		<-running
	}
}

// connContext is the ConnContext of the server.
func (e *httpEngine) connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, exchangeKey{}, e.find(c))
}

// connState is the ConnState of the server. It is called on the goroutine that
// serves the connection, last when it is closed.
func (e *httpEngine) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive: // a request has begun
		if x := e.find(c); x != nil {
			x.session.transport.fresh.Store(false)
		}
	case http.StateClosed, http.StateHijacked:
		if x := e.remove(c); x != nil {
			x.hijacked = state == http.StateHijacked
			close(x.over)
		}
	}
}

func dispatch(w http.ResponseWriter, r *http.Request) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	if !x.enter() {
		panic(http.ErrAbortHandler) // the connection is gone
	}
	defer x.handlers.Done()
	x.handler.ServeHTTP(w, r)
}

// Accept gives net/http the next connection.
func (e *httpEngine) Accept() (net.Conn, error) {
	select {
	case c := <-e.conns:
		return c, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (e *httpEngine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.closed:
	default:
		close(e.closed)
	}
	return nil
}

// Addr is required of a listener.
func (e *httpEngine) Addr() net.Addr { return &net.TCPAddr{} }

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"synscope/event"
	"synscope/internal/jsonlines"
	"synscope/internal/pack"
	"synscope/internal/trace"
)

// The bounds of a Server.
const (
	maxRequests  = 32               // at once, streams included
	maxHeader    = 8 << 10          // of a request, bytes
	readTimeout  = 5 * time.Second  // of a request's header
	writeTimeout = 30 * time.Second // of an answer that ends
	drainTimeout = 2 * time.Second  // of a stream when the daemon ends
)

// linesType is the media type of JSON lines.
const linesType = "application/jsonl"

// A Server keeps the history and answers on the control socket. It is a sink of
// the tracer. Its methods may be called from any goroutine.
type Server struct {
	listener *Listener
	history  *history
	queue    *trace.Queue // before history
	http     *http.Server
	status   func() Status
	closing  chan struct{}
	served   sync.WaitGroup // http.Serve
	once     sync.Once

	requests atomic.Int32
}

// NewServer returns a Server that owns the socket l. It keeps events from now
// on, and answers when Serve is called.
func NewServer(l *Listener, limits Limits) *Server {
	s := &Server{listener: l, history: newHistory(limits), closing: make(chan struct{})}
	s.queue = trace.NewQueue(s.history, nil, trace.DefaultQueue)
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /v1/status":           s.getStatus,
		"GET /v1/connections":      s.getConnections,
		"GET /v1/connections/{id}": s.getConnection,
		"GET /v1/events":           s.getEvents,
		"/": func(_ http.ResponseWriter, r *http.Request) error {
			return refusal{http.StatusNotFound, &Error{fmt.Errorf("there is no %s %s", r.Method, r.URL.Path), "GET /v1/status, /v1/connections, /v1/connections/{id} or /v1/events"}}
		},
	} {
		mux.Handle(pattern, s.bounded(h))
	}
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: readTimeout, IdleTimeout: writeTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(io.Discard, "", 0), // of peers that went away
	}
	return s
}

// Event queues an event for the history and the readers. It never blocks.
func (s *Server) Event(e *event.Event) { s.queue.Event(e) }

// Events queues several events likewise.
func (s *Server) Events(es []*event.Event) { s.queue.Events(es) }

// Packed has events that were queued, and are in the history, be packed there. It
// implements trace.Keeper.
func (s *Server) Packed(conn uint64, p *pack.Packed) { s.history.pack(conn, p) }

// Serve answers from now on. Status is called for each GET /v1/status, to say
// all but the time, the history and the readers. Serve is called once at most.
func (s *Server) Serve(status func() Status) {
	s.status = status
	s.served.Add(1) // for http.Serve
	go func() {
		defer s.served.Done()
		s.http.Serve(s.listener) // ends by Close
	}()
}

// Close gives the readers what is queued, ends their streams, and removes the
// socket. Event must not be called any more. It is idempotent.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.queue.Close()
		close(s.closing)
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout+time.Second)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close() // a reader does not even read what was: its write fails now
		}
		s.served.Wait()
		s.listener.Close() // also where Serve was not called
	})
	return nil
}

// A handler answers a request. An error is answered if nothing was written yet.
type handler func(w http.ResponseWriter, r *http.Request) error

// A refusal is an error with the status code to answer it with.
type refusal struct {
	code int
	err  *Error
}

func (r refusal) Error() string { return r.err.Error() }

// bounded makes a handler of net/http of one of ours.
func (s *Server) bounded(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.requests.Add(-1)
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
		var err error
		if s.requests.Add(1) > maxRequests {
			err = refusal{http.StatusServiceUnavailable, &Error{fmt.Errorf("%d requests are being answered, and that is the bound", maxRequests), "end a synscope tail"}}
		} else {
			err = h(w, r)
		}
		var f refusal
		if errors.As(err, &f) {
			writeJSON(w, f.code, failure{f.err.Error(), f.err.Hint})
		}
	})
}

func writeJSON(w http.ResponseWriter, code int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	return json.NewEncoder(w).Encode(v)
}

func (s *Server) getStatus(w http.ResponseWriter, _ *http.Request) error {
	st := s.status()
	st.Uptime = time.Since(st.Started)
	st.History = s.history.snapshot()
	st.Readers = int(s.requests.Load())
	return writeJSON(w, http.StatusOK, st)
}

func (s *Server) getConnections(w http.ResponseWriter, r *http.Request) error {
	is := func(*record) bool { return true }
	switch state := r.FormValue("state"); state {
	case "":
	case "open":
		is = func(r *record) bool { return r.inEnded == nil }
	case "ended":
		is = func(r *record) bool { return r.inEnded != nil }
	default:
		return badValue("state", state, "open or ended")
	}
	newest, err := number(r, "newest", math.MaxInt)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.history.connections(newest, is))
}

func (s *Server) getConnection(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return badValue("connection", r.PathValue("id"), "its number")
	}
	past, ok := s.history.connection(id)
	if !ok {
		return refusal{http.StatusNotFound, s.history.missing(id)}
	}
	w.Header().Set("Content-Type", linesType)
	out := jsonlines.NewWriter(w, nil)
	past.each(out.Event)
	return out.Flush()
}

// getEvents streams events until the reader goes away, the connection that it
// reads ends, or the daemon does.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	conn, err := number(r, "conn", 0)
	if err != nil {
		return err
	}
	ended, err := number(r, "history", -1)
	if err != nil {
		return err
	}
	rd := newReader(w, uint64(conn))
	pasts, ok := s.history.subscribe(rd, ended)
	if !ok {
		return refusal{http.StatusNotFound, s.history.missing(rd.conn)}
	}
	rd.control.SetWriteDeadline(time.Time{}) // a reader may be slow
	rd.start(pasts)
	select {
	case <-r.Context().Done():
	case <-rd.broken:
	case <-rd.ended:
	case <-s.closing:
	}
	s.history.unsubscribe(rd)
	rd.control.SetWriteDeadline(time.Now().Add(drainTimeout))
	return rd.queue.Close()
}

// number returns a number of the query that is not negative, or what stands for
// none.
func number(r *http.Request, name string, none int) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return none, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, badValue(name, text, "a number")
	}
	return n, nil
}

func badValue(name, value, want string) error {
	return refusal{http.StatusBadRequest, &Error{Err: fmt.Errorf("%s: want %s, not %q", name, want, value)}}
}

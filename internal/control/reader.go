package control

import (
	"net/http"

	"synscope/event"
	"synscope/internal/jsonlines"
	"synscope/internal/trace"
)

// readerQueue is the bound on the events that wait for a reader. Most of them are
// in the history as well.
const readerQueue = 1 << 14

// A reader writes the events that come as JSON lines, on the goroutine of its
// queue.
type reader struct {
	conn   uint64 // of this connection only, if it is not 0
	queue  *trace.Queue
	ended  chan struct{} // closed when no event of conn is to come
	broken chan struct{} // closed when a write failed

	// out is the queue's once begun is closed.
	begun   chan struct{}
	w       http.ResponseWriter
	out     *jsonlines.Writer
	control *http.ResponseController
}

func newReader(w http.ResponseWriter, conn uint64) *reader {
	r := &reader{
		conn: conn, ended: make(chan struct{}), broken: make(chan struct{}),
		begun: make(chan struct{}), w: w, control: http.NewResponseController(w),
	}
	r.out = jsonlines.NewWriter(w, func(error) { close(r.broken) })
	return r
}

// start writes the past and lets the queue go on.
func (r *reader) start(pasts []past) {
	r.w.Header().Set("Content-Type", linesType)
	for _, p := range pasts {
		p.each(r.out.Event)
	}
	r.flushOut()
	close(r.begun)
}

// Event implements trace.Sink for the queue.
func (r *reader) Event(e *event.Event) {
	<-r.begun
	r.out.Event(e)
}

func (r *reader) flush() error {
	<-r.begun
	return r.flushOut()
}

func (r *reader) flushOut() error {
	if err := r.out.Flush(); err != nil {
		return err // told by broken
	}
	return r.control.Flush()
}

// offer hands the reader an event that it wants. It never blocks.
func (r *reader) offer(e *event.Event) {
	if r.conn != 0 && e.Conn != r.conn && !(e.Conn == 0 && e.Kind() == (*event.Gap)(nil).Kind()) {
		return
	}
	r.queue.Event(e)
	if r.conn != 0 && e.Conn == r.conn && e.Kind() == (*event.Close)(nil).Kind() {
		r.end()
	}
}

// end tells that no event of the connection is to come. The lock of the history
// is held.
func (r *reader) end() {
	select {
	case <-r.ended:
	default:
		close(r.ended)
	}
}

// subscribe adds a reader. It returns what is kept of the reader's connection,
// or, for a reader of all, of those that are open and of the given number that
// ended last; of none if that is negative. Between these events and the first
// that the reader is offered nothing is missing. It reports whether the reader's
// connection is known.
func (h *history) subscribe(r *reader, ended int) (pasts []past, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.conn != 0 {
		rec := h.records[r.conn]
		if rec == nil {
			return nil, false
		}
		if rec.inEnded != nil {
			r.end()
		}
		pasts = []past{rec.past()}
	} else if ended >= 0 {
		for _, rec := range h.newestOf(h.all.Len(), func(rec *record) bool {
			if rec.inEnded == nil {
				return true
			}
			ended--
			return ended >= 0
		}) {
			pasts = append(pasts, rec.past())
		}
	}
	r.queue = trace.NewQueue(r, r.flush, h.waiting)
	h.readers[r] = struct{}{}
	return pasts, true
}

func (h *history) unsubscribe(r *reader) {
	h.mu.Lock()
	delete(h.readers, r)
	h.mu.Unlock()
}

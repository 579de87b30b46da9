package tlsbridge

import "sync"

// maxPlaintext is the most that one record carries (RFC 8446, section 5.1).
const maxPlaintext = 16 << 10

// Write implements net.Conn. The records of a large write go to the stack
// together: it makes super-packets of what it has at once.
func (s *Session) Write(b []byte) (int, error) {
	if s.TLS == nil || len(b) <= maxPlaintext {
		return s.Conn.Write(b)
	}
	s.transport.hold()
	n, err := s.Conn.Write(b)
	if flushed := s.transport.flush(); err == nil && flushed != nil {
		n, err = 0, flushed // how much of it was sent is not known
	}
	return n, err
}

// A holder collects what is written while it is held.
type holder struct {
	holding sync.Mutex // from hold to flush

	mu   sync.Mutex // also orders the writes to what is below
	held *[]byte    // nil: not held
}

// holdSize is the most that is collected: the records of a large buffer.
const holdSize = largeBuffer + 4<<10

var holdBuffers = sync.Pool{New: func() any { b := make([]byte, 0, holdSize); return &b }}

// hold begins to collect, once what another goroutine collects is flushed.
func (h *holder) hold() {
	h.holding.Lock()
	h.mu.Lock()
	h.held = holdBuffers.Get().(*[]byte)
	h.mu.Unlock()
}

// write collects b, or passes it on to w.
func (h *holder) write(b []byte, w func([]byte) (int, error)) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		return w(b)
	}
	if len(*h.held)+len(b) > holdSize {
		if err := h.passOn(w); err != nil {
			return 0, err
		}
	}
	if len(b) > holdSize {
		return w(b)
	}
	*h.held = append(*h.held, b...)
	return len(b), nil
}

// flush passes on what was collected, and ends the collecting.
func (h *holder) flush(w func([]byte) (int, error)) error {
	defer h.holding.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.passOn(w)
	holdBuffers.Put(h.held)
	h.held = nil
	return err
}

func (h *holder) passOn(w func([]byte) (int, error)) error {
	if len(*h.held) == 0 {
		return nil
	}
	_, err := w(*h.held)
	*h.held = (*h.held)[:0]
	return err
}

package pcapng

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"synscope/event"
	"synscope/internal/keylog"
	"synscope/tlsbridge/tlswire"
)

// Config says what a Writer is to do. Its zero value is one file without limits.
type Config struct {
	// Device names the interface in the capture.
	Device string
	// SnapLen is how many bytes of each packet are kept, 0 for all.
	SnapLen int
	// MaxSize is the size in bytes beyond which a file is followed by the
	// next, 0 for no limit. A file holds one packet at least.
	MaxSize int64
	// MaxAge is the time after which a file is followed by the next, as soon
	// as there is a packet for it, 0 for no limit.
	MaxAge time.Duration
	// MaxFiles is how many files Create keeps: the oldest one of this capture
	// is removed when there are more. 0 is for all.
	MaxFiles int
	// Next opens the file that follows. Create sets it; New needs it if
	// MaxSize or MaxAge is set. It is called on the Writer's goroutine.
	Next func() (io.WriteCloser, error)
	// OnError is called once if the capture cannot go on, with the reason. It
	// and OnLost are called on the Writer's goroutine, and must not call its
	// Flush or Close. Nil means nobody.
	OnError func(error)
	// OnLost is called with the number of packets and secrets that found no
	// room since it was called last.
	OnLost func(packets, secrets uint64)
}

// A Packet is one IP packet, possibly a super-packet.
type Packet struct {
	Time time.Time
	// Frame is the ordinal of the packet in the run, from 1, ascending.
	Frame uint64
	// From is the side that sent it, NoSide if that is not known.
	From event.Side
	// Conn is the connection that it belongs to, 0 for none.
	Conn uint64
	// IP is the packet from its IP header on, in one piece or, with More, in
	// several, of which the first has all headers. It is valid during the call,
	// and not changed.
	IP   []byte
	More [][]byte
	// Partial is set where the transport checksum is left to the device. It is
	// completed in the capture.
	Partial bool
	// SegmentSize is the payload in bytes of each segment that a super-packet
	// stands for; 0 for an ordinary packet.
	SegmentSize int
}

// A Writer writes a capture. Its methods may be called from any goroutine, but
// Packet in the order of the frames.
type Writer struct {
	cfg    Config
	limits limits
	wake   chan struct{} // capacity 1
	done   chan struct{} // closed when the run goroutine has ended
	out    *output       // owned by the run goroutine

	mu      sync.Mutex // of what follows
	q       queue
	force   uint64          // the packets up to this frame wait for nothing more
	flushes []chan struct{} // of the calls of Flush that wait
	closed  bool
	err     error // why the capture ended
}

// closePatience is how long Close waits for a file that takes nothing, as a pipe
// whose reader is stopped.
const closePatience = 5 * time.Second

var (
	errClosed = errors.New("capture: closed")
	errStuck  = fmt.Errorf("capture: what it is written to took nothing for %v: the rest is lost", closePatience)
)

// New starts a capture to w, as a pipe to Wireshark, which the Writer closes.
// The head of the file is written before New returns.
func New(w io.WriteCloser, cfg Config) (*Writer, error) { return newWriter(w, cfg, defaultLimits) }

func newWriter(f io.WriteCloser, cfg Config, l limits) (*Writer, error) {
	if cfg.SnapLen < 0 || cfg.MaxSize < 0 || cfg.MaxAge < 0 || cfg.MaxFiles < 0 {
		return nil, errors.New("capture: a limit is negative")
	}
	if cfg.Next == nil && (cfg.MaxSize > 0 || cfg.MaxAge > 0) {
		return nil, errors.New("capture: a stream cannot be split into files: give a file, or no size and age")
	}
	out, err := newOutput(f, &cfg)
	if err != nil {
		return nil, err
	}
	w := &Writer{cfg: cfg, limits: l, wake: make(chan struct{}, 1), done: make(chan struct{}), out: out}
	w.q = newQueue(&w.limits)
	go w.run()
	return w, nil
}

// Packet queues a copy of p. It never waits for the disk.
func (w *Writer) Packet(p Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended() {
		return
	}
	w.q.add(&p, w.cfg.SnapLen, time.Now())
	w.signal()
}

// Event takes what comments are made of. It is to be given all events, in their
// order: those of segments say which frames the others mean, and only from its
// conn.open to its conn.close is a connection waited for and commented.
func (w *Writer) Event(e *event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended() {
		w.q.event(e)
	}
}

// Secret has a secret written before the packets of the connection that wait,
// or, if none does, before the next packet.
func (w *Writer) Secret(conn uint64, s tlswire.Secret) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended() {
		w.q.secret(conn, keylog.Append(nil, s))
	}
}

// Ready says that no further secret of the connection is to be waited for: its
// handshake is done or has failed, or it is not TLS.
func (w *Writer) Ready(conn uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.q.ready(conn)
}

// ended reports whether nothing more is taken. The lock is held.
func (w *Writer) ended() bool { return w.closed || w.err != nil }

// signal wakes the goroutine where it may sleep long, or where it is behind.
// The lock is held.
func (w *Writer) signal() {
	if len(w.q.entries) == 1 || w.q.behind() {
		w.wakeUp()
	}
}

func (w *Writer) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Flush writes everything that was given before, also what waits for secrets.
// It waits for the disk. The error is that which ended the capture, if it has.
func (w *Writer) Flush() error {
	done := make(chan struct{})
	w.mu.Lock()
	if w.ended() {
		err := w.err
		w.mu.Unlock()
		if err == nil {
			err = errClosed
		}
		return err
	}
	w.force = w.q.frame
	w.flushes = append(w.flushes, done)
	w.mu.Unlock()
	w.wakeUp()
	select {
	case <-done:
	case <-w.done:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close writes everything and closes the file. What it writes to has five
// seconds to take it; after that the Writer's goroutine stays behind until the
// write returns. The error is that which ended the capture, if it did before.
func (w *Writer) Close() error {
	w.mu.Lock()
	w.closed = true
	w.force = math.MaxUint64
	w.mu.Unlock()
	w.wakeUp()
	patience := time.NewTimer(closePatience)
	defer patience.Stop()
	select {
	case <-w.done:
	case <-patience.C:
		return errStuck
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// run is the goroutine that writes.
func (w *Writer) run() {
	defer close(w.done)
	tick := time.NewTimer(math.MaxInt64)
	defer tick.Stop()
	var batch []*entry
	for {
		select {
		case <-w.wake:
		case <-tick.C:
		}
		w.mu.Lock()
		flushes, closed := w.flushes, w.closed
		w.flushes = nil
		w.mu.Unlock()
		var more bool
		batch, more = w.drain(batch)
		for _, f := range flushes {
			close(f)
		}
		if closed {
			w.finish()
			return
		}
		if more {
			tick.Reset(w.limits.tick)
		}
	}
}

// drain writes what waits for nothing. It reports whether anything is left.
func (w *Writer) drain(batch []*entry) (_ []*entry, more bool) {
	for {
		w.mu.Lock()
		batch = w.q.take(batch[:0], time.Now(), w.force)
		more = len(w.q.entries) > 0
		packets, secrets := w.q.takeLost()
		w.mu.Unlock()
		if packets+secrets > 0 && w.cfg.OnLost != nil {
			w.cfg.OnLost(packets, secrets)
		}
		if len(batch) == 0 {
			return batch, more
		}
		err := w.out.write(batch)
		for _, e := range batch {
			e.release()
		}
		clear(batch)
		if err != nil {
			w.fail(err)
			return batch, false
		}
	}
}

// fail ends the capture.
func (w *Writer) fail(err error) {
	err = fmt.Errorf("capture: %w", err)
	w.mu.Lock()
	first := w.err == nil
	if first {
		w.err = err
	}
	w.q = newQueue(&w.limits)
	w.mu.Unlock()
	w.out.abandon()
	if first && w.cfg.OnError != nil {
		w.cfg.OnError(err)
	}
}

// finish ends the file. What is left has no packet to go with.
func (w *Writer) finish() {
	w.mu.Lock()
	keys, missing, failed := w.q.keys, w.q.trailing(), w.err != nil
	w.mu.Unlock()
	if failed {
		return
	}
	if err := w.out.close(keys, missing); err != nil {
		w.fail(err)
	}
}

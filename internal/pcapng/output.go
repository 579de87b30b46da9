package pcapng

import (
	"io"
	"time"
)

// writeSize is how much is written at once, about.
const writeSize = 64 << 10

// statisticsSize is more than the block has that ends a file.
const statisticsSize = 128

// An output is the file that is written, or one after the other. It is owned by
// the Writer's goroutine.
type output struct {
	cfg  *Config
	enc  *encoder
	file io.WriteCloser

	buf     []byte    // whole blocks that are not written yet
	size    int64     // of the file, with buf
	empty   bool      // it has no packet
	opened  time.Time // when it was opened
	packets uint64    // in all files
	missing uint64
}

// newOutput writes the head of the first file.
func newOutput(f io.WriteCloser, cfg *Config) (*output, error) {
	enc, err := newEncoder(cfg)
	if err != nil {
		return nil, err
	}
	o := &output{cfg: cfg, enc: enc}
	o.begin(f)
	return o, o.flush()
}

// begin begins a file.
func (o *output) begin(f io.WriteCloser) {
	o.file, o.empty, o.opened = f, true, time.Now()
	o.buf = append(o.buf[:0], o.enc.head...)
	o.size = int64(len(o.buf))
}

// write writes packets, each with the secrets that go before it, which are
// never apart from it in another file.
func (o *output) write(batch []*entry) error {
	for _, e := range batch {
		b, err := o.enc.packet(e)
		if err != nil {
			return err
		}
		if o.full(len(b)) {
			if b, err = o.next(b); err != nil {
				return err
			}
		}
		o.buf = append(o.buf, b...)
		o.size += int64(len(b))
		o.empty = false
		o.packets++
		o.missing += e.missing
		if len(o.buf) >= writeSize {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	return o.flush()
}

// full reports whether another n bytes are for the next file.
func (o *output) full(n int) bool {
	if o.empty {
		return false
	}
	return o.cfg.MaxSize > 0 && o.size+int64(n)+statisticsSize > o.cfg.MaxSize ||
		o.cfg.MaxAge > 0 && time.Since(o.opened) >= o.cfg.MaxAge
}

// next ends the file and begins the next one. It returns the block that is to
// come there, which is the encoder's, to be kept meanwhile.
func (o *output) next(block []byte) ([]byte, error) {
	kept := append([]byte(nil), block...)
	if err := o.close(nil, 0); err != nil {
		return nil, err
	}
	f, err := o.cfg.Next()
	if err != nil {
		return nil, err
	}
	o.begin(f)
	return kept, nil
}

// flush writes what is not written yet.
func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.file.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

// close ends the file, with secrets that no packet followed and the number of
// packets that were lost after the last one.
func (o *output) close(keys []byte, trailing uint64) error {
	o.missing += trailing
	b, err := o.enc.statistics(o.packets+o.missing, o.missing, keys, time.Now())
	if err == nil {
		o.buf = append(o.buf, b...)
		err = o.flush()
	}
	f := o.file
	o.file = nil
	if err2 := f.Close(); err == nil {
		err = err2
	}
	return err
}

// abandon closes the file as it is.
func (o *output) abandon() {
	if o.file != nil {
		o.file.Close() // the first error counts
		o.file = nil
	}
}

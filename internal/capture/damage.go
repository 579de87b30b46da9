package capture

import (
	"errors"
	"fmt"
	"io"
)

// A DamageError says where a file stops being readable. What comes before
// Offset is whole and has been read.
type DamageError struct {
	File string
	// Offset is that of the first block or record that is not whole, in bytes
	// from the file's beginning, after decompression.
	Offset int64
	// Err is what is wrong there: for a file cut short it wraps
	// io.ErrUnexpectedEOF, and for one that cannot be read the error of reading.
	Err error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: damaged at offset %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *DamageError) Unwrap() error { return e.Err }

// A cutError says that a file ends within a unit of its format.
type cutError struct {
	what       string // "record header", "block of type 6", …
	have, want int64  // bytes
}

func (e *cutError) Error() string {
	return fmt.Sprintf("the file ends after %d of the %d bytes of the %s", e.have, e.want, e.what)
}

func (e *cutError) Unwrap() error { return io.ErrUnexpectedEOF }

// cut returns the error of reading have of the want bytes of a unit.
func cut(err error, what string, have, want int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &cutError{what: what, have: have, want: want}
	}
	return fmt.Errorf("reading the %s: %w", what, err)
}

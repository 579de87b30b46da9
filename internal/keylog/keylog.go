// Package keylog writes TLS secrets to a file in the format of RFC 9850
// (SSLKEYLOGFILE), from which Wireshark decrypts.
package keylog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"synscope/tlsbridge/tlswire"
)

// A Writer appends secrets to a file that only its owner can read. It is used
// by one goroutine. After the first error it writes no more.
type Writer struct {
	f       *os.File
	buf     []byte
	err     error
	onError func(error)
}

// An OpenError says why a key log file cannot be used.
type OpenError struct {
	Path string
	Err  error
	Hint string // what to do about it; may be empty
}

func (e *OpenError) Error() string { return fmt.Sprintf("key log %s: %v", e.Path, e.Err) }
func (e *OpenError) Unwrap() error { return e.Err }

// Open opens the file at path for appending, made with mode 0600 if it does not
// exist. One that others can read is refused: what is in it already may be
// known, and what comes would be. OnError, which may be nil, is called once if
// a secret cannot be written.
func Open(path string, onError func(error)) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, &OpenError{Path: path, Err: err, Hint: "give a file in a directory that you can write to"}
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, &OpenError{Path: path, Err: err}
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		f.Close()
		return nil, &OpenError{Path: path, Err: fmt.Errorf("mode is %04o: others can read the secrets", st.Mode().Perm()), Hint: "chmod 600 " + path}
	}
	return &Writer{f: f, onError: onError}, nil
}

// Secret appends one line.
func (w *Writer) Secret(s tlswire.Secret) {
	if w.err != nil {
		return
	}
	w.buf = Append(w.buf[:0], s)
	if _, err := w.f.Write(w.buf); err != nil {
		w.err = err
		if w.onError != nil {
			w.onError(err)
		}
	}
}

// Append appends the line of a secret, with its line end.
func Append(b []byte, s tlswire.Secret) []byte {
	b = append(b, s.Label...)
	b = append(b, ' ')
	b = hex.AppendEncode(b, s.ClientRandom)
	b = append(b, ' ')
	b = hex.AppendEncode(b, s.Secret)
	return append(b, '\n')
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }

package pcapng

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// An OpenError says why a capture file cannot be made.
type OpenError struct {
	Path string
	Err  error
	Hint string // what to do about it; may be empty
}

func (e *OpenError) Error() string { return fmt.Sprintf("capture file %s: %v", e.Path, e.Err) }

// Unwrap returns the error of the operating system.
func (e *OpenError) Unwrap() error { return e.Err }

// Create starts a capture to a new file with mode 0600. A file that exists is
// refused, with an *OpenError: it may be the only record of something.
//
// If cfg.MaxSize or cfg.MaxAge is set, the capture goes to a series of files:
// for the path "NAME.pcapng" to NAME-0001.pcapng, NAME-0002.pcapng and so on. A
// series goes on after the highest number that is there already. The directory
// must stay writable; if a file cannot be made or the oldest one not be removed,
// the capture ends.
func Create(path string, cfg Config) (*Writer, error) {
	open := func() (io.WriteCloser, error) { return createFile(path) }
	if cfg.MaxSize > 0 || cfg.MaxAge > 0 {
		s, err := newSeries(path, cfg.MaxFiles)
		if err != nil {
			return nil, err
		}
		cfg.Next = s.next
		open = s.next
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	w, err := New(f, cfg)
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

func createFile(path string) (io.WriteCloser, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return f, nil
	}
	hint := "give a file in a directory that you can write to"
	if errors.Is(err, fs.ErrExist) {
		hint = "give another name, or remove it"
	}
	return nil, openError(path, err, hint)
}

// openError strips the path from an error of package os.
func openError(path string, err error, hint string) *OpenError {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &OpenError{Path: path, Err: err, Hint: hint}
}

// A series is numbered files.
type series struct {
	stem, ext string
	n         int      // of the newest one
	max       int      // how many are kept, 0: all
	made      []string // those that are kept, oldest first; only if there is a max
}

// newSeries finds the number after which the series goes on.
func newSeries(path string, keep int) (*series, error) {
	s := &series{ext: filepath.Ext(path), max: keep}
	s.stem = strings.TrimSuffix(path, s.ext) + "-"
	dir, stem := filepath.Split(s.stem)
	files, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, openError(path, err, "give a file in a directory that you can write to")
	}
	for _, f := range files {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(f.Name(), s.ext), stem)
		if n, err := strconv.Atoi(digits); ok && err == nil {
			s.n = max(s.n, n)
		}
	}
	return s, nil
}

func (s *series) name(n int) string { return fmt.Sprintf("%s%04d%s", s.stem, n, s.ext) }

// next opens the next file. Before, it removes the oldest one if there would be
// too many.
func (s *series) next() (io.WriteCloser, error) {
	if s.max > 0 && len(s.made) >= s.max {
		if err := os.Remove(s.made[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, openError(s.made[0], err, "")
		}
		s.made = s.made[1:]
	}
	name := s.name(s.n + 1)
	f, err := createFile(name)
	if err != nil {
		return nil, err
	}
	s.n++
	if s.max > 0 {
		s.made = append(s.made, name)
	}
	return f, nil
}

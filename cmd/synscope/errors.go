package main

import (
	"errors"
	"io/fs"

	"synscope/internal/control"
	"synscope/internal/keylog"
	"synscope/internal/pcapng"
	"synscope/tun"
)

// hintOf returns the word on what to do about an error, or "".
func hintOf(err error) string {
	var (
		h hinted
		t *tun.Error
		k *keylog.OpenError
		c *pcapng.OpenError
		s *control.Error
	)
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, &t):
		return t.Hint
	case errors.As(err, &k):
		return k.Hint
	case errors.As(err, &c):
		return c.Hint
	case errors.As(err, &s):
		return s.Hint
	}
	return ""
}

// reason strips the operation and the path from an error of package os, for
// messages that name the path themselves.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

package main

import (
	"bytes"
	"io"
)

// maxHeld bounds what is held back, in bytes.
const maxHeld = 16 << 20

// A held writer holds what is written back until flush, so that it does not mix
// with what a command writes. Beyond maxHeld, or if it is live, it holds nothing.
type held struct {
	w    io.Writer
	live bool
	text bytes.Buffer
}

// Write implements io.Writer.
func (h *held) Write(b []byte) (int, error) {
	if !h.live && h.text.Len()+len(b) <= maxHeld {
		return h.text.Write(b)
	}
	if err := h.flush(); err != nil {
		return 0, err
	}
	h.live = true
	return h.w.Write(b)
}

// flush writes what was held back.
func (h *held) flush() error {
	_, err := h.text.WriteTo(h.w)
	return err
}

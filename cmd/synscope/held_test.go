package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestHeld(t *testing.T) {
	var out bytes.Buffer
	h := &held{w: &out}
	h.Write([]byte("a"))
	h.Write([]byte("b"))
	if out.Len() != 0 {
		t.Errorf("%q was not held back", &out)
	}
	if err := h.flush(); err != nil || out.String() != "ab" {
		t.Errorf("flush: %q, %v", &out, err)
	}
	live := &held{w: &out, live: true}
	live.Write([]byte("c"))
	if out.String() != "abc" {
		t.Errorf("live: %q", &out)
	}
}

// Beyond the bound nothing is lost, and the order stays.
func TestHeldIsBounded(t *testing.T) {
	var out bytes.Buffer
	h := &held{w: &out}
	h.Write([]byte("first"))
	h.Write(make([]byte, maxHeld))
	h.Write([]byte("last"))
	if s := out.String(); len(s) != maxHeld+9 || !strings.HasPrefix(s, "first") || !strings.HasSuffix(s, "last") {
		t.Errorf("%d bytes were written", out.Len())
	}
}

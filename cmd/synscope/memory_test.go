package main

import (
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: mostPercent, 1 << 20: mostPercent, 8 << 20: 800, 64 << 20: 100, 128 << 20: 50, 256 << 20: 25, 1 << 30: leastPercent,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}

// Memory is given back in the first quiet period after much was allocated, and not
// again before there was as much again, and a pause; and never with little in use.
func TestRest(t *testing.T) {
	var r rest
	allocated, now := uint64(0), time.Unix(1_000_000, 0)
	for i, x := range []struct {
		allocates uint64
		after     time.Duration
		due       bool
	}{
		{1 << 10, restPeriod, false}, // quiet, but nothing was before
		{muchBytes, restPeriod, false},
		{muchBytes, restPeriod, false},
		{restBytes, restPeriod, true},
		{0, time.Hour, false},
		{muchBytes, restPeriod, false},
		{0, restPeriod, true},
		{muchBytes, restPeriod, false},
		{0, restPeriod, false}, // too soon
		{0, giveBackPause, true},
	} {
		allocated += x.allocates
		now = now.Add(x.after)
		if r.due(now, allocated, headroom-1) {
			t.Errorf("period %d: due with little in use", i)
		}
		r.last -= x.allocates // as it was
		if due := r.due(now, allocated, headroom); due != x.due {
			t.Errorf("period %d: due %v, want %v", i, due, x.due)
		}
	}
}

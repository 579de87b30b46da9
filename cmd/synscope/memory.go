package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Between two garbage collections of a daemon at least headroom bytes are
// allocated, or leastPercent of what is in use where that is more. A handshake
// allocates some 70 KB of which nothing stays, so that with little in use the
// usual 100 % would have a tenth of the time go into collections; with many
// connections open they would double the memory.
const (
	headroom     = 64 << 20
	leastPercent = 50
	mostPercent  = 1600
)

// keepHeadroom sets how often garbage is collected, now and after each
// collection.
func keepHeadroom() {
	debug.SetGCPercent(gcPercent(liveBytes()))
	runtime.SetFinalizer(new(*byte), func(**byte) { keepHeadroom() })
}

// gcPercent returns the percentage for so many bytes in use.
func gcPercent(live uint64) int {
	return int(min(max(headroom*100/max(live, 1), leastPercent), mostPercent))
}

// liveBytes returns what the last collection found in use.
func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

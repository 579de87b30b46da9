package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Between two garbage collections of a daemon at least headroom bytes are
// allocated, or leastPercent of what is in use where that is more. A handshake
// allocates some 70 KB of which nothing stays, so that with little in use the
// usual 100 % would have a tenth of the time go into collections; with many
// connections open they would double the memory.
const (
	headroom     = 64 << 20
	leastPercent = 25
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

// When a daemon has done much and then rests, with many connections open, it gives
// back what it does not need: garbage that no collection was due for, pages that
// nothing is on, and the stacks that goroutines have grown and do not use. That takes
// some 7 ms for each 10 MB in use. With few connections open it keeps its headroom: to
// get that again would cost the next burst more.
const (
	restPeriod = 250 * time.Millisecond
	// restBytes are so few that what allocates no more of them in a period rests.
	restBytes = 1 << 20
	// muchBytes are what must have been allocated since memory was given back.
	muchBytes = headroom / 4
	// giveBackPause is the least time between two times.
	giveBackPause = 10 * time.Second
)

// A rest watches what is allocated. It is used by one goroutine.
type rest struct {
	last  uint64    // allocated until the last period
	given uint64    // allocated until memory was given back
	at    time.Time // when it was
}

// due reports whether memory is to be given back, at the end of each period, by the
// bytes that were allocated since the process began and those that are in use.
func (r *rest) due(now time.Time, allocated, live uint64) bool {
	quiet := allocated-r.last <= restBytes
	r.last = allocated
	if !quiet || live < headroom || allocated-r.given < muchBytes || now.Sub(r.at) < giveBackPause {
		return false
	}
	r.given, r.at = allocated, now
	return true
}

// giveBackAtRest gives memory back whenever it is due, until stop is called.
func giveBackAtRest() (stop func()) {
	quit := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(restPeriod)
		defer tick.Stop()
		for r := (rest{}); ; {
			select {
			case <-quit:
				return
			case now := <-tick.C:
				if r.due(now, metric("/gc/heap/allocs:bytes"), liveBytes()) {
					debug.FreeOSMemory()
				}
			}
		}
	})
	return func() {
		close(quit)
		watching.Wait()
	}
}

// liveBytes returns what the last collection found in use.
func liveBytes() uint64 { return metric("/gc/heap/live:bytes") }

// metric reads a metric of the runtime that is a number.
func metric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

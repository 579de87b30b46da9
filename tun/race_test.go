//go:build race

package tun

// Under the race detector sync.Pool forgets on purpose, so allocations are not
// counted.
const raceDetector = true

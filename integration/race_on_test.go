//go:build race

package integration

// raceFlags builds the binary as the tests are built.
var raceFlags = []string{"-race"}

package control

import (
	"net/netip"
	"time"

	"synscope/event"
)

// A Status is what the daemon says of itself.
type Status struct {
	Version  string         `json:"version"`
	PID      int            `json:"pid"`
	Started  time.Time      `json:"started"`
	Uptime   time.Duration  `json:"uptime"` // ns
	Device   string         `json:"device"`
	Prefixes []netip.Prefix `json:"prefixes"`
	Events   string         `json:"events,omitempty"`  // the file that events are written to
	Capture  string         `json:"capture,omitempty"` // the capture file
	KeyLog   string         `json:"keylog,omitempty"`
	Stack    StackStatus    `json:"stack"`
	History  HistoryStatus  `json:"history"`
	Readers  int            `json:"readers"` // requests at the moment, this one included

	Goroutines int `json:"goroutines"` // of the process
}

// A StackStatus is what the stack holds.
type StackStatus struct {
	Open        int    `json:"open"`      // accepted connections that are neither CLOSED nor in TIME-WAIT
	Endpoints   int    `json:"endpoints"` // TCP endpoints that are not CLOSED
	Ports       int    `json:"ports"`     // listening ports
	WriteErrors uint64 `json:"write_errors"`
}

// A HistoryStatus is what the history holds, and what it let go of.
type HistoryStatus struct {
	Open               int    `json:"open"`  // connections
	Ended              int    `json:"ended"` // connections
	Events             int    `json:"events"`
	Bytes              int    `json:"bytes"` // of the events in memory, estimated
	DroppedConnections uint64 `json:"dropped_connections"`
	DroppedEvents      uint64 `json:"dropped_events"` // those of dropped connections included
	LostEvents         uint64 `json:"lost_events"`    // the history was too slow for
}

// Connections are the newest connections of the history.
type Connections struct {
	Open        int             `json:"open"`  // in the history, whatever was asked for
	Ended       int             `json:"ended"` // likewise
	Dropped     uint64          `json:"dropped"`
	Connections []event.Summary `json:"connections"` // by their numbers
}

// A failure is the body of an answer that is not 200.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// An Error says why the socket cannot be opened, or what a daemon refused, and
// what to do about it.
type Error struct {
	Err  error
	Hint string // may be empty
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

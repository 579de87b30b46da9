package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"synscope/event"
	"synscope/internal/typeset"
)

// A column of the table of connections.
type column struct {
	name string
	// rank says in which order columns give way where there is no room: the
	// highest first. Those of rank 0 stay.
	rank int
	cell func(s *event.Summary, now time.Time) string
}

var columns = []column{
	{"ID", 0, func(s *event.Summary, _ time.Time) string { return strconv.FormatUint(s.Conn, 10) }},
	{"STATE", 0, stateCell},
	{"CLIENT", 0, func(s *event.Summary, _ time.Time) string { return s.Client.String() }},
	{"SERVER", 1, func(s *event.Summary, _ time.Time) string { return s.Server.String() }},
	{"NAME", 3, func(s *event.Summary, _ time.Time) string { return typeset.Escape(s.TLS.ServerName, 48, false) }},
	{"VERSION", 2, func(s *event.Summary, _ time.Time) string { return cmp.Or(s.TLS.Version, s.TLS.State) }},
	{"SUITE", 4, func(s *event.Summary, _ time.Time) string { return s.TLS.CipherSuite }},
	{"DURATION", 0, durationCell},
	{"CAUSE", 0, causeCell},
}

// stateCell is the state of our TCP endpoint, or how the connection ended.
func stateCell(s *event.Summary, _ time.Time) string {
	switch {
	case !s.Open:
		return s.TCP.How
	case s.TCP.ServerState != 0:
		return s.TCP.ServerState.String()
	case s.TCP.ClientState != 0:
		return s.TCP.ClientState.String()
	}
	return ""
}

func durationCell(s *event.Summary, now time.Time) string {
	d := s.TCP.Duration
	if s.Open {
		d = now.Sub(s.Opened)
	}
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	}
	return fmt.Sprintf("%.2fms", float64(max(d, 0))/1e6)
}

// causeCell says why a connection failed, or what else is to be known of it.
func causeCell(s *event.Summary, _ time.Time) string {
	text := s.Cause
	if text == "" && s.Alert != "" {
		text = "alert " + s.Alert + " from " + s.AlertFrom.String()
	}
	if s.Lost > 0 {
		text = strings.TrimPrefix(fmt.Sprintf("%s; %d lost", text, s.Lost), "; ")
	}
	return typeset.Escape(text, 160, false)
}

// minCause is the width that the last column has before others give way for it.
const minCause = 16

// table lays out connections: the header and a line for each, at most width
// wide; 0 is as wide as they are.
func table(ss []event.Summary, now time.Time, width int) []string {
	rows := make([][]string, len(ss)+1)
	widths := make([]int, len(columns))
	for i := range rows {
		for c, col := range columns {
			cell := col.name
			if i > 0 {
				cell = cmp.Or(col.cell(&ss[i-1], now), "-")
			}
			rows[i] = append(rows[i], cell)
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	shown := fit(widths, width)
	lines := make([]string, len(rows))
	for i, cells := range rows {
		var b strings.Builder
		for c, cell := range cells {
			if shown[c] {
				fmt.Fprintf(&b, "%-*s  ", widths[c], cell)
			}
		}
		lines[i] = strings.TrimRight(b.String(), " ")
		if width > 0 && len(lines[i]) > width { // all is ASCII
			lines[i] = lines[i][:max(width-2, 0)] + ".."
		}
	}
	return lines
}

// fit says which columns are shown.
func fit(widths []int, width int) []bool {
	shown := make([]bool, len(columns))
	total := min(widths[len(widths)-1], minCause)
	for c := range columns {
		shown[c] = true
		if c < len(columns)-1 {
			total += widths[c] + 2
		}
	}
	for rank := 4; rank > 0 && width > 0 && total > width; rank-- {
		for c, col := range columns {
			if col.rank == rank {
				shown[c] = false
				total -= widths[c] + 2
			}
		}
	}
	return shown
}

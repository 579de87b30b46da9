package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// A cell is a column of the table.
type column struct {
	head string
	text func(*row) string
}

// columns are those of the table, after the name of the contestant. A ratio is
// to the kernel's.
var columns = []column{
	{"rate", func(r *row) string { return r.rate() }},
	{"×kernel", func(r *row) string { return r.times(mainMetric(r.unit)) }},
	{"min..max", func(r *row) string { return r.spread(mainMetric(r.unit)) }},
	{"p50 µs", func(r *row) string { return r.number(metricP50) }},
	{"×", func(r *row) string { return r.times(metricP50) }},
	{"p99 µs", func(r *row) string { return r.number(metricP99) }},
	{"×", func(r *row) string { return r.times(metricP99) }},
	{"CPU", func(r *row) string { return r.cpu() }},
	{"×", func(r *row) string { return r.times(metricCPU) }},
}

// mainMetric is what a row is about.
func mainMetric(u unit) metric {
	if u == memory {
		return metricMemory
	}
	return metricRate
}

// writeTable writes the rows, those of a measure below its name.
func writeTable(w io.Writer, rows []*row) error {
	lines := [][]string{{""}}
	for _, c := range columns {
		lines[0] = append(lines[0], c.head)
	}
	notes := []string{"targets"}
	measure := ""
	for _, r := range rows {
		if r.Measure != measure {
			measure = r.Measure
			lines, notes = append(lines, []string{measure}), append(notes, "")
		}
		line := []string{"  " + r.Contestant}
		for _, c := range columns {
			line = append(line, c.text(r))
		}
		lines, notes = append(lines, line), append(notes, r.note())
	}
	widths := make([]int, 1+len(columns))
	for _, line := range lines {
		for i, text := range line {
			if len(line) > 1 { // the name of a measure may reach over the others
				widths[i] = max(widths[i], utf8.RuneCountInString(text))
			}
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, text := range line {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text)))
			if i == 0 {
				b.WriteString(text + pad)
			} else {
				b.WriteString("  " + pad + text)
			}
		}
		if notes[n] != "" {
			b.WriteString("  " + notes[n])
		}
		text := strings.TrimRight(b.String(), " ")
		b.Reset()
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}

// note is what else there is to say of a row: its targets, and what went wrong.
func (r *row) note() string {
	var notes []string
	for _, v := range r.Verdicts {
		notes = append(notes, v.String())
	}
	if r.Rejected != "" {
		notes = append(notes, strings.Join(strings.Fields(r.Rejected), " "))
	}
	if _, ok := r.Medians[metricGoroutines]; ok {
		notes = append(notes, r.number(metricGoroutines)+" goroutines")
	}
	for _, what := range slices.Sorted(maps.Keys(r.Lost)) {
		notes = append(notes, fmt.Sprintf("lost %d %s", r.Lost[what], what))
	}
	failed, failure := 0, ""
	for _, round := range r.Rounds {
		failed += round.Failed
		if failure == "" {
			failure = round.Failure
		}
	}
	if failed > 0 {
		notes = append(notes, fmt.Sprintf("%d failed, the first: %s", failed, failure))
	}
	return strings.Join(notes, "; ")
}

func (r *row) rate() string {
	if r.unit == memory {
		return withUnit(r, metricMemory, "KB")
	}
	if r.unit == content {
		return withUnit(r, metricRate, "MB/s")
	}
	return withUnit(r, metricRate, "/s")
}

// cpu is the CPU time of both sides for an operation, or for 1 GB.
func (r *row) cpu() string {
	v, ok := r.Medians[metricCPU]
	switch {
	case !ok:
		return ""
	case r.unit == content:
		return fmt.Sprintf("%.2f s/GB", v)
	}
	return fmt.Sprintf("%.0f µs", v)
}

func withUnit(r *row, m metric, unit string) string {
	if text := r.number(m); text != "" {
		return text + " " + unit
	}
	return ""
}

func (r *row) number(m metric) string {
	v, ok := r.Medians[m]
	if !ok || math.IsInf(v, 0) {
		return ""
	}
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func (r *row) times(m metric) string {
	if q, ok := r.Ratios[m]; ok {
		return fmt.Sprintf("%.2f", q.Of)
	}
	return ""
}

func (r *row) spread(m metric) string {
	if q, ok := r.Ratios[m]; ok && len(r.Rounds) > 1 && r.Contestant != kernelName {
		return fmt.Sprintf("%.2f..%.2f", q.Min, q.Max)
	}
	return ""
}

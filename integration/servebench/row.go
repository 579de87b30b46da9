package main

import "fmt"

// A row is what was measured of one contestant in one measure, or in one part of
// it.
type row struct {
	Measure    string             `json:"measure"`
	Contestant string             `json:"contestant"`
	Rounds     []result           `json:"rounds"`
	Medians    map[metric]float64 `json:"medians"`
	Ratios     map[metric]ratio   `json:"ratios,omitempty"` // to the kernel's
	Rejected   string             `json:"rejected,omitempty"`
	Lost       map[string]uint64  `json:"lost,omitempty"` // by the tracer in the whole measure: how many, by what and why
	Verdicts   []verdict          `json:"targets,omitempty"`

	part  string
	order int // of the contestant
	unit  unit
}

// A verdict is what became of a target.
type verdict struct {
	Metric metric  `json:"metric"`
	Over   string  `json:"over,omitempty"` // what Got is a ratio to; "": nothing, it is the value
	Bound  float64 `json:"bound"`
	Got    float64 `json:"got"`
	OK     bool    `json:"ok"`
	CPU    float64 `json:"cpu,omitempty"` // the ratio of CPU time, where Got is one of rates
}

func (v verdict) String() string {
	sign, word := "≥", "missed"
	if v.Metric.less() {
		sign = "≤"
	}
	if v.OK {
		word = "ok"
	}
	over := ""
	if v.Over != "" {
		over = "×" + v.Over + " "
	}
	text := fmt.Sprintf("%s %s%.3g %s%g: %s", v.Metric, over, v.Got, sign, v.Bound, word)
	if v.CPU != 0 && v.Over != kernelName { // that one has a column
		text += fmt.Sprintf(" (CPU ×%.2f)", v.CPU)
	}
	return text
}

// parts are the names of the rows that a measure gives of each contestant.
func (m *measure) parts() []string {
	if m.flooded {
		return []string{partBefore, partDuring, partAfter}
	}
	return []string{""}
}

// values returns a metric of each round.
func (r *row) values(m metric) []float64 {
	vs := make([]float64, len(r.Rounds))
	for i, round := range r.Rounds {
		vs[i] = m.value(r.unit, round)
	}
	return vs
}

var metrics = []metric{metricRate, metricP50, metricP99, metricCPU, metricMemory, metricGoroutines, metricFailed}

package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

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

// turns are the rows of one measure while it is measured.
type turns struct {
	measure measure
	rows    []*row
}

func newTurns(m measure) *turns { return &turns{measure: m} }

func (t *turns) row(c, part string) *row {
	for _, r := range t.rows {
		if r.Contestant == c && r.part == part {
			return r
		}
	}
	return nil
}

func (t *turns) ensure(c *contestant, part string) *row {
	r := t.row(c.name, part)
	if r == nil {
		name := t.measure.name
		if part != "" {
			name += ", " + part
		}
		r = &row{Measure: name, Contestant: c.name, part: part, order: c.order, unit: t.measure.what}
		t.rows = append(t.rows, r)
	}
	return r
}

// add adds the result of a round. Rounds are added in order, none is left out.
func (t *turns) add(c *contestant, part string, r result) {
	row := t.ensure(c, part)
	row.Rounds = append(row.Rounds, r)
	if r.Rejected != "" {
		row.Rejected = r.Rejected
	}
}

// reject says why there is nothing of a contestant.
func (t *turns) reject(c *contestant, why string) {
	for _, part := range t.measure.parts() {
		t.ensure(c, part).Rejected = why
	}
}

// lose adds what the tracer of a contestant has lost.
func (t *turns) lose(c *contestant, lost map[string]uint64) {
	for _, part := range t.measure.parts() {
		r := t.row(c.name, part)
		if r == nil || len(lost) == 0 {
			continue
		}
		if r.Lost == nil {
			r.Lost = make(map[string]uint64)
		}
		for what, n := range lost {
			r.Lost[what] += n
		}
	}
}

// values returns a metric of each round.
func (r *row) values(m metric) []float64 {
	vs := make([]float64, len(r.Rounds))
	for i, round := range r.Rounds {
		vs[i] = m.value(r.unit, round)
	}
	return vs
}

var metrics = []metric{metricRate, metricP50, metricP99, metricCPU, metricMemory, metricFailed}

// judge computes what the rounds come to, once all are there, and puts the rows
// in order: by part, and as the contestants are.
func (t *turns) judge() {
	parts := t.measure.parts()
	slices.SortStableFunc(t.rows, func(a, b *row) int {
		return cmp.Or(slices.Index(parts, a.part)-slices.Index(parts, b.part), a.order-b.order)
	})
	for _, r := range t.rows {
		r.Medians, r.Ratios = make(map[metric]float64), make(map[metric]ratio)
		kernel := t.row(kernelName, r.part)
		for _, m := range metrics {
			vs := r.values(m)
			if v := median(present(vs)); !math.IsNaN(v) {
				r.Medians[m] = v
			}
			if kernel == nil {
				continue
			}
			if ratio, ok := compare(vs, kernel.values(m)); ok {
				r.Ratios[m] = ratio
			}
		}
	}
	for _, target := range t.measure.targets {
		t.judgeTarget(target)
	}
}

// present returns vs without NaN.
func present(vs []float64) (some []float64) {
	for _, v := range vs {
		if !math.IsNaN(v) {
			some = append(some, v)
		}
	}
	return some
}

func (t *turns) judgeTarget(target target) {
	r := t.row(target.contestant, target.part)
	if r == nil {
		return
	}
	got, ok := r.Medians[target.metric]
	v := verdict{Metric: target.metric, Over: target.over, Bound: target.bound, Got: got}
	base := t.row(target.over, target.part)
	if target.overPart != "" {
		v.Over, base = target.overPart, t.row(target.contestant, target.overPart)
	}
	if v.Over != "" {
		if base == nil {
			return
		}
		var q ratio
		q, ok = compare(r.values(target.metric), base.values(target.metric))
		v.Got = q.Of
		if target.metric == metricRate {
			cpu, _ := compare(r.values(metricCPU), base.values(metricCPU))
			v.CPU = cpu.Of
		}
	}
	if !ok {
		return
	}
	v.OK = v.Got >= v.Bound
	if v.Metric.less() {
		v.OK = v.Got <= v.Bound
	}
	r.Verdicts = append(r.Verdicts, v)
}

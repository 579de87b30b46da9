package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// A reporter is called after each measurement.
type reporter func(m measure, c *contestant, round int, r result)

// run measures all that is wanted. When it fails, the rows so far are returned
// as well.
func (b *bench) run(ctx context.Context, ms []measure, cs []*contestant, progress reporter) ([]*row, error) {
	var rows []*row
	for _, m := range ms {
		t := &turns{bench: b, measure: m, progress: progress}
		err := t.run(ctx, cs)
		rows = append(rows, t.rows...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// turns are what the contestants of one measure take.
type turns struct {
	bench    *bench
	measure  measure
	progress reporter
	servers  []*server // that run
	rows     []*row
}

// run starts all contestants and measures them, round by round. One that fails
// is told in its row, and the others go on; the error is that of ctx.
func (t *turns) run(ctx context.Context, cs []*contestant) error {
	rounds := t.bench.rounds
	if t.measure.once {
		rounds = 1
	}
	err := t.start(ctx, cs)
	for round := 0; round < rounds && err == nil; round++ {
		err = t.round(ctx, round)
	}
	for _, s := range t.servers {
		t.stop(s)
	}
	t.judge()
	return err
}

func (t *turns) start(ctx context.Context, cs []*contestant) error {
	for _, c := range cs {
		if !t.measure.takes(c) {
			continue
		}
		s, err := t.bench.start(ctx, c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			t.reject(c, fmt.Sprintf("not started: %v", err))
			continue
		}
		t.servers = append(t.servers, s)
	}
	return nil
}

// round measures each contestant once. Nobody is always first.
func (t *turns) round(ctx context.Context, round int) error {
	for i := range t.servers {
		at := (i + round) % len(t.servers)
		parts, err := t.turn(ctx, at, round)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c := t.servers[at].contestant
		for _, part := range t.measure.parts() {
			r := parts[part]
			if err != nil {
				r = result{Rejected: err.Error()}
			}
			t.add(c, part, r)
			t.progress(t.measure, c, round, r)
		}
	}
	return nil
}

// turn measures one contestant. Before a flood it is to be one that has seen
// none.
func (t *turns) turn(ctx context.Context, at, round int) (map[string]result, error) {
	s := t.servers[at]
	if t.measure.flooded && round > 0 {
		t.stop(s)
		fresh, err := t.bench.start(ctx, s.contestant)
		if err != nil {
			return nil, err
		}
		s, t.servers[at] = fresh, fresh
	}
	return t.bench.measure(ctx, s, t.measure)
}

// stop stops a server, and notes what its tracer has lost. To stop it again does
// nothing.
func (t *turns) stop(s *server) {
	lost, err := s.stop()
	if err != nil {
		lost = map[string]uint64{err.Error(): 1}
	}
	t.lose(s.contestant, lost)
}

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

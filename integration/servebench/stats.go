package main

import (
	"math"
	"slices"
	"time"
)

// median returns the middle of vs, or the mean of the two that are, or NaN if
// there are none.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return math.NaN()
	}
	vs = slices.Sorted(slices.Values(vs))
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
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

// quantile returns the latency in µs that q of all do not exceed (nearest rank),
// or 0 if there are none.
func quantile(latencies []time.Duration, q float64) float64 {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	i := int(math.Ceil(q*float64(len(latencies)))) - 1
	return float64(latencies[max(i, 0)]) / float64(time.Microsecond)
}

// A ratio compares what was measured in the same rounds: the medians, and the
// least and the greatest of the single rounds.
type ratio struct {
	Of  float64 `json:"of"`
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// compare returns the ratio of vs to base, which are of the same rounds. NaN
// stands for a round without a measurement.
func compare(vs, base []float64) (r ratio, ok bool) {
	var over, under []float64
	r.Min, r.Max = math.Inf(1), math.Inf(-1)
	for i := range min(len(vs), len(base)) {
		if math.IsNaN(vs[i]) || math.IsNaN(base[i]) || base[i] == 0 {
			continue
		}
		over, under = append(over, vs[i]), append(under, base[i])
		r.Min, r.Max = min(r.Min, vs[i]/base[i]), max(r.Max, vs[i]/base[i])
	}
	if len(over) == 0 {
		return ratio{}, false
	}
	r.Of = median(over) / median(under)
	return r, true
}

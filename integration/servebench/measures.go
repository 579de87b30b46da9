package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"time"
)

// A measure is what is done to each contestant.
type measure struct {
	name    string
	what    unit
	others  bool // servers without services can do it
	bridged bool // it is for bridges, and the kernel without one
	once    bool // one round says enough
	flooded bool // it is done before, during and after a SYN flood, which are three rows
	job     job
	targets []target
}

// A unit is what a measure counts.
type unit int

const (
	operations unit = iota // a rate of them, and their latency
	content                // a rate of bytes moved
	memory                 // bytes for each connection
)

// Metrics of a row.
type metric string

const (
	metricRate       metric = "rate"       // operations/s or MB/s
	metricP50        metric = "p50"        // µs
	metricP99        metric = "p99"        // µs
	metricCPU        metric = "cpu"        // of both sides, µs an operation or s/GB
	metricMemory     metric = "memory"     // KB a connection
	metricGoroutines metric = "goroutines" // a connection
	metricFailed     metric = "failed"     // operations that failed, of those that ended
)

// less says that less of it is better.
func (m metric) less() bool { return m != metricRate }

// value returns a metric of a result, or NaN.
func (m metric) value(u unit, r result) float64 {
	if r.Rejected != "" || r.Count == 0 && m == metricCPU {
		return math.NaN()
	}
	switch {
	case m == metricRate && u == operations:
		return r.Count / r.Seconds
	case m == metricRate && u == content:
		return r.Count / r.Seconds / 1e6
	case m == metricCPU && u == operations:
		return (r.ClientCPU + r.ServerCPU) / r.Count * 1e6
	case m == metricCPU && u == content:
		return (r.ClientCPU + r.ServerCPU) / r.Count * 1e9
	case m == metricMemory && u == memory:
		return r.Resident / r.Count / 1e3
	case m == metricGoroutines && u == memory && r.Goroutines > 0:
		return r.Goroutines / r.Count
	case m == metricP50 && u == operations:
		return r.P50
	case m == metricP99 && u == operations:
		return r.P99
	case m == metricFailed && u == operations:
		return float64(r.Failed)
	}
	return math.NaN()
}

// takes reports whether a contestant takes part.
func (m *measure) takes(c *contestant) bool {
	if m.bridged {
		return c.bridge || c.name == kernelName
	}
	return !c.bridge && (m.others || !c.others)
}

// A target is what issues 4 and 5 ask of a contestant in a row.
type target struct {
	contestant string
	part       string // of a flooded measure
	metric     metric
	// over is what the ratio is to: a contestant in the same row, or, if
	// overPart is set, the contestant itself in that part. If both are empty
	// the value itself counts.
	over     string
	overPart string
	bound    float64 // at least, or at most where less is better
}

// The parts of a flooded measure.
const (
	partBefore = "before"
	partDuring = "during"
	partAfter  = "after"
)

// measures returns all there are. Window and warm-up are set for each of them.
func measures() []measure {
	const tls13, x25519 = "tls1.3", "tls1.3 x25519"
	var ms []measure
	for _, h := range []struct {
		name string
		job  job
	}{
		{tls13, job{}},
		{x25519, job{Group: tls.X25519}},
		{"tls1.2 x25519", job{Version: tls.VersionTLS12, Group: tls.X25519}},
		{"tls1.3 x25519 resumed", job{Group: tls.X25519, Resume: true}},
	} {
		for _, n := range []int{1, 32, 256} {
			m := measure{name: fmt.Sprintf("handshake %s, %d", h.name, n), others: n == 32, job: h.job}
			m.job.Kind, m.job.Port, m.job.AtOnce = "handshake", portTLSEcho, n
			switch {
			case h.name == tls13 && n == 1:
				m.targets = []target{{contestant: "json", metric: metricP50, over: kernelName, bound: 1.05}}
			case h.name == tls13 && n == 32:
				m.targets = []target{
					{contestant: "json", metric: metricRate, over: kernelName, bound: 1},
					{contestant: "json", metric: metricRate, over: "off", bound: 0.97},
					{contestant: "json", metric: metricRate, over: "nginx", bound: 1},
					{contestant: "pcap", metric: metricRate, over: kernelName, bound: 0.9},
				}
			case h.name == x25519 && n == 32:
				m.targets = []target{
					{contestant: "json", metric: metricRate, over: kernelName, bound: 1},
					{contestant: "json", metric: metricRate, over: "nginx", bound: 1},
				}
			}
			ms = append(ms, m)
		}
	}
	for _, h := range []struct {
		name    string
		group   tls.CurveID
		targets []target
	}{
		{tls13, 0, nil},
		// The one group that all bridges have.
		{"tls1.3 p256", tls.CurveP256, []target{{contestant: "run", metric: metricRate, bound: 1000}}},
	} {
		ms = append(ms, measure{
			name: fmt.Sprintf("bridged handshake %s, 32", h.name), bridged: true,
			job:     job{Kind: "handshake", Port: portTLSEcho, Group: h.group, AtOnce: 32},
			targets: h.targets,
		})
	}
	ms = append(ms,
		measure{
			name: "connect and close, 32", job: job{Kind: "connect", Port: portEcho, AtOnce: 32},
			targets: []target{{contestant: "json", metric: metricRate, over: kernelName, bound: 0.85}},
		},
		measure{name: "connect, 1 byte, close, 32", job: job{Kind: "connect", Port: portEcho, Byte: true, AtOnce: 32}},
	)
	for _, t := range []struct {
		name, kind string
		tls        bool
		port       int
		bound      map[int]float64
	}{
		{"download tls", "download", true, portTLSChargen, map[int]float64{1: 1.2, 8: 1.2}},
		{"upload tls", "upload", true, portTLSDiscard, map[int]float64{1: 1, 8: 1}},
		{"download plain", "download", false, portChargen, map[int]float64{8: 1}},
		{"upload plain", "upload", false, portDiscard, nil},
	} {
		for _, n := range []int{1, 8} {
			m := measure{name: fmt.Sprintf("%s, %d", t.name, n), what: content, job: job{Kind: t.kind, TLS: t.tls, Port: t.port, AtOnce: n}}
			if bound, ok := t.bound[n]; ok {
				m.targets = []target{{contestant: "json", metric: metricRate, over: kernelName, bound: bound}}
			}
			ms = append(ms, m)
		}
	}
	return append(ms,
		measure{
			name: "echo of a byte tls, 1", job: job{Kind: "echo", TLS: true, Port: portTLSEcho, AtOnce: 1},
			targets: []target{{contestant: "json", metric: metricP50, over: kernelName, bound: 1.2}},
		},
		measure{
			name: "idle tls, 10000", what: memory, once: true, job: job{Kind: "idle", TLS: true, Port: portTLSEcho, AtOnce: 10_000, Settle: 2 * time.Second},
			targets: []target{{contestant: "json", metric: metricMemory, bound: 25}},
		},
		measure{
			name: "handshake tls1.3 in a SYN flood, 32", flooded: true, job: job{Kind: "handshake", Port: portTLSEcho, AtOnce: 32},
			targets: []target{
				{contestant: "json", part: partDuring, metric: metricRate, overPart: partBefore, bound: 0.5},
				{contestant: "json", part: partDuring, metric: metricFailed, bound: 0},
				{contestant: "json", part: partAfter, metric: metricRate, overPart: partBefore, bound: 0.95},
			},
		},
	)
}

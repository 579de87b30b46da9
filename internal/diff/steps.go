package diff

import (
	"slices"
	"strings"

	"synscope/event"
	"synscope/internal/typeset"
)

// maxSteps bounds the steps of one connection that are aligned: the work is
// quadratic in them, and a peer may send as many messages as it likes.
const maxSteps = 1024

// step keeps an event that is a step of the connection.
func (c *conn) step(e *event.Event) {
	m := Moment{T: e.T, N: e.N, From: e.From}
	switch b := e.Body.(type) {
	case *event.Segment:
		m.What = segmentStep(b)
	case *event.Message:
		m.What = typeset.MessageName(b)
	case *event.ChangeCipherSpec:
		m.What = "ChangeCipherSpec"
	case *event.Alert:
		m.What = typeset.Bracket("Alert "+b.Description.String(), b.Epoch, b.Encrypted)
	case *event.ApplicationData:
		m.What = typeset.Bracket("ApplicationData", b.Epoch, b.Epoch != event.EpochPlain)
	case *event.Undecoded:
		m.What = "not decoded: " + b.Reason
		if b.Reason == "not tls" {
			m.What = "not TLS"
		}
	case *event.Drop:
		m.What = "a segment is ignored: " + b.Reason
	case *event.Fault:
		m.What = "fault: " + b.Action
	case *event.Close:
		if b.How == "timeout" {
			m.What = "gives up waiting"
		}
	}
	if m.What == "" {
		return
	}
	m.id = strings.Trim(m.What, "{}[]()")
	if last := len(c.steps) - 1; last >= 0 && m.What == "RST" && c.steps[last].same(&m) {
		return // one for each segment that came after the first: how many is chance
	}
	c.steps = append(c.steps, m)
}

// segmentStep names a segment that opens or ends the connection, "" for any
// other.
func segmentStep(b *event.Segment) string {
	what := ""
	switch {
	case b.Flags.Has(event.SYN | event.ACK):
		what = "SYN ACK"
	case b.Flags.Has(event.SYN):
		what = "SYN"
	case b.Flags.Has(event.RST):
		what = "RST"
	case b.Flags.Has(event.FIN):
		what = "FIN"
	}
	if what != "" && b.Retransmit {
		what += ", retransmitted"
	}
	return what
}

// same reports whether two steps are of the same side and the same kind.
func (m *Moment) same(o *Moment) bool { return m.From == o.From && m.id == o.id }

// align sets the steps of two connections beside each other, and counts those
// beyond the bound.
func align(as, bs []Moment) (steps []Step, uncompared int) {
	uncompared = max(len(as)-maxSteps, 0) + max(len(bs)-maxSteps, 0)
	as, bs = as[:min(len(as), maxSteps)], bs[:min(len(bs), maxSteps)]

	// Where several alignments are as good as each other, which one is found
	// depends on which connection is first. So that A against B is B against A
	// with the sides exchanged, it is always the same one that is first.
	order := slices.CompareFunc(as, bs, func(a, b Moment) int {
		if a.From != b.From {
			return int(a.From) - int(b.From)
		}
		return strings.Compare(a.id, b.id)
	})
	if order > 0 {
		steps = merge(bs, as)
		for i, s := range steps {
			steps[i] = Step{A: s.B, B: s.A}
		}
		return steps, uncompared
	}
	return merge(as, bs), uncompared
}

// merge aligns the steps of each side with those of the same side, and sets the
// result in the order of as. So steps of different sides that crossed each other
// on the way differently are aligned still.
func merge(as, bs []Moment) []Step {
	partner := make([]int, len(as)) // in bs, or -1
	for i := range partner {
		partner[i] = -1
	}
	taken := make([]bool, len(bs))
	for side := event.NoSide; side <= event.Server; side++ {
		ia, ib := of(as, side), of(bs, side)
		for _, p := range longestCommon(as, bs, ia, ib) {
			partner[p[0]], taken[p[1]] = p[1], true
		}
	}
	steps := make([]Step, 0, len(as)+len(bs))
	next := 0 // in bs: what is before it is placed, or has a partner to come
	until := func(end int) {
		for ; next < end; next++ {
			if !taken[next] {
				steps = append(steps, Step{B: &bs[next]})
			}
		}
	}
	for i := range as {
		s := Step{A: &as[i]}
		if p := partner[i]; p >= 0 {
			until(p)
			s.B = &bs[p]
		}
		steps = append(steps, s)
	}
	until(len(bs))
	return steps
}

// of returns the places of the steps of a side.
func of(ms []Moment, side event.Side) []int {
	var is []int
	for i := range ms {
		if ms[i].From == side || side == event.NoSide && ms[i].From > event.Server {
			is = append(is, i)
		}
	}
	return is
}

// longestCommon returns the pairs of places, one in as and one in bs, of a
// longest common subsequence of the steps at ia and ib.
func longestCommon(as, bs []Moment, ia, ib []int) [][2]int {
	// length[i][j] is that of the steps from i and from j on.
	length := make([][]int16, len(ia)+1)
	for i := range length {
		length[i] = make([]int16, len(ib)+1)
	}
	for i := len(ia) - 1; i >= 0; i-- {
		for j := len(ib) - 1; j >= 0; j-- {
			if as[ia[i]].same(&bs[ib[j]]) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var pairs [][2]int
	for i, j := 0, 0; i < len(ia) && j < len(ib); {
		switch {
		case as[ia[i]].same(&bs[ib[j]]):
			pairs = append(pairs, [2]int{ia[i], ib[j]})
			i++
			j++
		case length[i+1][j] >= length[i][j+1]:
			i++
		default:
			j++
		}
	}
	return pairs
}

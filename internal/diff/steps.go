package diff

import (
	"cmp"
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
		m.What, m.segment = segmentStep(b), true
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
// beyond the bound. Where both handshakes were completed, what came after is
// aligned apart from it.
func align(x, y *conn) (steps []Step, uncompared int) {
	as, bs := x.steps[:min(len(x.steps), maxSteps)], y.steps[:min(len(y.steps), maxSteps)]
	uncompared = len(x.steps) - len(as) + len(y.steps) - len(bs)
	endA, endB := len(as), len(bs)
	if x.completed() && y.completed() {
		endA, endB = x.handshake(as), y.handshake(bs)
	}
	return append(alignPart(as[:endA], bs[:endB]), alignPart(as[endA:], bs[endB:])...), uncompared
}

// handshake returns how many of the steps are up to the end of the handshake.
func (c *conn) handshake(ms []Moment) int {
	if i := slices.IndexFunc(ms, func(m Moment) bool { return m.N > c.completedAt }); i >= 0 {
		return i
	}
	return len(ms)
}

func alignPart(as, bs []Moment) []Step {
	// Where several alignments are as good as each other, which one is found
	// depends on which connection is first. So that A against B is B against A
	// with the sides exchanged, it is always the same one that is first.
	order := slices.CompareFunc(as, bs, func(a, b Moment) int {
		return cmp.Or(cmp.Compare(a.From, b.From), strings.Compare(a.id, b.id))
	})
	if order <= 0 {
		return merge(as, bs)
	}
	steps := merge(bs, as)
	for i, s := range steps {
		steps[i] = Step{A: s.B, B: s.A}
	}
	return steps
}

// merge pairs the steps that both have, in the order of as.
func merge(as, bs []Moment) []Step {
	partner, ok := pairBySide(as, bs)
	if !ok {
		partner = longestCommon(as, bs)
	}
	steps := make([]Step, 0, len(as)+len(bs))
	next := 0 // in bs
	for i, p := range partner {
		if p < 0 {
			steps = append(steps, Step{A: &as[i]})
			continue
		}
		for ; !ok && next < p; next++ {
			steps = append(steps, Step{B: &bs[next]})
		}
		steps = append(steps, Step{A: &as[i], B: &bs[p]})
		next = p + 1
	}
	for ; !ok && next < len(bs); next++ {
		steps = append(steps, Step{B: &bs[next]})
	}
	return steps
}

// pairBySide pairs steps of which each side did the same in both connections,
// and reports whether it did: the two sides may have crossed each other on the
// way at different places, which is chance. It returns for each of as its place
// in bs.
func pairBySide(as, bs []Moment) ([]int, bool) {
	if len(as) != len(bs) {
		return nil, false
	}
	places := make(map[event.Side][]int)
	for i := range bs {
		places[bs[i].From] = append(places[bs[i].From], i)
	}
	partner := make([]int, len(as))
	for i := range as {
		ps := places[as[i].From]
		if len(ps) == 0 || !as[i].same(&bs[ps[0]]) {
			return nil, false
		}
		partner[i], places[as[i].From] = ps[0], ps[1:]
	}
	return partner, true
}

// longestCommon pairs the steps of a longest common subsequence. It returns for
// each of as its place in bs, or -1.
func longestCommon(as, bs []Moment) []int {
	// length[i][j] is that of the steps from i and from j on.
	length := make([][]int16, len(as)+1)
	for i := range length {
		length[i] = make([]int16, len(bs)+1)
	}
	for i := len(as) - 1; i >= 0; i-- {
		for j := len(bs) - 1; j >= 0; j-- {
			if as[i].same(&bs[j]) {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	partner := make([]int, len(as))
	for i, j := 0, 0; i < len(as); {
		switch {
		case j < len(bs) && as[i].same(&bs[j]):
			partner[i] = j
			i++
			j++
		case j == len(bs) || length[i+1][j] >= length[i][j+1]:
			partner[i] = -1
			i++
		default:
			j++
		}
	}
	return partner
}

package ladder

import (
	"synscope/event"
)

const (
	maxBurst  = 2 // data segments in a row from one side that are drawn one by one
	maxBursts = 6 // changes of direction in a run before all of it is folded
)

// A fold stands for a run of segments that tell nothing each: bulk data, or
// acknowledgements.
type fold struct {
	segments    uint64 // with data
	bytes       uint64
	retransmits uint64
	outOfOrder  uint64
	onWire      uint64 // how many segments of a real wire they stand for
	acks        uint64 // without data, from the same side
	dupAcks     uint64
	peerAcks    uint64 // without data, from the other side
	lastAck     int64
	until       *step    // the last of them
	partOf      []string // messages that they carried parts of
}

// quiet reports whether a step may be folded: a segment that changed no state
// and ended no message.
func (s *step) quiet() bool {
	if s.seg == nil || !known(s.from) || len(s.blocks) > 0 || !s.states.empty() || s.dying != "" {
		return false
	}
	g := s.seg
	return g.Flags&^(event.ACK|event.PSH) == 0 && !g.BadSum && !g.KeepAlive && !g.ZeroWindow && !g.Options.Malformed
}

// foldRuns draws runs of quiet steps together.
func foldRuns(steps []*step) []*step {
	var out []*step
	for i := 0; i < len(steps); {
		j := i
		for j < len(steps) && steps[j].quiet() {
			j++
		}
		if j == i {
			out = append(out, steps[i])
			i++
			continue
		}
		out = append(out, foldRun(steps[i:j])...)
		i = j
	}
	return out
}

// foldRun folds one run of quiet steps: into a row for each burst of data from
// one side, or, if the sides take turns often, into a row for each side.
func foldRun(run []*step) []*step {
	bursts := splitBursts(run)
	if len(bursts) > maxBursts {
		return mixed(run)
	}
	var out []*step
	for _, b := range bursts {
		out = append(out, foldBurst(b)...)
	}
	return out
}

// splitBursts cuts a run where data from the other side begins. Bare
// acknowledgements belong to the burst before them.
func splitBursts(run []*step) [][]*step {
	var bursts [][]*step
	from := event.NoSide
	start := 0
	for i, s := range run {
		if s.seg.Len == 0 || s.from == from {
			continue
		}
		if i > start {
			bursts = append(bursts, run[start:i])
			start = i
		}
		from = s.from
	}
	return append(bursts, run[start:])
}

func foldBurst(burst []*step) []*step {
	var data, out []*step
	for _, s := range burst {
		if s.seg.Len > 0 {
			data = append(data, s)
		}
	}
	if len(data) == 0 || len(data) > maxBurst {
		return mixed(burst)
	}
	var acks []*step
	for _, s := range burst {
		if s.seg.Len > 0 {
			out = append(out, s)
		} else {
			acks = append(acks, s)
		}
	}
	if len(acks) > 0 {
		out = append(out, mixed(acks)...)
	}
	return out
}

// mixed makes a row for each side that sent data, or for each side that sent
// only acknowledgements if there was no data at all.
func mixed(run []*step) []*step {
	var out []*step
	var rows [3]*step
	row := func(s *step) *fold {
		if rows[s.from] == nil {
			rows[s.from] = &step{t: s.t, from: s.from, arrow: true, seg: s.seg, n: s.n, fold: &fold{}}
			out = append(out, rows[s.from])
		}
		return rows[s.from].fold
	}
	for _, s := range run {
		if s.seg.Len > 0 {
			row(s).data(s)
		}
	}
	hasData := len(out) > 0
	for _, s := range run {
		if s.seg.Len > 0 {
			continue
		}
		if r := rows[s.from.Peer()]; hasData && rows[s.from] == nil && r != nil {
			r.fold.peerAcks++
			r.fold.until = s
			continue
		}
		f := row(s)
		f.acks++
		f.lastAck = s.seg.AckRel
		f.until = s
		if s.seg.DupAck {
			f.dupAcks++
		}
	}
	for _, s := range out {
		s.marked = s.fold.retransmits+s.fold.outOfOrder+s.fold.dupAcks > 0
	}
	return out
}

// onWire is how many segments of a real wire a segment stands for: more than
// one for a super-packet.
func onWire(g *event.Segment) int {
	if g.Offload <= 0 || g.Len <= g.Offload {
		return 1
	}
	return (g.Len-1)/g.Offload + 1
}

func (f *fold) data(s *step) {
	f.segments++
	f.bytes += uint64(max(s.seg.Len, 0))
	f.until = s
	f.lastAck = s.seg.AckRel
	if s.seg.Retransmit {
		f.retransmits++
	}
	if s.seg.OutOfOrder {
		f.outOfOrder++
	}
	f.onWire += uint64(onWire(s.seg))
	for _, p := range s.partOf {
		if len(f.partOf) < maxParts && (len(f.partOf) == 0 || f.partOf[len(f.partOf)-1] != p) {
			f.partOf = append(f.partOf, p)
		}
	}
}

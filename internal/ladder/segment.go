package ladder

import (
	"fmt"
	"slices"
	"strings"

	"synscope/event"
	"synscope/internal/typeset"
)

// label says what a segment, or a run of them, is: first the flags.
func (p *printer) label(s *step) []span {
	switch {
	case s.fold != nil:
		return p.foldLabel(s.fold)
	case s.seg == nil:
		return nil
	}
	g := s.seg
	flags := span{g.Flags.String(), strong}
	if g.Flags == 0 {
		flags.text = "no flags"
	}
	if s.thin() {
		return []span{{"ACK", faint}, {fmt.Sprintf("ack %d", g.AckRel), faint}}
	}
	spans := []span{flags, {fmt.Sprintf("seq %d", g.SeqRel), plain}}
	if g.Flags.Has(event.ACK) {
		spans = append(spans, span{fmt.Sprintf("ack %d", g.AckRel), plain})
	}
	switch {
	case onWire(g) > 1:
		p.offloaded = true
		spans = append(spans, span{fmt.Sprintf("len %d as %d", g.Len, onWire(g)), plain})
	case g.Len > 0:
		spans = append(spans, span{fmt.Sprintf("len %d", g.Len), plain})
	}
	if o := p.options(g); !g.Retransmit || !slices.Equal(o, p.offered[s.from]) {
		spans = append(spans, o...)
		if g.Flags.Has(event.SYN) {
			p.offered[s.from] = o
		}
	}
	spans = append(spans, findings(g)...)
	if len(s.partOf) > 0 && len(s.blocks) == 0 {
		spans = append(spans, span{"part of " + strings.Join(s.partOf, " "), faint})
	}
	return spans
}

// options tells of the header options that are agreed on with SYN, and of SACK
// blocks; timestamps on every segment would say nothing.
func (p *printer) options(g *event.Segment) []span {
	var spans []span
	say := func(format string, args ...any) { spans = append(spans, span{fmt.Sprintf(format, args...), plain}) }
	o := g.Options
	if o.MSS != 0 {
		say("mss %d", o.MSS)
	}
	if o.WindowScale != nil {
		say("ws %d", *o.WindowScale)
	}
	if o.SACKPermitted {
		say("sack")
	}
	if o.Timestamps != nil && g.Flags.Has(event.SYN) {
		say("ts")
	}
	if o.FastOpen {
		say("fast open")
	}
	if len(o.SACK) > 0 {
		say("%s", typeset.Count(len(o.SACK), "SACK block"))
	}
	if len(o.Unknown) > 0 {
		say("%s", typeset.Count(len(o.Unknown), "unknown option"))
	}
	if o.Malformed {
		spans = append(spans, span{"malformed options", warning})
	}
	return spans
}

// findings tells of what is not ordinary about a segment.
func findings(g *event.Segment) []span {
	var spans []span
	for _, f := range []struct {
		is   bool
		what string
	}{
		{g.SYNCookie, "SYN cookie"},
		{g.Retransmit, "RETRANSMITTED"},
		{g.OutOfOrder, "OUT OF ORDER"},
		{g.DupAck, "duplicate ACK"},
		{g.KeepAlive, "keep-alive"},
		{g.ZeroWindow, "window 0"},
		{g.BadSum, "BAD CHECKSUM"},
	} {
		if f.is {
			spans = append(spans, span{f.what, warning})
		}
	}
	return spans
}

func (p *printer) foldLabel(f *fold) []span {
	var spans []span
	say := func(st style, s string) { spans = append(spans, span{s, st}) }
	if f.segments == 0 {
		if f.acks == 1 {
			say(faint, "ACK")
		} else {
			say(faint, typeset.Count(f.acks, "ACK"))
		}
		say(faint, fmt.Sprintf("ack %d", f.lastAck))
	} else {
		n := typeset.Count(f.segments, "segment")
		if f.onWire > f.segments {
			p.offloaded = true
			n += " as " + typeset.Thousands(f.onWire)
		}
		say(strong, p.ellipsis+" "+n+", "+size(f.bytes))
		if f.acks > 0 {
			say(plain, "and "+typeset.Count(f.acks, "ACK"))
		}
		if f.peerAcks > 0 {
			say(plain, typeset.Count(f.peerAcks, "ACK")+" back")
		}
	}
	if len(f.partOf) > 0 {
		say(faint, "part of "+strings.Join(f.partOf, " "))
	}
	if f.retransmits > 0 {
		say(warning, typeset.Thousands(f.retransmits)+" RETRANSMITTED")
	}
	if f.outOfOrder > 0 {
		say(warning, typeset.Thousands(f.outOfOrder)+" OUT OF ORDER")
	}
	if f.dupAcks > 0 {
		say(warning, typeset.Count(f.dupAcks, "duplicate ACK"))
	}
	if f.until != nil && f.segments > 0 {
		say(faint, "until "+typeset.Duration(f.until.t))
	}
	return spans
}

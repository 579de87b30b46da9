package ladder

import (
	"cmp"
	"slices"
	"time"

	"synscope/event"
	"synscope/internal/typeset"
)

// A step is a row with an arrow, or a note, and what belongs to it.
type step struct {
	t      time.Duration
	from   event.Side
	n      uint64         // ordinal of its event, 0 if several
	seg    *event.Segment // nil for a note, and for records of which no segment is known
	fold   *fold          // set for a run of segments drawn as one
	arrow  bool           // something was sent
	note   string         // text of a note
	dial   bool           // it is of the dial of an upstream leg
	marked bool           // stands out
	dying  string         // why the receiver ignored the segment
	partOf []string       // messages that it carried a part of, but not the end
	states states         // transitions that the segment itself brought
	blocks []*block       // what it carried, in order
}

// A block is what a segment carried: a TLS message, a record of another
// protocol, or a note.
type block struct {
	from   event.Side
	body   event.Body
	states states
}

// states are the states that the client (index 0) and the server came to.
type states [2][]state

type state struct {
	name     string
	tls      bool
	wireOnly bool // implied by the segments, but the endpoint never said so
}

func (s *states) put(side event.Side, st state) {
	switch side {
	case event.Client:
		s[0] = append(s[0], st)
	case event.Server:
		s[1] = append(s[1], st)
	}
}

// known reports whether a side is one of the two.
func known(s event.Side) bool { return s == event.Client || s == event.Server }

func (s *states) empty() bool { return len(s[0])+len(s[1]) == 0 }

// A story is what the events of a connection tell, before it is drawn.
type story struct {
	conn        uint64
	start       time.Time // wall clock of the first event
	last        time.Duration
	open        *event.Open
	hello       *event.ClientHello // the first one
	serverHello *event.ServerHello // the last one that is no HelloRetryRequest
	established *event.Established
	setUp       time.Duration // when it was established
	failed      *event.Failed
	failedAt    time.Duration
	close       *event.Close
	closedBy    event.Side
	firstFIN    event.Side
	notTLS      bool
	partly      bool    // some of it could not be decoded
	sent        [2]bool // a message of the client, of the server, was seen
	first       states  // where each side began
	steps       []*step
	hidden      int // steps of crypto/tls that went as they should
	ignored     int // events of kinds or sides that are not known here
	wireOnly    bool
	tls13       bool
	seen        map[event.HandshakeType]bool
	epochs      map[event.Epoch]bool // in which something encrypted was seen
}

// A teller turns events into a story.
type teller struct {
	*story
	byN     map[uint64]*step            // segments by the ordinal of their event
	byFrame map[uint64]*step            // segments by their frame
	byCause map[string]*block           // the last block that a TLS state may name as its cause
	views   map[transition]*transitions // the transitions of TCP states, by view
}

// A transition is that a side came to a state.
type transition struct {
	side event.Side
	to   event.State
}

type transitions struct {
	drawn []*step // of each arrival there: the step, in order
	at    []int   // the index of its state in the step
	wire  int
	local int
}

// tell reads events, which are not empty.
func tell(events []*event.Event) *story {
	t := &teller{
		story:   &story{conn: events[0].Conn, start: events[0].Time, seen: make(map[event.HandshakeType]bool), epochs: make(map[event.Epoch]bool)},
		byN:     make(map[uint64]*step),
		byFrame: make(map[uint64]*step),
		byCause: make(map[string]*block),
		views:   make(map[transition]*transitions),
	}
	for _, e := range events {
		t.last = max(t.last, e.T)
		t.tell(e)
	}
	t.compareViews()
	t.decideVersion()
	t.steps = foldRuns(t.steps)
	return t.story
}

func (t *teller) tell(e *event.Event) {
	switch b := e.Body.(type) {
	case *event.Open:
		t.open = cmp.Or(t.open, b)
	case *event.Segment:
		t.segment(e, b)
	case *event.TCPState:
		t.tcpState(e, b)
	case *event.Drop:
		t.drop(e, b)
	case *event.Message:
		t.message(e, b)
	case *event.ChangeCipherSpec:
		t.byCause["change_cipher_spec"] = t.carried(e, b.Frames)
	case *event.Alert:
		t.byCause["alert "+b.Description.String()] = t.carried(e, b.Frames)
		t.epochs[b.Epoch] = true
	case *event.ApplicationData:
		t.epochs[b.Epoch] = true
		t.carried(e, b.Frames)
	case *event.Undecoded:
		t.notTLS = t.notTLS || b.Reason == "not tls"
		t.partly = t.partly || b.Reason != "not tls"
		t.carried(e, b.Frames)
	case *event.TLSState:
		t.tlsState(e, b)
	case *event.TLSStep:
		t.endpoint(e, b)
	case *event.Established:
		t.established, t.setUp = b, e.T
	case *event.Failed:
		t.failed, t.failedAt = b, e.T
	case *event.Close:
		t.close, t.closedBy = b, e.From
		if t.upstream() && b.How == "fin" {
			t.firstFIN = e.From
		}
	case *event.Dialed:
		t.note(e, noteText(b), !b.OK).dial = true
	case *event.Fault, *event.Gap, *event.CaptureEnd:
		t.note(e, noteText(b), true)
	case *event.Unreachable, *event.UDPFlow, *event.UDPEnd, *event.Device:
		t.note(e, noteText(b), false)
	default:
		t.ignored++
	}
}

func (t *teller) add(s *step) *step {
	t.steps = append(t.steps, s)
	return s
}

func (t *teller) note(e *event.Event, text string, marked bool) *step {
	return t.add(&step{t: e.T, from: e.From, n: e.N, note: text, marked: marked})
}

func (t *teller) segment(e *event.Event, b *event.Segment) {
	s := t.add(&step{t: e.T, from: e.From, n: e.N, seg: b, arrow: true})
	s.marked = b.Retransmit || b.OutOfOrder || b.BadSum || b.Flags.Has(event.RST)
	if b.Flags.Has(event.FIN) && t.firstFIN == event.NoSide {
		t.firstFIN = e.From
	}
	t.byN[e.N] = s
	t.byFrame[b.Frame] = s
}

// tcpState puts a transition at the segment that caused it. The wire's and the
// endpoint's word for the same transition are drawn once.
func (t *teller) tcpState(e *event.Event, b *event.TCPState) {
	if !known(b.Side) {
		t.ignored++
		return
	}
	if i := b.Side - event.Client; len(t.first[i]) == 0 && b.Old != event.NoState {
		t.first.put(b.Side, state{name: b.Old.String()})
	}
	k := transition{b.Side, b.New}
	v := t.views[k]
	if v == nil {
		v = &transitions{}
		t.views[k] = v
	}
	mine := &v.wire
	if e.View == event.Endpoint {
		mine = &v.local
	}
	if *mine++; *mine <= len(v.drawn) {
		return
	}
	s := t.causeOf(e, b)
	s.states.put(b.Side, state{name: b.New.String()})
	v.drawn = append(v.drawn, s)
	v.at = append(v.at, len(s.states[b.Side-event.Client])-1)
}

// causeOf returns the step of a transition's cause: a segment, or a note that
// names the call or the timer.
func (t *teller) causeOf(e *event.Event, b *event.TCPState) *step {
	if s := t.byN[b.Cause.N]; s != nil {
		return s
	}
	what := b.Side.String() + ": "
	switch b.Cause.By {
	case event.ByCall:
		what += "the application calls " + cmp.Or(b.Cause.What, "the stack")
	case event.ByTimer:
		what += "a timer expires, " + cmp.Or(b.Cause.What, "not known which")
	case event.BySegment:
		what += "a segment that was not recorded"
	default:
		what += "by nothing that was observed"
	}
	return t.again(e, what, false)
}

// again is note, but for the same text twice in a row.
func (t *teller) again(e *event.Event, text string, marked bool) *step {
	if l := len(t.steps); l > 0 && t.steps[l-1].note == text && t.steps[l-1].n != 0 {
		return t.steps[l-1]
	}
	return t.note(e, text, marked)
}

// compareViews marks what only the wire implies, at sides whose endpoint speaks
// for itself.
func (t *teller) compareViews() {
	var speaks [3]bool
	for k, v := range t.views {
		speaks[k.side] = speaks[k.side] || v.local > 0
	}
	for k, v := range t.views {
		if !speaks[k.side] {
			continue
		}
		for i := v.local; i < len(v.drawn); i++ {
			v.drawn[i].states[k.side-event.Client][v.at[i]].wireOnly = true
			t.wireOnly = true
		}
	}
}

func (t *teller) drop(e *event.Event, b *event.Drop) {
	if s := t.byN[b.N]; s != nil {
		s.dying, s.marked = cmp.Or(b.Reason, "no reason known"), true
		return
	}
	t.note(e, "a segment was ignored: "+b.Reason, true)
}

func (t *teller) message(e *event.Event, b *event.Message) {
	bl := t.carried(e, b.Frames)
	if len(b.Frames) > 0 {
		for _, f := range b.Frames[:len(b.Frames)-1] {
			if s := t.byFrame[f]; s != nil && len(s.partOf) < maxParts {
				s.partOf = append(s.partOf, typeset.MessageName(b))
			}
		}
	}
	t.byCause[b.Type.String()] = bl
	t.seen[b.Type] = true
	t.epochs[b.Epoch] = true
	if i := int(e.From) - 1; i >= 0 && i < len(t.sent) {
		t.sent[i] = true
	}
	switch {
	case b.ClientHello != nil && t.hello == nil:
		t.hello = b.ClientHello
	case b.ServerHello != nil && b.Type == event.ServerHelloType:
		t.serverHello = b.ServerHello
	}
}

// maxParts bounds how many messages a segment is said to carry a part of.
const maxParts = 3

// carried adds a block to the segment with the last of the frames. Where that
// is not known, as on an upstream leg, what came in one moment makes an arrow of
// its own.
func (t *teller) carried(e *event.Event, frames []uint64) *block {
	bl := &block{from: e.From, body: e.Body}
	if len(frames) > 0 {
		if s := t.byFrame[frames[len(frames)-1]]; s != nil {
			s.blocks = append(s.blocks, bl)
			return bl
		}
	}
	var s *step
	if l := len(t.steps); l > 0 {
		if last := t.steps[l-1]; last.arrow && last.seg == nil && last.from == e.From && last.t == e.T {
			s = last
		}
	}
	if s == nil {
		s = t.add(&step{t: e.T, from: e.From, n: e.N, arrow: true})
	}
	s.blocks = append(s.blocks, bl)
	return bl
}

// tlsState puts a transition at the message that caused it.
func (t *teller) tlsState(e *event.Event, b *event.TLSState) {
	if !known(b.Side) {
		t.ignored++
		return
	}
	st := state{name: string(b.New), tls: true}
	if bl := t.byCause[b.Cause]; bl != nil {
		bl.states.put(b.Side, st)
		return
	}
	if what := t.unseenEnd(b); what != "" {
		t.again(e, what, b.New == event.TLSFailed).states.put(b.Side, st)
		return
	}
	if len(t.steps) == 0 {
		t.note(e, b.Side.String()+": "+b.Cause, false)
	}
	s := t.steps[len(t.steps)-1]
	if l := len(s.blocks); l > 0 && b.Cause != "fin" && b.Cause != "rst" {
		s.blocks[l-1].states.put(b.Side, st)
		return
	}
	s.states.put(b.Side, st)
}

// unseenEnd names the end of an upstream leg that a TLS state comes of, of which
// there is no segment; "" for any other state.
func (t *teller) unseenEnd(b *event.TLSState) string {
	if !t.upstream() {
		return ""
	}
	switch b.Cause {
	case "fin":
		return "FIN from " + t.the(b.Side)
	case "rst":
		return "RST"
	case "timeout":
		return "the kernel gives up"
	case "abandoned":
		return "synscope gives up the handshake"
	}
	return ""
}

// endpoint notes what crypto/tls said, unless it only confirms the wire.
func (t *teller) endpoint(e *event.Event, b *event.TLSStep) {
	if b.OK && b.Detail == "" && b.Error == "" && (b.Step == "client_hello" || b.Step == "handshake") {
		t.hidden++
		return
	}
	if len(t.steps) == 0 {
		t.note(e, "crypto/tls", false)
	}
	s := t.steps[len(t.steps)-1]
	s.blocks = append(s.blocks, &block{from: e.From, body: b})
}

// decideVersion finds whether the session is, or was going to be, TLS 1.3.
func (t *teller) decideVersion() {
	switch {
	case t.established != nil:
		t.tls13 = t.established.Version >= event.VersionTLS13
	case t.serverHello != nil:
		t.tls13 = t.serverHello.Version >= event.VersionTLS13
	case t.hello != nil:
		t.tls13 = slices.Contains(t.hello.SupportedVersions, event.VersionTLS13)
	}
}

// upstream reports whether it is of an upstream leg.
func (t *story) upstream() bool { return t.open != nil && t.open.Upstream }

// name is what a side is called at the beginning of a line, and the what it is
// called in a sentence: by our name, where it is us.
func (t *story) name(s event.Side) string {
	if s == event.Client && t.upstream() {
		return "synscope"
	}
	return s.String()
}

func (t *story) the(s event.Side) string {
	if name := t.name(s); name != s.String() {
		return name
	}
	return "the " + s.String()
}

func (t *story) resumed() bool {
	if t.established != nil {
		return t.established.Resumed
	}
	return t.serverHello != nil && t.serverHello.PSK != nil
}

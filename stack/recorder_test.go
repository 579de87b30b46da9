package stack

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
	"synscope/stack/tcptrack"
)

// patience is how long a test waits before it calls something stuck. Nothing is
// measured by it.
const patience = 20 * time.Second

// A recorder is an Observer that keeps everything, and holds the Stack to what
// Observer promises.
type recorder struct {
	t *testing.T

	mu          sync.Mutex
	changed     *sync.Cond
	told        []string // packets and states, in the order told
	packets     []packet // packets[i] has the frame i+1
	states      []event.EndpointState
	drops       []event.PacketDrop
	unreachable []event.Unreachable
	last        map[uint64]event.State // by endpoint
	telling     map[uint64]bool        // endpoints of which State is being called
}

type packet struct {
	event.Packet // Views only where there is Memory, which is held
	bytes        []byte
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{t: t, last: make(map[uint64]event.State), telling: make(map[uint64]bool)}
	r.changed = sync.NewCond(&r.mu)
	t.Cleanup(r.letGo)
	return r
}

// letGo checks that the packets that were held to the end of the test are still
// what they were, and lets them go. The leak check of TestMain sees the rest.
func (r *recorder) letGo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.packets {
		if p.Memory == nil {
			continue
		}
		if b := slices.Concat(p.Views...); !bytes.Equal(b, p.bytes) {
			r.t.Errorf("frame %d, from %v, of %d bytes, was changed while it was held", i+1, p.From, p.Len)
		}
		p.Memory.Release()
	}
}

func (r *recorder) Packet(p *event.Packet) uint64 {
	b := slices.Concat(p.Views...)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed.Broadcast()
	if len(b) != p.Len {
		r.t.Errorf("a packet of %d bytes has the length %d", len(b), p.Len)
	}
	var parsed tcptrack.Packet
	if parsed.Parse(b) == nil && parsed.Protocol == tcptrack.ProtocolTCP {
		r.told = append(r.told, fmt.Sprintf("%v: %v", p.From, parsed.Flags))
	}
	kept := packet{*p, b}
	kept.Views = nil
	if p.Memory != nil {
		p.Memory.Hold()
		kept.Views = slices.Clone(p.Views)
	}
	r.packets = append(r.packets, kept)
	return uint64(len(r.packets))
}

func (r *recorder) State(s event.EndpointState) {
	r.mu.Lock()
	if r.telling[s.Endpoint] {
		r.t.Errorf("calls of State for endpoint %d overlap", s.Endpoint)
	}
	r.telling[s.Endpoint] = true
	r.mu.Unlock()

	runtime.Gosched() // room for an overlap

	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed.Broadcast()
	r.telling[s.Endpoint] = false
	old, known := r.last[s.Endpoint]
	if !known {
		old = event.StateListen
	}
	switch {
	case s.Endpoint == 0:
		r.t.Errorf("%v > %v of endpoint 0", s.Old, s.New)
	case s.Old != old:
		r.t.Errorf("endpoint %d: %v > %v after %v", s.Endpoint, s.Old, s.New, old)
	case s.New == s.Old, s.New == event.NoState, old == event.StateClosed:
		r.t.Errorf("endpoint %d: %v > %v", s.Endpoint, s.Old, s.New)
	case s.Time.IsZero():
		r.t.Errorf("endpoint %d: %v > %v has no time", s.Endpoint, s.Old, s.New)
	}
	r.last[s.Endpoint] = s.New
	r.states = append(r.states, s)
	r.told = append(r.told, s.New.String())
}

func (r *recorder) Drop(d event.PacketDrop) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed.Broadcast()
	if d.Frame == 0 || d.Frame > uint64(len(r.packets)) {
		r.t.Errorf("%q was told of frame %d of %d", d.Reason, d.Frame, len(r.packets))
	} else if p := r.packets[d.Frame-1]; p.From != d.From {
		r.t.Errorf("%q was told of frame %d from %v, which is from %v", d.Reason, d.Frame, d.From, p.From)
	}
	r.drops = append(r.drops, d)
}

func (r *recorder) Unreachable(at time.Time, u *event.Unreachable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.changed.Broadcast()
	r.unreachable = append(r.unreachable, *u)
}

// wait waits until what was told fulfils the condition, which is called with
// the lock held.
func (r *recorder) wait(what string, fulfilled func() bool) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	deadline := time.Now().Add(patience)
	timer := time.AfterFunc(patience, r.changed.Broadcast)
	defer timer.Stop()
	for !fulfilled() {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not told. Told were:\n%s", what, r.textLocked())
		}
		r.changed.Wait()
	}
}

func (r *recorder) textLocked() string {
	var b strings.Builder
	for _, l := range r.told {
		fmt.Fprintln(&b, l)
	}
	for _, d := range r.drops {
		fmt.Fprintf(&b, "drop of frame %d: %s\n", d.Frame, d.Reason)
	}
	for _, u := range r.unreachable {
		fmt.Fprintf(&b, "unreachable: %+v\n", u)
	}
	return b.String()
}

// stateText writes a state with what is told to have led to it.
func stateText(s event.EndpointState) string {
	switch {
	case s.Timer:
		return fmt.Sprintf("%v (timer: %s)", s.New, s.Call)
	case s.Call != "":
		return fmt.Sprintf("%v (%s)", s.New, s.Call)
	}
	return s.New.String()
}

// statesOf returns the states of the n-th endpoint of a flow, from 1.
func (r *recorder) statesLocked(flow event.Flow, n int) (texts []string) {
	var endpoints []uint64
	for _, s := range r.states {
		if s.Flow != flow {
			continue
		}
		if !slices.Contains(endpoints, s.Endpoint) {
			endpoints = append(endpoints, s.Endpoint)
		}
		if len(endpoints) >= n && s.Endpoint == endpoints[n-1] {
			texts = append(texts, stateText(s))
		}
	}
	return texts
}

// wantStates waits for the last of the wanted states of a flow's n-th endpoint
// (from 1) and compares all.
func (r *recorder) wantStates(flow event.Flow, n int, want ...string) {
	r.t.Helper()
	last, _, _ := strings.Cut(want[len(want)-1], " (")
	r.wait(fmt.Sprintf("%v of %v", want[len(want)-1], flow), func() bool {
		got := r.statesLocked(flow, n)
		return len(got) > 0 && strings.HasPrefix(got[len(got)-1], last)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.statesLocked(flow, n)); diff != "" {
		r.t.Errorf("the states of %v (-want +got):\n%s", flow, diff)
	}
}

// wantDrop waits until a drop for the reason is told, and returns it.
func (r *recorder) wantDrop(reason string) (d event.PacketDrop) {
	r.t.Helper()
	r.wait("a drop: "+reason, func() bool {
		i := slices.IndexFunc(r.drops, func(d event.PacketDrop) bool { return d.Reason == reason })
		if i >= 0 {
			d = r.drops[i]
		}
		return i >= 0
	})
	return d
}

// wantUnreachable waits for the newest Unreachable and compares it, but for its
// frame.
func (r *recorder) wantUnreachable(want event.Unreachable) {
	r.t.Helper()
	r.wait("unreachable", func() bool { return len(r.unreachable) > 0 })
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.unreachable[len(r.unreachable)-1]
	if got.Frame == 0 || got.Frame > uint64(len(r.packets)) {
		r.t.Errorf("unreachable has the frame %d of %d", got.Frame, len(r.packets))
	}
	got.Frame = 0
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("unreachable (-want +got):\n%s", diff)
	}
}

// wantTold compares the packets and states in the order told.
func (r *recorder) wantTold(want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.told); diff != "" {
		r.t.Errorf("told were (-want +got):\n%s", diff)
	}
}

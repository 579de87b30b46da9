package trace

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synscope/event"
	"synscope/internal/pack"
)

// A keeper is a Keeper that keeps what is packed.
type keeper struct {
	*recorder
	packed []*event.Event
}

func (k *keeper) Packed(_ uint64, p *pack.Packed) { k.packed = append(k.packed, p.Events()...) }

// sizes returns how many are packed, how many events are not, and their memory.
func (h *history) sizes() (packed, events, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.packed), len(h.events), h.size
}

// What is kept of a connection is packed when it rests, and told as before; so is
// what follows.
func TestRest(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s := record(t, version)
			housekept(t, func(t *testing.T, w *wire, events *recorder) {
				k := &keeper{recorder: events}
				w.cfg.Sinks = []Sink{k} // before anything is observed
				w.connect()
				w.TLSStart(w.flow)
				s.tellKeys(t, w)
				w.TLSEnd(w.flow, nil)
				for _, f := range s.flights {
					w.send(f.from, event.ACK|event.PSH, f.data)
				}
				sleep(0)
				h := w.histories.find(w.flow)
				if packed, _, _ := h.sizes(); packed > 0 {
					t.Fatal("packed before it rests")
				}
				for round := range 3 {
					sleep(restAfter)
					n := len(events.of(1))
					if packed, rest, bytes := h.sizes(); packed != round+1 || rest > 0 || bytes >= n*usualSize/2 {
						t.Errorf("round %d: %d are packed, %d events are not, %d bytes for %d", round, packed, rest, bytes, n)
					}
					same(t, "kept", events.of(1), w.Events(w.flow))
					same(t, "packed for the sink", events.of(1), k.packed)
					for range fewEvents {
						w.client(event.ACK, "")
					}
				}
				w.client(event.ACK, "")
				sleep(time.Second)
				w.client(event.FIN|event.ACK, "")
				w.server(event.FIN|event.ACK, "")
				w.client(event.ACK, "")
				sleep(0)
				same(t, "kept", events.of(1), w.Events(w.flow))
			})
		})
	}
}

func lineOf(es []*event.Event) (lines []string) {
	for _, e := range es {
		lines = append(lines, string(e.AppendJSON(nil)))
	}
	return lines
}

// same compares events, which are also to be the same as JSON.
func same(t *testing.T, what string, want, got []*event.Event) {
	t.Helper()
	if diff := cmp.Diff(lineOf(want), lineOf(got)); diff != "" {
		t.Errorf("%s, as JSON (-want +got):\n%s", what, diff)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// A connection of which little was told is not packed: in a SYN flood they are many.
func TestLittleIsNotPacked(t *testing.T) {
	housekept(t, func(t *testing.T, w *wire, events *recorder) {
		w.connect()
		sleep(time.Second)
		if packed, rest, _ := w.histories.find(w.flow).sizes(); packed > 0 || rest != len(events.of(1)) {
			t.Errorf("%d packed, %d events", packed, rest)
		}
	})
}

// Many that rest are seen to in turns with what is observed.
func TestManyRest(t *testing.T) {
	housekept(t, func(t *testing.T, w *wire, _ *recorder) {
		const conns = 3*restAtOnce + 1
		for i := range conns {
			c := w
			if i > 0 {
				c = w.another(i)
			}
			c.connect()
			for range fewEvents {
				c.client(event.ACK, "")
			}
		}
		sleep(restAfter)
		packed := 0
		w.histories.mu.Lock()
		defer w.histories.mu.Unlock()
		for _, h := range w.histories.byFlow {
			n, _, _ := h.sizes()
			packed += n
		}
		if packed != conns {
			t.Errorf("%d of %d are packed", packed, conns)
		}
	})
}

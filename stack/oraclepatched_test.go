//go:build oraclepatched

package stack

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"synscope/event"
)

// TestStatesEqualOracle is run by TestOracle, with a gVisor that has StateHook:
// each state that netstack sets in 500 random connections is the one observed,
// in the same order.
func TestStatesEqualOracle(t *testing.T) {
	for _, offload := range []bool{false, true} {
		t.Run(fmt.Sprintf("offload %v", offload), func(t *testing.T) {
			var mu sync.Mutex
			want := make(map[event.Flow][]string)
			tcp.StateHook = func(id gstack.TransportEndpointID, state tcp.EndpointState) {
				s := stateOf(state)
				if id.LocalPort != server4.Port() || id.RemotePort == 0 || s == event.NoState {
					return // the client's, a listener, or a state without a name
				}
				flow := eventFlow(id)
				mu.Lock()
				defer mu.Unlock()
				if old := want[flow]; len(old) == 0 || old[len(old)-1] != s.String() {
					want[flow] = append(old, s.String())
				}
			}
			n := newNetwork(t, offload, Config{TimeWait: time.Millisecond})
			flows := n.churn(504)
			n.stack.Close()
			n.client.stop()
			tcp.StateHook = nil
			n.rec.mu.Lock()
			defer n.rec.mu.Unlock()
			got := make(map[event.Flow][]string)
			for _, s := range n.rec.states {
				got[s.Flow] = append(got[s.Flow], s.New.String())
			}
			if len(got) != len(flows) {
				t.Errorf("%d flows were observed, want %d", len(got), len(flows))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("netstack's states and the observed ones (-want +got):\n%s", diff)
			}
		})
	}
}

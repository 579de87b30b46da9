package stack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"synscope/event"
)

// A flow is what is kept of one endpoint of ours, from its SYN-ACK (from Accept
// where that carried a SYN cookie) until it is CLOSED.
type flow struct {
	id      uint64
	key     gstack.TransportEndpointID
	ev      event.Flow
	ep      *tcp.Endpoint
	since   time.Time
	reset   atomic.Bool // a RST came in for it while half-open
	closing atomic.Bool // we closed it
	mute    atomic.Bool // its RST is not sent: it is in TIME-WAIT, and we end

	// mu is a leaf lock: it is taken under the endpoint's lock, and nothing
	// but flows.mu and the observer's own locks is taken under it.
	mu    sync.Mutex
	last  event.State
	call  string // of ours, that explains the next state
	timer bool   // call is a deadline
}

// explain sets the call that the next observed state is due to.
func (f *flow) explain(call string, timer bool) {
	f.mu.Lock()
	f.call, f.timer = call, timer
	f.mu.Unlock()
}

// explainClose is explain for a close, which means nothing to an endpoint that
// has sent its FIN.
func (f *flow) explainClose(call string) {
	f.mu.Lock()
	if f.last == event.StateEstablished || f.last == event.StateCloseWait {
		f.call, f.timer = call, false
	}
	f.mu.Unlock()
}

// flows is the table of endpoints that are not CLOSED. It is bounded by what
// netstack holds: the backlogs, the connection limit and TIME-WAIT.
type flows struct {
	obs    Observer
	nextID atomic.Uint64

	mu    sync.RWMutex
	byKey map[gstack.TransportEndpointID]*flow
	// watched are the flows whose end netstack does not notify: half-open
	// ones and those that we closed.
	watched map[*flow]struct{}
}

func (t *flows) init(obs Observer) {
	t.obs = obs
	t.byKey = make(map[gstack.TransportEndpointID]*flow)
	t.watched = make(map[*flow]struct{})
}

func (t *flows) lookup(key gstack.TransportEndpointID) *flow {
	t.mu.RLock()
	f := t.byKey[key]
	t.mu.RUnlock()
	return f
}

// add returns the flow of ep, made if it is new. An older flow of the same key
// is at its end and is polled a last time.
func (t *flows) add(key gstack.TransportEndpointID, ep *tcp.Endpoint) *flow {
	t.mu.Lock()
	old := t.byKey[key]
	if old != nil && old.ep == ep {
		t.mu.Unlock()
		return old
	}
	f := &flow{
		id:    t.nextID.Add(1),
		key:   key,
		ev:    eventFlow(key),
		ep:    ep,
		since: time.Now(),
		last:  event.StateListen,
	}
	t.byKey[key] = f
	t.watched[f] = struct{}{}
	t.mu.Unlock()
	if old != nil {
		t.poll(old)
	}
	return f
}

// poll reads the state of f's endpoint and tells the observer if it is new. It
// may be called from anywhere, also under the endpoint's lock.
func (t *flows) poll(f *flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := stateOf(f.ep.EndpointState())
	if s == event.NoState || s == f.last || f.last == event.StateClosed {
		return
	}
	t.obs.State(event.EndpointState{
		Time: time.Now(), Flow: f.ev, Endpoint: f.id,
		Old: f.last, New: s, Call: f.call, Timer: f.timer,
	})
	f.last, f.call, f.timer = s, "", false
	switch {
	case s == event.StateClosed:
		t.mu.Lock()
		delete(t.watched, f)
		if t.byKey[f.key] == f {
			delete(t.byKey, f.key)
		}
		t.mu.Unlock()
	case s != event.StateSynReceived && !f.closing.Load(), s == event.StateTimeWait:
		t.mu.Lock()
		delete(t.watched, f)
		t.mu.Unlock()
	}
}

// watch has the sweeper poll f until it is CLOSED or in TIME-WAIT.
func (t *flows) watch(f *flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == event.StateClosed || f.last == event.StateTimeWait {
		return
	}
	t.mu.Lock()
	t.watched[f] = struct{}{}
	t.mu.Unlock()
}

// snapshot appends the watched flows to buf.
func (t *flows) snapshot(buf []*flow) []*flow {
	t.mu.RLock()
	for f := range t.watched {
		buf = append(buf, f)
	}
	t.mu.RUnlock()
	return buf
}

// all returns every flow.
func (t *flows) all() []*flow {
	t.mu.RLock()
	defer t.mu.RUnlock()
	fs := make([]*flow, 0, len(t.byKey))
	for _, f := range t.byKey {
		fs = append(fs, f)
	}
	return fs
}

// probe is netstack's TCP probe: a segment was handled, the endpoint is locked.
func (t *flows) probe(s *tcp.TCPEndpointState) {
	if f := t.lookup(gstack.TransportEndpointID(s.ID)); f != nil {
		t.poll(f)
	}
}

// notify returns an entry for an endpoint's waiter queue that polls f.
func (t *flows) notify(f *flow) *waiter.Entry {
	e := waiter.NewFunctionEntry(waiter.EventMask(0xffff), func(waiter.EventMask) { t.poll(f) })
	return &e
}

// stateOf maps netstack's states to those of RFC 9293. What comes before LISTEN
// or SYN-RECEIVED has no name there; ERROR is CLOSED with a cause.
func stateOf(s tcp.EndpointState) event.State {
	switch s {
	case tcp.StateListen:
		return event.StateListen
	case tcp.StateSynRecv:
		return event.StateSynReceived
	case tcp.StateEstablished:
		return event.StateEstablished
	case tcp.StateFinWait1:
		return event.StateFinWait1
	case tcp.StateFinWait2:
		return event.StateFinWait2
	case tcp.StateCloseWait:
		return event.StateCloseWait
	case tcp.StateClosing:
		return event.StateClosing
	case tcp.StateLastAck:
		return event.StateLastAck
	case tcp.StateTimeWait:
		return event.StateTimeWait
	case tcp.StateClose, tcp.StateError:
		return event.StateClosed
	}
	return event.NoState
}

func eventFlow(id gstack.TransportEndpointID) event.Flow {
	return event.Flow{
		Client: netip.AddrPortFrom(netipAddr(id.RemoteAddress), id.RemotePort),
		Server: netip.AddrPortFrom(netipAddr(id.LocalAddress), id.LocalPort),
	}
}

func endpointID(f event.Flow) gstack.TransportEndpointID {
	return gstack.TransportEndpointID{
		LocalAddress: tcpip.AddrFromSlice(f.Server.Addr().AsSlice()), LocalPort: f.Server.Port(),
		RemoteAddress: tcpip.AddrFromSlice(f.Client.Addr().AsSlice()), RemotePort: f.Client.Port(),
	}
}

func netipAddr(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

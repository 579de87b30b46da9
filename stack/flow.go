package stack

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"synscope/event"
	"synscope/stack/tcptrack"
)

// A flow is what is kept of one endpoint of ours, from its SYN-ACK (from Accept
// where that carried a SYN cookie) until it is CLOSED.
type flow struct {
	id     uint64
	key    gstack.TransportEndpointID
	ev     event.Flow
	ep     *tcp.Endpoint
	since  time.Time
	cookie bool        // it was made of a SYN cookie
	reset  atomic.Bool // a RST came in for it while half-open

	// mu is a leaf lock: it is taken under the endpoint's lock, and nothing
	// but the locks of flows, of limits and of the observer is taken under it.
	mu      sync.Mutex
	last    event.State
	call    string        // of ours, that explains the next state that a call can lead to
	timer   bool          // call is a deadline
	counted bool          // by limits
	waiting *list.Element // in flows.timeWait, guarded by flows.mu
}

// explain sets the call that the next FIN or the end of the endpoint is due to.
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

// flows is the table of endpoints that are not CLOSED. It is bounded by
// maxHalfOpen, the connection limit, the backlogs and maxTimeWait.
type flows struct {
	obs      Observer
	limits   *limits
	nextID   atomic.Uint64
	halfOpen atomic.Int64 // endpoints last seen in SYN-RECEIVED
	ending   atomic.Bool  // nothing is accepted any more

	mu    sync.RWMutex
	byKey map[gstack.TransportEndpointID]*flow
	// embryos are the flows that are not accepted yet. Nobody is notified of
	// their end, so that the sweeper polls them.
	embryos  map[*flow]struct{}
	timeWait list.List // of *flow in TIME-WAIT, the oldest first
}

func (t *flows) init(obs Observer, l *limits) {
	t.obs, t.limits = obs, l
	t.byKey = make(map[gstack.TransportEndpointID]*flow)
	t.embryos = make(map[*flow]struct{})
}

func (t *flows) lookup(key gstack.TransportEndpointID) *flow {
	t.mu.RLock()
	f := t.byKey[key]
	t.mu.RUnlock()
	return f
}

// add returns the flow of ep, made if it is new. An older flow of the same key
// is at its end and is polled a last time. It returns nil for an endpoint that
// is CLOSED already: the flow that it had is gone.
func (t *flows) add(key gstack.TransportEndpointID, ep *tcp.Endpoint) *flow {
	t.mu.Lock()
	old := t.byKey[key]
	if old != nil && old.ep == ep {
		t.mu.Unlock()
		return old
	}
	state := stateOf(ep.EndpointState())
	if state == event.StateClosed {
		t.mu.Unlock()
		return nil
	}
	f := &flow{
		id:     t.nextID.Add(1),
		key:    key,
		ev:     eventFlow(key),
		ep:     ep,
		since:  time.Now(),
		cookie: state != event.StateSynReceived,
		last:   event.StateListen,
	}
	t.byKey[key] = f
	t.embryos[f] = struct{}{}
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
	e := event.EndpointState{Time: time.Now(), Flow: f.ev, Endpoint: f.id, Old: f.last, New: s}
	switch s {
	case event.StateFinWait1, event.StateLastAck, event.StateClosed:
		// Only these can be due to a call; the others are due to the peer.
		e.Call, e.Timer = f.call, f.timer
		f.call, f.timer = "", false
		if e.Call == "" && s == event.StateClosed && !f.counted && f.last != event.StateTimeWait && t.ending.Load() {
			e.Call = "abort: shutdown" // by way of the listener
		}
	}
	t.obs.State(e)
	t.moved(f, s)
}

// moved keeps the books of f's transition to s. f is locked.
func (t *flows) moved(f *flow, s event.State) {
	switch {
	case s == event.StateSynReceived:
		t.halfOpen.Add(1)
	case f.last == event.StateSynReceived:
		t.halfOpen.Add(-1)
	}
	f.last = s
	if s != event.StateTimeWait && s != event.StateClosed {
		return
	}
	if f.counted {
		f.counted = false
		t.limits.release(f.ev.Client.Addr())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s == event.StateTimeWait {
		f.waiting = t.timeWait.PushBack(f)
		return
	}
	if f.waiting != nil {
		t.timeWait.Remove(f.waiting)
	}
	delete(t.embryos, f)
	if t.byKey[f.key] == f {
		delete(t.byKey, f.key)
	}
}

// accept counts an accepted flow and has netstack's notifications poll it. It
// returns why the flow cannot be taken, or "".
func (t *flows) accept(f *flow, wq *waiter.Queue) (refused string) {
	e := waiter.NewFunctionEntry(waiter.EventMask(0xffff), func(waiter.EventMask) { t.poll(f) })
	wq.EventRegister(&e)
	t.mu.Lock()
	delete(t.embryos, f)
	t.mu.Unlock()
	f.mu.Lock()
	if f.last != event.StateClosed {
		refused = t.limits.take(f.ev.Client.Addr())
		f.counted = refused == ""
	}
	f.mu.Unlock()
	t.poll(f)
	return refused
}

// unaccepted appends the flows that are not accepted yet to buf.
func (t *flows) unaccepted(buf []*flow) []*flow {
	t.mu.RLock()
	for f := range t.embryos {
		buf = append(buf, f)
	}
	t.mu.RUnlock()
	return buf
}

// surplus returns the oldest flows in TIME-WAIT, those beyond max.
func (t *flows) surplus(max int) []*flow {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var fs []*flow
	for n, e := t.timeWait.Len()-max, t.timeWait.Front(); n > 0; n, e = n-1, e.Next() {
		fs = append(fs, e.Value.(*flow))
	}
	return fs
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

// endpointID returns the ID of the endpoint that a segment of the client's is
// for.
func endpointID(p *tcptrack.Packet) gstack.TransportEndpointID {
	return gstack.TransportEndpointID{
		LocalAddress: tcpipAddress(p.Dst.Addr()), LocalPort: p.Dst.Port(),
		RemoteAddress: tcpipAddress(p.Src.Addr()), RemotePort: p.Src.Port(),
	}
}

func tcpipAddress(a netip.Addr) tcpip.Address {
	if a.Is4() {
		return tcpip.AddrFrom4(a.As4())
	}
	return tcpip.AddrFrom16(a.As16())
}

func netipAddr(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}

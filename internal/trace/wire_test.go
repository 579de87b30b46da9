package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// A recorder is a sink that keeps what it is told, and checks what holds for
// all events: ordinals without holes, and no reference to a packet's buffer,
// which is used again as soon as the event was told.
type recorder struct {
	t *testing.T

	mu     sync.Mutex
	stop   <-chan struct{} // not nil: events wait for it
	events []*event.Event
	json   []string
	n      map[uint64]uint64
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{t: t, n: make(map[uint64]uint64)}
	t.Cleanup(func() {
		for i, e := range r.events {
			if b, _ := json.Marshal(e); string(b) != r.json[i] {
				t.Errorf("event changed after it was told:\nwas %s\nnow %s", r.json[i], b)
			}
		}
	})
	return r
}

func (r *recorder) Event(e *event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		<-r.stop
	}
	b, err := json.Marshal(e)
	if err != nil {
		r.t.Errorf("encode %+v: %v", e, err)
	}
	r.events, r.json = append(r.events, e), append(r.json, string(b))
	r.n[e.Conn]++
	if e.N != r.n[e.Conn] {
		r.t.Errorf("event %d of connection %d has the ordinal %d", r.n[e.Conn], e.Conn, e.N)
	}
}

// stall has the tracer wait until a channel is closed.
func (r *recorder) stall(until <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = until
}

// of returns the events of a connection so far.
func (r *recorder) of(conn uint64) []*event.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var es []*event.Event
	for _, e := range r.events {
		if e.Conn == conn {
			es = append(es, e)
		}
	}
	return es
}

// want compares the events of a connection with a story, one line for each.
func (r *recorder) want(conn uint64, story string) {
	r.t.Helper()
	var got []string
	for _, e := range r.of(conn) {
		got = append(got, line(e))
	}
	r.compare(conn, story, got)
}

func (r *recorder) compare(conn uint64, story string, got []string) {
	r.t.Helper()
	if diff := cmp.Diff(lines(story), got); diff != "" {
		r.t.Errorf("connection %d (-want +got):\n%s", conn, diff)
	}
}

func lines(s string) []string {
	var ls []string
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			ls = append(ls, l)
		}
	}
	return ls
}

// line tells an event in one line.
func line(e *event.Event) string {
	switch b := e.Body.(type) {
	case *event.Open:
		if b.MidStream {
			return "open in mid-stream"
		}
		if b.Upstream {
			return fmt.Sprintf("open upstream of %d", b.UpstreamOf)
		}
		return "open"
	case *event.Segment:
		s := fmt.Sprintf("%s %s", e.From, b.Flags)
		if b.Len > 0 {
			s += fmt.Sprintf(" %d bytes", b.Len)
		}
		for _, x := range []struct {
			is   bool
			name string
		}{{b.Retransmit, "again"}, {b.BadSum, "damaged"}, {b.OutOfOrder, "early"}, {b.SYNCookie, "cookie"}} {
			if x.is {
				s += ", " + x.name
			}
		}
		return s
	case *event.TCPState:
		return fmt.Sprintf("%s %s %s > %s: %s", e.View, b.Side, b.Old, b.New, b.Cause)
	case *event.Dialed:
		return fmt.Sprintf("dial %t", b.OK)
	case *event.Drop:
		return fmt.Sprintf("drop segment %d: %s", b.N, b.Reason)
	case *event.Message:
		s := fmt.Sprintf("%s tls %s", e.From, b.Type)
		if b.Encrypted {
			s += ", encrypted"
		}
		return s
	case *event.ChangeCipherSpec:
		return fmt.Sprintf("%s tls change_cipher_spec", e.From)
	case *event.Alert:
		return fmt.Sprintf("%s tls alert %s", e.From, b.Description)
	case *event.ApplicationData:
		return fmt.Sprintf("%s tls application_data", e.From)
	case *event.Undecoded:
		return fmt.Sprintf("%s tls undecoded: %s", e.From, b.Reason)
	case *event.TLSState:
		return fmt.Sprintf("tls %s %s > %s", b.Side, b.Old, b.New)
	case *event.TLSStep:
		return fmt.Sprintf("tls endpoint %s %t", b.Step, b.OK)
	case *event.Established:
		return fmt.Sprintf("tls established %s", b.Version)
	case *event.Failed:
		return fmt.Sprintf("tls failed by %s: %s", b.Side, b.Cause)
	case *event.Close:
		return fmt.Sprintf("close %s", strings.TrimSpace(b.How+" "+e.From.String()))
	case *event.Gap:
		return fmt.Sprintf("gap %d %s: %s", b.Lost, b.What, b.Reason)
	case *event.Unreachable:
		return fmt.Sprintf("unreachable %s %s > %s: %s", b.Protocol, b.Src, b.Dst, b.Reason)
	case *event.Device:
		return fmt.Sprintf("device %s %s", b.Name, b.Change)
	}
	return string(e.Kind())
}

// A wire is one connection as the data path would tell of it: a client and a
// server that keep count of their sequence numbers.
type wire struct {
	*Tracer
	t        testing.TB
	flow     event.Flow
	endpoint uint64
	state    event.State
	seq      [3]uint32 // by side, the next number
	now      time.Time
	frame    uint64

	forgotten *atomic.Int32 // connections that were, in a test of housekeeping
}

var testFlow = event.Flow{
	Client: netip.MustParseAddrPort("198.51.100.7:40000"),
	Server: netip.MustParseAddrPort("198.18.0.5:443"),
}

func newWire(t testing.TB, tr *Tracer) *wire {
	return &wire{
		Tracer: tr, t: t, flow: testFlow, endpoint: 1, state: event.StateListen,
		seq: [3]uint32{event.Client: 1000, event.Server: 900_000}, now: time.Now(),
	}
}

// newTestTracer starts a tracer and has it closed at the end.
func newTestTracer(t *testing.T, l limits) (*Tracer, *recorder) {
	t.Helper()
	r := newRecorder(t)
	tr := newTracer(Config{Device: "test0", Endpoint: event.Server, Sinks: []Sink{r}}, l)
	t.Cleanup(func() { tr.Close() })
	return tr, r
}

// packet returns the segment of a side, with the number that is its turn.
func (w *wire) packet(from event.Side, flags event.Flags, payload string) []byte {
	f := w.flow
	if from == event.Server {
		f.Client, f.Server = f.Server, f.Client
	}
	seg := header.TCPFields{
		SrcPort: f.Client.Port(), DstPort: f.Server.Port(),
		SeqNum: w.seq[from], AckNum: w.seq[from.Peer()],
		DataOffset: header.TCPMinimumSize, Flags: header.TCPFlags(flags), WindowSize: 65535,
	}
	b := make([]byte, header.IPv4MinimumSize+header.TCPMinimumSize+len(payload))
	ip, tcp := header.IPv4(b), header.TCP(b[header.IPv4MinimumSize:])
	src, dst := tcpip.AddrFrom4(f.Client.Addr().As4()), tcpip.AddrFrom4(f.Server.Addr().As4())
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: src, DstAddr: dst})
	ip.SetChecksum(^ip.CalculateChecksum())
	tcp.Encode(&seg)
	copy(tcp[header.TCPMinimumSize:], payload)
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp)))
	tcp.SetChecksum(^tcp.CalculateChecksum(checksum.Checksum(tcp.Payload(), sum)))
	return b
}

// another returns a wire of another client of the same tracer.
func (w *wire) another(i int) *wire {
	o := newWire(w.t, w.Tracer)
	o.endpoint = uint64(1 + i)
	o.flow.Client = netip.AddrPortFrom(w.flow.Client.Addr(), w.flow.Client.Port()+uint16(i))
	return o
}

// tell has the tracer observe a packet.
func (w *wire) tell(from event.Side, b []byte) {
	w.now = w.now.Add(time.Millisecond)
	p := &event.Packet{Time: w.now, From: from, Views: [][]byte{b[:20], b[20:]}, Len: len(b)}
	w.frame = w.Packet(p)
	clear(b) // the packet is valid only during the call
}

// send is a segment that crosses the link.
func (w *wire) send(from event.Side, flags event.Flags, payload string) {
	w.tell(from, w.packet(from, flags, payload))
	w.seq[from] += uint32(len(payload))
	if flags&(event.SYN|event.FIN) != 0 {
		w.seq[from]++
	}
}

func (w *wire) client(flags event.Flags, payload string) { w.send(event.Client, flags, payload) }
func (w *wire) server(flags event.Flags, payload string) { w.send(event.Server, flags, payload) }

// becomes is a state of our endpoint, due to a call if there is one.
func (w *wire) becomes(s event.State, call string) {
	w.now = w.now.Add(time.Microsecond)
	timer := strings.HasSuffix(call, "deadline")
	w.State(event.EndpointState{Time: w.now, Flow: w.flow, Endpoint: w.endpoint, Old: w.state, New: s, Call: call, Timer: timer})
	w.state = s
}

// drop is a drop of the last segment.
func (w *wire) drop(from event.Side, reason string, final bool) {
	w.Drop(event.PacketDrop{Time: w.now, Flow: w.flow, From: from, Frame: w.frame, Reason: reason, Final: final})
}

// connect is a three-way handshake.
func (w *wire) connect() {
	w.client(event.SYN, "")
	w.server(event.SYN|event.ACK, "")
	w.becomes(event.StateSynReceived, "")
	w.client(event.ACK, "")
	w.becomes(event.StateEstablished, "")
}

// reset is a RST from the client.
func (w *wire) reset() {
	w.client(event.RST, "")
	w.becomes(event.StateClosed, "")
}

func (w *wire) sync() {
	w.t.Helper()
	if err := w.Sync(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// connected is what the tracer makes of connect.
const connected = `
	open
	client SYN
	wire client CLOSED > SYN-SENT: call connect
	server SYN ACK
	endpoint server LISTEN > SYN-RECEIVED: segment 2
	client ACK
	wire client SYN-SENT > ESTABLISHED: segment 4
	endpoint server SYN-RECEIVED > ESTABLISHED: segment 6
`

// keys is a KeyLog that keeps the labels.
type keys []string

func (k *keys) Secret(s tlswire.Secret) { *k = append(*k, s.Label) }

func (k keys) has(label string) bool { return slices.Contains(k, label) }

package trace

import (
	"crypto/tls"
	"testing"
	"time"

	"synscope/event"
)

// nobody is a sink.
type nobody struct{}

func (nobody) Event(*event.Event) {}

// A whole connection of a capture, from the first SYN to the last ACK, with its
// secrets: what a reader of recordings spends on each.
func BenchmarkConnection(b *testing.B) {
	for name, version := range map[string]uint16{"TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13} {
		b.Run(name, func(b *testing.B) {
			s := record(b, version)
			packets := s.packets(newWire(b, nil))
			p := newPlayer(Config{Sinks: []Sink{nobody{}}}, replayLimits)
			for _, secret := range s.secrets(b) {
				p.secret(secret)
			}
			at := time.Unix(1_800_000_000, 0)
			b.ReportAllocs()
			for b.Loop() {
				for _, packet := range packets {
					at = at.Add(10 * time.Microsecond)
					p.packet(Recorded{Time: at, Frame: 1, IP: packet, Len: len(packet)})
				}
			}
			if n := p.engine.nextConn; n < uint64(b.N) {
				b.Errorf("%d connections in %d rounds", n, b.N)
			}
		})
	}
}

// packets are those of a connection that carries a session.
func (s *session) packets(w *wire) (packets [][]byte) {
	const mss = 1448
	send := func(from event.Side, flags event.Flags, payload string) {
		packets = append(packets, w.packet(from, flags, payload))
		w.seq[from] += uint32(len(payload))
		if flags&(event.SYN|event.FIN) != 0 {
			w.seq[from]++
		}
	}
	send(event.Client, event.SYN, "")
	send(event.Server, event.SYN|event.ACK, "")
	send(event.Client, event.ACK, "")
	for _, f := range s.flights {
		for b := f.data; len(b) > 0; {
			n := min(len(b), mss)
			send(f.from, event.ACK|event.PSH, b[:n])
			send(f.from.Peer(), event.ACK, "")
			b = b[n:]
		}
	}
	send(event.Client, event.FIN|event.ACK, "")
	send(event.Server, event.FIN|event.ACK, "")
	send(event.Client, event.ACK, "")
	return packets
}

// A whole upstream leg, with its secrets: what it costs the tracer besides the
// connection of the client.
func BenchmarkUpstream(b *testing.B) {
	s := record(b, tls.VersionTLS13)
	e := newEngine(Config{Endpoint: event.Client, Sinks: []Sink{nobody{}}}, defaultLimits, time.Now())
	t := &Tracer{engine: e}
	t.q.limits, t.q.wake = &t.limits, make(chan struct{}, 1)
	secrets := s.secrets(b)
	var spare []observation
	b.ReportAllocs()
	for b.Loop() {
		u := t.Upstream(testFlow, event.Dial{Time: e.now, Flow: testFlow})
		u.TLSStart()
		for _, f := range s.flights {
			u.Bytes(f.from, []byte(f.data))
		}
		for _, x := range secrets {
			u.Secret(x.Label, x.ClientRandom, x.Secret)
		}
		u.TLSEnd(nil)
		u.Close(event.TransportInfo{})
		items, _ := t.q.take(spare)
		for i := range items {
			e.observe(&items[i])
		}
		spare = items[:0]
		e.now = e.now.Add(time.Second)
		e.housekeep()
	}
	if n := e.nextConn; n < uint64(b.N) {
		b.Errorf("%d legs in %d rounds", n, b.N)
	}
}

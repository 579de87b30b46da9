package trace

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
	"synscope/internal/jsonlines"
)

// A whole connection of a daemon, from what the data path tells of it to JSON
// lines: what tracing costs, but for waking goroutines, and for the history of the
// control socket, of which only its keeping events is here.
func BenchmarkServe(b *testing.B) {
	for _, x := range []struct {
		name string
		what func(*served, testing.TB)
	}{{"TLS13", (*served).handshake}, {"Connect", func(*served, testing.TB) {}}} {
		b.Run(x.name, func(b *testing.B) {
			written := new(counter)
			t := unstarted(Config{
				Device: "syn0", Endpoint: event.Server, Sinks: []Sink{jsonlines.NewWriter(io.Discard, nil), &kept{}, written},
			}, defaultLimits)

			s := &served{Tracer: t, flow: testFlow, now: t.now, seq: [3]uint32{event.Client: 1000, event.Server: 900_000}}
			s.connect()
			x.what(s, b)
			s.close()
			var spare []observation
			const rate = 2000 // connections a second
			b.ReportAllocs()
			for b.Loop() {
				s.play()
				items, _ := t.q.take(spare)
				for i := range items {
					t.observe(&items[i])
				}
				clear(items)
				spare = items[:0]
				s.now = s.now.Add(time.Second / rate)
				t.now = s.now
				if s.n%(rate/4) == 0 {
					t.housekeep()
				}
			}
			b.ReportMetric(float64(*written)/float64(b.N), "events/op")
			if open := len(t.conns) - t.ended.Len(); t.nextConn < uint64(b.N) || open > 0 {
				b.Errorf("%d connections in %d rounds, %d of them open", t.nextConn, b.N, open)
			}
		})
	}
}

// A counter is a sink that counts.
type counter int

func (n *counter) Event(*event.Event) { *n++ }

// kept is a sink that keeps the events of the newest connections.
type kept [1000][]*event.Event

func (k *kept) Event(e *event.Event) {
	c := &k[e.Conn%uint64(len(k))]
	if e.N == 1 {
		*c = nil
	}
	*c = append(*c, e)
}

// A served tells a tracer the same story again and again: a connection, each time
// of another client.
type served struct {
	*Tracer
	n    uint64 // connections so far
	flow event.Flow
	now  time.Time

	story []func()
	seq   [3]uint32 // by Side, while the story is written
}

// play tells the story once.
func (s *served) play() {
	s.n++
	s.flow.Client = netip.AddrPortFrom(s.flow.Client.Addr(), uint16(s.n))
	for _, tell := range s.story {
		s.now = s.now.Add(10 * time.Microsecond)
		tell()
	}
}

func (s *served) then(f func()) { s.story = append(s.story, f) }

func (s *served) connect() {
	s.segment(event.Client, event.SYN, "")
	s.segment(event.Server, event.SYN|event.ACK, "")
	s.becomes(event.StateListen, event.StateSynReceived, "")
	s.segment(event.Client, event.ACK, "")
	s.becomes(event.StateSynReceived, event.StateEstablished, "")
}

func (s *served) close() {
	s.segment(event.Client, event.FIN|event.ACK, "")
	s.segment(event.Server, event.ACK, "")
	s.becomes(event.StateEstablished, event.StateCloseWait, "")
	s.segment(event.Server, event.FIN|event.ACK, "")
	s.becomes(event.StateCloseWait, event.StateLastAck, "shutdown")
	s.segment(event.Client, event.ACK, "")
	s.becomes(event.StateLastAck, event.StateClosed, "")
}

// handshake is one of TLS 1.3, and what is said after it.
func (s *served) handshake(t testing.TB) {
	session := recordWith(t, 5, func(client, server *tls.Config) {
		client.CurvePreferences = []tls.CurveID{tls.X25519}
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		server.SessionTicketsDisabled = false
	})
	secrets := session.secrets(t)
	s.then(func() { s.TLSStart(s.flow) })
	for i, f := range session.flights {
		s.segment(f.from, event.ACK|event.PSH, f.data)
		s.segment(f.from.Peer(), event.ACK, "")
		if i > 0 {
			continue
		}
		for _, x := range secrets {
			s.then(func() { s.Secret(s.flow, x.Label, x.ClientRandom, x.Secret, false) })
		}
		s.step(event.TLSStep{Step: "client_hello", OK: true, Detail: "shop.example"})
		s.step(event.TLSStep{Step: "sign", OK: true, Detail: "ECDSA P-256, SHA-256", Duration: 40 * time.Microsecond})
	}
	s.step(event.TLSStep{Step: "handshake", OK: true, Detail: "TLS 1.3 TLS_AES_128_GCM_SHA256", Duration: time.Millisecond})
	s.then(func() { s.TLSEnd(s.flow, nil) })
}

func (s *served) step(x event.TLSStep) { s.then(func() { s.Step(s.flow, x) }) }

func (s *served) becomes(old, new event.State, call string) {
	s.then(func() {
		s.State(event.EndpointState{Time: s.now, Flow: s.flow, Endpoint: s.n, Old: old, New: new, Call: call})
	})
}

// segment is one as Linux sends it through a TUN interface: with timestamps, and
// without a checksum.
func (s *served) segment(from event.Side, flags event.Flags, payload string) {
	options := []byte{header.TCPOptionNOP, header.TCPOptionNOP, header.TCPOptionTS, header.TCPOptionTSLength, 0, 0, 1, 0, 0, 0, 1, 0}
	if flags.Has(event.SYN) {
		options = append([]byte{
			header.TCPOptionMSS, header.TCPOptionMSSLength, 5, 180,
			header.TCPOptionSACKPermitted, header.TCPOptionSackPermittedLength,
			header.TCPOptionWS, header.TCPOptionWSLength, 7, header.TCPOptionNOP,
		}, options[:10]...)
	}
	const tcp = header.IPv4MinimumSize
	p := make([]byte, tcp+header.TCPMinimumSize+len(options)+len(payload))
	src, dst := s.flow.Client, s.flow.Server
	if from == event.Server {
		src, dst = dst, src
	}
	header.IPv4(p).Encode(&header.IPv4Fields{
		TotalLength: uint16(len(p)), TTL: 64, Protocol: uint8(header.TCPProtocolNumber),
		SrcAddr: tcpip.AddrFrom4(src.Addr().As4()), DstAddr: tcpip.AddrFrom4(dst.Addr().As4()),
	})
	fields := header.TCPFields{
		SrcPort: src.Port(), DstPort: dst.Port(), SeqNum: s.seq[from], AckNum: s.seq[from.Peer()],
		DataOffset: uint8(header.TCPMinimumSize + len(options)), Flags: header.TCPFlags(flags), WindowSize: 65535,
	}
	if !flags.Has(event.ACK) {
		fields.AckNum = 0
	}
	header.TCP(p[tcp:]).Encode(&fields)
	copy(p[tcp+header.TCPMinimumSize:], options)
	copy(p[len(p)-len(payload):], payload)
	s.seq[from] += uint32(len(payload))
	if flags&(event.SYN|event.FIN) != 0 {
		s.seq[from]++
	}
	s.then(func() {
		port := p[tcp:]
		if from == event.Server {
			port = p[tcp+2:]
		}
		binary.BigEndian.PutUint16(port, s.flow.Client.Port())
		s.Packet(&event.Packet{Time: s.now, From: from, Views: [][]byte{p}, Len: len(p), PartialChecksum: true})
	})
}

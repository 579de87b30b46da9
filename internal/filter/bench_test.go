package filter

import (
	"testing"
	"time"

	"synscope/event"
)

type nowhere struct{}

func (nowhere) Event(*event.Event) {}

// One connection's worth of events, again and again as connections of their own.
func BenchmarkGate(b *testing.B) {
	for _, bb := range []struct{ name, expr string }{
		{"event", `event.kind == "tls.alert" && event.level == "fatal"`},
		{"event missing", `event.client_hello.server_name == "shop.example"`},
		{"connection", `tls.version == "TLS 1.3" && !tls.resumed`},
		{"both", `event.kind == "tls.message" && tcp.rtt > duration("1ms")`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			f, err := Compile(bb.expr)
			if err != nil {
				b.Fatal(err)
			}
			events := handshake(1)
			g := NewGate(f, nowhere{}, false)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n == len(events) {
					b.StopTimer()
					n, events = 0, handshake(events[0].Conn+1)
					b.StartTimer()
				}
				g.Event(events[n])
				n++
			}
		})
	}
}

// handshake returns the events of a connection with a TLS 1.3 handshake that
// ends in order.
func handshake(id uint64) []*event.Event {
	start := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	var es []*event.Event
	add := func(from event.Side, body event.Body) {
		n := len(es) + 1
		at := time.Duration(n) * 100 * time.Microsecond
		es = append(es, &event.Event{Time: start.Add(at), T: at, Conn: id, N: uint64(n), View: event.Wire, From: from, Body: body})
	}
	segment := func(from event.Side, f event.Flags) {
		add(from, &event.Segment{Flags: f, Len: 100, Frame: uint64(len(es))})
	}
	add(event.NoSide, &event.Open{Client: clientAddr, Server: serverAddr, Device: "syn0"})
	segment(event.Client, event.SYN)
	segment(event.Server, event.SYN|event.ACK)
	segment(event.Client, event.ACK)
	add(event.Client, &event.TCPState{Side: event.Client, Old: event.StateSynSent, New: event.StateEstablished, Cause: event.Cause{By: event.BySegment, N: 3}})
	segment(event.Client, event.PSH|event.ACK)
	add(event.Client, &event.Message{Type: event.ClientHelloType, Epoch: event.EpochPlain, Frames: []uint64{4}, ClientHello: &event.ClientHello{
		ServerName: "shop.example", ALPN: []string{"h2", "http/1.1"}, CipherSuites: []event.CipherSuite{0x1301, 0x1302},
	}})
	segment(event.Server, event.PSH|event.ACK)
	add(event.Server, &event.Message{Type: event.ServerHelloType, Epoch: event.EpochPlain, Frames: []uint64{6}, ServerHello: &event.ServerHello{
		Version: event.VersionTLS13, CipherSuite: 0x1301,
	}})
	add(event.Client, &event.TLSState{Side: event.Client, Old: event.TLSStart, New: event.TLSWaitSH, Cause: "client_hello"})
	add(event.NoSide, &event.Established{Version: event.VersionTLS13, CipherSuite: 0x1301, Group: 29, ALPN: "h2", ServerName: "shop.example"})
	add(event.Client, &event.Alert{Level: "warning"})
	segment(event.Client, event.FIN|event.ACK)
	segment(event.Server, event.FIN|event.ACK)
	add(event.Client, &event.Close{How: "fin", HandshakeDone: true, SegmentsSeen: 8, RTT: 2 * time.Millisecond, Duration: 20 * time.Millisecond})
	return es
}

package trace

import (
	"encoding/binary"
	"testing"
	"time"

	"synscope/event"
)

// script encodes packets and other observations for FuzzTracer: what it is (0
// and 1 a packet of the client and the server, 2 a state, 3 a drop, 4 the start,
// 5 the end of TLS), a length of two bytes, and a packet of that length.
func script(steps ...any) []byte {
	var b []byte
	what := byte(0)
	for _, s := range steps {
		switch s := s.(type) {
		case int:
			what = byte(s)
		case []byte:
			b = binary.BigEndian.AppendUint16(append(b, what), uint16(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// Whatever comes over the link, in whatever order, is told without holes in the
// ordinals, each connection ends with one conn.close, and nothing is left.
func FuzzTracer(f *testing.F) {
	w := newWire(nil, nil)
	syn := w.packet(event.Client, event.SYN, "")
	w.seq[event.Client]++
	synAck := w.packet(event.Server, event.SYN|event.ACK, "")
	w.seq[event.Server]++
	hello := w.packet(event.Client, event.ACK|event.PSH, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
	w.seq[event.Client] += 10
	fin := w.packet(event.Client, event.ACK|event.FIN, "")
	rst := w.packet(event.Server, event.RST|event.ACK, "")
	state := func(s event.State) []byte { return []byte{byte(s)} }
	f.Add(script(0, syn, 1, synAck, 2, state(event.StateSynReceived), 0, hello, 2, state(event.StateEstablished), 4, []byte{}, 0, fin, 5, []byte{}, 1, rst, 2, state(event.StateClosed)))
	f.Add(script(0, syn, 3, []byte{1}, 0, syn, 1, rst, 0, syn))
	f.Add(script(0, hello, 0, syn, 2, state(event.StateTimeWait), 0, syn, 2, state(event.StateClosed)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRecorder(t)
		tr := newTracer(Config{Endpoint: event.Server, Sinks: []Sink{r}}, lowered(func(l *limits) {
			l.conns, l.embryonic, l.halfOpen, l.held, l.history = 3, 2, 2, 4, 8
		}))
		now := time.Now()
		old := event.StateListen
		for len(b) >= 3 {
			what, n := b[0], min(int(binary.BigEndian.Uint16(b[1:])), len(b)-3)
			data := b[3 : 3+n]
			b = b[3+n:]
			switch what % 6 {
			case 0, 1:
				tr.Packet(&event.Packet{Time: now, From: event.Client + event.Side(what%6), Views: [][]byte{data}, Len: n})
			case 2:
				s := event.StateClosed + event.State(n%int(event.StateTimeWait))
				if n > 0 {
					s = event.State(data[0])
				}
				tr.State(event.EndpointState{Time: now, Flow: testFlow, Endpoint: 1 + uint64(n>>8), Old: old, New: s})
				old = s
			case 3:
				tr.Drop(event.PacketDrop{Time: now, Flow: testFlow, From: event.Client, Frame: 1, Reason: "fuzz", Final: n > 0})
			case 4:
				tr.TLSStart(testFlow)
			case 5:
				tr.TLSEnd(testFlow, nil)
			}
		}
		tr.Close()
		closes := make(map[uint64]int)
		for _, e := range r.events {
			if e.Kind() == "conn.open" {
				closes[e.Conn] += 0
			}
			if e.Kind() == "conn.close" {
				closes[e.Conn]++
			}
		}
		for conn, n := range closes {
			if n != 1 {
				t.Errorf("connection %d is closed %d times", conn, n)
			}
		}
		if n := size(tr); n != 0 {
			t.Errorf("%d things left after Close", n)
		}
	})
}

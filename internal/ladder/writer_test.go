package ladder

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"synscope/event"
)

func TestWriterDrawsAConnectionWhenItHasEnded(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, Options{})
	events := plainHTTP()
	for _, e := range events[:len(events)-1] {
		w.Event(e)
	}
	if b.Len() != 0 {
		t.Fatalf("drawn before its end:\n%s", b.String())
	}
	w.Event(events[len(events)-1])
	if want := string(render(t, events, Options{})); b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	w.Event(&event.Event{Conn: 7, N: 98, Body: &event.Segment{Flags: event.RST}})
	w.Event(&event.Event{Conn: 7, N: 99, Body: &event.TCPState{Side: client, Old: event.StateTimeWait, New: event.StateClosed}})
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	wantLine(t, b.String(), "the stray segment, and not the end of TIME-WAIT", "1 event came after the connection had been drawn")
}

// Of a connection that ended before the stream began there is nothing to draw.
func TestWriterIgnoresTheEndOfTimeWait(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, Options{})
	w.Event(&event.Event{Conn: 7, N: 99, Body: &event.TCPState{Side: server, Old: event.StateTimeWait, New: event.StateClosed}})
	if err := w.Flush(); err != nil || b.Len() != 0 {
		t.Errorf("%v, drawn:\n%s", err, b.String())
	}
}

func TestWriterTellsAtOnceWhatBelongsToNoConnection(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, Options{})
	w.Event(&event.Event{Time: began, Body: &event.Unreachable{Src: "198.18.0.1:5353", Dst: "203.0.113.1:53", Protocol: "udp",
		Reason: "address outside the served prefixes", Answer: "icmp net unreachable"}})
	w.Event(&event.Event{Time: began, Body: &event.Gap{Lost: 3, What: "packets", Reason: "queue full"}})
	w.Event(&event.Event{Time: began, Body: &event.Device{Name: "syn0", Change: "down"}})
	client, server := netip.MustParseAddrPort("198.18.0.2:5000"), netip.MustParseAddrPort("198.18.3.4:443")
	w.Event(&event.Event{Time: began, Body: &event.UDPFlow{Client: client, Server: server, Name: "shop.example", To: "203.0.113.9:443", QUIC: "1"}})
	w.Event(&event.Event{Time: began, Body: &event.UDPEnd{Client: client, Server: server, How: "idle", DatagramsClient: 1200, BytesClient: 7, Unreachable: 1}})
	wantLine(t, b.String(), "an unreachable address", "09:26:53.589", "udp 198.18.0.1:5353 > 203.0.113.1:53")
	wantLine(t, b.String(), "a gap stands out", "! ", "GAP 3 packets lost: queue full")
	wantLine(t, b.String(), "QUIC", "UDP 198.18.0.2:5000 > shop.example (198.18.3.4:443) at 203.0.113.9:443: QUIC version")
	wantLine(t, b.String(), "the end of it", "ended, idle: client 1,200 datagrams, 7 bytes,")
	wantLine(t, b.String(), "a device", "device syn0 is down")
	checkText(t, b.String(), Options{})
}

func TestWriterFlushDrawsWhatIsOpen(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, Options{})
	for _, e := range tls13Full()[:12] {
		w.Event(e)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	wantLine(t, b.String(), "an open connection", "ended", "not yet: last event after")
}

func TestWriterIsBounded(t *testing.T) {
	t.Run("events of a connection", func(t *testing.T) {
		var b bytes.Buffer
		w := NewWriter(&b, Options{})
		k := newTalk(80)
		for range maxEvents + 10 {
			k.data(client, 1)
		}
		for _, e := range k.end("fin", event.Close{}) {
			w.Event(e)
		}
		wantLine(t, b.String(), "the rest is counted", "11 events beyond the first 4,096 of this connection")
		wantLine(t, b.String(), "the end is kept", "ended", "in order")
	})
	t.Run("connections", func(t *testing.T) {
		var b bytes.Buffer
		w := NewWriter(&b, Options{})
		for i := range maxOpen + 2 {
			w.Event(&event.Event{Conn: uint64(i + 1), N: 1, Body: &event.Open{}})
		}
		if len(w.conns) != maxOpen {
			t.Errorf("%d connections are kept", len(w.conns))
		}
		if n := strings.Count(b.String(), "drawn before its end"); n != 2 {
			t.Errorf("%d connections were drawn early, want 2", n)
		}
	})
	t.Run("ended connections", func(t *testing.T) {
		w := NewWriter(&bytes.Buffer{}, Options{})
		for i := range maxClosed + 5 {
			w.Event(&event.Event{Conn: uint64(i + 1), N: 1, Body: &event.Close{}})
		}
		if len(w.closed) != maxClosed || len(w.ring) != maxClosed || w.kept != 0 {
			t.Errorf("%d, %d remembered, %d events kept", len(w.closed), len(w.ring), w.kept)
		}
	})
}

type failingWriter struct{}

var errFull = errors.New("no space left on device")

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

func TestWriterKeepsTheErrorForFlush(t *testing.T) {
	w := NewWriter(failingWriter{}, Options{})
	for _, e := range refusedPort() {
		w.Event(e)
	}
	if err := w.Flush(); !errors.Is(err, errFull) {
		t.Errorf("Flush: %v, want %v", err, errFull)
	}
	if err := Render(failingWriter{}, refusedPort(), Options{}); !errors.Is(err, errFull) {
		t.Errorf("Render: %v, want %v", err, errFull)
	}
}

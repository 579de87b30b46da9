package ladder

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"synscope/event"

	"pgregory.net/rapid"
)

// fill sets a value to something drawn, following pointers and lists, so that
// fields added to an event later are covered too.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth > 0 && rapid.Bool().Draw(t, "set") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth-1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(began.Add(time.Duration(rapid.Int32().Draw(t, "s")) * time.Second)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(t, v.Field(i), depth)
			}
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 7).Draw(t, "n")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i), depth-1)
		}
	case reflect.String:
		v.SetString(rapid.OneOf(
			rapid.String(),
			rapid.SampledFrom([]string{"client_hello", "finished", "rst", "segment", "timer", "handshake", "plain", "not tls", strings.Repeat("x", 2000), "\x1b[2J\x9b\u202e"}),
		).Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.OneOf(rapid.Uint64Range(0, 25), rapid.Uint64()).Draw(t, "uint") & (1<<(8*v.Type().Size()-1)<<1 - 1))
	}
}

// anyBody draws a body of any kind.
func anyBody(t *rapid.T) event.Body {
	k := rapid.SampledFrom(event.Kinds()).Draw(t, "kind")
	b := bodyOf(string(k))
	fill(t, reflect.ValueOf(b).Elem(), 3)
	if s, ok := b.(*event.Segment); ok && rapid.Bool().Draw(t, "ordinary") {
		*s = event.Segment{Flags: event.ACK, Len: rapid.IntRange(0, 1).Draw(t, "len") * 1448, Frame: s.Frame}
	}
	return b
}

// bodyOf makes an empty body by way of the JSON encoding, as a reader of a log
// would.
func bodyOf(kind string) event.Body {
	var e event.Event
	if err := e.UnmarshalJSON(fmt.Appendf(nil, `{"time":"2026-11-24T09:26:53Z","kind":%q}`, kind)); err != nil {
		panic(err)
	}
	return e.Body
}

func anyEvents(t *rapid.T) []*event.Event {
	n := rapid.IntRange(1, 30).Draw(t, "events")
	events := make([]*event.Event, n)
	now := time.Duration(0)
	for i := range events {
		now += time.Duration(rapid.Int64Range(0, 1<<rapid.IntRange(0, 58).Draw(t, "scale")).Draw(t, "dt"))
		events[i] = &event.Event{
			Time: began.Add(now), T: now, Conn: 9, N: uint64(i + 1),
			View: rapid.SampledFrom([]event.View{event.Wire, event.Endpoint}).Draw(t, "view"),
			From: event.Side(rapid.IntRange(0, 3).Draw(t, "from")), Body: anyBody(t),
		}
	}
	return events
}

func TestNoLineIsWiderAndNothingRawIsPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := anyEvents(t)
		o := Options{
			Width:   rapid.SampledFrom([]int{0, 1, 72, 80, 100, 140}).Draw(t, "width"),
			Unicode: rapid.Bool().Draw(t, "unicode"), Explain: rapid.Bool().Draw(t, "explain"),
		}
		var b bytes.Buffer
		if err := Render(&b, events, o); err != nil {
			t.Fatal(err)
		}
		checkText(t, b.String(), o)
	})
}

type fataler interface{ Fatalf(string, ...any) }

// checkText holds the promises about every line of output without colour.
func checkText(t fataler, out string, o Options) {
	if !utf8.ValidString(out) {
		t.Fatalf("not valid UTF-8:\n%q", out)
	}
	for _, l := range strings.Split(out, "\n") {
		if n := utf8.RuneCountInString(l); n > o.withDefaults().Width {
			t.Fatalf("%d columns, want at most %d:\n%s", n, o.withDefaults().Width, l)
		}
		if strings.HasSuffix(l, " ") {
			t.Fatalf("spaces at the end of %q", l)
		}
		for _, r := range l {
			if !unicode.IsPrint(r) {
				t.Fatalf("raw %U in %q", r, l)
			}
			if !o.Unicode && r > 0x7e {
				t.Fatalf("%U without Unicode in %q", r, l)
			}
		}
	}
}

func TestColourOnlyAddsColour(t *testing.T) {
	sgrSequences := func(s string) string {
		for _, p := range sgr {
			s = strings.ReplaceAll(s, "\x1b["+p+"m", "")
		}
		return strings.ReplaceAll(s, "\x1b[0m", "")
	}
	for _, s := range stories {
		plain := string(render(t, s.events(), Options{Unicode: true, Explain: true}))
		colored := string(render(t, s.events(), Options{Unicode: true, Explain: true, Color: true}))
		if !strings.Contains(colored, "\x1b[") {
			t.Errorf("%s: no colour", s.name)
		}
		if sgrSequences(colored) != plain {
			t.Errorf("%s: colour changes the text", s.name)
		}
	}
}

func TestAnUnfinishedConnectionIsDrawn(t *testing.T) {
	for _, s := range stories {
		events := s.events()
		for n := range events {
			out := string(render(t, events[n:], Options{})) + string(render(t, events[:n+1], Options{}))
			checkText(t, out, Options{})
		}
	}
}

func TestEveryKindIsDrawn(t *testing.T) {
	want := map[event.Kind]string{
		"conn.open": "203.0.113.9:999", "tcp.segment": "seq 41", "tcp.state": "CLOSE-WAIT", "tcp.drop": "no reason at all",
		"tcp.dial":    "is not connected after 4.00 ms",
		"tls.message": "KeyUpdate", "tls.change_cipher_spec": "ChangeCipherSpec", "tls.alert": "Alert decode_error",
		"tls.application_data": "ApplicationData", "tls.undecoded": "not decoded: no key", "tls.state": "WAIT_EOED",
		"tls.endpoint": "crypto/tls uses", "tls.established": "TLS_CHACHA20_POLY1305_SHA256", "tls.failed": "they fell out",
		"fault": "FAULT tripwire", "conn.close": "the SYN was ignored", "trace.gap": "GAP 12 packets",
		"ip.unreachable": "not answered", "udp.flow": "QUIC version 1", "udp.end": "client 1 datagram, 0 bytes", "device": "device syn9 is down", "capture.end": "the capture shop.pcapng ended: no space",
	}
	bodies := []event.Body{
		&event.Open{}, &event.Segment{SeqRel: 41, Flags: event.SYN}, &event.TCPState{Side: client, New: event.StateCloseWait},
		&event.Drop{Reason: "no reason at all"}, &event.Dialed{Error: "no way", Duration: 4 * time.Millisecond}, &event.Message{Type: event.KeyUpdateType}, &event.ChangeCipherSpec{},
		&event.Alert{Description: 50}, &event.ApplicationData{}, &event.Undecoded{Reason: "no key"},
		&event.TLSState{Side: server, New: event.TLSWaitEOED}, &event.TLSStep{Step: "sign", OK: true},
		&event.Established{CipherSuite: 0x1303}, &event.Failed{Cause: "they fell out"}, &event.Fault{Scenario: "tripwire"},
		&event.Close{How: "dropped"}, &event.Gap{Lost: 12, What: "packets"}, &event.Unreachable{},
		&event.UDPFlow{QUIC: "1"}, &event.UDPEnd{How: "idle", DatagramsClient: 1}, &event.Device{Name: "syn9", Change: "down"},
		&event.CaptureEnd{File: "shop.pcapng", Reason: "no space"},
	}
	bodies[0] = newOpen("203.0.113.9:999")
	if len(bodies) != len(event.Kinds()) {
		t.Fatalf("there are %d kinds, this test knows %d", len(event.Kinds()), len(bodies))
	}
	for _, b := range bodies {
		out := string(render(t, []*event.Event{{Conn: 1, N: 1, From: client, Body: b}}, Options{}))
		if w := want[b.Kind()]; w == "" || !strings.Contains(out, w) {
			t.Errorf("%s: no %q in\n%s", b.Kind(), w, out)
		}
	}
}

// otherBody is of a kind that is not known to the ladder.
type otherBody struct{ event.Body }

func (otherBody) Kind() event.Kind { return "other" }

func TestAnUnknownKindIsCounted(t *testing.T) {
	out := string(render(t, []*event.Event{{Conn: 1, N: 1, Body: otherBody{}}}, Options{}))
	if !strings.Contains(out, "1 event of an unknown kind or side not drawn") {
		t.Errorf("not counted:\n%s", out)
	}
}

package event

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	for _, e := range filled() {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%s: %v", e.Kind(), err)
		}
		var got Event
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v in %s", e.Kind(), err, b)
		}
		if diff := cmp.Diff(e, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", e.Kind(), diff)
		}
	}
}

// The header's fields are in the same object as the body's, and come first. A
// body's field of the same name would hide one.
func TestFlat(t *testing.T) {
	for _, e := range filled() {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(b))
		seen := make(map[string]bool)
		var names []string
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			if seen[name.(string)] {
				t.Errorf("%s: two fields %q", e.Kind(), name)
			}
			seen[name.(string)] = true
			names = append(names, name.(string))
		}
		if got := strings.Join(names[:7], " "); got != "time t conn n kind view from" {
			t.Errorf("%s begins with %s", e.Kind(), got)
		}
	}
}

func TestEncoding(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	shift := uint8(7)
	for _, tt := range []struct {
		e    Event
		want string
	}{
		{
			Event{Time: at, T: 1, Conn: 2, N: 3, View: Wire, From: Client, Body: &Segment{Flags: SYN | ACK, Seq: 4, Options: TCPOptions{WindowScale: &shift, Unknown: Codes{1, 254}}, Frame: 5}},
			`{"time":"2026-01-02T03:04:05.000000006Z","t":1,"conn":2,"n":3,"kind":"tcp.segment","view":"wire","from":"client","flags":["SYN","ACK"],"seq":4,"ack":0,"seq_rel":0,"ack_rel":0,"len":0,"win":0,"options":{"ws":7,"unknown":[1,254]},"frame":5}`,
		},
		{
			Event{Time: at, View: Wire, Body: &Gap{Lost: 1, What: "packets", Reason: "full"}},
			`{"time":"2026-01-02T03:04:05.000000006Z","t":0,"conn":0,"n":0,"kind":"trace.gap","view":"wire","lost":1,"what":"packets","reason":"full"}`,
		},
		{
			Event{Time: at, Conn: 1, N: 2, View: Wire, From: Server, Body: &Message{Type: HelloRetryRequest, Epoch: EpochPlain, Frames: []uint64{9}, ServerHello: &ServerHello{
				LegacyVersion: VersionTLS12, Version: VersionTLS13, Random: Hex{0xab, 0x01}, CipherSuite: 0x1301, Extensions: []Extension{43, 0x1a1a}, Group: 29,
			}}},
			`{"time":"2026-01-02T03:04:05.000000006Z","t":0,"conn":1,"n":2,"kind":"tls.message","view":"wire","from":"server","type":"hello_retry_request","len":0,"encrypted":false,"epoch":"plain","records":0,"frames":[9],"server_hello":{"legacy_version":"TLS 1.2","version":"TLS 1.3","random":"ab01","cipher_suite":"TLS_AES_128_GCM_SHA256","extensions":["supported_versions","GREASE (0x1a1a)"],"group":"x25519"}}`,
		},
	} {
		b, err := json.Marshal(tt.e)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, string(b)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestUnmarshalErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"kind":"tcp.telepathy"}`, `unknown kind "tcp.telepathy"`},
		{`{}`, `unknown kind ""`},
		{`[]`, "array"},
		{`{"kind":"device","from":"proxy"}`, `unknown side "proxy"`},
		{`{"kind":"tcp.segment","flags":["SIN"]}`, `unknown TCP flag "SIN"`},
		{`{"kind":"tcp.segment","flags":"SYN"}`, "string"},
		{`{"kind":"tcp.state","new":"DEAD"}`, `unknown TCP state "DEAD"`},
		{`{"kind":"tls.established","version":"TLS 9"}`, "TLS 9"},
		{`{"kind":"tls.alert","description":"0x1ff"}`, "0x1ff"},
		{`{"kind":"tls.message","type":"300"}`, "300"},
		{`{"kind":"tls.message","client_hello":{"psk_modes":["256"]}}`, "256"},
		{`{"kind":"tls.message","client_hello":{"point_formats":[256]}}`, "256"},
		{`{"kind":"tls.message","client_hello":{"random":"xy"}}`, "invalid byte"},
	} {
		var e Event
		err := json.Unmarshal([]byte(tt.in), &e)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %s", tt.in, err, tt.want)
		}
	}
}

func TestSide(t *testing.T) {
	for _, tt := range []struct {
		side, peer Side
		name       string
	}{{Client, Server, "client"}, {Server, Client, "server"}, {NoSide, NoSide, ""}} {
		if tt.side.Peer() != tt.peer || tt.side.String() != tt.name {
			t.Errorf("%d: peer %d, name %q", tt.side, tt.side.Peer(), tt.side)
		}
	}
}

func TestFlow(t *testing.T) {
	f := Flow{Client: netip.MustParseAddrPort("198.51.100.7:40000"), Server: netip.MustParseAddrPort("[2001:2::5]:443")}
	if got := f.String(); got != "198.51.100.7:40000 > [2001:2::5]:443" {
		t.Error(got)
	}
}

func TestFlags(t *testing.T) {
	// The bits of RFC 9293, section 3.1, from the right.
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if got := Flags(1 << i).String(); got != name {
			t.Errorf("bit %d is %s, want %s", i, got, name)
		}
	}
	for i := range 256 {
		b, err := json.Marshal(Flags(i))
		if err != nil {
			t.Fatal(err)
		}
		got := Flags(0x55)
		if err := json.Unmarshal(b, &got); err != nil || got != Flags(i) {
			t.Errorf("%s is read as %v, %v", b, got, err)
		}
	}
	if got := (ACK | SYN).String(); got != "SYN ACK" {
		t.Error(got)
	}
	if !(SYN | ACK).Has(SYN) || SYN.Has(SYN|ACK) {
		t.Error("Has does not mean all")
	}
}

// The states that RFC 9293, section 3.3.2, calls synchronized.
func TestStates(t *testing.T) {
	const synchronized = "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK TIME-WAIT"
	for s := NoState; s <= StateTimeWait; s++ {
		if got, want := s.Synchronized(), s != NoState && strings.Contains(synchronized, s.String()); got != want {
			t.Errorf("%s: %t", s, got)
		}
	}
	if got := State(99).String(); got != "STATE-99" {
		t.Error(got)
	}
}

func TestCause(t *testing.T) {
	for _, tt := range []struct {
		c    Cause
		want string
	}{
		{Cause{By: BySegment, N: 3}, "segment 3"},
		{Cause{By: BySegment, What: "SYN of a new connection"}, "segment SYN of a new connection"},
		{Cause{By: ByCall, What: "close", N: 3}, "call close"},
		{Cause{By: ByTimer, What: "TIME-WAIT"}, "timer TIME-WAIT"},
		{Cause{By: Unknown}, "unknown"},
	} {
		if got := tt.c.String(); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.c, got, tt.want)
		}
	}
}

// What can be read can be written, and is then read as the same.
func FuzzUnmarshal(f *testing.F) {
	for _, e := range filled() {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"kind":"tls.established","version":"GREASE (0x2a2a)","cipher_suite":"0x0ff0","group":"065"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Event
		if json.Unmarshal(b, &e) != nil {
			return
		}
		first, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		var again Event
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%v in %s", err, first)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%v\nfirst  %s\nsecond %s", err, first, second)
		}
	})
}

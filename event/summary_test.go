package event

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"
)

// A connection is a row at any time: while it is open, when it is established,
// and when it has ended.
func TestSummary(t *testing.T) {
	opened := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	client, server := netip.MustParseAddrPort("198.18.0.1:50000"), netip.MustParseAddrPort("198.18.3.4:443")
	var s Summary
	n := uint64(0)
	add := func(at time.Duration, from Side, body Body) {
		n++
		s.Add(&Event{Time: opened.Add(at), T: at, Conn: 7, N: n, View: Wire, From: from, Body: body})
	}
	check := func(name, want string) {
		t.Helper()
		got, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}

	add(0, NoSide, &Open{Client: client, Server: server, Device: "syn0"})
	add(0, Client, &Segment{Flags: SYN})
	add(0, Client, &TCPState{Side: Client, Old: StateClosed, New: StateSynSent})
	add(1, Client, &Segment{Flags: SYN, Retransmit: true})
	add(2, Server, &Segment{Flags: SYN | ACK, SYNCookie: true})
	check("half open", `{"conn":7,"client":"198.18.0.1:50000","server":"198.18.3.4:443","device":"syn0","opened":"2026-11-25T10:00:00Z",`+
		`"open":true,"events":5,"tcp":{"client_state":"SYN-SENT","handshake_done":false,"segments":3,"bytes_client":0,"bytes_server":0,`+
		`"retransmits":1,"out_of_order":0,"drops":0,"syn_cookie":true,"duration":2},"tls":{"resumed":false,"hello_retry":false,"ech":false,"undecoded":0}}`)

	add(3, Server, &TCPState{Side: Server, Old: StateSynReceived, New: StateEstablished})
	add(4, Client, &Message{Type: ClientHelloType, ClientHello: &ClientHello{ServerName: "shop.example", JA4: "t13"}})
	add(5, Server, &Message{Type: ServerHelloType, ServerHello: &ServerHello{Version: VersionTLS13, CipherSuite: 0x1301}})
	if !s.TCP.HandshakeDone || s.TLS.State != TLSHandshake || s.TLS.Version != "TLS 1.3" || s.TLS.JA4 != "t13" || s.TLS.ServerName != "shop.example" {
		t.Errorf("in the TLS handshake: %+v", s)
	}
	add(6, Client, &Established{Version: VersionTLS13, CipherSuite: 0x1301, Group: 29, ServerName: "shop.example", Duration: 2})
	add(7, Client, &Alert{Level: "warning", Description: 0})
	if s.TLS.State != TLSEstablished || s.TLS.Group != "x25519" || s.Alert != "" {
		t.Errorf("established, and close_notify sent: %+v", s)
	}
	add(8, Server, &Alert{Level: "fatal", Description: 20})
	add(9, Client, &Alert{Level: "fatal", Description: 48})
	if s.Alert != "bad_record_mac" || s.AlertFrom != Server {
		t.Errorf("the alert is %q of the %v, want the first fatal one, bad_record_mac of the server", s.Alert, s.AlertFrom)
	}
	add(9, Client, &Failed{Side: Client, Code: CauseExpired, Cause: "why", Hint: "what to do"})
	add(9, NoSide, &Gap{Lost: 3})
	add(10, Client, &Drop{Reason: "x"})
	add(11, Client, &Close{How: "rst", Code: CauseReset, Cause: "it was reset", SegmentsSeen: 40, BytesClient: 5, RTT: 2, Duration: 11})
	if s.Open || s.TCP.How != "rst" || s.TCP.By != Client || s.TCP.Segments != 40 || s.TCP.Drops != 1 || s.Lost != 3 ||
		s.TLS.State != TLSBroken || s.TLS.FailedBy != Client || s.Code != CauseExpired || s.Cause != "why" || s.Hint != "what to do" || s.Events != n {
		t.Errorf("ended: %+v", s)
	}
}

// What goes wrong below TLS is told at the end only.
func TestSummaryOfRefusal(t *testing.T) {
	var s Summary
	s.Add(&Event{Body: &Close{How: "refused", Code: CauseRefused, Cause: "server refused", Hint: "look for it"}})
	if s.Code != CauseRefused || s.Cause != "server refused" || s.Hint != "look for it" {
		t.Errorf("%+v", s)
	}
}

// A failed handshake may be told of bytes that are not TLS at all.
func TestSummaryPlain(t *testing.T) {
	var s Summary
	s.Add(&Event{Body: &Undecoded{Reason: "not tls"}})
	if s.TLS.State != TLSPlain || s.TLS.Undecoded != 1 {
		t.Errorf("%+v", s.TLS)
	}
}

// An upstream leg has no segments: what is known of its TCP is the dial.
func TestSummaryOfUpstream(t *testing.T) {
	var s Summary
	server := netip.MustParseAddrPort("203.0.113.7:443")
	s.Add(&Event{Conn: 8, N: 1, Body: &Open{Server: server, Upstream: true, UpstreamOf: 7}})
	if !s.Upstream || s.UpstreamOf != 7 || s.TCP.HandshakeDone || s.Server != server {
		t.Errorf("%+v", s)
	}
	s.Add(&Event{Conn: 8, N: 2, Body: &Dialed{OK: true}})
	if !s.TCP.HandshakeDone || !s.Open {
		t.Errorf("connected: %+v", s)
	}
}

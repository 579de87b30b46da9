package filter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

func mustExpect(t *testing.T, expr string) *Expectation {
	t.Helper()
	x, err := CompileExpectation(expr)
	if err != nil {
		t.Fatalf("%s\n%v", expr, err)
	}
	return x
}

var twoConns = []*event.Summary{
	{Conn: 1, Client: clientAddr, Server: serverAddr, Alert: "unknown_ca", TLS: event.TLSSummary{State: event.TLSBroken, Version: "TLS 1.2"}},
	{Conn: 2, Client: clientAddr, Server: serverAddr, TLS: event.TLSSummary{State: event.TLSEstablished, Version: "TLS 1.3"}},
}

var threeEvents = []*event.Event{
	{Conn: 1, N: 1, View: event.Wire, From: event.Client, Body: &event.Segment{Flags: event.SYN}},
	{Conn: 1, N: 2, View: event.Wire, From: event.Server, Body: &event.Alert{Level: "fatal", Description: 48}},
	{Conn: 2, N: 1, View: event.Endpoint, From: event.Server, Body: &event.Established{Version: event.VersionTLS13}},
}

// An expectation of a run is over all its connections and events.
func TestExpectationOfRun(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want bool
	}{
		{`conns.exists(c, c.alert == "unknown_ca")`, true},
		{`conns.all(c, c.tls.version == "TLS 1.3")`, false},
		{`conns.filter(c, c.tls.state == "established").size() == 1`, true},
		{`conns.exists_one(c, c.conn == 2 && c.server == "198.18.3.4:443")`, true},
		{`conns.map(c, c.conn) == [1, 2]`, true},
		{`size(conns) == 2 && conns[1].tls.version == "TLS 1.3"`, true},
		{`conns[0] == conns[0] && conns[0] != conns[1]`, true},
		{`timeline.exists(e, e.kind == "tls.alert" && e.description == "unknown_ca" && e.from == "server")`, true},
		{`timeline.all(e, e.kind != "tcp.segment" || "SYN" in e.flags)`, true},
		{`conns.all(c, timeline.exists(e, e.conn == c.conn && e.kind == "tls.alert"))`, false},
		{`timeline.filter(e, e.conn == 1).size() == 2`, true},
	} {
		x := mustExpect(t, tt.expr)
		if !x.OfRun() || x.Timeline() != strings.Contains(tt.expr, "timeline") {
			t.Errorf("%s\nis of a run: %v, looks at the events: %v", tt.expr, x.OfRun(), x.Timeline())
		}
		if got, err := x.Met(twoConns, threeEvents); got != tt.want || err != nil {
			t.Errorf("%s\nis %v, %v, want %v", tt.expr, got, err, tt.want)
		}
	}
}

// An expectation of a connection is of one at a time, as a filter is.
func TestExpectationOfConnection(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want [2]bool
	}{
		{`tls.version == "TLS 1.3" && !tls.resumed`, [2]bool{false, true}},
		{`tcp.retransmits == 0`, [2]bool{true, true}},
		{`alert == "unknown_ca" || tls.state == "established"`, [2]bool{true, true}},
		{`open`, [2]bool{false, false}},
		{`true`, [2]bool{true, true}},
	} {
		x := mustExpect(t, tt.expr)
		if x.OfRun() {
			t.Errorf("%s is of a run", tt.expr)
		}
		for i, c := range twoConns {
			if got, err := x.MetBy(c); got != tt.want[i] || err != nil {
				t.Errorf("%s\nis %v, %v of connection %d, want %v", tt.expr, got, err, i+1, tt.want[i])
			}
		}
	}
}

// What cannot be decided is not met, and says why.
func TestExpectationUndecided(t *testing.T) {
	many := slices.Repeat([]*event.Summary{{}}, 10_000)
	for _, tt := range []struct {
		expr  string
		conns []*event.Summary
		want  string
	}{
		{`conns[2].open`, twoConns, "index out of bounds: 2"},
		{`timeline.exists(e, e.retransmit && e.alpn == "h2")`, twoConns, "no such field"},
		{`conns.all(c, conns.all(d, c.client == d.client))`, many, "too many steps"},
	} {
		met, err := mustExpect(t, tt.expr).Met(tt.conns, threeEvents)
		if met || err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\nis %v, %v, want %s", tt.expr, met, err, tt.want)
		}
	}
}

func TestExpectationMistakes(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`conns.exists(c, c.alrt == "unknown_ca")`, `column 19: unknown field "alrt"; did you mean "alert"?`},
		{`event.kind == "device"`, `column 1: unknown name "event"; write timeline.exists(event, …)`},
		{`timeline.exists(e, e.kind == "tls.alerts")`, `column 30: e.kind is never "tls.alerts"; did you mean "tls.alert"?`},
		{`timeline[0].view == "wired"`, `column 21: event.view is never "wired"; did you mean "wire"?`},
		{`tls.verson == "TLS 1.3"`, `column 5: unknown field "verson"; did you mean "version"?`},
		{`conns.size() == 1 && tls.resumed`, `column 22: "tls" is of one connection, and conns and timeline are of the run; write conns.all(c, …), or two expectations`},
		{`conns.size()`, `want an expression that is true or false, not one of type int`},
	} {
		_, err := CompileExpectation(tt.expr)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s\n%v\nwant %s", tt.expr, err, tt.want)
		}
	}
}

// The values are those that the expression asks for, once each.
func TestExpectationValues(t *testing.T) {
	s := &event.Summary{Server: serverAddr, Alert: "a\"\n", Opened: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
	s.TCP.RTT, s.TLS.Version, s.TLS.Resumed = 1500*time.Microsecond, "TLS 1.2", true
	for _, tt := range []struct {
		expr string
		want []string
	}{
		{`tls.version == "TLS 1.3" && !tls.resumed || tls.version == ""`, []string{`tls.version "TLS 1.2"`, "tls.resumed true"}},
		{`conns.all(c, c.alert == "" && c.tcp.rtt < duration("1ms"))`, []string{`alert "a\"\n"`, "tcp.rtt 1.5ms"}},
		{`opened < timestamp("2026-01-01T00:00:00Z") && events > 3`, []string{"opened 2026-01-02T03:04:05.000000006Z", "events 0"}},
		{`conns.filter(c, c.server.endsWith(":443")).exists(d, d.conn == 7)`, []string{`server "198.18.3.4:443"`, "conn 0"}},
		{`timeline.exists(e, e.kind == "tls.alert") && conns.size() == 1`, nil},
		{`tls == tls`, nil},
	} {
		var got []string
		for _, v := range mustExpect(t, tt.expr).Values(s) {
			got = append(got, v.Field+" "+v.Text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s\nasks for %q, want %q", tt.expr, got, tt.want)
		}
	}
}

package expect

import (
	"errors"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"synscope/event"
	"synscope/internal/filter"
)

// A talk is what is told of one connection, in short.
type talk struct {
	name, serverName string
	version          event.Version
	retransmits      uint64
	alert            event.AlertDescription
}

func (k talk) events(conn uint64) []*event.Event {
	server := netip.MustParseAddrPort("198.18.3.4:443")
	bodies := []event.Body{
		&event.Open{Client: netip.MustParseAddrPort("198.18.0.2:50000"), Server: server, Name: k.name},
		&event.Segment{Flags: event.SYN},
	}
	if k.alert != 0 {
		bodies = append(bodies, &event.Alert{Level: "fatal", Description: k.alert})
	}
	if k.version != 0 {
		bodies = append(bodies, &event.Established{Version: k.version, ServerName: k.serverName})
	}
	bodies = append(bodies, &event.Close{How: "fin", Retransmits: k.retransmits})
	var es []*event.Event
	for i, b := range bodies {
		es = append(es, &event.Event{Conn: conn, N: uint64(i + 1), Body: b})
	}
	return es
}

const unknownCA = 48

var (
	good   = talk{serverName: "shop.example", version: event.VersionTLS13}
	old    = talk{serverName: "old.example", version: event.VersionTLS12}
	failed = talk{name: "bad.example", alert: unknownCA}
)

// A failure is one line that names the connections and what they have.
func TestResults(t *testing.T) {
	for _, tt := range []struct {
		expr  string
		talks []talk
		want  string // "" if it is met
		conns []uint64
	}{
		{`tls.version == "TLS 1.3" && !tls.resumed`, []talk{good, good}, "", nil},
		{`tls.version == "TLS 1.3"`, []talk{good, old}, `#2 old.example has tls.version "TLS 1.2"`, []uint64{2}},
		{`tls.version == "TLS 1.3" && !tls.resumed`, []talk{old, failed},
			`#1 old.example has tls.version "TLS 1.2", tls.resumed false; #2 bad.example has tls.version "", tls.resumed false`, []uint64{1, 2}},
		{`tcp.retransmits == 0`, []talk{{retransmits: 2}}, `#1 198.18.3.4:443 has tcp.retransmits 2`, []uint64{1}},
		{`tcp.retransmits == 0`, nil, "there was no connection", nil},
		{`tls.resumed`, slices.Repeat([]talk{good}, 7),
			`#1 shop.example has tls.resumed false; #2 shop.example has tls.resumed false; #3 shop.example has tls.resumed false; ` +
				`#4 shop.example has tls.resumed false; and 3 more`, []uint64{1, 2, 3, 4}},
		{`false`, []talk{good}, "#1 shop.example is not so", []uint64{1}},
		{"tcp.retransmits /\n(tcp.retransmits - 2) == 1", []talk{{retransmits: 2}}, "#1 198.18.3.4:443: division by zero", []uint64{1}},

		{`conns.exists(c, c.alert == "unknown_ca")`, []talk{good, failed}, "", nil},
		{`conns.exists(c, c.alert == "unknown_ca")`, []talk{good, old}, `of 2 connections, #1 shop.example has alert ""; #2 old.example has alert ""`, []uint64{1, 2}},
		{`conns.exists(c, c.alert == "unknown_ca")`, nil, "there was no connection", nil},
		{`conns.size() == 0`, nil, "", nil},
		{`conns.size() == 1`, []talk{good, good}, "it is not so of 2 connections", []uint64{1, 2}},
		{`conns[1].open`, []talk{good}, "of 1 connection it cannot be said: index out of bounds: 1", nil},
		{`timeline.exists(e, e.kind == "tls.alert" && e.description == "unknown_ca")`, []talk{failed}, "", nil},
		{`timeline.exists(e, e.kind == "tls.alert")`, []talk{good}, "it is not so of 4 events of 1 connection", []uint64{1}},
		{`tls.server_name == "x"`, []talk{{serverName: "\x1b[31m\u202e" + strings.Repeat("x", 300), version: event.VersionTLS13}},
			`#1 \x1b[31m\u202e` + strings.Repeat("x", 64) + `.. has tls.server_name "\x1b[31m\u202e` + strings.Repeat("x", 63) + `..`, []uint64{1}},
	} {
		r, err := New([]string{tt.expr}, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range tt.talks {
			for _, e := range k.events(uint64(i + 1)) {
				r.Event(e)
			}
		}
		got := r.Results()[0]
		want := ""
		if tt.want != "" {
			want = "expected " + strings.ReplaceAll(tt.expr, "\n", " ") + ": " + tt.want
		}
		if got.Failure != want || !slices.Equal(got.Conns, tt.conns) || got.Expr != tt.expr {
			t.Errorf("%s\n%+v\nwant %s, connections %d", tt.expr, got, want, tt.conns)
		}
	}
}

// What was lost may be what would have disproved an expectation.
func TestLost(t *testing.T) {
	gap := &event.Event{Body: &event.Gap{Lost: 3, What: "packets", Reason: "the tracer's queue was full"}}
	manyConns := func(r *Recorder) {
		for id := range uint64(maxConns + 2) {
			r.Event(&event.Event{Conn: id + 1, Body: &event.Open{}})
		}
		r.Event(&event.Event{Conn: maxConns + 1, Body: &event.Close{}})
	}
	manyEvents := func(r *Recorder) {
		r.Event(&event.Event{Conn: 1, Body: &event.Open{}})
		for range maxEvents + 4 {
			r.Event(&event.Event{Conn: 1, Body: &event.Segment{}})
		}
	}
	gaps := func(r *Recorder) {
		r.Event(&event.Event{Conn: 1, Body: &event.Open{}})
		r.Event(gap)
		r.Event(gap)
	}
	for _, tt := range []struct {
		expr string
		run  func(*Recorder)
		want string
	}{
		{`tcp.retransmits == 0`, gaps, "it could not be decided: 6 packets were lost"},
		{`tcp.retransmits == 1`, gaps, "#1 has tcp.retransmits 0"},
		{`open`, manyConns, "it could not be decided: 2 connections after the first 16384 were not kept"},
		{`timeline.all(e, e.conn == 1)`, manyEvents, "it could not be decided: 5 events after the first 131072 were not kept"},
		{`open`, manyEvents, ""},
	} {
		r, err := New([]string{tt.expr}, true)
		if err != nil {
			t.Fatal(err)
		}
		tt.run(r)
		if got := r.Results()[0].Failure; !strings.HasSuffix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: %s\nwant %s", tt.expr, got, tt.want)
		}
	}
}

// Events are kept where they are asked for, and not else.
func TestKeep(t *testing.T) {
	for _, tt := range []struct {
		exprs []string
		keep  bool
		want  int
	}{
		{nil, false, 0},
		{nil, true, 5},
		{[]string{"open"}, false, 0},
		{[]string{"open", "timeline.size() > 0"}, false, 5},
	} {
		r, err := New(tt.exprs, tt.keep)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range append(good.events(1), failed.events(2)...) {
			r.Event(e)
		}
		if got := len(r.Events(2)); got != min(tt.want, 4) {
			t.Errorf("%q, %v: %d events are kept, want %d", tt.exprs, tt.keep, got, min(tt.want, 4))
		}
		if cs := r.Conns(); len(cs) != 2 || cs[1].Alert != "unknown_ca" {
			t.Errorf("the connections are %+v", cs)
		}
	}
}

// The expressions of docs/run.md compile.
func TestDoc(t *testing.T) {
	doc, err := os.ReadFile("../../docs/run.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range regexp.MustCompile("--expect '([^']+)'|(?m)^\\| over [^|]+: `([^`]+)` \\|").FindAllSubmatch(doc, -1) {
		n++
		if _, err := New([]string{string(m[1]) + string(m[2])}, false); err != nil {
			t.Error(err)
		}
	}
	if n < 5 {
		t.Errorf("only %d expressions were found", n)
	}
}

// A mistake is told with the expression that it is in.
func TestMistake(t *testing.T) {
	_, err := New([]string{"open", "opn"}, false)
	var mistake *Error
	var where filter.Errors
	if !errors.As(err, &mistake) || mistake.Expr != "opn" || !errors.As(err, &where) || where[0].Col != 1 {
		t.Errorf("got %v", err)
	}
}

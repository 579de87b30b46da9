package filter

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"synscope/event"
)

var (
	clientAddr = netip.MustParseAddrPort("198.18.0.1:50000")
	serverAddr = netip.MustParseAddrPort("198.18.3.4:443")
)

func (v verdict) String() string { return [...]string{"no", "yes", "undecided", "too costly"}[v] }

// What an event or the network does not have leaves undecided what needs it,
// and nothing else.
func TestMissing(t *testing.T) {
	segment := &event.Event{Body: &event.Segment{Flags: event.SYN | event.ACK}}
	established := &event.Summary{TLS: event.TLSSummary{State: event.TLSEstablished, Version: "TLS 1.3"}}
	for _, tt := range []struct {
		expr string
		s    *event.Summary
		want verdict
	}{
		{`event.type == "client_hello"`, nil, undecided},
		{`event.type != "client_hello"`, nil, undecided},
		{`!(event.type == "client_hello")`, nil, undecided},
		{`has(event.type) && event.type == "client_hello"`, nil, no},
		{`event.type == "client_hello" || event.kind == "tcp.segment"`, nil, yes},
		{`event.type == "client_hello" && event.kind == "tls.message"`, nil, no},
		{`event.kind == "tls.message" ? event.type == "client_hello" : true`, nil, yes},
		{`event.client_hello.server_name == "x"`, nil, undecided},
		{`has(event.client_hello)`, nil, no},
		{`has(event.options.ws)`, nil, no},
		{`event.options.ws == 7`, nil, undecided},
		{`event.options.mss == 0`, nil, yes},
		{`event.retransmit == false`, nil, yes},
		{`has(event.retransmit)`, nil, no},
		{`event.cause.by == "segment"`, nil, undecided},
		{`"SYN" in event.flags && !("FIN" in event.flags)`, nil, yes},
		{`event.flags == ["SYN", "ACK"]`, nil, yes},

		{`tls.version == "TLS 1.3"`, nil, undecided},
		{`tls.version == "TLS 1.3"`, established, yes},
		{`tls.version != "TLS 1.3" || event.kind == "tcp.segment"`, nil, yes},
		{`tls.version == "TLS 1.3" && event.kind == "device"`, nil, no},
		{`tls.resumed`, established, no},
		{`client == ""`, established, yes},
	} {
		wantVerdict(t, tt.expr, segment, tt.s, tt.want)
	}
}

// A field whose type depends on the kind of event has that of the event.
func TestKindsDiffer(t *testing.T) {
	state := &event.Event{Body: &event.TCPState{Cause: event.Cause{By: event.BySegment, N: 3}}}
	failed := &event.Event{Body: &event.Failed{Cause: "no common version"}}
	wantVerdict(t, `event.cause.by == "segment" && event.cause.n == 3 && has(event.cause.n) && !has(event.cause.what)`, state, nil, yes)
	wantVerdict(t, `event.cause == "no common version"`, failed, nil, yes)
	wantVerdict(t, `event.cause == "no common version"`, state, nil, no)
	wantVerdict(t, `event.cause.by == "segment"`, failed, nil, undecided)
}

// A mistake is told with its place, and what was probably meant.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ expr, want string }{
		{`tls.verson == "TLS 1.3"`, `column 5: unknown field "verson"; did you mean "version"?` + "\n" +
			`    tls.verson == "TLS 1.3"` + "\n" +
			`        ^`},
		{`event.kidn == "tls.alert"`, `column 7: unknown field "kidn"; did you mean "kind"?`},
		{`event.client_hello.srver_name == "x"`, `column 20: unknown field "srver_name"; did you mean "server_name"?`},
		{`event.certificate.chain.exists(c, c.subjct == "x")`, `column 37: unknown field "subjct"; did you mean "subject"?`},
		{`event.cause.bye == "segment"`, `column 13: unknown field "bye"; did you mean "by"?`},
		{`has(event.clint_hello)`, `column 11: unknown field "clint_hello"; did you mean "client_hello"?`},
		{`tlss.resumed`, `column 1: unknown name "tlss"; did you mean "tls"?`},
		{`kind == "tls.alert"`, `column 1: unknown name "kind"; did you mean "event.kind"?`},
		{`version == "TLS 1.3"`, `column 1: unknown name "version"; did you mean "event.version"?`},
		{`tcp.retransmits == 0 && unfit`, `column 25: unknown name "unfit"`},
		{`conns.exists(c, c.open)`, `column 1: unknown name "conns"; did you mean "conn"?`},
		{`event.kind == "tls.alerts"`, `column 15: event.kind is never "tls.alerts"; did you mean "tls.alert"?`},
		{`"wired" != event.view`, `column 1: event.view is never "wired"; did you mean "wire"?`},
		{`event.from in ["client", "sever"]`, `column 26: event.from is never "sever"; did you mean "server"?`},
		{`event.kind.startsWit("tls")`, `column 12: unknown name "startsWit"; did you mean "startsWith"?`},
		{`event.n == "3"`, `column 9: == does not take values of types (int, string)`},
		{`tcp.rtt > 10`, `column 9: > does not take values of types (duration, int); write a duration as duration("10ms")`},
		{`opened > "2026"`, `column 8: > does not take values of types (timestamp, string); write a time as timestamp("2026-11-25T10:00:00Z")`},
		{`event.flags == "SYN"`, `column 13: == does not take values of types (list(string), string); write "x" in LIST`},
		{`alert.name == "x"`, `column 6: a value of type string has no fields`},
		{`tls`, `want an expression that is true or false, not one of type object TLSSummary`},
		{`tcp.rtt`, `want an expression that is true or false, not one of type duration`},
		{`event.cause`, `want an expression that is true or false, not one of type dyn`},
		{`event.kind = "device"`, `column 12: unexpected "="; write ==`},
		{`tls.resumed and open`, `column 13: unexpected "and"; write &&`},
		{`alert == 'unknown_ca`, `column 10: a string has no end`},
		{`tls.resumed &&`, `column 15: the expression ends too early`},
		{``, `column 1: the expression ends too early`},
		{"open &&\n  ! tls.resumd", `line 2, column 9: unknown field "resumd"; did you mean "resumed"?` + "\n" +
			`      ! tls.resumd` + "\n" +
			`            ^`},
		{`tls.rtt == tcp.version`, `column 5: unknown field "rtt"` + "\n" +
			`    tls.rtt == tcp.version` + "\n" +
			`        ^` + "\n" +
			`column 16: unknown field "version"`},
		{`tcp.rtt > duration("10")`, `column 20: invalid duration argument`},
		{`alert.matches("(")`, `column 15: invalid matches argument`},
		{"open \x1b[31m", "column 6: "}, // and no excerpt
		{strings.Repeat("(", 100) + "open" + strings.Repeat(")", 100), `expression recursion limit exceeded: 64`},
		{strings.Repeat("open||", 2000) + "open", `expression code point size exceeds limit`},
	} {
		_, err := Compile(tt.expr)
		if err == nil {
			t.Errorf("%.80s\ncompiles, want the error %s", tt.expr, tt.want)
			continue
		}
		if !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%.80s\n got %v\nwant %s", tt.expr, err, tt.want)
		}
		if strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%q\nputs an escape into the error %q", tt.expr, err)
		}
	}
}

// What a filter uses decides when it can decide.
func TestUses(t *testing.T) {
	for _, tt := range []struct {
		expr        string
		event, conn bool
	}{
		{`event.kind == "device"`, true, false},
		{`event.conn == 7`, true, false},
		{`conn == 7`, false, true},
		{`tls.resumed && event.n == 1`, true, true},
		{`true`, false, false},
	} {
		if f := mustCompile(t, tt.expr); f.event != tt.event || f.conn != tt.conn {
			t.Errorf("%s: uses the event %v, the connection %v", tt.expr, f.event, f.conn)
		}
	}
}

// An evaluation that takes too long is given up.
func TestCost(t *testing.T) {
	suites := make([]event.CipherSuite, 1000)
	e := &event.Event{Body: &event.Message{ClientHello: &event.ClientHello{CipherSuites: suites}}}
	wantVerdict(t, `event.client_hello.cipher_suites.all(x, x == "TLS_NULL_WITH_NULL_NULL")`, e, nil, yes)
	wantVerdict(t, `event.client_hello.cipher_suites.all(x, event.client_hello.cipher_suites.all(y, x == y))`, e, nil, costly)
}

// A filter is shared between goroutines.
func TestShared(t *testing.T) {
	f := mustCompile(t, `event.level == "fatal" && alert.startsWith("un") && event.frames.exists(n, n == 3)`)
	s := &event.Summary{Alert: "unknown_ca"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			r := f.newRow()
			for i := range 200 {
				e := &event.Event{Body: &event.Alert{Level: "fatal", Frames: []uint64{3}}}
				want := yes
				if i%2 == 0 {
					e, want = &event.Event{Body: &event.Device{}}, undecided
				}
				if got := f.decide(r, e, s); got != want {
					t.Errorf("%v, want %v", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func ExampleCompile() {
	_, err := Compile(`tls.verson == "TLS 1.3"`)
	fmt.Println(err)
	// Output:
	// column 5: unknown field "verson"; did you mean "version"?
	//     tls.verson == "TLS 1.3"
	//         ^
}

package filter

import (
	"errors"
	"testing"
	"unicode/utf8"

	"synscope/event"
)

// No expression makes the compiler or an evaluation crash or hang, and every
// mistake has a place in the expression, if any.
func FuzzFilter(f *testing.F) {
	for _, expr := range []string{
		`event.kind == "tls.alert" && tls.version == "TLS 1.3"`,
		`event.client_hello.cipher_suites.exists(s, s.startsWith("TLS_AES")) ? tls.resumed : open`,
		`"SYN" in event.flags || tcp.rtt > duration("10ms") || opened < timestamp("2026-01-01T00:00:00Z")`,
		`has(event.cause.by) && event.cause != "x" && event.frames.map(x, x * 2) == [2u, 4.0]`,
		"tls.verson == 'a'\n&& alert.matches('(')",
		`event == event && tls == tls && [event][0].n > 1 && {"a": event}.a.from == ""`,
		`type(tls) == type(event) && string(event) == "" && dyn(event).kind == "" && dyn(tls)["version"] == ""`,
		`conns.exists(c, c.alert == "unknown_ca" && timeline.all(e, e.conn != c.conn || has(e.flags)))`, `conns[0].tls == timeline`,
		`event.kind = "x" and not open`, `((((`, `'`, "\x00", `event.é == "ü`, `1/0 == event.n || bytes(alert) == b"\xff"`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		filter, err := Compile(expr)
		x, errExpect := CompileExpectation(expr)
		if errExpect == nil {
			x.Met(twoConns, threeEvents)
			x.MetBy(twoConns[0])
			x.Values(twoConns[0])
		}
		for _, err := range []error{err, errExpect} {
			var mistakes Errors
			if err == nil {
				continue
			}
			if !errors.As(err, &mistakes) || len(mistakes) == 0 {
				t.Fatalf("%q: %v is not a list of mistakes", expr, err)
			}
			for _, m := range mistakes {
				if m.Line < 0 || m.Line > len(m.source) || m.Line > 0 && (m.Col < 1 || m.Col > utf8.RuneCountInString(m.source[m.Line-1])+1) {
					t.Errorf("%q: line %d, column %d: %s", expr, m.Line, m.Col, m.Msg)
				}
			}
		}
		if err != nil {
			return
		}
		g := NewGate(filter, nowhere{}, false)
		for _, e := range handshake(1) {
			g.Event(e)
		}
		for _, e := range handshake(2)[:7] {
			g.Event(e)
		}
		g.Event(&event.Event{Body: &event.Failed{Cause: "x"}})
		g.Flush()
	})
}

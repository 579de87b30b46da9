package synscopetest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synscope/event"
	"synscope/stack"
	"synscope/synscopetest"
	"synscope/tlsbridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// t stands for the test that the examples are part of.
var t printer

// A printer is a test that prints the first line of each error.
type printer struct{ testing.TB }

func (printer) Helper()                  {}
func (printer) Cleanup(func())           {} // the examples close what they made
func (printer) Context() context.Context { return context.Background() }
func (printer) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (printer) Fatalf(f string, args ...any) {
	panic(fmt.Sprintf(f, args...))
}
func (printer) Errorf(f string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(f, args...), "\n")
	fmt.Println("Error:", line)
}

// A recorder is a test whose failures are looked at by another.
type recorder struct {
	testing.TB
	failures []string
	cleanups []func()
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(f, args...))
}

func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

func dial(t *testing.T, s *synscopetest.Network, network, address string) net.Conn {
	t.Helper()
	c, err := s.DialContext(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// What the client side closed is told to its end.
func TestConnsHaveEnded(t *testing.T) {
	t.Parallel()
	s := synscopetest.New(t, synscopetest.Config{Service: tlsbridge.Echo()})
	for i := range 20 {
		network := []string{"tcp", "tcp4", "tcp6"}[i%3]
		c := tls.Client(dial(t, s, network, "shop.example:443"), &tls.Config{RootCAs: s.Roots(), ServerName: "shop.example"})
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		conns := s.Conns()
		if len(conns) != i+1 {
			t.Fatalf("%d connections, want %d", len(conns), i+1)
		}
		if last := conns[i]; last.Open || last.TLS.State != event.TLSEstablished || last.TCP.How == "" || last.Server.Addr().Is6() != (network == "tcp6") {
			t.Errorf("the last connection is %+v", last)
		}
	}
	if n := len(s.Timeline()); n < 20*15 {
		t.Errorf("only %d events", n)
	}
	s.Expect(`tcp.retransmits == 0 && tls.version == "TLS 1.3"`)
	s.Expect(`conns.size() == 20 && conns.all(c, timeline.exists(e, e.conn == c.conn && e.kind == "conn.close"))`)
}

// Bytes come through as they were sent, many at once.
func TestTransfer(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	s := synscopetest.New(t, synscopetest.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			resp, err := s.Client().Post(fmt.Sprintf("https://host%d.example/", i), "text/plain", strings.NewReader(big))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); string(got) != big {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	s.Expect(`conns.size() == 8`)
}

// A session is resumed by a client that keeps tickets.
func TestResumption(t *testing.T) {
	t.Parallel()
	s := synscopetest.New(t, synscopetest.Config{Service: tlsbridge.Echo()})
	cfg := s.TLSConfig()
	cfg.ServerName, cfg.ClientSessionCache = "shop.example", tls.NewLRUClientSessionCache(1)
	for range 2 {
		c := tls.Client(dial(t, s, "tcp", "shop.example:443"), cfg)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		io.ReadFull(c, make([]byte, 1)) // the ticket comes before it
		c.Close()
	}
	s.Expect(`conns.map(c, c.tls.resumed) == [false, true]`)
}

// Ports are refused or silent as the policy says, and clients see that as of a
// kernel.
func TestPolicy(t *testing.T) {
	t.Parallel()
	s := synscopetest.New(t, synscopetest.Config{Policy: func(_, server netip.AddrPort) stack.Verdict {
		return map[uint16]stack.Verdict{81: stack.Refuse, 82: stack.Silence}[server.Port()]
	}})
	if _, err := s.DialContext(t.Context(), "tcp", "shop.example:81"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.DialContext(ctx, "tcp", "shop.example:82"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}
	s.Expect(`conns.exists(c, c.tcp.how == "refused" && c.server.endsWith(":81"))`)
	s.Expect(`timeline.exists(e, e.kind == "tcp.drop" && e.reason == "silence by policy")`)
}

func TestDialMistakes(t *testing.T) {
	t.Parallel()
	s := synscopetest.New(t, synscopetest.Config{})
	for _, tt := range []struct{ network, address, want string }{
		{"udp", "shop.example:53", "unknown network udp"},
		{"tcp", "shop.example", "missing port"},
		{"tcp", "shop.example:htpps", "unknown port"},
		{"tcp", ":80", "no such host"},
	} {
		var op *net.OpError
		if _, err := s.DialContext(t.Context(), tt.network, tt.address); !errors.As(err, &op) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("dial %s %s: %v, want %s", tt.network, tt.address, err, tt.want)
		}
	}
}

// The failure of an expectation has the ladder; a connection that is left open
// fails the test.
func TestFailures(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	s := synscopetest.New(r, synscopetest.Config{Service: tlsbridge.Echo()})
	c := dial(t, s, "tcp", "198.18.3.4:7")
	defer c.Close()
	fmt.Fprint(c, "x")
	io.ReadFull(c, make([]byte, 1)) // the endpoint has the connection now
	if s.Expect(`tcp.handshake_done`); s.Expect(`tls.state == "established"`) {
		t.Error("an expectation that is not met holds")
	}
	r.end()
	want := []string{`expected tls.state == "established": #1 198.18.3.4:7 has tls.state "plain"`, "synscopetest: the test left connections open: 198.18.3.4:7"}
	if len(r.failures) != 2 || !strings.HasPrefix(r.failures[0], want[0]) || r.failures[1] != want[1] {
		t.Fatalf("the test failed with %q, want %q", r.failures, want)
	}
	if !strings.Contains(r.failures[0], "SYN-RECEIVED") {
		t.Errorf("there is no ladder:\n%s", r.failures[0])
	}
	if err := s.Close(); err == nil {
		t.Error("Close has forgotten its error")
	}
}

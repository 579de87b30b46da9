package tlsbridge

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synscope/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// authority is shared by the tests: making RSA keys takes its time.
var authority = sync.OnceValue(func() *Authority {
	a, err := NewAuthority()
	if err != nil {
		panic(err)
	}
	return a
})

func roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(authority().Certificate())
	return pool
}

// A recorder is an Observer that remembers.
type recorder struct {
	mu      sync.Mutex
	starts  int
	secrets []secret
	steps   []event.TLSStep
	flows   map[event.Flow]int // steps of each flow
	ends    []error
}

type secret struct {
	label, random, value string
	candidate            bool
}

func (r *recorder) TLSStart(event.Flow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts++
}

func (r *recorder) Secret(_ event.Flow, label string, random, value []byte, candidate bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret{label, fmt.Sprintf("%x", random), fmt.Sprintf("%x", value), candidate})
}

func (r *recorder) Step(flow event.Flow, s event.TLSStep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flows == nil {
		r.flows = make(map[event.Flow]int)
	}
	r.flows[flow]++
	r.steps = append(r.steps, s)
}

func (r *recorder) TLSEnd(_ event.Flow, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends = append(r.ends, err)
}

func (r *recorder) Upstream(event.Flow, event.Dial) UpstreamObserver { return nobody{} }

func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts, r.secrets, r.steps, r.flows, r.ends = 0, nil, nil, nil, nil
}

// find returns the steps of that name.
func (r *recorder) find(step string) []event.TLSStep {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []event.TLSStep
	for _, s := range r.steps {
		if s.Step == step {
			found = append(found, s)
		}
	}
	return found
}

// want fails the test unless there is exactly one step of that name, with that
// outcome, whose detail or error contains text.
func (r *recorder) want(t *testing.T, step string, ok bool, text string) event.TLSStep {
	t.Helper()
	found := r.find(step)
	if len(found) != 1 {
		t.Fatalf("steps %q = %+v, want one", step, found)
	}
	s := found[0]
	if s.OK != ok || !strings.Contains(s.Detail+" "+s.Error, text) {
		t.Errorf("step %q = %+v, want ok %v and %q", step, s, ok, text)
	}
	return s
}

// A fixture is a server on a loopback port.
type fixture struct {
	*Server
	t    *testing.T
	addr string
	seen *recorder
}

// start serves with config until the end of the test. Authority and Observer
// are set if they are not.
func start(t *testing.T, config Config) *fixture {
	t.Helper()
	f := &fixture{t: t, seen: new(recorder)}
	if config.Authority == nil {
		config.Authority = authority()
	}
	config.Observer = f.seen
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v after Close, want nil", err)
		}
	})
	return f
}

// service is a configuration in which every connection gets s under conf.
func service(s Service, conf *TLSConfig) Config {
	return Config{Select: func(event.Flow, string) Endpoint { return Endpoint{s, conf} }}
}

// stop lets the connections come to their end.
func (f *fixture) stop() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		f.t.Errorf("Shutdown: %v", err)
	}
}

// dial opens a plain connection that the test closes.
func (f *fixture) dial() *net.TCPConn {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// dialTLS opens a TLS connection and returns the client's error. Without
// RootCAs and ServerName in conf, the certificate of the address is verified.
func (f *fixture) dialTLS(conf *tls.Config) (*tls.Conn, error) {
	f.t.Helper()
	conf = conf.Clone()
	if conf.RootCAs == nil {
		conf.RootCAs = roots()
	}
	if conf.ServerName == "" {
		conf.ServerName = "127.0.0.1"
	}
	c := tls.Client(f.dial(), conf)
	err := c.Handshake()
	if err != nil {
		c.Close()
	}
	return c, err
}

func (f *fixture) mustDialTLS(conf *tls.Config) *tls.Conn {
	f.t.Helper()
	c, err := f.dialTLS(conf)
	if err != nil {
		f.t.Fatalf("client handshake: %v", err)
	}
	return c
}

// wantEcho fails the test unless what is sent comes back.
func wantEcho(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("echo = %q, %v, want %q", b, err, text)
	}
}

// wantEOF fails the test unless the server closed in order.
func wantEOF(t *testing.T, c io.Reader) {
	t.Helper()
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("reading = %d bytes, %v, want the end, and no reset", n, err)
	}
}

func TestServeConnNeedsNoListener(t *testing.T) {
	s, err := New(service(Echo(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Authority().Certificate())
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(context.Background(), there)
	}()
	// A pipe has no addresses: the certificate is for localhost.
	c := tls.Client(here, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	wantEcho(t, c, "through a pipe")
	c.Close()
	<-done
}

func TestServeConnEndsWithItsContext(t *testing.T) {
	s, err := New(service(Echo(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	here, there := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(ctx, there)
	}()
	wantEcho(t, here, "x")
	cancel()
	<-done
	wantEOF(t, here)
	s.Close()
	here, there = net.Pipe()
	s.ServeConn(context.Background(), there) // closed at once
	wantEOF(t, here)
}

func TestShutdownClosesIdleConnectionsInOrder(t *testing.T) {
	for _, name := range []string{"mirror", "echo", "discard", "chargen"} {
		t.Run(name, func(t *testing.T) {
			svc, err := ServiceByName(name)
			if err != nil {
				t.Fatal(err)
			}
			f := start(t, service(svc, nil))
			silent := f.dial()
			fresh := f.mustDialTLS(&tls.Config{})
			closed := make(chan error, 2)
			for _, c := range []io.Reader{silent, fresh} {
				go func() {
					_, err := io.Copy(io.Discard, c)
					closed <- err
					c.(io.Closer).Close()
				}()
			}
			f.stop()
			for range 2 {
				if err := <-closed; err != nil {
					t.Errorf("the client read %v, want EOF", err)
				}
			}
		})
	}
}

func TestShutdownLetsAnswersFinish(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			story := &slowStory{asked: make(chan struct{}), answer: make(chan struct{})}
			config := service(Mirror(), nil)
			config.Story = story
			f := start(t, config)
			client := httpClient(t, proto)
			got := make(chan string, 1)
			go func() {
				r, err := client.Get("https://" + f.addr)
				if err != nil {
					got <- err.Error()
					return
				}
				defer r.Body.Close()
				b, _ := io.ReadAll(r.Body)
				got <- r.Proto + " " + string(b)
				client.CloseIdleConnections()
			}()
			<-story.asked
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				f.stop()
			}()
			for !f.isClosing() {
				time.Sleep(time.Millisecond)
			}
			close(story.answer)
			if b := <-got; !strings.HasSuffix(b, "slow but sure") {
				t.Errorf("answer during shutdown = %q", b)
			}
			<-stopped
		})
	}
}

type slowStory struct{ asked, answer chan struct{} }

func (s *slowStory) Text(ctx context.Context, _ event.Flow) ([]byte, error) {
	close(s.asked)
	select {
	case <-s.answer:
		return []byte("slow but sure"), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *slowStory) JSON(context.Context, event.Flow) ([]byte, error) { return nil, nil }

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	f := start(t, Config{})
	stuck := f.dial()
	io.WriteString(stuck, "\x16\x03\x01") // begins a handshake, and leaves it there
	for len(f.speaking()) == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := f.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v, want its context's error", err)
	}
	if _, err := stuck.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

// speaking returns the connections from which something was read.
func (f *fixture) speaking() []*conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	var spoke []*conn
	for c := range f.conns {
		c.mu.Lock()
		if c.spoke {
			spoke = append(spoke, c)
		}
		c.mu.Unlock()
	}
	return spoke
}

// A failing is a listener that fails in the given ways, one after the other.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func (f *failing) Close() error { return nil }

func TestServeOutlivesAShortageOnly(t *testing.T) {
	s, err := New(Config{Authority: authority()})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	shortage := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	if err := s.Serve(&failing{errs: []error{shortage, broken}}); err != broken {
		t.Errorf("Serve = %v, want the error after the shortage", err)
	}
	if err := s.Serve(&failing{errs: []error{net.ErrClosed}}); err != nil {
		t.Errorf("Serve = %v of a closed listener, want nil", err)
	}
	s.Close()
	if err := s.Serve(&failing{}); err != nil {
		t.Errorf("Serve = %v of a closed server, want nil, at once", err)
	}
}

func TestReconfigureIsForNewConnections(t *testing.T) {
	f := start(t, service(Echo(), nil))
	old := f.dial()
	wantEcho(t, old, "before")
	if err := f.Reconfigure(service(Discard(), nil)); err != nil {
		t.Fatal(err)
	}
	wantEcho(t, old, "after")
	fresh := f.dial()
	io.WriteString(fresh, "is gone")
	fresh.CloseWrite()
	wantEOF(t, fresh)
	if err := f.Reconfigure(Config{IdleTimeout: -1}); err == nil {
		t.Error("a negative timeout was accepted")
	}
}

func TestSelectSeesNameAndFlow(t *testing.T) {
	type asked struct {
		flow event.Flow
		name string
	}
	seen := make(chan asked, 4)
	f := start(t, Config{Select: func(flow event.Flow, name string) Endpoint {
		seen <- asked{flow, name}
		return Endpoint{Service: Echo()}
	}})
	c := f.mustDialTLS(&tls.Config{ServerName: "shop.example"})
	a := <-seen
	if a.name != "shop.example" || a.flow.Client.String() != c.LocalAddr().String() || a.flow.Server.String() != f.addr {
		t.Errorf("Select was asked for %v %q", a.flow, a.name)
	}
	p := f.dial()
	io.WriteString(p, "plain")
	if a := <-seen; a.name != "" || a.flow.Client.String() != p.LocalAddr().String() {
		t.Errorf("Select was asked for %v %q, want the plain connection and no name", a.flow, a.name)
	}
}

// httpClient returns a client that trusts the authority and speaks proto.
func httpClient(t *testing.T, proto string) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots()}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(proto == "http/1.1")
	tr.Protocols.SetHTTP2(proto == "h2")
	tr.Protocols.SetUnencryptedHTTP2(proto == "h2c")
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// get sends one request over c and returns the answer.
func get(t *testing.T, c net.Conn, request string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return answer(t, bufio.NewReader(c))
}

func answer(t *testing.T, r *bufio.Reader) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

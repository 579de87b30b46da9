package outside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synscope/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	client = netip.MustParseAddrPort("198.18.0.2:40000")
	server = netip.MustParseAddrPort("203.0.113.7:443")
)

// An answer is what Dial's done was told.
type answer struct {
	result Result
	err    error
}

// ask dials for a flow, and returns where the answer will be.
func ask(d *Dialer, f event.Flow) chan answer {
	c := make(chan answer, 1)
	d.Dial(f, func(r Result, err error) { c <- answer{r, err} })
	return c
}

// How the kernel's dial ends says how the client is to be answered.
func TestResults(t *testing.T) {
	for err, want := range map[error]Result{
		nil:                                    Connected,
		syscall.ECONNREFUSED:                   Refused,
		syscall.ECONNRESET:                     Refused,
		syscall.ENETUNREACH:                    NetUnreachable,
		syscall.EHOSTUNREACH:                   HostUnreachable,
		syscall.EPERM:                          HostUnreachable,
		syscall.ETIMEDOUT:                      Silent,
		syscall.EMFILE:                         Silent,
		os.ErrDeadlineExceeded:                 Silent,
		&net.OpError{Err: syscall.ENETUNREACH}: NetUnreachable,
	} {
		if got := resultOf(err); got != want {
			t.Errorf("%v is %d, want %d", err, got, want)
		}
	}
}

func TestDialRefusesLoopback(t *testing.T) {
	dialled := make(chan netip.AddrPort, 1)
	d := &Dialer{
		Loopback: map[netip.Addr]netip.Addr{netip.MustParseAddr("198.18.0.3"): netip.MustParseAddr("127.0.0.1")},
		dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			dialled <- to
			return nil, syscall.ECONNREFUSED
		},
	}
	defer d.Close()
	for _, a := range []string{"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"} {
		f := event.Flow{Client: client, Server: netip.AddrPortFrom(netip.MustParseAddr(a), 22)}
		if got := <-ask(d, f); got.result != Refused || got.err != ErrLoopback {
			t.Errorf("%s: %+v", a, got)
		}
	}
	f := event.Flow{Client: client, Server: netip.MustParseAddrPort("198.18.0.3:22")}
	if got := <-ask(d, f); got.result != Refused || got.err == ErrLoopback || <-dialled != netip.MustParseAddrPort("127.0.0.1:22") {
		t.Errorf("the address that leads there: %+v", got)
	}
}

// A connection that was made is kept for the client's, and for no other.
func TestClaim(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	alias := netip.AddrPortFrom(server.Addr(), to.Port())
	var told event.Dial
	d := &Dialer{
		Loopback: map[netip.Addr]netip.Addr{server.Addr(): to.Addr()},
		Name:     func(netip.Addr) string { return "shop.example" },
		Dialled:  func(_ event.Flow, d event.Dial, conn net.Conn) net.Conn { told = d; return conn },
	}
	defer d.Close()
	f := event.Flow{Client: client, Server: alias}
	if got := <-ask(d, f); got.result != Connected {
		t.Fatalf("%+v", got)
	}
	if told.Name != "shop.example" || told.Flow.Server != alias || told.Flow.Client.Addr() != to.Addr() || told.Err != nil {
		t.Errorf("told is %+v", told)
	}
	if d.Claim(event.Flow{Client: server, Server: alias}) != nil {
		t.Error("another connection got it")
	}
	conn := d.Claim(f)
	if conn == nil {
		t.Fatal("it is gone")
	}
	conn.Close()
	if d.Claim(f) != nil {
		t.Error("it is there twice")
	}
}

// pipes are dials that are connected, and tell when they are closed.
func pipes(closed chan<- bool) func(context.Context, netip.AddrPort) (net.Conn, error) {
	return func(context.Context, netip.AddrPort) (net.Conn, error) {
		a, b := net.Pipe()
		return &pipe{Conn: a, other: b, closed: closed}, nil
	}
}

type pipe struct {
	net.Conn
	other  net.Conn
	once   sync.Once
	closed chan<- bool
}

func (p *pipe) Close() error {
	p.once.Do(func() {
		p.other.Close()
		p.closed <- true
	})
	return p.Conn.Close()
}

// What is not claimed is closed: after a while, when it is dropped, by the next
// dial of the same flow, and by Close.
func TestUnclaimed(t *testing.T) {
	f := event.Flow{Client: client, Server: server}
	closed := make(chan bool, 3)
	d := &Dialer{dial: pipes(closed), Keep: time.Millisecond}
	<-ask(d, f)
	<-closed
	if d.Claim(f) != nil {
		t.Error("it is there after it was closed")
	}
	d.Close()

	d = &Dialer{dial: pipes(closed)}
	d.Drop(f) // of nothing
	<-ask(d, f)
	d.Drop(f)
	<-closed
	<-ask(d, f)
	<-ask(d, f)
	<-closed
	if d.Claim(f) == nil {
		t.Error("the second is not there")
	}
	<-ask(d, f)
	d.Close()
	<-closed
}

// hang is a dial that nobody answers.
func hang(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Nobody is dialled for ever, nor after Close.
func TestSilence(t *testing.T) {
	f := event.Flow{Client: client, Server: server}
	d := &Dialer{dial: hang, Timeout: time.Millisecond}
	if got := <-ask(d, f); got.result != Silent || !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("%+v", got)
	}
	d.Close()
	d = &Dialer{dial: hang}
	pending := ask(d, f)
	d.Close()
	for what, c := range map[string]chan answer{"pending": pending, "late": ask(d, f)} {
		if got := <-c; got.result != Silent || got.err != (givenUp{}) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	d.Close() // waits for the late one
}

func TestDialsAreBounded(t *testing.T) {
	d := &Dialer{dial: hang}
	var pending []chan answer
	for i := range maxDials {
		pending = append(pending, ask(d, event.Flow{Client: netip.AddrPortFrom(client.Addr(), uint16(i+1)), Server: server}))
	}
	if got := <-ask(d, event.Flow{Client: client, Server: server}); got.result != Silent || got.err != ErrTooMany {
		t.Errorf("one more: %+v", got)
	}
	d.Close()
	for _, c := range pending {
		<-c
	}
}

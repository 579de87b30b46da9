package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A job is what the client is to do, in a process of its own in the client's
// namespace. It comes as JSON on the standard input.
type job struct {
	Kind    string        // handshake, connect, download, upload, echo, idle or ready
	Port    int           // of the server, on each of its addresses
	TLS     bool          // of download, upload and echo
	Version uint16        // of TLS, exactly; 0: TLS 1.3
	Group   tls.CurveID   // that must be chosen, the first offered; 0: the first of the defaults of crypto/tls
	Resume  bool          // every connection resumes the one before
	Byte    bool          // of connect: a byte is echoed before the end
	AtOnce  int           // connections at a time; of idle: in all
	Warmup  time.Duration // before the window
	Window  time.Duration // what is measured
	Settle  time.Duration // of idle: from the last handshake to the reading of memory
	Lenient bool          // count operations that fail, and go on
	Roots   string        // PEM file of the authority that the server must have
	Servers []int         // process ids, whose CPU time and memory are told
}

// A result is what one job measured.
type result struct {
	Count     float64 `json:"count"`              // operations that ended in the window, or bytes moved in it
	Seconds   float64 `json:"seconds"`            // of the window
	ClientCPU float64 `json:"clientCPU"`          // CPU seconds in the window
	ServerCPU float64 `json:"serverCPU"`          // CPU seconds in the window, of all processes of the server
	P50       float64 `json:"p50,omitempty"`      // of the operations' latency, µs
	P99       float64 `json:"p99,omitempty"`      // µs
	Resident  float64 `json:"resident,omitempty"` // bytes of the server after idle
	Failed    int     `json:"failed,omitempty"`   // operations
	Failure   string  `json:"failure,omitempty"`  // of the first of them
	Group     string  `json:"group,omitempty"`    // of the key exchange
	SentSYNs  int     `json:"sentSYNs,omitempty"` // by the flood meanwhile
	Rejected  string  `json:"rejected,omitempty"` // why there is no such measurement of this server
}

// opTimeout bounds one operation, a whole handshake say.
const opTimeout = 10 * time.Second

// runClient is the main program of the client.
func runClient() error {
	var c client
	if err := json.NewDecoder(os.Stdin).Decode(&c.job); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	r, err := c.run()
	var other otherGroup
	if errors.As(err, &other) {
		r, err = result{Rejected: other.Error()}, nil
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// A client does one job.
type client struct {
	job
	roots *x509.CertPool
	next  atomic.Uint32 // counts connections, for the server's address
	group atomic.Uint32 // tls.CurveID of the last handshake
}

func (c *client) run() (result, error) {
	if c.Kind == "ready" {
		return result{}, c.awaitServer()
	}
	if c.Roots != "" {
		pem, err := os.ReadFile(c.Roots)
		if err != nil {
			return result{}, err
		}
		c.roots = x509.NewCertPool()
		if !c.roots.AppendCertsFromPEM(pem) {
			return result{}, fmt.Errorf("%s: no certificate", c.Roots)
		}
	}
	switch c.Kind {
	case "handshake":
		return c.repeat(c.handshakes)
	case "connect":
		return c.repeat(c.connects)
	case "echo":
		return c.repeat(c.echoes)
	case "download", "upload":
		return c.transfer()
	case "idle":
		return c.idle()
	}
	return result{}, fmt.Errorf("unknown kind of job %q", c.Kind)
}

// dial connects to the server's next address: with many, ephemeral ports do not
// run out.
func (c *client) dial() (*net.TCPConn, error) {
	n := c.next.Add(1)
	d := net.Dialer{Timeout: opTimeout, KeepAlive: -1}
	conn, err := d.Dial("tcp4", fmt.Sprintf("%s.%d:%d", serverNet, 1+n%serverAddresses, c.Port))
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// awaitServer returns when the server accepts connections.
func (c *client) awaitServer() error {
	deadline := time.Now().Add(startTimeout)
	for {
		d := net.Dialer{Timeout: 200 * time.Millisecond}
		conn, err := d.Dial("tcp4", fmt.Sprintf("%s.1:%d", serverNet, c.Port))
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server is not ready after %v: %w", startTimeout, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *client) tlsConfig() *tls.Config {
	t := &tls.Config{ServerName: serverName, RootCAs: c.roots, MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13}
	if c.Version != 0 {
		t.MinVersion, t.MaxVersion = c.Version, c.Version
	}
	if c.Group != 0 {
		// P-256 is offered for the certificate: of TLS 1.2, OpenSSL wants it.
		t.CurvePreferences = []tls.CurveID{c.Group, tls.CurveP256}
	}
	if c.Resume {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return t
}

// otherGroup is the error of a server that chose another key exchange group
// than the one to be measured.
type otherGroup struct{ got, want tls.CurveID }

func (e otherGroup) Error() string { return fmt.Sprintf("%v, it has no %v", e.got, e.want) }

// shake makes a TLS connection and verifies that it is of the kind asked for.
func (c *client) shake(config *tls.Config) (*tls.Conn, error) {
	raw, err := c.dial()
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(opTimeout))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	s, want := conn.ConnectionState(), c.Group
	c.group.Store(uint32(s.CurveID))
	if want == 0 {
		want = tls.X25519MLKEM768
	}
	if s.CurveID != want {
		raw.Close()
		return nil, otherGroup{s.CurveID, want}
	}
	return conn, nil
}

// An operation is repeated by a worker. It returns how long took what counts of
// it. The first one of a worker is preparation.
type operation func() (time.Duration, error)

// handshakes returns an operation that makes one connection with one handshake
// and ends it in order, so that the server has seen the client's Finished. The
// latency is from before connect(2) to the client's end of the handshake.
func (c *client) handshakes() (operation, func(), error) {
	config := c.tlsConfig()
	first := true
	return func() (time.Duration, error) {
		start := time.Now()
		conn, err := c.shake(config)
		if err != nil {
			return 0, err
		}
		took := time.Since(start)
		resumed := conn.ConnectionState().DidResume
		if resumed != c.Resume && !first {
			conn.NetConn().Close()
			return 0, fmt.Errorf("resumed: %v, want %v", resumed, c.Resume)
		}
		first = false
		return took, closeInOrder(conn)
	}, func() {}, nil
}

// closeInOrder sends close_notify and FIN, and reads until the server has closed
// too: it is the client that has to stay in TIME-WAIT, whoever the server is.
func closeInOrder(conn *tls.Conn) error {
	raw := conn.NetConn().(*net.TCPConn)
	defer raw.Close()
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if err := raw.CloseWrite(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, io.ErrUnexpectedEOF) { // a FIN without close_notify
		return nil
	}
	return err
}

// connects returns an operation that makes and ends a TCP connection.
func (c *client) connects() (operation, func(), error) {
	return func() (time.Duration, error) {
		start := time.Now()
		conn, err := c.dial()
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		conn.SetDeadline(start.Add(opTimeout))
		if c.Byte {
			if err := echo(conn); err != nil {
				return 0, err
			}
		}
		if err := conn.CloseWrite(); err != nil {
			return 0, err
		}
		if n, err := io.Copy(io.Discard, conn); n > 0 || err != nil {
			return 0, fmt.Errorf("after FIN: %d bytes, %w", n, err)
		}
		return time.Since(start), nil
	}, func() {}, nil
}

// open returns a connection that outlives opTimeout.
func (c *client) open() (net.Conn, error) {
	if !c.TLS {
		return c.dial()
	}
	conn, err := c.shake(c.tlsConfig())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

// echoes returns an operation that has a byte echoed on one connection.
func (c *client) echoes() (operation, func(), error) {
	conn, err := c.open()
	if err != nil {
		return nil, nil, err
	}
	return func() (time.Duration, error) {
		start := time.Now()
		err := echo(conn)
		return time.Since(start), err
	}, func() { conn.Close() }, nil
}

func echo(conn io.ReadWriter) error {
	b := []byte{'x'}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, b); err != nil || b[0] != 'x' {
		return fmt.Errorf("x was echoed as %q, %w", b, err)
	}
	return nil
}

// A sample is when an operation ended, and how long it took.
type sample struct {
	end  time.Time
	took time.Duration
}

// repeat has workers repeat operations until the window is over. It opens when
// each worker has ended its first one and the warm-up is over. Those that end in
// it count.
func (c *client) repeat(prepare func() (operation, func(), error)) (result, error) {
	var (
		stop    atomic.Bool
		failed  atomic.Int64
		failure atomic.Pointer[string]
		samples = make([][]sample, c.AtOnce)
		workers sync.WaitGroup
		ready   sync.WaitGroup // those that have ended their first operation
	)
	ready.Add(c.AtOnce)
	fail := func(err error) error {
		failed.Add(1)
		text := err.Error()
		failure.CompareAndSwap(nil, &text)
		if c.Lenient {
			return nil
		}
		stop.Store(true)
		return err
	}
	errs := make(chan error, c.AtOnce)
	for i := range c.AtOnce {
		workers.Go(func() {
			do, done, err := prepare()
			if err == nil {
				defer done()
				_, err = do()
			}
			ready.Done()
			if err != nil && fail(err) != nil {
				errs <- err
				return
			}
			for do != nil && !stop.Load() {
				took, err := do()
				if err == nil {
					samples[i] = append(samples[i], sample{time.Now(), took})
				} else if fail(err) != nil {
					errs <- err
					return
				}
			}
		})
	}
	ready.Wait()
	sleepUnless(&stop, c.Warmup)
	before := c.usage()
	sleepUnless(&stop, c.Window)
	after := c.usage()
	stop.Store(true)
	workers.Wait()
	select {
	case err := <-errs:
		return result{}, err
	default:
	}
	r := before.to(after)
	var latencies []time.Duration
	for _, s := range samples {
		for _, s := range s {
			if s.end.After(before.at) && !s.end.After(after.at) {
				latencies = append(latencies, s.took)
			}
		}
	}
	r.Count = float64(len(latencies))
	r.P50, r.P99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	r.Failed = int(failed.Load())
	if text := failure.Load(); text != nil {
		r.Failure = *text
	}
	if id := tls.CurveID(c.group.Load()); id != 0 {
		r.Group = id.String()
	}
	return r, nil
}

// sleepUnless sleeps, or less once stop is set.
func sleepUnless(stop *atomic.Bool, d time.Duration) {
	const step = 100 * time.Millisecond
	for ; d > 0 && !stop.Load(); d -= step {
		time.Sleep(min(d, step))
	}
}

// A usage is the CPU time of both sides at some time.
type usage struct {
	at             time.Time
	client, server time.Duration
}

func (c *client) usage() usage {
	u := usage{at: time.Now(), client: processCPU(os.Getpid())}
	for _, pid := range c.Servers {
		u.server += processCPU(pid)
	}
	return u
}

func (u usage) to(v usage) result {
	return result{Seconds: v.at.Sub(u.at).Seconds(), ClientCPU: (v.client - u.client).Seconds(), ServerCPU: (v.server - u.server).Seconds()}
}

// transferBuffer is the size of a read and of a write.
const transferBuffer = 128 << 10

// transfer moves bytes over some connections, in one direction, and counts them
// on the client's side.
func (c *client) transfer() (result, error) {
	type counter struct {
		bytes atomic.Int64
		_     [120]byte // on a cache line of its own
	}
	counters := make([]counter, c.AtOnce)
	total := func() (n int64) {
		for i := range counters {
			n += counters[i].bytes.Load()
		}
		return n
	}
	conns := make([]net.Conn, 0, c.AtOnce)
	defer func() {
		for _, conn := range conns {
			abort(conn)
		}
	}()
	for range c.AtOnce {
		conn, err := c.open()
		if err != nil {
			return result{}, err
		}
		conns = append(conns, conn)
		if _, err := conn.Write([]byte("x")); err != nil { // by its first byte a server may know plain text
			return result{}, err
		}
	}
	var stop atomic.Bool
	var workers sync.WaitGroup
	errs := make(chan error, c.AtOnce)
	for i, conn := range conns {
		workers.Go(func() {
			b := make([]byte, transferBuffer)
			move := conn.Read
			if c.Kind == "upload" {
				move = conn.Write
			}
			for !stop.Load() {
				n, err := move(b)
				counters[i].bytes.Add(int64(n))
				if err != nil {
					if !stop.Swap(true) {
						errs <- err
					}
					return
				}
			}
		})
	}
	sleepUnless(&stop, c.Warmup)
	before, sent := c.usage(), total()
	sleepUnless(&stop, c.Window)
	after, end := c.usage(), total()
	select {
	case err := <-errs:
		return result{}, err
	default:
	}
	stop.Store(true)
	for _, conn := range conns { // a write may be waiting
		conn.SetDeadline(time.Now())
	}
	workers.Wait()
	r := before.to(after)
	r.Count = float64(end - sent)
	return r, nil
}

// abort resets a connection: nothing of it stays.
func abort(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// idle opens connections, leaves them alone, and reads what the server has
// resident then.
func (c *client) idle() (result, error) {
	const handshaking = 32
	conns := make([]net.Conn, c.AtOnce)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				abort(conn)
			}
		}
	}()
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make(chan error, handshaking)
	before := c.usage()
	for range handshaking {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(conns) {
					return
				}
				conn, err := c.open()
				if err == nil {
					conns[i] = conn
					err = echo(conn) // its tickets are read, and the server has made a buffer
				}
				if err != nil {
					errs <- fmt.Errorf("connection %d: %w", i+1, err)
					next.Store(int64(len(conns)))
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-errs:
		return result{}, err
	default:
	}
	r := before.to(c.usage())
	time.Sleep(c.Settle)
	for _, pid := range c.Servers {
		n, err := residentBytes(pid)
		if err != nil {
			return result{}, err
		}
		r.Resident += float64(n)
	}
	r.Count = float64(len(conns))
	return r, nil
}

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

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
		err = closeInOrder(conn)
		if c.Resets && errors.Is(err, syscall.ECONNRESET) {
			err = nil
		}
		return took, err
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

package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// transferBuffer is the size of a read and of a write.
const transferBuffer = 128 << 10

// transfer moves bytes over some connections, in one direction, and counts them
// on the client's side. What is under way when the window opens makes up for what
// is when it closes.
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
	if c.Control != "" {
		var err error
		if r.Goroutines, err = goroutines(c.Control); err != nil {
			return result{}, err
		}
	}
	return r, nil
}

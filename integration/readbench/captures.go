package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// recorded is how many handshakes are made. In the capture each is repeated
// with other addresses: to a reader that is another connection, with a random
// that it has met before.
const recorded = 1000

// names is how many servers there are, each with a certificate of its own.
const names = 20

// writeHandshakes writes a capture of nothing but connections that do a
// handshake and close: three in four of TLS 1.3, the others of TLS 1.2.
func writeHandshakes(path string, connections int) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	var servers [names]*tls.Config
	for i := range servers {
		if servers[i], err = ca.server(fmt.Sprintf("server-%d.example", i)); err != nil {
			return err
		}
	}
	var keyLog bytes.Buffer
	var talks [][]step
	for i := range min(recorded, connections) {
		c := ca.client(fmt.Sprintf("server-%d.example", i%names), &keyLog)
		if i%4 == 3 {
			c.MaxVersion = tls.VersionTLS12
		}
		var talk []step
		tap := func(side int, b []byte) { talk = append(talk, segments(side, bytes.Clone(b))...) }
		nothing := func(_, _ *tls.Conn) error { return nil }
		if err := converse(c, servers[i%names], tap, nothing); err != nil {
			return err
		}
		talks = append(talks, talk)
	}
	return write(path, func(f *captureFile) error {
		if err := f.secrets(keyLog.Bytes()); err != nil {
			return err
		}
		for first := 0; first < connections; first += atOnce {
			if err := f.interleave(talks, first, min(first+atOnce, connections)); err != nil {
				return err
			}
		}
		return nil
	})
}

// atOnce is how many connections are open at a time.
const atOnce = 32

// interleave writes the connections from first on, a segment of each in turn.
func (f *captureFile) interleave(talks [][]step, first, end int) error {
	type running struct {
		*connection
		steps []step
	}
	var all []running
	for i := first; i < end; i++ {
		c := f.connection(clientAddr(i), serverAddr(i))
		steps := append(c.open(), talks[i%len(talks)]...)
		all = append(all, running{c, append(steps, c.close()...)})
	}
	for more := true; more; {
		more = false
		for i := range all {
			r := &all[i]
			if len(r.steps) == 0 {
				continue
			}
			more = true
			s := r.steps[0]
			r.steps = r.steps[1:]
			if err := r.send(s.from, s.flags, s.payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// clientAddr is a flow of its own for each connection.
func clientAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(32768+i%28000))
}

func serverAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(1 + i%names)}), 443)
}

// bulkConnections share the bytes of a bulk capture.
const bulkConnections = 4

// writeBulk writes a capture of about n bytes of TLS 1.3 application data, all
// of it encrypted by crypto/tls, from servers to clients.
func writeBulk(path string, n int64) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	s, err := ca.server("bulk.example")
	if err != nil {
		return err
	}
	return write(path, func(f *captureFile) error {
		for i := range bulkConnections {
			if err := f.transfer(ca, s, i, n/bulkConnections); err != nil {
				return err
			}
		}
		return nil
	})
}

// transfer writes one connection with n bytes of content. Its packets wait for
// the secrets until the handshake is done.
func (f *captureFile) transfer(ca *authority, s *tls.Config, i int, n int64) error {
	c := f.connection(clientAddr(i), serverAddr(i))
	steps := c.open()
	var keyLog bytes.Buffer
	var failed error
	done := false
	flush := func() {
		for _, s := range steps {
			if failed == nil {
				failed = c.send(s.from, s.flags, s.payload)
			}
		}
		steps = steps[:0]
	}
	tap := func(side int, b []byte) {
		steps = append(steps, segments(side, bytes.Clone(b))...)
		if done {
			flush()
		}
	}
	err := converse(ca.client("bulk.example", &keyLog), s, tap, func(cc, sc *tls.Conn) error {
		done = true
		failed = f.secrets(keyLog.Bytes())
		go func() {
			content := make([]byte, 64<<10)
			for left := n; left > 0; left -= int64(len(content)) {
				sc.Write(content)
			}
			sc.CloseWrite()
		}()
		_, err := io.Copy(io.Discard, cc)
		return err
	})
	if err != nil {
		return err
	}
	steps = append(steps, c.close()...)
	flush()
	return failed
}

// write makes a file with what f writes to it.
func write(path string, f func(*captureFile) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	c, err := newCaptureFile(w)
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}

package trace

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"synscope/event"
)

// Whatever is told of a leg, in whatever order, it begins and ends once, and what
// it says in between is numbered.
func TestUpstreamAnything(t *testing.T) {
	s := record(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		r := newRelay(t, defaultLimits)
		d := event.Dial{Time: time.Now(), Flow: testFlow}
		if rapid.IntRange(0, 9).Draw(rt, "dial") == 0 {
			d.Err = errors.New("no")
		}
		u := r.Upstream(r.flow, d)
		side := rapid.SampledFrom([]event.Side{event.Client, event.Server})
		flights := s.flights
		for range rapid.IntRange(0, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 8).Draw(rt, "step") {
			case 0:
				u.TLSStart()
			case 1:
				u.TLSEnd(rapid.SampledFrom([]error{nil, errors.New("it failed"), net.ErrClosed}).Draw(rt, "err"))
			case 2:
				u.End(side.Draw(rt, "side"), rapid.SampledFrom([]string{"fin", "rst", "timeout"}).Draw(rt, "how"))
			case 3:
				u.Step(event.TLSStep{Step: "verify", Error: rapid.SampledFrom([]string{"", "x509"}).Draw(rt, "doubts")})
			case 4:
				for line := range bytes.Lines(s.keys.Bytes()) {
					keyLog{u}.Write(line)
				}
			case 5:
				u.Bytes(side.Draw(rt, "side"), rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes"))
			case 6:
				u.Close(event.TransportInfo{})
			default: // the session goes on
				if len(flights) > 0 {
					u.Bytes(flights[0].from, []byte(flights[0].data))
					flights = flights[1:]
				}
			}
		}
		r.reset()
		r.Close()
		es := r.events.of(2)
		opened, closed := 0, 0
		for _, e := range es {
			switch e.Body.(type) {
			case *event.Open:
				opened++
			case *event.Close:
				closed++
			}
		}
		if opened != 1 || closed != 1 || es[0].Kind() != "conn.open" || es[len(es)-1].Kind() != "conn.close" {
			rt.Errorf("opened %d times, closed %d times: from %s to %s", opened, closed, es[0].Kind(), es[len(es)-1].Kind())
		}
	})
}

// Both directions at once, in pieces larger than a buffer: every byte is counted.
func TestUpstreamBothWays(t *testing.T) {
	const most = 3 << 20
	d := serve(t, func(conn *net.TCPConn) {
		var writing sync.WaitGroup
		writing.Go(func() {
			conn.Write(make([]byte, most))
			conn.CloseWrite()
		})
		io.Copy(io.Discard, conn)
		writing.Wait()
		conn.Close()
	})
	r := newRelay(t, defaultLimits)
	tap := r.dial(d.addr)
	var writing sync.WaitGroup
	writing.Go(func() {
		tap.Write(bytes.Repeat([]byte("x"), most))
		tap.CloseWrite()
	})
	n, err := io.Copy(io.Discard, tap)
	writing.Wait()
	tap.Close()
	if c := r.closed(2); err != nil || n != most || c.BytesClient != most || c.BytesServer != most || !c.BothFIN {
		t.Errorf("read %d bytes, %v; conn.close %+v", n, err, c)
	}
}

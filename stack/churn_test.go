package stack

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"synscope/event"
)

// endings are the ways in which the two sides end a connection.
var endings = []func(c *netConn, s *Conn){
	func(c *netConn, s *Conn) { c.Close(); io.Copy(io.Discard, s); s.Close() },
	func(c *netConn, s *Conn) { s.Close(); io.Copy(io.Discard, c); c.Close() },
	func(c *netConn, s *Conn) { both(func() { c.Close() }, func() { s.Close() }) },
	func(c *netConn, s *Conn) { c.CloseWrite(); io.Copy(s, s); s.Close(); io.Copy(io.Discard, c); c.Close() },
	func(c *netConn, s *Conn) {
		s.CloseWrite()
		io.Copy(io.Discard, c)
		c.Close()
		io.Copy(io.Discard, s)
		s.Close()
	},
	func(c *netConn, s *Conn) { c.reset(); s.Close() },
	func(c *netConn, s *Conn) { s.Abort("churn"); c.Close() },
	func(c *netConn, s *Conn) { both(c.reset, func() { s.Abort("churn") }) },
	func(c *netConn, s *Conn) { both(c.reset, func() { s.Close() }) },
	func(c *netConn, s *Conn) { both(func() { c.Close() }, func() { s.Abort("churn") }) },
	func(c *netConn, s *Conn) {
		c.Write([]byte("unread"))
		both(func() { c.CloseWrite() }, func() { s.Close() })
		c.Close()
	},
	func(c *netConn, s *Conn) { c.CloseWrite(); c.reset(); s.Close() },
	func(c *netConn, s *Conn) { s.CloseWrite(); c.reset(); s.Close() },
}

func both(f, g func()) {
	var wg sync.WaitGroup
	wg.Go(f)
	wg.Go(g)
	wg.Wait()
}

// churn opens and ends so many connections in random ways, and returns their
// flows when all endpoints are CLOSED.
func (n *network) churn(conns int) []event.Flow {
	n.t.Helper()
	const workers = 8
	var mu sync.Mutex
	var flows []event.Flow
	var pairs sync.Map // event.Flow to chan *Conn
	pair := func(f event.Flow) chan *Conn {
		ch, _ := pairs.LoadOrStore(f, make(chan *Conn, 1))
		return ch.(chan *Conn)
	}
	var accepting, dialling sync.WaitGroup
	accepting.Go(func() {
		for {
			s, err := n.stack.Accept()
			if err != nil {
				return
			}
			pair(s.(*Conn).Flow()) <- s.(*Conn)
		}
	})
	for w := range workers {
		dialling.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range conns / workers {
				server := server4
				if r.IntN(2) == 0 {
					server = server6
				}
				c, err := n.dialFrom(from(hostOf(server).String(), w*conns+i), server)
				if err != nil {
					n.t.Errorf("dial: %v", err)
					return
				}
				mu.Lock()
				flows = append(flows, c.flow)
				mu.Unlock()
				s := <-pair(c.flow)
				s.SetDeadline(time.Now().Add(patience))
				endings[r.IntN(len(endings))](c, s)
			}
		})
	}
	dialling.Wait()
	n.rec.wait("the end of all endpoints", func() bool { return n.stack.Stats().Endpoints == 0 })
	n.stack.StopAccepting()
	accepting.Wait()
	return flows
}

// legal are the transitions of RFC 9293, section 3.3.2, figure 5, as a passive
// endpoint can make them, and those to CLOSED by RST, ABORT and the like.
var legal = map[event.State][]event.State{
	event.StateListen:      {event.StateSynReceived},
	event.StateSynReceived: {event.StateEstablished},
	event.StateEstablished: {event.StateFinWait1, event.StateCloseWait},
	event.StateFinWait1:    {event.StateFinWait2, event.StateClosing, event.StateTimeWait},
	event.StateFinWait2:    {event.StateTimeWait},
	event.StateCloseWait:   {event.StateLastAck},
	event.StateClosing:     {event.StateTimeWait},
}

// Whatever happens at once, each endpoint takes only steps that the state
// machine has, from LISTEN to CLOSED, and none is left.
func TestChurn(t *testing.T) {
	for _, offload := range []bool{false, true} {
		t.Run(fmt.Sprintf("offload %v", offload), func(t *testing.T) {
			n := newNetwork(t, offload, Config{TimeWait: time.Millisecond})
			flows := n.churn(400)
			n.rec.mu.Lock()
			defer n.rec.mu.Unlock()
			for _, s := range n.rec.states {
				ok := s.New == event.StateClosed
				for _, next := range legal[s.Old] {
					ok = ok || s.New == next
				}
				if !ok {
					t.Errorf("%v: %v > %v is no step of the state machine", s.Flow, s.Old, s.New)
				}
			}
			for _, f := range flows {
				if got := n.rec.statesLocked(f, 1); len(got) < 3 || n.rec.statesLocked(f, 2) != nil {
					t.Errorf("the endpoints of %v: %q, %q; want one, of three states or more", f, got, n.rec.statesLocked(f, 2))
				}
			}
		})
	}
}

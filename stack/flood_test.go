package stack

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tun/tuntest"
)

// A flood is what the Stack answers to SYNs from random sources that never
// complete a handshake.
type flood struct {
	*rawHost
	mu       sync.Mutex
	answered map[netip.AddrPort]bool // sources; true: with a SYN cookie
}

// ahead is how many SYNs of a flood may be without an answer yet.
const ahead = 32

// flood sends n SYNs and waits for the answers. They and all that is sent again
// do not reach the test.
func (h *rawHost) flood(n int, server func(i int) netip.AddrPort) *flood {
	h.t.Helper()
	f := &flood{rawHost: h, answered: make(map[netip.AddrPort]bool)}
	sources := netip.MustParsePrefix("10.0.0.0/8")
	h.dev.SetFilter(func(b []byte) tuntest.Verdict {
		var p tcptrack.Packet
		if p.Parse(b) != nil || !sources.Contains(p.Dst.Addr()) {
			return tuntest.Pass
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		// A cookie comes without window scale (RFC 4987, section 3.6).
		f.answered[p.Dst] = !p.Options.HasWindowScale
		return tuntest.Drop
	})
	r := rand.New(rand.NewPCG(1, uint64(n)))
	windowScale := []byte{3, 3, 7, 0}
	for i := range n {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(1+r.IntN(65535)))
		h.inject(segment{src: client, dst: server(i), flags: syn, seq: r.Uint32(), options: windowScale}.packet())
		f.await(i + 1 - ahead)
	}
	f.await(n)
	return f
}

// await waits for so many answers.
func (f *flood) await(n int) {
	f.t.Helper()
	f.rec.wait("answers", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.answered) >= n
	})
}

// wantCookies checks that what was told is what was sent.
func (f *flood) wantCookies() (with, without int) {
	f.t.Helper()
	f.rec.mu.Lock()
	defer f.rec.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.rec.packets {
		var parsed tcptrack.Packet
		if p.From != event.Server || parsed.Parse(p.bytes) != nil || parsed.Protocol != tcptrack.ProtocolTCP {
			continue
		}
		if want := parsed.Flags == synAck && f.answered[parsed.Dst]; p.SYNCookie != want {
			f.t.Errorf("a [%v] to %v is told with the SYN cookie %v, want %v", parsed.Flags, parsed.Dst, p.SYNCookie, want)
		}
	}
	for _, cookie := range f.answered {
		if cookie {
			with++
		}
	}
	return with, len(f.answered) - with
}

// Beyond the backlog of a port SYN cookies are sent, which is told, and an
// honest client gets in with one: its endpoint begins in ESTABLISHED.
func TestSYNFlood(t *testing.T) {
	const backlog, syns = 16, 2000
	for name, end := range map[string]func(c *rawConn, s *Conn){
		"data": func(c *rawConn, s *Conn) {
			c.send(ack|event.PSH, "let me in")
			c.want(ack, "")
			c.wantRead(s, "let me in")
			s.Abort("enough")
			c.want(rstAck, "")
			c.rec.wantStates(c.flow, 1, "ESTABLISHED", "CLOSED (abort: enough)")
		},
		"FIN": func(c *rawConn, s *Conn) {
			c.send(finAck, "")
			c.want(ack, "")
			s.Close()
			c.want(finAck, "")
			c.send(ack, "")
			c.rec.wantStates(c.flow, 1, "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK (close)", "CLOSED")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRawHost(t, Config{Backlog: backlog})
			with, without := h.flood(syns, func(int) netip.AddrPort { return server4 }).wantCookies()
			if without != backlog || with != syns-backlog {
				t.Errorf("%d SYN-ACKs with a cookie and %d without were sent, want %d and %d", with, without, syns-backlog, backlog)
			}
			if n := h.stack.Stats().Endpoints; n != backlog {
				t.Errorf("%d endpoints are half-open, want %d", n, backlog)
			}
			c := h.open(client4, server4)
			end(c, h.accept())
		})
	}
}

// Many half-open endpoints on many ports are bounded together.
func TestSYNFloodOfManyPorts(t *testing.T) {
	h := newRawHost(t, Config{Backlog: 4096})
	const ports, syns = 100, maxHalfOpen + 2000
	f := h.flood(syns, func(i int) netip.AddrPort { return netip.AddrPortFrom(server4.Addr(), uint16(1+i%ports)) })
	if n := h.stack.Stats().Endpoints; n < maxHalfOpen || n > maxHalfOpen+ahead {
		t.Errorf("%d endpoints are half-open, want %d and what was underway", n, maxHalfOpen)
	}
	if with, without := f.wantCookies(); without < maxHalfOpen || without > maxHalfOpen+ahead {
		t.Errorf("%d SYN-ACKs with a cookie and %d without were sent, want %d without", with, without, maxHalfOpen)
	}
	c := h.open(client4, server4)
	h.accept()
	h.rec.wantStates(c.flow, 1, "ESTABLISHED")
}

// A client that got a cookie and resets before it is accepted is told like any
// other.
func TestResetWithSYNCookie(t *testing.T) {
	h := newRawHost(t, Config{Backlog: 1})
	h.fillAccepted()
	h.flood(10, func(int) netip.AddrPort { return server4 })
	c := h.open(client4, server4)
	c.send(ack|event.PSH, "hello")
	c.want(ack, "")
	c.send(rst, "")
	c.rec.wantStates(c.flow, 1, "ESTABLISHED", "CLOSED")
	h.drainAccepted()
	next := h.open(client6, server6)
	if got := h.accept().Flow(); got != next.flow {
		t.Errorf("accepted is %v, want %v", got, next.flow)
	}
}

// However many connections are made of SYN cookies, what the next client sends
// at once is not lost.
func TestManySYNCookies(t *testing.T) {
	n := newNetwork(t, false, Config{})
	always := tcpip.TCPAlwaysUseSynCookies(true)
	n.must(n.stack.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &always))
	var serving, clients sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := n.stack.Accept()
			if err != nil {
				return // closed below
			}
			serving.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	for range 16 {
		clients.Go(func() {
			for range 200 {
				c := n.dial(server4)
				c.Write([]byte("hello"))
				if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
					t.Errorf("the echo of a client: %v", err)
				}
				c.Close()
			}
		})
	}
	clients.Wait()
	stats := n.stack.stack.Stats()
	if got := stats.TCP.ListenOverflowSynCookieRcvd.Value(); got != 16*200 {
		t.Errorf("%d connections were made of SYN cookies, want all %d", got, 16*200)
	}
	if dropped := stats.DroppedPackets.Value(); dropped != 0 {
		t.Errorf("%d packets were dropped", dropped)
	}
	n.stack.StopAccepting()
	serving.Wait()
}

package stack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope/event"
	"synscope/tun"
	"synscope/tun/tuntest"
)

// Close resets what is open and waits for all; the states are told to the end.
func TestClose(t *testing.T) {
	h := newRawHost(t, Config{})
	open := h.open(client4, server4)
	s := h.accept()
	waiting := h.open(client6, server6)
	h.rec.wantStates(waiting.flow, 1, "SYN-RECEIVED", "ESTABLISHED")
	half := h.conn(from("198.18.0.2", 1), server4)
	half.send(syn, "")
	half.want(synAck, "")

	blocked := make(chan error)
	go func() {
		_, err := s.Read(make([]byte, 1))
		blocked <- err
	}()
	if err := h.stack.Close(); err != nil {
		t.Error(err)
	}
	if err := <-blocked; err == nil || err == io.EOF {
		t.Errorf("Read = %v, want an error", err)
	}
	h.rec.wantStates(open.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: shutdown)")
	h.rec.wantStates(waiting.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "CLOSED (abort: shutdown)")
	h.rec.wantStates(half.flow, 1, "SYN-RECEIVED", "CLOSED (abort: shutdown)")
	resets := 0
	for _, told := range h.rec.told {
		if told == "server: RST ACK" {
			resets++
		}
	}
	if resets != 2 {
		t.Errorf("%d RSTs were sent, want one for each connection:\n%s", resets, strings.Join(h.rec.told, "\n"))
	}
	<-h.stack.Down()
	if err := h.stack.Err(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Err() = %v, want os.ErrClosed", err)
	}
	if n := h.stack.Stats(); n != (Stats{}) {
		t.Errorf("left is %+v", n)
	}
	if err := h.dev.Inject([]byte{1}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the device is open: Inject = %v", err)
	}
}

// A peer that has closed in order gets no RST.
func TestCloseInTimeWait(t *testing.T) {
	h := newRawHost(t, Config{})
	c := h.open(client4, server4)
	h.accept().Close()
	c.want(finAck, "")
	c.send(finAck, "")
	c.want(ack, "")
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT")
	h.stack.Close()
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "TIME-WAIT", "CLOSED (abort: shutdown)")
	if slices.ContainsFunc(h.rec.told, func(s string) bool { return strings.Contains(s, "RST") }) {
		t.Errorf("a RST was sent:\n%s", strings.Join(h.rec.told, "\n"))
	}
}

func TestCloseIsIdempotent(t *testing.T) {
	h := newRawHost(t, Config{})
	h.open(client4, server4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { h.stack.StopAccepting() })
		wg.Go(func() { h.stack.Close() })
	}
	wg.Wait()
	n := h.stack.Stats()
	n.WriteErrors = 0 // the answer to the client's last segment may come too late
	if n != (Stats{}) {
		t.Errorf("left is %+v", n)
	}
}

func TestCloseAtOnce(t *testing.T) {
	for range 20 {
		newRawHost(t, Config{}).stack.Close()
	}
}

// Close among handshakes, transfers and closes leaves nothing: TestMain looks
// for goroutines and packet buffers.
func TestCloseInTheMiddle(t *testing.T) {
	for _, offload := range []bool{false, true} {
		t.Run(fmt.Sprintf("offload %v", offload), func(t *testing.T) {
			n := newNetwork(t, offload, Config{})
			var serving, clients sync.WaitGroup
			serving.Go(func() {
				for {
					s, err := n.stack.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						defer s.Close()
						io.Copy(s, s)
					})
				}
			})
			for i := range 4 {
				clients.Go(func() {
					for port := 10_000 * i; !n.stack.flows.ending.Load(); port++ {
						c, err := n.dialFrom(from("198.18.0.1", port), server4)
						if err != nil {
							return
						}
						c.Write(content(3, 10_000))
						io.ReadFull(c, make([]byte, 5_000))
						c.reset()
					}
				})
			}
			n.rec.wait("a hundred states", func() bool { return len(n.rec.states) > 100 })
			n.stack.Close()
			n.client.stop()
			serving.Wait()
			clients.Wait()
			n.rec.mu.Lock()
			defer n.rec.mu.Unlock()
			for endpoint, s := range n.rec.last {
				if s != event.StateClosed {
					t.Errorf("endpoint %d was left in %v", endpoint, s)
				}
			}
		})
	}
}

// When the interface is gone, Down says so and Err says why. What cannot be sent
// any more is told.
func TestInterfaceIsGone(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	rec := newRecorder(t)
	s, err := New(Config{Device: a, Prefixes: served, Observer: rec})
	if err != nil {
		t.Fatal(err)
	}
	c := startClient(t, b)
	conn := c.dial(server4)
	accepted := accept(t, s)
	select {
	case <-s.Down():
		t.Error("Down is closed")
	default:
	}
	b.Close()
	<-s.Down()
	if err := s.Err(); !errors.Is(err, tun.ErrGone) {
		t.Errorf("Err() = %v, want tun.ErrGone", err)
	}
	accepted.Write([]byte("nobody hears this"))
	rec.wait("a drop", func() bool {
		return slices.ContainsFunc(rec.drops, func(d event.PacketDrop) bool {
			return strings.HasPrefix(d.Reason, "not sent: ") && d.From == event.Server && d.Flow == conn.flow
		})
	})
	if s.Stats().WriteErrors == 0 {
		t.Error("no write error is counted")
	}
	accepted.Close()
	s.Close()
	conn.Close()
	c.stop()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for endpoint, state := range rec.last {
		if state != event.StateClosed {
			t.Errorf("endpoint %d was left in %v", endpoint, state)
		}
	}
}

// A packet that the device cannot deliver whole is told; the next one is read.
func TestPacketTooLong(t *testing.T) {
	dev := &shortDevice{Device: tuntest.New(1500)}
	rec := newRecorder(t)
	s, err := New(Config{Device: dev, Prefixes: served, Observer: rec})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := &rawHost{t: t, dev: dev.Device, rec: rec, stack: s}
	h.fence()
	if len(rec.unreachable) != 1 || !strings.Contains(rec.unreachable[0].Reason, "too long") {
		t.Errorf("told is %+v, want one that says why", rec.unreachable)
	}
}

// A shortDevice fails at its first packet.
type shortDevice struct {
	*tuntest.Device
	read bool
}

func (d *shortDevice) Read(bufs [][]byte) (int, tun.Offload, error) {
	if !d.read {
		d.read = true
		return 0, tun.Offload{}, fmt.Errorf("read: %w: too long", tun.ErrPacket)
	}
	return d.Device.Read(bufs)
}

// A connection in FIN-WAIT-2 whose client never closes ends by netstack's timer,
// not by ours; Close does not wait for it.
func TestCloseInFinWait2(t *testing.T) {
	h := newRawHost(t, Config{TimeWait: time.Hour})
	c := h.open(client4, server4)
	h.accept().Close()
	c.want(finAck, "")
	c.send(ack, "")
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "FIN-WAIT-2")
	h.stack.Close()
	h.rec.wantStates(c.flow, 1, "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1 (close)", "FIN-WAIT-2", "CLOSED (abort: shutdown)")
}

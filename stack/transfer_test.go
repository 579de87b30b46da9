package stack

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"synscope/event"
	"synscope/tun/tuntest"
)

// content returns n bytes that do not repeat.
func content(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// exchange sends a content each way at once, with the writes of odd lengths,
// and checks that both arrive whole.
func exchange(t *testing.T, client, server io.ReadWriter, closeClient, closeServer func() error) {
	t.Helper()
	up, down := content(1, 1<<20+1), content(2, 1<<20+3)
	var wg sync.WaitGroup
	send := func(w io.Writer, b []byte, end func() error) {
		for len(b) > 0 {
			n, err := w.Write(b[:min(len(b), 9_999)])
			if err != nil {
				t.Errorf("write: %v", err)
				return
			}
			b = b[n:]
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	receive := func(r io.Reader, want []byte) {
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("received %d bytes, %v; want %d bytes as they were sent", len(got), err, len(want))
		}
	}
	wg.Go(func() { send(client, up, closeClient) })
	wg.Go(func() { send(server, down, closeServer) })
	wg.Go(func() { receive(client, down) })
	wg.Go(func() { receive(server, up) })
	wg.Wait()
}

// 1 MB passes each way at once, in super-packets where the device has them.
func TestTransfer(t *testing.T) {
	for _, offload := range []bool{false, true} {
		for _, server := range []netip.AddrPort{server4, server6} {
			t.Run(fmt.Sprintf("offload %v to %v", offload, server), func(t *testing.T) {
				n := newNetwork(t, offload, Config{})
				c := n.dial(server)
				s := accept(t, n.stack)
				exchange(t, c, s, c.CloseWrite, s.CloseWrite)
				c.Close()
				s.Close()
				n.wantSuperPackets(offload)
				n.rec.mu.Lock()
				defer n.rec.mu.Unlock()
				if len(n.rec.drops) > 0 {
					t.Errorf("%d segments were dropped, the first as %q", len(n.rec.drops), n.rec.drops[0].Reason)
				}
			})
		}
	}
}

// wantSuperPackets checks that each side sent super-packets longer than the
// first view, odd lengths among them, or that there were none.
func (n *network) wantSuperPackets(want bool) {
	n.t.Helper()
	n.rec.mu.Lock()
	defer n.rec.mu.Unlock()
	var super, odd [3]int
	for _, p := range n.rec.packets {
		if p.SegmentSize == 0 {
			if p.Len > 1500 {
				n.t.Errorf("a packet of %d bytes is not marked as a super-packet", p.Len)
			}
			continue
		}
		if !p.PartialChecksum {
			n.t.Error("a super-packet has no partial checksum")
		}
		if p.Len > firstView {
			super[p.From]++
			odd[p.From] += p.Len % 2
		}
	}
	for _, side := range []event.Side{event.Client, event.Server} {
		if (super[side] > 0) != want || (odd[side] > 0) != want {
			n.t.Errorf("the %v sent %d super-packets, %d of odd length; want some: %v", side, super[side], odd[side], want)
		}
	}
}

// The content arrives whole over a link that loses, doubles and reorders.
func TestTransferOverBadLink(t *testing.T) {
	for _, offload := range []bool{false, true} {
		t.Run(fmt.Sprintf("offload %v", offload), func(t *testing.T) {
			n := newNetwork(t, offload, Config{})
			c := n.dial(server4)
			s := accept(t, n.stack)
			for i, d := range []*tuntest.Device{n.server, n.dev} {
				d.SetFilter(unreliable(uint64(i)))
			}
			exchange(t, c, s, c.CloseWrite, s.CloseWrite)
			for _, d := range []*tuntest.Device{n.server, n.dev} {
				d.SetFilter(nil)
			}
			c.Close()
			s.Close()
		})
	}
}

func unreliable(seed uint64) func([]byte) tuntest.Verdict {
	r := rand.New(rand.NewPCG(seed, 0))
	return func([]byte) tuntest.Verdict {
		switch r.IntN(100) {
		case 0:
			return tuntest.Drop
		case 1:
			return tuntest.Duplicate
		case 2:
			return tuntest.Hold
		}
		return tuntest.Pass
	}
}

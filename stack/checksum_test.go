package stack

import (
	"bytes"
	"fmt"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
	"synscope/stack/tcptrack"
)

// A segment with a wrong checksum is told, and does not reach the connection;
// sent again, it does.
func TestBadChecksum(t *testing.T) {
	for family, flow := range endpointPairs {
		t.Run(family, func(t *testing.T) {
			h := newRawHost(t, Config{})
			c := h.open(flow.Client, flow.Server)
			s := h.accept()
			bad := c.segment(ack|event.PSH, "hello").packet()
			bad[len(bad)-1] ^= 1
			h.inject(bad)
			d := h.rec.wantDrop("bad checksum")
			if d.Final || d.From != event.Client || d.Flow != c.flow {
				t.Errorf("told is %+v", d)
			}
			h.rec.mu.Lock()
			if !bytes.Equal(h.rec.packets[d.Frame-1].bytes, bad) {
				t.Errorf("frame %d is not the segment", d.Frame)
			}
			h.rec.mu.Unlock()
			c.send(ack|event.PSH, "hello")
			c.want(ack, "")
			c.wantRead(s, "hello")
		})
	}
}

// A SYN with a wrong checksum opens no port.
func TestBadChecksumOfSYN(t *testing.T) {
	h := newRawHost(t, Config{})
	bad := segment{src: client4, dst: server4, flags: syn}.packet()
	bad[header.IPv4MinimumSize+16] ^= 1
	h.inject(bad)
	h.rec.wantDrop("bad checksum")
	if n := h.stack.Stats(); n != (Stats{}) {
		t.Errorf("left is %+v", n)
	}
}

// The checksum is verified over all views, whatever the lengths, and without
// what follows the packet.
func TestChecksumLengths(t *testing.T) {
	for family, flow := range endpointPairs {
		for _, n := range []int{0, 1, 2, 1459, 1460, firstView - 61, firstView - 60, firstView - 59, firstView - 40, firstView - 39, firstView, firstView + 1, 40_000, 40_001} {
			t.Run(fmt.Sprintf("%s, %d bytes", family, n), func(t *testing.T) {
				s := segment{src: flow.Client, dst: flow.Server, flags: ack, seq: 7, ack: 8, payload: content(byte(n), n)}
				for _, padding := range []int{0, 1, 2, 3000} {
					b := append(s.packet(), bytes.Repeat([]byte{0xff}, padding)...)
					if !checksumRight(t, b) {
						t.Errorf("with %d bytes after it, the checksum is taken for wrong", padding)
					}
				}
				for _, at := range []int{0, 1, n / 2, n + header.TCPMinimumSize - 1} {
					b := s.packet()
					b[len(b)-n-header.TCPMinimumSize+at] ^= 0x40
					if checksumRight(t, b) {
						t.Errorf("with byte %d of the segment altered, the checksum is taken for right", at)
					}
				}
			})
		}
	}
}

// checksumRight asks checksumOK of a packet that was read in two views.
func checksumRight(t *testing.T, b []byte) bool {
	t.Helper()
	var p tcptrack.Packet
	views := [][]byte{b[:min(len(b), firstView)]}
	if len(b) > firstView {
		views = append(views, b[firstView:])
	}
	if err := p.Parse(views[0]); err != nil {
		return false
	}
	return checksumOK(views, &p)
}

// Packets longer than the first view reach the connection whole, also without
// offloads: the MTU of the other side may be greater.
func TestLongPackets(t *testing.T) {
	for family, flow := range endpointPairs {
		t.Run(family, func(t *testing.T) {
			h := newRawHost(t, Config{})
			c := h.open(flow.Client, flow.Server)
			s := h.accept()
			for _, n := range []int{1460, firstView - 40, firstView - 39, firstView + 1, 9000, 9001} {
				data := content(byte(n), n)
				c.send(ack|event.PSH, string(data))
				got := make([]byte, n)
				for read := 0; read < n; {
					m, err := s.Read(got[read:])
					if err != nil {
						t.Fatal(err)
					}
					read += m
				}
				if !bytes.Equal(got, data) {
					t.Errorf("%d bytes arrived otherwise", n)
				}
				for c.read().Ack != c.snd { // window updates
				}
			}
		})
	}
}

package stack

import (
	"fmt"
	"io"
	"testing"
	"time"

	"synscope/event"
	"synscope/tun/tuntest"
)

// One connection from SYN to the end, the client's netstack included.
func BenchmarkConnectClose(b *testing.B) {
	n := startNetwork(b, false, Config{TimeWait: time.Second})
	b.ReportAllocs()
	for b.Loop() {
		c := n.dial(server4)
		s, err := n.stack.Accept()
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		io.Copy(io.Discard, s)
		s.Close()
	}
}

// One segment of data in order, from the device to the reader, and its part of
// the ACKs.
func BenchmarkInboundData(b *testing.B) {
	for _, size := range []int{1, 1460} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dev := tuntest.New(1500)
			s, err := New(Config{Device: dev, Prefixes: served})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			h := &benchHost{b, dev}
			h.inject(segment{src: client4, dst: server4, flags: syn, seq: 999})
			next := segment{src: client4, dst: server4, flags: ack, seq: 1000, ack: h.synAck() + 1}
			h.inject(next)
			conn, err := s.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			dev.SetFilter(func([]byte) tuntest.Verdict { return tuntest.Drop })
			next.payload = content(1, size)
			got := make([]byte, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				h.inject(next)
				next.seq += uint32(size)
				if _, err := io.ReadFull(conn, got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type benchHost struct {
	*testing.B
	dev *tuntest.Device
}

func (h *benchHost) inject(s segment) {
	if err := h.dev.Inject(s.packet()); err != nil {
		h.Fatal(err)
	}
}

// synAck reads the SYN-ACK and returns its sequence number.
func (h *benchHost) synAck() uint32 {
	b, err := h.dev.Next(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return uint32(b[24])<<24 | uint32(b[25])<<16 | uint32(b[26])<<8 | uint32(b[27])
}

// What the link itself costs for each packet that it reads, without netstack.
func BenchmarkReceive(b *testing.B) {
	s := &Stack{cfg: Config{Prefixes: served}, obs: nobody{}}
	s.flows.init(s.obs, &s.limits)
	data := segment{src: client4, dst: server4, flags: ack, seq: 1, payload: content(1, 1460)}.packet()
	var in inbound
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		in.Packet = event.Packet{From: event.Client, Len: len(data)}
		in.Views = append(in.views[:0], data)
		if !s.receive(&in) {
			b.Fatal("the segment was kept from netstack")
		}
	}
}

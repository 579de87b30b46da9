package tun

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// header builds a virtio-net header from its fields (virtio 1.2, section 5.1.6).
func header(flags, gso uint8, hdrLen, gsoSize, csumStart, csumOffset uint16) vnetHeader {
	h := vnetHeader{flags, gso}
	for i, v := range []uint16{hdrLen, gsoSize, csumStart, csumOffset} {
		binary.NativeEndian.PutUint16(h[2+2*i:], v)
	}
	return h
}

func TestVnetHeader(t *testing.T) {
	tests := []struct {
		name    string
		header  vnetHeader
		length  int
		offload Offload
	}{
		{"a complete packet", header(0, 0, 0, 0, 0, 0), 1, Offload{}},
		{"a checksum that was verified", header(2, 0, 0, 0, 0, 0), 60, Offload{DataValid: true}},
		{"a SYN over IPv4 with a partial checksum", header(1, 0, 0, 0, 20, 16), 60,
			Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}},
		{"the least length that holds the checksum", header(1, 0, 0, 0, 20, 16), 38,
			Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}},
		{"a super-packet over IPv4", header(1, 1, 52, 1448, 20, 16), 65212,
			Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16, GSO: GSOTCPv4, SegmentSize: 1448, HeaderLen: 52}},
		{"a super-packet over IPv6", header(1, 4, 72, 1428, 40, 16), 64332,
			Offload{NeedsChecksum: true, ChecksumStart: 40, ChecksumOffset: 16, GSO: GSOTCPv6, SegmentSize: 1428, HeaderLen: 72}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.header.decode(tt.length)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if diff := cmp.Diff(tt.offload, got); diff != "" {
				t.Errorf("decode (-want +got):\n%s", diff)
			}
			encoded := header(0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff) // all of it is set
			if err := encoded.encode(tt.offload, tt.length); err != nil {
				t.Fatalf("encode: %v", err)
			}
			if diff := cmp.Diff(tt.header, encoded); diff != "" {
				t.Errorf("encode (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVnetHeaderRefused(t *testing.T) {
	tests := []struct {
		name   string
		header vnetHeader
		length int
	}{
		{"checksum beyond the end", header(1, 0, 0, 0, 20, 16), 37},
		{"checksum far beyond the end", header(1, 0, 0, 0, 0xffff, 0xffff), 65535},
		{"UDP fragmentation, which was not asked for", header(1, 3, 28, 1480, 20, 6), 3000},
		{"UDP segmentation, which was not asked for", header(1, 5, 28, 1200, 20, 6), 3000},
		{"ECN, which was not asked for", header(1, 0x81, 52, 1448, 20, 16), 3000},
		{"segments without a size", header(1, 1, 52, 0, 20, 16), 3000},
		{"segments without a partial checksum", header(0, 1, 52, 1448, 20, 16), 3000},
		{"headers longer than the packet", header(1, 1, 3001, 1448, 20, 16), 3000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if off, err := tt.header.decode(tt.length); err == nil {
				t.Errorf("decode = %+v, want an error", off)
			}
		})
	}
	if err := new(vnetHeader).encode(Offload{GSO: GSOTCPv6 + 1, SegmentSize: 1, NeedsChecksum: true}, 100); err == nil {
		t.Error("encode took an unknown GSO")
	}
}

// Whatever the header, decode gives either an error or an offload that lies
// within the packet and survives the way back.
func FuzzVnetHeader(f *testing.F) {
	for _, h := range []vnetHeader{
		header(0, 0, 0, 0, 0, 0),
		header(1, 0, 0, 0, 20, 16),
		header(1, 1, 52, 1448, 20, 16),
		header(3, 4, 72, 1428, 40, 16),
		header(1, 0x84, 72, 1428, 40, 16),
		header(0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff),
	} {
		f.Add(h[:], uint16(1500))
	}
	f.Fuzz(func(t *testing.T, raw []byte, length uint16) {
		var h vnetHeader
		copy(h[:], raw)
		off, err := h.decode(int(length))
		if err != nil {
			if off != (Offload{}) {
				t.Fatalf("decode = %+v with error %v", off, err)
			}
			return
		}
		packet := make([]byte, length)
		if off.NeedsChecksum {
			_ = packet[off.ChecksumStart:][off.ChecksumOffset:][:2]
		}
		if off.GSO != GSONone {
			_ = packet[:off.HeaderLen]
		}
		var back vnetHeader
		if err := back.encode(off, int(length)); err != nil {
			t.Fatalf("encode of %+v: %v", off, err)
		}
		if again, err := back.decode(int(length)); err != nil || again != off {
			t.Fatalf("%+v became %+v, %v", off, again, err)
		}
	})
}

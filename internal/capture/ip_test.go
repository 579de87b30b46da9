package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// set returns a copy of b with bytes replaced at i.
func set(b []byte, i int, v ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[i:], v)
	return b
}

// The header says how long a packet is; where it does not, the frame does.
func TestIPLength(t *testing.T) {
	four, six := packet4(1, 0, udp(20)), packet6(protocolUDP, udp(20))
	segments := packet6(protocolTCP, make([]byte, 100))
	jumbo := packet6(protocolHopByHop, append(unhex("1100"+"c204"+"00011170"), make([]byte, 70000-8)...))
	jumbo = set(jumbo, 4, 0, 0)
	for _, tt := range []struct {
		name      string
		data      []byte
		wire      int
		captured  int // of the IP packet
		length    int
		skipped   string
		wantEmpty bool
	}{
		{"whole", four, 48, 48, 48, "", false},
		{"snap length cuts", four[:30], 48, 30, 48, "", false},
		{"snap length leaves the header", four[:20], 48, 20, 48, "", false},
		{"snap length cuts the header", four[:19], 48, 0, 0, "IPv4 header cut", true},
		{"header longer than captured", set(four, 0, 0x4f)[:40], 48, 0, 0, "IPv4 header cut", true},
		{"header shorter than a header", set(four, 0, 0x44), 48, 0, 0, "malformed IPv4 header length", true},
		{"total length shorter than the header", set(four, 2, 0, 19), 48, 0, 0, "malformed IPv4 total length", true},
		{"total length of more than the frame", set(four, 2, 1, 0), 48, 48, 256, "", false},
		{"offload, IPv4", set(four, 2, 0, 0), 48, 48, 48, "", false},
		{"whole, IPv6", six, 68, 68, 68, "", false},
		{"snap length cuts, IPv6", six[:40], 68, 40, 68, "", false},
		{"snap length cuts the header, IPv6", six[:39], 68, 0, 0, "IPv6 header cut", true},
		{"offload, IPv6", set(segments, 4, 0, 0), 140, 140, 140, "", false},
		{"no payload, IPv6", set(six, 4, 0, 0), 68, 40, 40, "", false},
		{"jumbogram", jumbo, 70040, 70040, 70040, "", false},
		{"jumbogram, cut", jumbo[:100], 70040, 100, 70040, "", false},
		{"jumbogram without a length", set(jumbo, 42, 1, 4), 70040, 40, 40, "", false},
	} {
		file := newRecords(binary.BigEndian, magicMicrosecond, linkRaw).cut(1, 0, tt.data, tt.wire)
		items, _ := mustRead(t, file.b)
		p := items[0].Packet
		if len(p.IP) != tt.captured || p.Len != tt.length || p.Skipped != tt.skipped || (p.IP == nil) != tt.wantEmpty {
			t.Errorf("%s: %d bytes of %d, skipped %q; want %d of %d, %q", tt.name, len(p.IP), p.Len, p.Skipped, tt.captured, tt.length, tt.skipped)
		}
	}
}

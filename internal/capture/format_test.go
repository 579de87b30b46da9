package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file that is no capture is told for what it is.
func TestNotACapture(t *testing.T) {
	old := set(newRecords(binary.LittleEndian, magicMicrosecond, linkRaw).b, 6, 3)
	for _, tt := range []struct{ file, is string }{
		{"", "empty"},
		{"\x00\x01", "2 bytes long"},
		{"\x28\xb5\x2f\xfd\x04\x58", "zstd data: decompress it with zstd -d"},
		{"\xfd7zXZ\x00\x00", "xz data: decompress it with xz -d"},
		{"BZh91AY&SY", "bzip2 data: decompress it with bzip2 -d"},
		{"\x04\x22\x4d\x18\x64", "LZ4 data: decompress it with lz4 -d"},
		{"PK\x03\x04\x14", "a ZIP archive: unpack it with unzip"},
		{"\x7fELF\x02", "an ELF binary"},
		{"snoop\x00\x00\x00\x00\x00\x00\x02", "a snoop capture: convert it with editcap"},
		{"\xa1\xb2\xcd\x34\x00\x02", "a modified pcap file: convert it with editcap -F pcap"},
		{"CLIENT_RANDOM 00", "a TLS key log: give it with --keylog"},
		{`{"kind":"tcp.segment"}`, "JSON"},
		{"0000  45 00 00 21\n", "text"},
		{"Zürich", "text"},
		{"\x01\x02\x03\x04\x05", "data that begins with 0x01020304"},
		{string(zip([]byte("hello, world"))), "gzipped, and within text"},
		{string(zip(nil)), "gzipped, and within empty"},
		{string(zip(zip([]byte("hello")))), "gzipped, and within gzipped data: decompress it with gunzip"},
		{string(old), "pcap version 2.3, of which only 2.4 is read: convert it with editcap -F pcap"},
	} {
		_, err := NewReader(bytes.NewReader([]byte(tt.file)), "some.file")
		var format *FormatError
		if !errors.As(err, &format) || format.Is != tt.is || format.File != "some.file" {
			t.Errorf("%q: %v, want %s", tt.file, err, tt.is)
		}
	}
}

// The fraction of a second and the byte order are as the magic says.
func TestMagic(t *testing.T) {
	ip := packet4(1, 0, udp(5))
	micro := []brief{{1, "2001-09-09T01:46:40.5", 0, 33, ""}}
	nano := []brief{{1, "2001-09-09T01:46:40.0005", 0, 33, ""}}
	for _, tt := range []struct {
		order binary.AppendByteOrder
		magic uint32
		want  []brief
	}{
		{binary.LittleEndian, magicMicrosecond, micro},
		{binary.BigEndian, magicMicrosecond, micro},
		{binary.LittleEndian, magicNanosecond, nano},
		{binary.BigEndian, magicNanosecond, nano},
	} {
		items, _ := mustRead(t, newRecords(tt.order, tt.magic, linkRaw).packet(1e9, 500000, ip).b)
		if diff := cmp.Diff(tt.want, briefs(packets(items))); diff != "" {
			t.Errorf("magic %x, %v: packets (-want +got):\n%s", tt.magic, tt.order, diff)
		}
	}
}

// A record longer than any packet is damage: nothing says where it ends.
func TestLongRecord(t *testing.T) {
	f := newRecords(binary.LittleEndian, magicMicrosecond, linkRaw)
	f.packet(1, 0, set(packet4(1, 0, make([]byte, maxPacket-ipv4HeaderLen)), 2, 0, 0))
	n := len(f.b)
	f.packet(2, 0, make([]byte, maxPacket+1))
	items, _, err := readAll(t, f.b)
	if len(items) != 1 || items[0].Packet.Len != maxPacket {
		t.Errorf("%d items before the damage, want the longest packet", len(items))
	}
	wantDamage(t, err, int64(n), "a record of 262145 bytes, and no packet is longer than 262144")
}

// A writer that leaves the length on the wire too small is forgiven.
func TestLengthsInDisorder(t *testing.T) {
	f := newRecords(binary.LittleEndian, magicMicrosecond, linkRaw).cut(1, 0, set(packet4(1, 0, udp(5)), 2, 0, 0), 7)
	items, _ := mustRead(t, f.b)
	if p := items[0].Packet; p.Len != 33 {
		t.Errorf("length %d, skipped %q, want 33", p.Len, p.Skipped)
	}
}

package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"synscope/tlsbridge/tlswire"
)

// brief is what tests compare of a packet.
type brief struct {
	Number    uint64
	Time      string
	Interface int
	Len       int
	Skipped   string
}

// briefs returns what tests compare.
func briefs(packets []Packet) (all []brief) {
	for _, p := range packets {
		b := brief{p.Number, "", p.Interface, p.Len, p.Skipped}
		if !p.Time.IsZero() {
			b.Time = p.Time.Format("2006-01-02T15:04:05.999999999")
		}
		all = append(all, b)
	}
	return all
}

// A file of gopacket's writer gives its packets and secrets, in its order.
func TestWriterOfGopacket(t *testing.T) {
	var file bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&file, pcapgo.NgInterface{Name: "eth0", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.AddInterface(pcapgo.NgInterface{Name: "syn0", LinkType: layers.LinkTypeRaw, TimestampResolution: 9})
	if err != nil {
		t.Fatal(err)
	}
	write := func(i int, ns time.Duration, data []byte) {
		ci := gopacket.CaptureInfo{Timestamp: at.Add(ns), InterfaceIndex: i, CaptureLength: len(data), Length: len(data)}
		if err := w.WritePacket(ci, data); err != nil {
			t.Fatal(err)
		}
	}
	random := strings.Repeat("ab", 32)
	lines := "# a comment\nCLIENT_RANDOM " + random + " " + strings.Repeat("01", 48) + "\nnot a secret\n"
	frame := append(unhex(macs+"0800"), packet4(1, 0, udp(5))...)
	write(0, 0, frame)
	if err := w.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, []byte(lines)); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_SSH, []byte("of another protocol")); err != nil {
		t.Fatal(err)
	}
	write(raw, 1, packet6(protocolUDP, udp(5)))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}

	items, stats := mustRead(t, file.Bytes())
	want := []Item{
		{Packet: Packet{Time: at, Number: 1, IP: frame[14:], Len: 33}},
		{Secrets: []tlswire.Secret{{Label: "CLIENT_RANDOM", ClientRandom: unhex(random), Secret: unhex(strings.Repeat("01", 48))}}},
		{Packet: Packet{Time: at.Add(1), Number: 2, Interface: 1, IP: packet6(protocolUDP, udp(5)), Len: 53}},
	}
	if diff := cmp.Diff(want, items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	if stats.MalformedSecrets != 1 {
		t.Errorf("%d malformed lines of secrets, want 1", stats.MalformedSecrets)
	}
}

// Each section has a byte order and interfaces of its own, each interface a
// clock, and what is no packet of IP is numbered where Wireshark numbers it.
func sections() []byte {
	ip := packet4(1, 0, udp(5))
	big := &blocks{order: binary.BigEndian}
	big.section().
		iface(linkRaw, 0, big.option(optionClockResolution, []byte{9}), big.option(optionClockOffset, big.u64(1000)), big.option(optionEnd, nil)).
		packet(0, 5, ip).
		iface(linkRaw, 0, big.option(2, []byte("lo")), big.option(optionClockResolution, []byte{0x80 | 20})).
		packet(1, 1<<20+5, ip).
		iface(linkRaw, 0, big.option(optionClockResolution, []byte{0})).
		packet(2, 77, ip)
	little := newBlocks(binary.LittleEndian)
	little.iface(linkRaw, 20).
		packet(1, uint64(at.UnixMicro()), ip).
		block(blockCustom, little.u32(12345), []byte("abcd")).
		block(0x0000004d, []byte("unknown")).
		block(blockCustomNoCopy, little.u32(12345)).
		block(4, little.u32(0)). // names
		packet(0, 2, ip).
		block(blockJournal, []byte("__REALTIME_TIMESTAMP=1\nMESSAGE=hi\n\n")).
		block(5, little.u32(0, 0, 7)). // statistics
		block(blockSimplePacket, little.u32(uint32(len(ip))), ip).
		block(blockPacket, little.u16(1), little.u16(3), little.u32(0, 9, uint32(len(ip)), uint32(len(ip))), ip)
	return append(little.b, big.b...)
}

func TestSections(t *testing.T) {
	items, _ := mustRead(t, sections())
	want := []brief{
		{1, "2026-03-04T05:06:07.123456", 1, 33, ""},
		{2, "", 0, 0, "custom block"},
		{3, "", 0, 0, "custom block"},
		{4, "1970-01-01T00:00:00.000002", 0, 33, ""},
		{5, "", 0, 0, "systemd journal entry"},
		{6, "", 0, 33, ""},
		{7, "1970-01-01T00:00:00.000009", 1, 33, ""},
		{8, "1970-01-01T00:16:40.000000005", 0, 33, ""},
		{9, "1970-01-01T00:00:01.000004768", 1, 33, ""},
		{10, "1970-01-01T00:01:17", 2, 33, ""},
	}
	if diff := cmp.Diff(want, briefs(packets(items))); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// A Simple Packet Block has only the length on the wire: how much of it there
// is, the snap length of the first interface says.
func TestSimplePacketOfSnapLength(t *testing.T) {
	f := &blocks{order: binary.LittleEndian}
	ip := packet4(1, 0, udp(5))
	f.section().iface(linkRaw, 25).block(blockSimplePacket, f.u32(33), ip[:25])
	items, _ := mustRead(t, f.b)
	if p := items[0].Packet; !bytes.Equal(p.IP, ip[:25]) || p.Len != 33 {
		t.Errorf("IP % x of %d bytes, want % x of 33", p.IP, p.Len, ip[:25])
	}
}

// A length without its padding, as some writers have it, is read as Wireshark does.
func TestLengthWithoutPadding(t *testing.T) {
	f := newBlocks(binary.LittleEndian)
	f.b = append(f.b, f.u32(0x4d, 14)...)
	f.b = append(append(f.b, 1, 2, 0, 0), f.u32(14)...)
	f.packet(0, 1, packet4(1, 0, udp(5)))
	if items, _ := mustRead(t, f.b); len(items) != 1 || items[0].Packet.Len != 33 {
		t.Errorf("items %+v, want the packet", items)
	}
}

// A packet longer than any capture has is told, and what follows it is read.
func TestLongPacket(t *testing.T) {
	for _, n := range []int{maxPacket, maxPacket + 1, maxBlock, 3 * maxBlock} {
		ip := set(packet4(1, 0, make([]byte, n-ipv4HeaderLen)), 2, 0, 0)
		f := newBlocks(binary.LittleEndian).packet(0, 1, ip).packet(0, 2, packet4(1, 0, udp(5)))
		f.block(blockSimplePacket, f.u32(uint32(n)), ip)
		items, _ := mustRead(t, f.b)
		want := brief{1, "1970-01-01T00:00:00.000001", 0, n, ""}
		simple := brief{3, "", 0, n, ""}
		if n > maxPacket {
			want.Len, want.Skipped, simple.Len, simple.Skipped = 0, tooLong, 0, tooLong
		}
		if n+32 > maxBlock {
			want.Time = "" // the block was not read at all
		}
		all := []brief{want, {2, "1970-01-01T00:00:00.000002", 0, 33, ""}, simple}
		if diff := cmp.Diff(all, briefs(packets(items))); diff != "" {
			t.Errorf("%d bytes: packets (-want +got):\n%s", n, diff)
		}
	}
}

// A block that holds a whole key log, longer than the window, comes in pieces
// of whole lines.
func TestLongSecrets(t *testing.T) {
	var lines strings.Builder
	const n = 10000
	for i := range n {
		fmt.Fprintf(&lines, "CLIENT_RANDOM %064x %096x\n", i, i)
	}
	junk := strings.Repeat("x", 2*maxBlock) + "\n"
	last := strings.TrimSuffix(lines.String(), "\n")
	f := newBlocks(binary.BigEndian).dsb(secretsTLS, lines.String()+junk+last).packet(0, 1, packet4(1, 0, udp(5)))
	items, stats := mustRead(t, f.b)
	var secrets []tlswire.Secret
	for _, item := range items {
		secrets = append(secrets, item.Secrets...)
	}
	if len(secrets) != 2*n || len(packets(items)) != 1 {
		t.Fatalf("%d secrets and %d packets, want %d and 1", len(secrets), len(packets(items)), 2*n)
	}
	for i, s := range secrets {
		if want := fmt.Sprintf("%096x", i%n); fmt.Sprintf("%x", s.Secret) != want {
			t.Fatalf("secret %d is %x, want %s", i, s.Secret, want)
		}
	}
	if stats.MalformedSecrets == 0 {
		t.Error("the line that is longer than the window is not counted as malformed")
	}

	whole := len(newBlocks(binary.BigEndian).b)
	packet := len(f.b) - minBlock - 20 - 36
	_, _, err := readAll(t, f.b[:packet+10])
	wantDamage(t, err, int64(packet), "the file ends after 10 of the 12 bytes of the block header")
	for _, n := range []int{whole + maxBlock + 100, packet - 1, packet - 4, packet - 5} {
		_, _, err = readAll(t, f.b[:n])
		wantDamage(t, err, int64(whole), fmt.Sprintf("the file ends after %d of the %d bytes of the Decryption Secrets Block", n-whole, packet-whole))
	}
}

// Blocks that are not what they say are damage, at their offset.
func TestDamagedBlocks(t *testing.T) {
	f := &blocks{order: binary.LittleEndian}
	body := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	raw := func(kind uint32, b []byte) []byte { return (&blocks{order: f.order}).block(kind, b).b }
	random := bytes.Repeat([]byte("ab"), 32)
	for _, tt := range []struct {
		block []byte
		want  string
	}{
		{f.u32(0x4d, 8, 8), "a block of 8 bytes, and none is shorter than 12"},
		{f.u32(0x4d, 12, 16), "a block of 12 bytes by its beginning and of 16 by its end"},
		{f.u32(0x4d, 0xffffffff, 1), "the file ends after 12 of the 4294967296 bytes of the block of type 0x4d"},
		{append(append(f.u32(0x4d, maxBlock+4), make([]byte, maxBlock-8)...), f.u32(7)...), "a block of 524292 bytes by its beginning and of 7 by its end"},
		{f.u32(blockEnhancedPacket, 0x40000000, 0), "the file ends after 12 of the 1073741824 bytes of the Enhanced Packet Block"},
		{raw(blockSectionHeader, f.u32(0x11223344)), "a section header without the byte-order magic"},
		{raw(blockSectionHeader, f.u32(byteOrderMagic)), "the Section Header Block cannot have 16 bytes"},
		{raw(blockSectionHeader, body(f.u32(byteOrderMagic), f.u16(2), f.u16(1), f.u64(0))), "a section of pcapng version 2.1, of which only 1 is read"},
		{raw(blockInterface, f.u32(0)), "the Interface Description Block cannot have 16 bytes"},
		{raw(blockInterface, body(f.u32(1, 0), f.u16(2), f.u16(9), f.u32(0))), "an option of 9 bytes in the 4 left of the Interface Description Block"},
		{raw(blockInterface, body(f.u32(1, 0), f.option(optionClockResolution, []byte{20}))), "a timestamp resolution of 10^-20"},
		{raw(blockInterface, body(f.u32(1, 0), f.option(optionClockResolution, []byte{0x80 | 64}))), "a timestamp resolution of 2^-64"},
		{raw(blockEnhancedPacket, f.u32(0, 0, 0, 0)), "the Enhanced Packet Block cannot have 28 bytes"},
		{raw(blockEnhancedPacket, f.u32(1, 0, 0, 0, 0)), "a packet of interface 1, and the section has described 1"},
		{raw(blockEnhancedPacket, f.u32(0, 0, 0, 5, 5, 0)), "a packet of 5 bytes in the Enhanced Packet Block with 36"},
		{raw(blockPacket, f.u32(9, 0, 0, 0, 0)), "a packet of interface 9, and the section has described 1"},
		{raw(blockSimplePacket, nil), "the Simple Packet Block cannot have 12 bytes"},
		{raw(blockSimplePacket, f.u32(8, 0)), "a packet of 8 bytes in the Simple Packet Block with 20"},
		{raw(blockDecryptionSecrets, f.u32(secretsTLS)), "the Decryption Secrets Block cannot have 16 bytes"},
		{raw(blockDecryptionSecrets, body(f.u32(secretsTLS, 65), random)), "65 bytes of secrets in the Decryption Secrets Block with 84"},
	} {
		whole := newBlocks(binary.LittleEndian).packet(0, 1, packet4(1, 0, udp(5))).b
		items, _, err := readAll(t, append(bytes.Clone(whole), tt.block...))
		if len(items) != 1 {
			t.Errorf("%s: %d items before the damage, want 1", tt.want, len(items))
		}
		wantDamage(t, err, int64(len(whole)), tt.want)
	}
}

// A section has no end of interfaces.
func TestTooManyInterfaces(t *testing.T) {
	f := &blocks{order: binary.LittleEndian}
	f.section()
	for range maxInterfaces {
		f.iface(linkRaw, 0)
	}
	f.packet(maxInterfaces-1, 1, packet4(1, 0, udp(5)))
	if items, _ := mustRead(t, f.b); items[0].Packet.Interface != maxInterfaces-1 {
		t.Errorf("packet %+v, want one of the last interface", items[0].Packet)
	}
	n := len(f.b)
	_, _, err := readAll(t, f.iface(linkRaw, 0).b)
	wantDamage(t, err, int64(n), "more than 65536 interfaces in a section")
}

// Resolutions and offsets of any size give a time, or none.
func TestClock(t *testing.T) {
	for _, tt := range []struct {
		resolution byte
		offset     int64
		timestamp  uint64
		want       string
	}{
		{6, 0, 1_500_000, "1970-01-01T00:00:01.5Z"},
		{9, 0, 1<<64 - 1, "2554-07-21T23:34:33.709551615Z"},
		{9, -2, 1_000_000_001, "1969-12-31T23:59:59.000000001Z"},
		{0, 0, 253402300799, "9999-12-31T23:59:59Z"},
		{0, 0, 253402300800, ""},
		{0, 0, 1<<64 - 1, ""},
		{0, 1<<63 - 1, 1, ""},
		{0, -1 << 63, 1, ""},
		{19, 0, 1<<64 - 1, "1970-01-01T00:00:01.84467440Z"},
		{0x80, 0, 3, "1970-01-01T00:00:03Z"},
		{0x80 | 1, 0, 3, "1970-01-01T00:00:01.5Z"},
		{0x80 | 30, 0, 1<<30 + 1<<29 + 1, "1970-01-01T00:00:01.5Z"},
		{0x80 | 63, 0, 1<<64 - 1, "1970-01-01T00:00:01.999999999Z"},
	} {
		c := clock{offset: tt.offset}
		if err := c.resolve(tt.resolution); err != nil {
			t.Fatal(err)
		}
		var want time.Time
		if tt.want != "" {
			want, _ = time.Parse(time.RFC3339Nano, tt.want)
		}
		got := c.time(tt.timestamp)
		if tt.resolution == 19 {
			got = got.Truncate(10 * time.Nanosecond)
		}
		if !got.Equal(want) {
			t.Errorf("resolution %#x, offset %d, timestamp %d: %v, want %v", tt.resolution, tt.offset, tt.timestamp, got, want)
		}
	}
}

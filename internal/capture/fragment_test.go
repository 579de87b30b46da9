package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const moreFragments = 0x2000

// part4 returns the fragment of an IPv4 datagram with payload[from:to].
func part4(id uint16, payload []byte, from, to int) []byte {
	field := uint16(from / fragmentUnit)
	if to < len(payload) {
		field |= moreFragments
	}
	return packet4(id, field, payload[from:to])
}

// fragmentHeader6 returns an IPv6 Fragment header.
func fragmentHeader6(id uint32, next byte, offset int, more bool) []byte {
	field := uint16(offset)
	if more {
		field |= 1
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{next, 0}, field), id)
}

// part6 returns the fragment of an IPv6 datagram with payload[from:to].
func part6(id uint32, payload []byte, from, to int) []byte {
	h := fragmentHeader6(id, protocolUDP, from, to < len(payload))
	return packet6(protocolFragment, append(h, payload[from:to]...))
}

// A step is a packet that comes, and what is made of it.
type step struct {
	packet  []byte
	want    []byte // the datagram, if it is completed
	skipped string
}

// play reads a capture of the packets, one second apart.
func play(t *testing.T, name string, steps []step) FragmentStats {
	t.Helper()
	f := newRecords(binary.LittleEndian, magicMicrosecond, linkRaw)
	for i, s := range steps {
		f.packet(uint32(i), 0, s.packet)
	}
	items, stats := mustRead(t, f.b)
	for i, s := range steps {
		p := items[i].Packet
		if !bytes.Equal(p.IP, s.want) || p.Len != len(s.want) || p.Skipped != s.skipped {
			t.Errorf("%s, packet %d: %d bytes, length %d, skipped %q\n% x\nwant %d, %q\n% x",
				name, i+1, len(p.IP), p.Len, p.Skipped, p.IP, len(s.want), s.skipped, s.want)
		}
	}
	return stats.Fragments
}

// The packet that completes a datagram carries it, in whatever order the
// fragments come, and between those of others.
func TestFragments(t *testing.T) {
	payload, long := udp(92), udp(65535-ipv4HeaderLen-8)
	four, six := packet4(7, 0, payload), packet6(protocolUDP, payload)
	options := fragmentHeader6(9, protocolDestOpts, 0, true)
	hops := unhex("2c00" + "010400000000") // hop-by-hop, with a Fragment header behind it
	destination := unhex("1100" + "010400000000")
	behind := append(bytes.Clone(destination), payload...)
	wait := fragmentWaits
	for _, tt := range []struct {
		name  string
		steps []step
		want  FragmentStats
	}{
		{"in order", []step{
			{part4(7, payload, 0, 48), nil, wait},
			{part4(7, payload, 48, 100), four, ""},
		}, FragmentStats{Reassembled: 1}},
		{"in reverse", []step{
			{part4(7, payload, 96, 100), nil, wait},
			{part4(7, payload, 48, 96), nil, wait},
			{part4(7, payload, 0, 48), four, ""},
		}, FragmentStats{Reassembled: 1}},
		{"of two datagrams, one of which stays", []step{
			{part4(7, payload, 0, 48), nil, wait},
			{part4(8, payload, 48, 100), nil, wait},
			{four, four, ""},
			{part4(7, payload, 48, 100), four, ""},
		}, FragmentStats{Reassembled: 1, Waiting: 1}},
		{"the longest datagram", []step{
			{part4(7, long, 0, 65000), nil, wait},
			{part4(7, long, 65000, len(long)), packet4(7, 0, long), ""},
		}, FragmentStats{Reassembled: 1}},
		{"of the same number again", []step{
			{part4(7, payload, 0, 48), nil, wait},
			{part4(7, payload, 48, 100), four, ""},
			{part4(7, payload, 48, 100), nil, wait},
			{part4(7, payload, 0, 48), four, ""},
		}, FragmentStats{Reassembled: 2}},
		{"IPv6", []step{
			{part6(9, payload, 48, 100), nil, wait},
			{part6(9, payload, 0, 48), six, ""},
		}, FragmentStats{Reassembled: 1}},
		{"IPv6, atomic, beside one that is not", []step{
			{part6(9, payload, 0, 48), nil, wait},
			{part6(9, payload, 0, 100), six, ""},
			{part6(9, payload, 48, 100), six, ""},
		}, FragmentStats{Reassembled: 2}},
		{"IPv6, between extension headers", []step{
			{packet6(protocolHopByHop, bytes.Join([][]byte{hops, options, behind[:48]}, nil)), nil, wait},
			{packet6(protocolHopByHop, bytes.Join([][]byte{hops, fragmentHeader6(9, protocolDestOpts, 48, false), behind[48:]}, nil)),
				packet6(protocolHopByHop, bytes.Join([][]byte{set(hops, 0, protocolDestOpts), behind}, nil)), ""},
		}, FragmentStats{Reassembled: 1}},
	} {
		stats := play(t, tt.name, tt.steps)
		if diff := cmp.Diff(tt.want, stats); diff != "" {
			t.Errorf("%s: stats (-want +got):\n%s", tt.name, diff)
		}
	}
}

// The options of the first fragment are the datagram's, and its checksum holds.
func TestFragmentWithOptions(t *testing.T) {
	payload := udp(92)
	first := part4(7, payload, 0, 48)
	first = append(append(first[:20:20], 1, 1, 1, 0), first[20:]...)
	first = set(set(first, 0, 0x46), 3, byte(len(first)))
	items, _ := mustRead(t, newRecords(binary.LittleEndian, magicMicrosecond, linkRaw).
		packet(1, 0, part4(7, payload, 48, 100)).packet(2, 0, first).b)
	ip := items[1].Packet.IP
	if len(ip) != 124 || !bytes.Equal(ip[20:24], []byte{1, 1, 1, 0}) || !bytes.Equal(ip[24:], payload) {
		t.Fatalf("datagram % x, want the options and the payload", ip)
	}
	if got := checksum(ip[:24]); got != 0 {
		t.Errorf("the header sums up to %#x, want 0", got)
	}
}

// Of IPv4 the first to come is kept (as Linux and RFC 791 leave open), an IPv6
// datagram with overlaps is dropped, what still comes too (RFC 5722).
func TestOverlaps(t *testing.T) {
	payload := udp(92)
	four, six := packet4(7, 0, payload), packet6(protocolUDP, payload)
	other := bytes.Repeat([]byte{0xee}, 100)
	wait := fragmentWaits
	for _, tt := range []struct {
		name  string
		steps []step
		want  FragmentStats
	}{
		{"IPv4, first wins", []step{
			{part4(7, payload, 16, 48), nil, wait},
			{part4(7, other, 24, 40), nil, fragmentDuplicate},
			{part4(7, payload, 0, 24), nil, wait},
			{part4(7, append(bytes.Clone(other[:48]), payload[48:]...), 32, 100), four, ""},
		}, FragmentStats{Reassembled: 1, Repeated: 1}},
		{"IPv4, a last fragment that repeats one that was not", []step{
			{packet4(7, moreFragments|1, payload[8:16]), nil, wait},
			{packet4(7, 1, payload[8:16]), nil, wait},
			{packet4(7, moreFragments, payload[:8]), packet4(7, 0, payload[:16]), ""},
		}, FragmentStats{Reassembled: 1}},
		{"IPv4, two ends", []step{
			{part4(7, payload, 48, 100), nil, wait},
			{part4(7, payload[:96], 48, 96), nil, fragmentConflict},
			{packet4(7, moreFragments|12, payload[:8]), nil, fragmentConflict},
			{part4(7, payload, 0, 48), four, ""},
		}, FragmentStats{Reassembled: 1, Refused: 2}},
		{"IPv4, an end before what came", []step{
			{part4(7, payload, 48, 96), nil, wait},
			{packet4(7, 2, payload[16:40]), nil, fragmentConflict},
			{part4(7, payload, 0, 48), nil, wait},
			{part4(7, payload, 96, 100), four, ""},
		}, FragmentStats{Reassembled: 1, Refused: 1}},
		{"IPv6, exact duplicate", []step{
			{part6(9, payload, 0, 48), nil, wait},
			{part6(9, payload, 0, 48), nil, fragmentDuplicate},
			{part6(9, payload, 48, 100), six, ""},
		}, FragmentStats{Reassembled: 1, Repeated: 1}},
		{"IPv6, overlap", []step{
			{part6(9, payload, 0, 48), nil, wait},
			{part6(9, payload, 40, 100), nil, fragmentOverlap},
			{part6(9, payload, 48, 100), nil, fragmentOfDropped},
		}, FragmentStats{Overlapped: 1, Refused: 1}},
		{"IPv6, the same place with other bytes", []step{
			{part6(9, payload, 0, 48), nil, wait},
			{part6(9, other, 0, 48), nil, fragmentOverlap},
		}, FragmentStats{Overlapped: 1}},
		{"IPv6, two ends", []step{
			{part6(9, payload, 48, 100), nil, wait},
			{part6(9, payload[:90], 80, 90), nil, fragmentOverlap},
		}, FragmentStats{Overlapped: 1}},
	} {
		stats := play(t, tt.name, tt.steps)
		if diff := cmp.Diff(tt.want, stats); diff != "" {
			t.Errorf("%s: stats (-want +got):\n%s", tt.name, diff)
		}
	}
}

// A fragment that cannot be one is refused, and leaves no trace.
func TestMalformedFragments(t *testing.T) {
	payload := udp(92)
	long := make([]byte, 65528)
	stats := play(t, "malformed", []step{
		{packet4(7, moreFragments, payload[:7]), nil, fragmentMalformed},
		{packet4(7, moreFragments, nil), nil, fragmentMalformed},
		{packet4(7, 0x1fff, payload[:8]), nil, fragmentMalformed}, // up to 65536
		{packet6(protocolFragment, fragmentHeader6(9, protocolUDP, 0, true)[:7]), nil, fragmentCut},
		{packet6(protocolFragment, append(fragmentHeader6(9, protocolUDP, 65528, false), payload[:8]...)), nil, fragmentMalformed},
	})
	if diff := cmp.Diff(FragmentStats{Refused: 5}, stats); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}

	hops := append(unhex("2c00"+"010400000000"), fragmentHeader6(9, protocolUDP, 0, true)...)
	stats = play(t, "too long", []step{
		{packet4(7, moreFragments, long[:32768]), nil, fragmentWaits},
		{packet4(7, 32768/8, long[:32767]), nil, fragmentTooLong}, // with the header 65555
		{packet6(protocolHopByHop, append(hops, long[:32768]...)), nil, fragmentWaits},
		{packet6(protocolHopByHop, append(set(hops, 8, fragmentHeader6(9, protocolUDP, 32768, false)...), long[:32767]...)), nil, fragmentTooLong},
	})
	if diff := cmp.Diff(FragmentStats{TooLong: 2}, stats); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}

	cut := newRecords(binary.LittleEndian, magicMicrosecond, linkRaw).cut(1, 0, part4(7, payload, 0, 48)[:40], 68)
	items, counts := mustRead(t, cut.b)
	if p := items[0].Packet; p.IP != nil || p.Len != 0 || p.Skipped != fragmentCut || counts.Fragments.Refused != 1 {
		t.Errorf("packet %+v, stats %+v, want %q", p, counts, fragmentCut)
	}
}

// Fragments of different interfaces are of different datagrams.
func TestFragmentsOfInterfaces(t *testing.T) {
	payload := udp(92)
	a, b := part4(7, payload, 0, 48), part4(7, payload, 48, 100)
	f := newBlocks(binary.LittleEndian).iface(linkRaw, 0).packet(0, 1, a).packet(1, 2, a).packet(0, 3, b).packet(1, 4, b)
	items, _ := mustRead(t, f.b)
	want := []brief{
		{1, "1970-01-01T00:00:00.000001", 0, 0, fragmentWaits},
		{2, "1970-01-01T00:00:00.000002", 1, 0, fragmentWaits},
		{3, "1970-01-01T00:00:00.000003", 0, 120, ""},
		{4, "1970-01-01T00:00:00.000004", 1, 120, ""},
	}
	if diff := cmp.Diff(want, briefs(packets(items))); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// parse returns the fragment in a packet.
func parse(t *testing.T, ip []byte) *fragment {
	t.Helper()
	f, skipped := parseFragment(ip, len(ip), 0)
	if f == nil {
		t.Fatalf("no fragment: %q", skipped)
	}
	return f
}

// A datagram waits for a minute, or, where there is no time, for 2^20 packets.
func TestExpiry(t *testing.T) {
	payload := udp(92)
	first, second := parse(t, part4(7, payload, 0, 48)), parse(t, part4(7, payload, 48, 100))
	for _, tt := range []struct {
		name    string
		at      time.Time
		number  uint64
		then    time.Time
		expires bool
	}{
		{"a minute", at, 2, at.Add(maxAge), false},
		{"more than a minute", at, 2, at.Add(maxAge + 1), true},
		{"a clock that goes back", at, 2, at.Add(-time.Hour), false},
		{"no time", time.Time{}, 1 + maxAgePackets, time.Time{}, false},
		{"no time, many packets", time.Time{}, 2 + maxAgePackets, time.Time{}, true},
		{"no time at first", time.Time{}, 2, at, false},
	} {
		var r reassembler
		r.add(first, tt.at, 1)
		ip, skipped := r.add(second, tt.then, tt.number)
		if expired := ip == nil; expired != tt.expires || r.stats.Expired == 1 != tt.expires {
			t.Errorf("%s: %d bytes, %q, %+v, want expired %t", tt.name, len(ip), skipped, r.stats, tt.expires)
		}
	}
}

// allocated returns what a datagram holds.
func (d *datagram) allocated() int {
	n := cap(d.header.bytes)
	for _, page := range d.pages {
		if page != nil {
			n += pageLen
		}
	}
	return n
}

// More than may wait drive out the oldest, which is told; the memory they hold
// is counted right, to the last byte.
func TestEviction(t *testing.T) {
	long := make([]byte, 65000)
	for _, tt := range []struct {
		name      string
		fragment  func(id uint32) []byte
		many      int
		wantBytes int // at most
	}{
		{"many", func(id uint32) []byte { return part6(id, udp(92), 48, 56) }, maxWaiting, maxWaiting * pageLen},
		{"large", func(id uint32) []byte { return part6(id, long, 56000, 64000) }, 0, maxWaitingBytes},
	} {
		var r reassembler
		evicted := uint64(0)
		const n = 3 * maxWaiting
		for id := range uint32(n) {
			ip, skipped := r.add(parse(t, tt.fragment(id)), at, uint64(id))
			if ip != nil || skipped != fragmentWaits && skipped != fragmentWaitsEvicts {
				t.Fatalf("%s: fragment %d: %d bytes, %q", tt.name, id, len(ip), skipped)
			}
			if (r.stats.Evicted > evicted) != (skipped == fragmentWaitsEvicts) {
				t.Fatalf("%s: fragment %d: %q, and %d evicted", tt.name, id, skipped, r.stats.Evicted-evicted)
			}
			evicted = r.stats.Evicted
		}
		if r.waiting()+int(evicted) != n || tt.many != 0 && r.waiting() != tt.many {
			t.Errorf("%s: %d wait and %d are evicted of %d", tt.name, r.waiting(), evicted, n)
		}
		held := 0
		for _, d := range r.datagrams {
			held += d.allocated()
		}
		if held != r.bytes || held > tt.wantBytes || r.oldest.Len() != len(r.datagrams) {
			t.Errorf("%s: %d bytes held, %d counted, at most %d wanted", tt.name, held, r.bytes, tt.wantBytes)
		}
		r.expire(at.Add(time.Hour), n)
		if r.bytes != 0 || r.waiting() != 0 {
			t.Errorf("%s: after an hour %d bytes are counted and %d wait", tt.name, r.bytes, r.waiting())
		}
	}
}

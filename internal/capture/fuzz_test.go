package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// check reads a file and checks what holds of any: what items say, that memory
// is bounded, and how it ends.
func check(t *testing.T, in io.Reader, size int) (items []Item, err error) {
	t.Helper()
	r, err := NewReader(in, "fuzz")
	if err != nil {
		_, format := errors.AsType[*FormatError](err)
		if _, damage := errors.AsType[*DamageError](err); !format && !damage {
			t.Fatalf("no capture: %v", err)
		}
		return nil, err
	}
	number := uint64(0)
	for {
		item, err := r.Next()
		if err != nil {
			damage, ok := errors.AsType[*DamageError](err)
			if err != io.EOF && (!ok || damage.Offset < 0 || damage.Offset > int64(size)) {
				t.Fatalf("it ends with %v, and has %d bytes", err, size)
			}
			return items, err
		}
		bounded(t, r)
		if item.Secrets == nil {
			number++
			checkPacket(t, &item.Packet, number)
		} else if !reflect.ValueOf(item.Packet).IsZero() {
			t.Fatalf("secrets and a packet: %+v", item)
		}
		item.Packet.IP = bytes.Clone(item.Packet.IP)
		items = append(items, item)
	}
}

// checkPacket checks what holds of any packet.
func checkPacket(t *testing.T, p *Packet, number uint64) {
	t.Helper()
	headers := map[byte]int{4: ipv4HeaderLen, 6: ipv6HeaderLen}
	switch {
	case p.Number != number:
		t.Fatalf("packet %d has the number %d", number, p.Number)
	case (p.IP == nil) != (p.Skipped != ""), p.IP == nil && p.Len != 0, p.Len < len(p.IP):
		t.Fatalf("packet %+v", p)
	case p.IP != nil && (headers[p.IP[0]>>4] == 0 || len(p.IP) < headers[p.IP[0]>>4]):
		t.Fatalf("packet %+v has no whole IP header", p)
	case !p.Time.IsZero() && (p.Time.Year() < 1 || p.Time.Year() > 9999):
		t.Fatalf("packet of %v", p.Time)
	}
}

// bounded checks that a reader holds no more than its bounds.
func bounded(t *testing.T, r *Reader) {
	t.Helper()
	f := &r.fragments
	held := 0
	for _, d := range f.datagrams {
		held += d.allocated()
	}
	if held != f.bytes || held > maxWaitingBytes || len(f.datagrams) > maxWaiting || f.oldest.Len() != len(f.datagrams) {
		t.Fatalf("%d bytes held in %d datagrams, counted %d and %d", held, len(f.datagrams), f.bytes, f.oldest.Len())
	}
	if cap(f.whole) > 4*maxDatagram {
		t.Fatalf("%d bytes for the last datagram", cap(f.whole))
	}
	if s, ok := r.source.(*pcapng); ok && len(s.interfaces) > maxInterfaces {
		t.Fatalf("%d interfaces", len(s.interfaces))
	}
}

// fuzzFile checks a file whole, in pieces, and cut: what is before the cut is
// the same.
func fuzzFile(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte, cut int) {
		if bytes.HasPrefix(file, []byte(gzipMagic)) {
			check(t, bytes.NewReader(file), math.MaxInt) // offsets are in what is decompressed
			return
		}
		whole, wholeErr := check(t, bytes.NewReader(file), len(file))
		pieces, err := check(t, iotest.HalfReader(bytes.NewReader(file)), len(file))
		if diff := cmp.Diff(whole, pieces); diff != "" || wholeErr.Error() != err.Error() {
			t.Errorf("whole it ends with %v, in pieces with %v (-whole +pieces):\n%s", wholeErr, err, diff)
		}
		cut = int(uint(cut) % uint(len(file)+1))
		before, _ := check(t, bytes.NewReader(file[:cut]), cut)
		if len(before) > len(whole) || len(before) > 0 && !cmp.Equal(whole[:len(before)], before) {
			t.Errorf("cut after %d bytes it has %+v, whole %+v", cut, before, whole)
		}
	})
}

func FuzzPcap(f *testing.F) {
	for name, file := range small() {
		if name == "pcap" || name == "pcap, nanoseconds" {
			f.Add(file, len(file)-1)
		}
	}
	long := newRecords(binary.BigEndian, magicMicrosecond, linkEthernet)
	for _, fr := range frames {
		if fr.linkType == linkEthernet {
			long.packet(1, 2, append(unhex(fr.header), fr.ip...))
		}
	}
	f.Add(long.b, 100)
	fuzzFile(f)
}

func FuzzPcapng(f *testing.F) {
	for name, file := range small() {
		if name == "pcapng" || name == "pcapng, big-endian" {
			f.Add(file, len(file)-1)
		}
	}
	f.Add(sections(), 200)
	f.Add(zip(sections()), 0)
	fuzzFile(f)
}

// FuzzFormats checks that packets are the same out of any format.
func FuzzFormats(f *testing.F) {
	for _, fr := range frames {
		f.Add(fr.linkType, uint32(1772600767), uint32(123456), uint16(0), append(unhex(fr.header), fr.ip...))
	}
	f.Fuzz(func(t *testing.T, linkType uint16, seconds, fraction uint32, more uint16, data []byte) {
		if len(data) > maxPacket {
			return
		}
		fraction %= 1e6
		n := uint32(len(data)) + uint32(more)
		time := uint64(seconds)*1e6 + uint64(fraction)
		var files [][]byte
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			micro := newRecords(order, magicMicrosecond, uint32(linkType)).cut(seconds, fraction, data, int(n))
			ng := (&blocks{order: order}).section().iface(linkType, 0)
			ng.block(blockEnhancedPacket, ng.u32(0, uint32(time>>32), uint32(time), uint32(len(data)), n), data)
			files = append(files, micro.b, ng.b)
		}
		nano := newRecords(binary.BigEndian, magicNanosecond, uint32(linkType)).cut(seconds, fraction*1000, data, int(n))
		var want []Item
		for i, file := range append(files, nano.b) {
			items, err := check(t, bytes.NewReader(file), len(file))
			if i == 0 {
				want = items
			}
			if !cmp.Equal(want, items) || err != io.EOF || len(items) != 1 {
				t.Errorf("file %d: %+v, %v, in the first %+v", i, items, err, want)
			}
		}
	})
}

// A naiveDatagram is one byte by byte, for comparison.
type naiveDatagram struct {
	bytes   map[int]byte
	length  int // -1 until the last fragment is there
	dropped bool
}

// add takes a fragment, and returns the payload once it is whole.
func (n *naiveDatagram) add(f *fragment) []byte {
	if n.dropped {
		return nil
	}
	end, furthest, present, same := f.offset+len(f.data), 0, 0, true
	for at := range n.bytes {
		furthest = max(furthest, at+1)
	}
	for i, c := range f.data {
		if old, ok := n.bytes[f.offset+i]; ok {
			present++
			same = same && old == c
		}
	}
	conflict := n.length >= 0 && (end > n.length || !f.more && end != n.length) || !f.more && furthest > end
	overlap := f.key.version == ipv6 && present > 0 && (present < len(f.data) || !same)
	if conflict || overlap {
		n.dropped = f.key.version == ipv6
		return nil
	}
	for i, c := range f.data {
		if _, ok := n.bytes[f.offset+i]; !ok {
			n.bytes[f.offset+i] = c
		}
	}
	if !f.more {
		n.length = end
	}
	if len(n.bytes) != n.length {
		return nil
	}
	payload := make([]byte, n.length)
	for at, c := range n.bytes {
		payload[at] = c
	}
	return payload
}

// fuzzFragment makes a fragment of four bytes: offset, length, flags, and what
// its bytes differ in from others at the same place.
func fuzzFragment(b []byte) (ip []byte) {
	const more, six, odd = 1, 2, 4
	offset, payload := int(b[0]%32)*fragmentUnit, make([]byte, int(b[1]%16+1)*fragmentUnit)
	id, field := b[2]&odd, uint16(offset)
	if b[2]&more != 0 {
		field |= 1
	} else {
		payload = payload[:len(payload)-int(b[2]>>5)]
	}
	for i := range payload {
		payload[i] = byte(offset+i)*7 ^ b[3]
	}
	if b[2]&six != 0 {
		return packet6(protocolFragment, append(fragmentHeader6(uint32(id), protocolUDP, offset, field&1 != 0), payload...))
	}
	return packet4(uint16(id), field<<13|field>>3, payload)
}

// FuzzFragments checks reassembly against one that works byte by byte, for
// fragments in any order, repeated and overlapping.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{0, 5, 1, 0, 6, 5, 1, 0, 12, 3, 64, 0})
	f.Add([]byte{12, 3, 0, 0, 6, 5, 1, 0, 6, 5, 1, 0, 0, 5, 1, 0})
	f.Add([]byte{2, 3, 1, 0, 3, 1, 1, 1, 0, 2, 1, 0, 4, 4, 0, 2})
	f.Add([]byte{0, 5, 3, 0, 6, 5, 2, 0, 0, 5, 3, 0, 5, 5, 2, 1, 6, 2, 2, 0, 0, 5, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Reader // for bounded
		naive := make(map[datagramKey]*naiveDatagram)
		for number := uint64(1); len(b) >= 4 && number < 200; number, b = number+1, b[4:] {
			ip := fuzzFragment(b)
			fragment, skipped := parseFragment(ip, len(ip), 0)
			if fragment == nil {
				if ip[0]>>4 != 4 || ip[6]&0x3f != 0 || ip[7] != 0 || skipped != "" {
					t.Fatalf("% x is no fragment: %q", ip, skipped)
				}
				continue
			}
			want := fragment.data
			if !fragment.atomic() {
				n := naive[fragment.key]
				if n == nil {
					n = &naiveDatagram{bytes: make(map[int]byte), length: -1}
					naive[fragment.key] = n
				}
				if want = n.add(fragment); want != nil {
					delete(naive, fragment.key)
				}
			}
			got, skipped := r.fragments.add(fragment, at, number)
			if (got == nil) != (want == nil) || (got == nil) != (skipped != "") {
				t.Fatalf("fragment %d gives %d bytes, %q, want %d bytes of payload", number, len(got), skipped, len(want))
			}
			if got != nil && !bytes.Equal(got[len(got)-len(want):], want) {
				t.Fatalf("fragment %d gives % x, want % x behind the header", number, got, want)
			}
			bounded(t, &r)
		}
	})
}

package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// wantDamage checks where a file is damaged, and how.
func wantDamage(t *testing.T, err error, offset int64, reason string) {
	t.Helper()
	damage, ok := errors.AsType[*DamageError](err)
	if !ok {
		t.Errorf("error %v, want damage: %s", err, reason)
		return
	}
	if damage.Offset != offset || !strings.Contains(damage.Err.Error(), reason) || damage.File != "test.pcap" {
		t.Errorf("error %v\nwant at offset %d: %s", err, offset, reason)
	}
}

// small returns a small file of each format, and the offsets of its blocks, at
// which it may end.
func small() map[string][]byte {
	ip, six := packet4(1, 0, udp(5)), packet6(protocolUDP, udp(3))
	lines := "CLIENT_RANDOM " + strings.Repeat("ab", 32) + " " + strings.Repeat("01", 48) + "\n"
	return map[string][]byte{
		"pcap":               newRecords(binary.LittleEndian, magicMicrosecond, linkRaw).packet(1, 2, ip).packet(3, 4, six).b,
		"pcap, nanoseconds":  newRecords(binary.BigEndian, magicNanosecond, linkRaw).packet(1, 2, ip).packet(3, 4, six).b,
		"pcapng":             newBlocks(binary.LittleEndian).dsb(secretsTLS, lines).packet(0, 1, ip).packet(0, 1, six).b,
		"pcapng, big-endian": newBlocks(binary.BigEndian).packet(0, 1, ip).dsb(secretsTLS, lines).dsb(1, "other").packet(0, 1, six).b,
	}
}

// boundary reports whether a file may end before the block or record at n.
func boundary(file []byte, n int) bool {
	at, step := 0, func(b []byte) int {
		order := binary.ByteOrder(binary.LittleEndian)
		if file[8] == 0x1a { // byte-order magic, big-endian
			order = binary.BigEndian
		}
		return int(order.Uint32(b[4:]))
	}
	if binary.BigEndian.Uint32(file) != blockSectionHeader {
		at, step = pcapHeaderLen, func(b []byte) int {
			if file[0] == 0xa1 {
				return recordHeaderLen + int(binary.BigEndian.Uint32(b[8:]))
			}
			return recordHeaderLen + int(binary.LittleEndian.Uint32(b[8:]))
		}
	}
	for at < n {
		at += step(file[at:])
	}
	return at == n
}

// Cut at any byte, a file gives the items before the cut, and then says so,
// unless it is cut between two blocks, where it may end.
func TestEveryTruncation(t *testing.T) {
	for name, file := range small() {
		all, _ := mustRead(t, file)
		whole := 0
		for n := range file {
			items, _, err := readAll(t, file[:n])
			if n >= 4 && boundary(file, n) {
				whole = len(items)
				if err != nil {
					t.Errorf("%s, its first %d bytes: %v, want a shorter file", name, n, err)
				}
				continue
			}
			if len(items) != whole || whole > 0 && cmp.Diff(all[:whole], items) != "" {
				t.Errorf("%s, its first %d bytes: %d items, want the first %d", name, n, len(items), whole)
			}
			if n < 4 {
				if _, ok := errors.AsType[*FormatError](err); !ok {
					t.Errorf("%s, its first %d bytes: %v, want no capture", name, n, err)
				}
				continue
			}
			damage, ok := errors.AsType[*DamageError](err)
			if !ok || !errors.Is(err, io.ErrUnexpectedEOF) || damage.Offset > int64(n) ||
				damage.Offset > 0 && !boundary(file, int(damage.Offset)) {
				t.Errorf("%s, its first %d bytes: %v, want damage at the block that is cut", name, n, err)
			}
		}
	}
}

// zip compresses.
func zip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // to memory
	_ = w.Close()
	return out.Bytes()
}

// A gzipped file is the same as the file, also if it is cut: then what can be
// decompressed is read.
func TestGzip(t *testing.T) {
	for name, file := range small() {
		want, _ := mustRead(t, file)
		if diff := cmp.Diff(want, first(mustRead(t, zip(file)))); diff != "" {
			t.Errorf("%s: items (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(want, first(mustRead(t, append(zip(file[:50]), zip(file[50:])...)))); diff != "" {
			t.Errorf("%s in two members: items (-want +got):\n%s", name, diff)
		}
		zipped := zip(file)
		for n := 3; n < len(zipped); n++ {
			items, _, err := readAll(t, zipped[:n])
			if len(items) > 0 && cmp.Diff(want[:len(items)], items) != "" {
				t.Errorf("%s, %d bytes: other items than those of the whole", name, n)
			}
			if _, ok := errors.AsType[*DamageError](err); !ok {
				t.Errorf("%s, %d bytes: %v, want damage", name, n, err)
			}
		}
		_, _, err := readAll(t, append([]byte(gzipMagic), "\x00\x00\x00\x00\x00\x00\x00\xff"...))
		wantDamage(t, err, 0, "reading the magic number: flate: corrupt input")
		wrong := set(zipped, len(zipped)-8, ^zipped[len(zipped)-8])
		items, _, err := readAll(t, wrong)
		if len(items) != len(want) {
			t.Errorf("%s with a wrong checksum: %d items, want %d", name, len(items), len(want))
		}
		wantDamage(t, err, int64(len(file)), "reading on: gzip: invalid checksum")
	}
}

// first returns the first of two.
func first[A, B any](a A, _ B) A { return a }

// A file that comes in pieces, as from a pipe, is the same.
func TestOneByteAtATime(t *testing.T) {
	for name, file := range small() {
		r, err := NewReader(iotest.OneByteReader(bytes.NewReader(file)), name)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := mustRead(t, file)
		for i := range want {
			item, err := r.Next()
			if err != nil || cmp.Diff(want[i], item) != "" {
				t.Fatalf("%s: item %d is %+v, %v, want %+v", name, i, item, err, want[i])
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%s: %v at the end, want EOF", name, err)
		}
	}
}

// A packet of a live capture is given before the next one is there.
func TestPipe(t *testing.T) {
	for name, file := range small() {
		pr, pw := io.Pipe()
		written := make(chan struct{})
		go func() {
			_, _ = pw.Write(file) // returns when all is read, the pipe stays open
			close(written)
		}()
		r, err := NewReader(pr, name)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := mustRead(t, file)
		for i := range want {
			if item, err := r.Next(); err != nil || cmp.Diff(want[i], item) != "" {
				t.Fatalf("%s: item %d is %+v, %v, want %+v", name, i, item, err, want[i])
			}
		}
		<-written
		pw.Close()
	}
}

// An error of reading is told with its cause.
func TestReadError(t *testing.T) {
	failed := errors.New("disk on fire")
	file := small()["pcap"]
	r, err := NewReader(io.MultiReader(bytes.NewReader(file[:80]), iotest.ErrReader(failed)), "test.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, failed) {
		t.Errorf("error %v, want one that wraps %v", err, failed)
	}
	wantDamage(t, err, 24+16+33, "reading the record header: disk on fire")
	if _, err := NewReader(iotest.ErrReader(failed), "test.pcap"); !errors.Is(err, failed) {
		t.Errorf("error %v, want one that wraps %v", err, failed)
	}
}

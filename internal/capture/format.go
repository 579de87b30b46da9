package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// The first four bytes of a file, in the order of the file.
const (
	magicSectionHeader   = 0x0a0d0d0a // pcapng, the same in both byte orders
	magicMicrosecond     = 0xa1b2c3d4 // pcap, big-endian
	magicMicrosecondSwap = 0xd4c3b2a1 // pcap, little-endian
	magicNanosecond      = 0xa1b23c4d
	magicNanosecondSwap  = 0x4d3cb2a1
)

// gzipMagic begins a gzip member with deflate (RFC 1952, section 2.3.1).
const gzipMagic = "\x1f\x8b\x08"

// A FormatError says that a file is no capture, or none that is read.
type FormatError struct {
	File string
	Is   string // what it is instead, with a hint where there is one
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: not a pcap or pcapng file: it is %s", e.File, e.Is)
}

// open returns the window on the capture in r, decompressed, and its magic.
func open(r io.Reader, name string) (in *input, magic uint32, err error) {
	window := bufio.NewReaderSize(r, maxBlock)
	start, err := beginning(window)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", name, err)
	}
	zipped := bytes.HasPrefix(start, []byte(gzipMagic))
	if zipped {
		unzip, err := gzip.NewReader(window)
		if err != nil {
			return nil, 0, &DamageError{File: name, Err: cut(err, "gzip header", int64(len(start)), int64(len(start)))}
		}
		window = bufio.NewReaderSize(unzip, maxBlock)
		if start, err = beginning(window); err != nil {
			return nil, 0, &DamageError{File: name, Err: cut(err, "magic number", int64(len(start)), 4)}
		}
	}
	in = &input{name: name, window: window}
	if len(start) >= 4 {
		switch magic = binary.BigEndian.Uint32(start); magic {
		case magicSectionHeader, magicMicrosecond, magicMicrosecondSwap, magicNanosecond, magicNanosecondSwap:
			return in, magic, nil
		}
	}
	is := identify(start)
	if zipped {
		is = "gzipped, and within " + is
	}
	return nil, 0, &FormatError{File: name, Is: is}
}

// beginning returns some bytes that a file begins with: at least the four that
// tell a capture, unless the file is shorter.
func beginning(window *bufio.Reader) ([]byte, error) {
	start, err := window.Peek(4)
	if err == nil {
		// No more is asked for: a pipe may not have it yet.
		return window.Peek(min(window.Buffered(), 64))
	}
	if err == io.EOF {
		err = nil
	}
	return start, err
}

// signatures are the beginnings of files that may be taken for captures.
var signatures = []struct{ prefix, is string }{
	{gzipMagic, "gzipped data: decompress it with gunzip"},
	{"\x28\xb5\x2f\xfd", "zstd data: decompress it with zstd -d"},
	{"\xfd7zXZ\x00", "xz data: decompress it with xz -d"},
	{"BZh", "bzip2 data: decompress it with bzip2 -d"},
	{"\x04\x22\x4d\x18", "LZ4 data: decompress it with lz4 -d"},
	{"PK\x03\x04", "a ZIP archive: unpack it with unzip"},
	{"\x7fELF", "an ELF binary"},
	{"snoop\x00\x00\x00", "a snoop capture: convert it with editcap"},
	{"GMBU", "a Network Monitor capture: convert it with editcap"},
	{"RTSS", "a Network Monitor capture: convert it with editcap"},
	{"\xa1\xb2\xcd\x34", "a modified pcap file: convert it with editcap -F pcap"},
	{"\x34\xcd\xb2\xa1", "a modified pcap file: convert it with editcap -F pcap"},
	{"CLIENT_", "a TLS key log: give it with --keylog"},
	{"SERVER_HANDSHAKE_TRAFFIC_SECRET ", "a TLS key log: give it with --keylog"},
	{"{", "JSON"},
	{"[", "JSON"},
}

// identify says what a file is that begins with start.
func identify(start []byte) string {
	if len(start) == 0 {
		return "empty"
	}
	for _, s := range signatures {
		if bytes.HasPrefix(start, []byte(s.prefix)) {
			return s.is
		}
	}
	if isText(start) {
		return "text"
	}
	if len(start) < 4 {
		return fmt.Sprintf("%d bytes long", len(start))
	}
	return fmt.Sprintf("data that begins with 0x%x", start[:4])
}

// isText reports whether b is UTF-8 without control characters, perhaps cut
// within a character.
func isText(b []byte) bool {
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 {
			return !utf8.FullRune(b)
		}
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
		b = b[n:]
	}
	return true
}

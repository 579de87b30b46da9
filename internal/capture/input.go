package capture

import (
	"bufio"
	"fmt"
	"io"
)

// maxPacket is the longest packet that is read, in bytes: the largest snap
// length of libpcap and of Wireshark.
const maxPacket = 256 << 10

// maxBlock is the size of the window on the file: a packet, and as much again
// for the options of its block.
const maxBlock = 2 * maxPacket

// An input is a window on a file that counts its offset. No length that the
// file claims makes it larger.
type input struct {
	name   string
	window *bufio.Reader
	offset int64
}

// need returns the next n ≤ maxBlock bytes, those of a unit of the format, valid
// until the next call. If the file has not that many, it is damaged here.
func (in *input) need(what string, n int) ([]byte, error) {
	b, err := in.window.Peek(n)
	if err != nil {
		return nil, in.damage(in.offset, cut(err, what, int64(len(b)), int64(n)))
	}
	return b, nil
}

// skip passes over n bytes and returns how many there were.
func (in *input) skip(n int64) (int64, error) {
	var done int64
	for done < n {
		k, err := in.window.Discard(int(min(n-done, maxBlock)))
		done += int64(k)
		in.offset += int64(k)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// atEnd returns io.EOF if the file ends here, and damage if it cannot be read.
func (in *input) atEnd() error {
	_, err := in.window.Peek(1)
	if err == nil || err == io.EOF {
		return err
	}
	return in.damage(in.offset, fmt.Errorf("reading on: %w", err))
}

// damage returns the error of the file at an offset.
func (in *input) damage(offset int64, err error) error {
	return &DamageError{File: in.name, Offset: offset, Err: err}
}

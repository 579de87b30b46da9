package tlswire

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxKeyLogLine bounds a line of a key log: the longest secret known has 48
// bytes, an ECH configuration a few hundred.
const maxKeyLogLine = 64 << 10

// ParseKeyLogLine parses one line of a key log (RFC 9850, section 2), with or
// without its line end. For an empty line or a comment ok is false. Labels that
// are not known are kept. An error says what is wrong and never shows a secret.
func ParseKeyLogLine(line string) (s Secret, ok bool, err error) {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if line == "" || line[0] == '#' {
		return Secret{}, false, nil
	}
	fields := strings.SplitN(line, " ", 4)
	if len(fields) != 3 || fields[0] == "" {
		return Secret{}, false, errors.New("want a label, a client random and a secret, separated by single spaces")
	}
	random, err := hex.DecodeString(fields[1])
	if err != nil || len(random) != randomLen {
		return Secret{}, false, fmt.Errorf("the client random of %s is not %d hexadecimal digits", label(fields[0]), 2*randomLen)
	}
	secret, err := hex.DecodeString(fields[2])
	if err != nil || len(secret) == 0 {
		return Secret{}, false, fmt.Errorf("the secret of %s is not a sequence of hexadecimal bytes", label(fields[0]))
	}
	return Secret{Label: fields[0], ClientRandom: random, Secret: secret}, true, nil
}

// label quotes a label for an error; a long one may be a secret out of place.
func label(s string) string {
	const longest = 40
	if len(s) > longest {
		return fmt.Sprintf("a label of %d characters", len(s))
	}
	return fmt.Sprintf("%q", s)
}

// A KeyLogError says which line of a key log is malformed.
type KeyLogError struct {
	Line int // from 1
	Err  error
}

func (e *KeyLogError) Error() string { return fmt.Sprintf("key log, line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with the line.
func (e *KeyLogError) Unwrap() error { return e.Err }

// A KeyLogReader reads a key log. It is not safe for concurrent use.
type KeyLogReader struct {
	lines *bufio.Scanner
	line  int
}

// NewKeyLogReader returns a reader of r.
func NewKeyLogReader(r io.Reader) *KeyLogReader {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxKeyLogLine)
	return &KeyLogReader{lines: s}
}

// Read returns the next secret, and io.EOF after the last one. After a
// *KeyLogError reading may go on with the next line; other errors are final.
func (r *KeyLogReader) Read() (Secret, error) {
	for r.lines.Scan() {
		r.line++
		s, ok, err := ParseKeyLogLine(r.lines.Text())
		if err != nil {
			return Secret{}, &KeyLogError{Line: r.line, Err: err}
		}
		if ok {
			return s, nil
		}
	}
	if err := r.lines.Err(); err != nil {
		return Secret{}, fmt.Errorf("key log, line %d: %w", r.line+1, err)
	}
	return Secret{}, io.EOF
}

package jsonlines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"synscope/event"
)

// maxLine bounds a line that is read. The longest that is written, of a
// handshake message with many names, has some hundred kilobytes.
const maxLine = 16 << 20

// Read returns the events of r. After an error, which says in which line it is,
// there are no more.
func Read(r io.Reader) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		n := 0
		for lines.Scan() {
			n++
			e := new(event.Event)
			if err := json.Unmarshal(lines.Bytes(), e); err != nil {
				if cut := lines.Err(); cut != nil { // the line is what came before r failed
					err = cut
				}
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, fmt.Errorf("line %d: %w", n+1, err))
		}
	}
}

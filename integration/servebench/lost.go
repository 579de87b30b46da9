package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// lost returns what a tracer told not to have kept, by what and why, summed up
// over all its events. There need not be a file. A server that loses what it is
// to tell has not done the work.
func lost(events string) (map[string]uint64, error) {
	f, err := os.Open(events)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sums := make(map[string]uint64)
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := r.ReadSlice('\n')
		if bytes.Contains(line, []byte(`"kind":"trace.gap"`)) {
			var gap struct {
				Lost         uint64
				What, Reason string
			}
			if err := json.Unmarshal(line, &gap); err != nil {
				return nil, fmt.Errorf("%s: %w", events, err)
			}
			sums[gap.What+": "+gap.Reason] += gap.Lost
		}
		switch {
		case err == io.EOF:
			return sums, nil
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

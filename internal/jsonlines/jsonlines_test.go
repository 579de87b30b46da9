package jsonlines

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

func device(name string) *event.Event {
	return &event.Event{Time: time.Unix(0, 0).UTC(), N: 1, View: event.Wire, Body: &event.Device{Name: name, Change: "up"}}
}

// Each event is a line of its own, also if it quotes a peer's line ends, and
// can be read again.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, nil)
	var want []*event.Event
	for _, name := range []string{"syn0", "a\nb\r\u2028", ""} {
		want = append(want, device(name))
		w.Event(want[len(want)-1])
	}
	if out.Len() != 0 {
		t.Error("written before Flush")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []*event.Event
	for line := range strings.Lines(out.String()) {
		e := &event.Event{}
		if err := json.Unmarshal([]byte(line), e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// full is a file on a disk that becomes full.
type full struct {
	room int
	bytes.Buffer
}

var errFull = errors.New("no space left on device")

func (f *full) Write(b []byte) (int, error) {
	if f.Len()+len(b) > f.room {
		return 0, errFull
	}
	return f.Buffer.Write(b)
}

// The first error is told once, and nothing is written after it.
func TestWriteError(t *testing.T) {
	out := &full{room: 1 << 20}
	var told []error
	w := NewWriter(out, func(err error) { told = append(told, err) })
	for range 100_000 { // more than is buffered
		w.Event(device("syn0"))
	}
	if err := w.Flush(); err != errFull {
		t.Errorf("Flush: %v", err)
	}
	written := out.Len()
	w.Event(device("syn0"))
	if err := w.Flush(); err != errFull {
		t.Errorf("Flush again: %v", err)
	}
	if len(told) != 1 || told[0] != errFull {
		t.Errorf("told %v", told)
	}
	if out.Len() != written {
		t.Error("written after the error")
	}
}

// Writing an event allocates nothing.
func TestAllocations(t *testing.T) {
	w := NewWriter(io.Discard, nil)
	e := device("syn0")
	if n := testing.AllocsPerRun(10_000, func() { w.Event(e) }); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

func BenchmarkEvent(b *testing.B) {
	w := NewWriter(io.Discard, nil)
	e := device("syn0")
	b.ReportAllocs()
	for b.Loop() {
		w.Event(e)
	}
}

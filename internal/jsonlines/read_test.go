package jsonlines

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

func read(r io.Reader) (es []*event.Event, err error) {
	for e, err := range Read(r) {
		if err != nil {
			return es, err
		}
		es = append(es, e)
	}
	return es, nil
}

// What is written can be read.
func TestRead(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, nil)
	want := []*event.Event{device("syn0"), device("syn1")}
	for _, e := range want {
		w.Event(e)
	}
	w.Flush()
	got, err := read(iotest.OneByteReader(&b))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// What comes before a bad line is read, and the error says which line it is.
func TestReadErrors(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, nil)
	w.Event(device("syn0"))
	w.Flush()
	for name, c := range map[string]struct {
		r    io.Reader
		want string
	}{
		"cut":     {strings.NewReader(b.String() + b.String()[:40]), "line 2: unexpected end of JSON input"},
		"failed":  {io.MultiReader(strings.NewReader(b.String()+b.String()[:40]), iotest.ErrReader(errFull)), "line 2: no space left on device"},
		"unknown": {strings.NewReader(b.String() + `{"kind":"new"}`), `line 2: event: unknown kind "new"`},
		"long":    {io.MultiReader(&b, strings.NewReader(strings.Repeat("x", maxLine+1))), "line 2: bufio.Scanner: token too long"},
	} {
		es, err := read(c.r)
		if len(es) != 1 || err == nil || err.Error() != c.want {
			t.Errorf("%s: %d events, then %v, want 1 and %q", name, len(es), err, c.want)
		}
	}
	if _, err := read(iotest.ErrReader(errFull)); err == nil || !strings.HasSuffix(err.Error(), errFull.Error()) {
		t.Errorf("a reader's error is told as %v", err)
	}
}

package integration

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"synscope/event"
)

// read tells captures of servers and clients that are not ours as tshark does:
// each segment, each handshake message and each alert, in the order of the file.
// Where the two differ, the meeting says how and why.
func TestReadOthers(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, m := range meetings {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, p, m.form)
			m.run(s)
			c := s.captured()
			c.decode = m.decode
			if c.decode == nil {
				c.decode = []string{anyPort}
			}
			told := c.judge(t, m.differ[""])
			for _, text := range m.shows {
				if !strings.Contains(told, text) {
					t.Errorf("the events have no %s:\n%s", text, told)
				}
			}
			for _, how := range m.derive {
				t.Run(how, func(t *testing.T) { s.derive(t, c, how, m.differ[how]) })
			}
		})
	}
}

// A difference is one between what tshark and we tell of the same capture, and
// why it is there.
type difference struct {
	tshark, synscope []string // notes that only the one has, in order
	reason           string
}

// judge compares what tshark and we tell of a whole capture, and returns our
// events.
func (c captured) judge(t *testing.T, known difference) string {
	t.Helper()
	want := tshark(t, c.file, c.keys, c.decode...)
	if len(want) == 0 {
		t.Error("tshark saw no packets: nothing was judged")
	}
	told, events, err := c.read(t)
	if err != nil {
		t.Errorf("synscope read: %v", err)
	}
	judgeSegments(t, want, events)
	judgeTalk(t, utter(want), inOrder(talkOf(events)), known)
	return told
}

// judgeSegments compares the segments.
func judgeSegments(t *testing.T, tshark []row, events []*event.Event) {
	t.Helper()
	if diff := gocmp.Diff(texts(tshark), texts(rowsOf(events))); diff != "" {
		t.Errorf("segments (-tshark +synscope):\n%s", diff)
	}
}

// judgeTalk compares the messages and alerts. What is known to differ must.
func judgeTalk(t *testing.T, tshark, synscope []utterance, known difference) {
	t.Helper()
	if known.reason != "" {
		var found difference
		theirs := tshark
		tshark, found.tshark = common(tshark, synscope)
		synscope, found.synscope = common(synscope, theirs)
		if diff := gocmp.Diff([][]string{known.tshark, known.synscope}, [][]string{found.tshark, found.synscope}); diff != "" {
			t.Errorf("what only tshark and only synscope tell (-known +found):\n%s", diff)
		}
	}
	if diff := gocmp.Diff(tshark, synscope, gocmp.AllowUnexported(utterance{})); diff != "" {
		t.Errorf("messages and alerts (-tshark +synscope):\n%s", diff)
	}
}

// read runs the reader. It returns what it wrote, as text and as events, and how
// it failed.
func (c captured) read(t *testing.T) (string, []*event.Event, error) {
	t.Helper()
	events := filepath.Join(t.TempDir(), "events.jsonl")
	args := []string{"read", "--format", "json", "--events", events}
	if c.keys != "" {
		args = append(args, "--keylog", c.keys)
	}
	cmd := exec.Command(binary, append(args, c.file)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if err != nil {
		err = errors.New(err.Error() + ": " + stderr.String())
	}
	text, readErr := os.ReadFile(events)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), readEvents(t, events), err
}

// common returns what of talk the other has too, and the notes of what it lacks.
func common(talk, other []utterance) (both []utterance, lacks []string) {
	for _, u := range talk {
		if slices.Contains(other, u) {
			both = append(both, u)
		} else {
			lacks = append(lacks, u.note)
		}
	}
	return both, lacks
}

// texts returns the segments of rows.
func texts(rows []row) []string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, r.place()+r.text)
	}
	return lines
}

// utter returns the notes of rows.
func utter(rows []row) []utterance {
	var talk []utterance
	for _, r := range rows {
		for _, note := range r.notes {
			talk = append(talk, utterance{r.frame, r.direction(), note})
		}
	}
	return talk
}

// inOrder puts alerts behind the messages that the same packet completed, as
// tshark's columns do, and keeps the order otherwise.
func inOrder(talk []utterance) []utterance {
	isAlert := func(u utterance) bool { return strings.HasPrefix(u.note, "alert") }
	for i := 1; i < len(talk); i++ {
		for j := i; j > 0 && talk[j].frame == talk[j-1].frame && isAlert(talk[j-1]) && !isAlert(talk[j]); j-- {
			talk[j], talk[j-1] = talk[j-1], talk[j]
		}
	}
	return slices.Clip(talk)
}

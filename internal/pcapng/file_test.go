package pcapng

import (
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// readFile returns a file that must be there.
func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ns []string
	for _, f := range files {
		ns = append(ns, f.Name())
	}
	return ns
}

// A file is new and only its owner's.
func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcapng")
	w, err := Create(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	newLink(t, w).open().connect()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if got, want := layout(t, readFile(t, path)), "head 1 2 3 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	none := filepath.Join(t.TempDir(), "none", "a.pcapng")
	for _, tt := range []struct {
		name string
		path string
		cfg  Config
		want error
	}{
		{"a file that exists", path, Config{}, fs.ErrExist},
		{"no such directory", none, Config{}, fs.ErrNotExist},
		{"no directory for a series", none, Config{MaxAge: time.Hour}, fs.ErrNotExist},
	} {
		_, err := Create(tt.path, tt.cfg)
		var oe *OpenError
		if !errors.Is(err, tt.want) || !errors.As(err, &oe) || oe.Hint == "" || strings.Count(err.Error(), tt.path) != 1 {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"a stream with a size":   {MaxSize: 1 << 20},
		"a stream with an age":   {MaxAge: time.Hour},
		"a negative snap length": {SnapLen: -1},
		"a negative size":        {MaxSize: -1, Next: func() (io.WriteCloser, error) { return &file{}, nil }},
	} {
		if _, err := New(&file{}, cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// Files follow each other by size. Each is whole by itself, none is larger, and
// the secrets of a connection are in the file with the packet that they precede.
func TestRotationBySize(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{MaxSize: 4 << 10}
	w, err := Create(filepath.Join(dir, "a.pcapng"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t, w)
	steps := recordTLS(t, tls.VersionTLS13)
	for range 5 {
		c := l.open()
		c.connect()
		c.play(steps)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	files := names(t, dir)
	if len(files) < 3 || files[0] != "a-0001.pcapng" || files[1] != "a-0002.pcapng" {
		t.Fatalf("files %q", files)
	}
	var frame uint64
	for _, name := range files {
		b := readFile(t, filepath.Join(dir, name))
		if len(b) > int(cfg.MaxSize) {
			t.Errorf("%s has %d bytes", name, len(b))
		}
		bs := blocks(t, b)
		for i, bl := range bs {
			if bl.kind == "EPB" {
				if frame++; bl.frame != frame {
					t.Errorf("%s: frame %d, want %d", name, bl.frame, frame)
				}
			}
			if bl.kind == "DSB" && bs[i+1].kind != "EPB" {
				t.Errorf("%s: secrets without their packet", name)
			}
		}
		if rows := readFields(t, b, "", "frame.number"); len(rows) != len(bs)-3-count(bs, "DSB") {
			t.Errorf("%s: tshark reads %d packets of %d blocks", name, len(rows), len(bs))
		}
	}
	if frame != l.frame {
		t.Errorf("%d packets, want %d", frame, l.frame)
	}
}

func count(bs []block, kind string) int {
	n := 0
	for _, b := range bs {
		if b.kind == kind {
			n++
		}
	}
	return n
}

// They follow each other by age, when there is a packet. Only the newest are
// kept, and what is there from another capture is left alone.
func TestRotationByAge(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a-0007.pcapng", "a-x.pcapng", "a-0099.txt", "b-0100.pcapng"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w, err := Create(filepath.Join(dir, "a.pcapng"), Config{MaxAge: time.Hour, MaxFiles: 2})
		if err != nil {
			t.Fatal(err)
		}
		c := newLink(t, w).open()
		for range 3 {
			c.ack()
			c.ack()
			time.Sleep(5 * time.Hour)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	want := []string{"a-0007.pcapng", "a-0009.pcapng", "a-0010.pcapng", "a-0099.txt", "a-x.pcapng", "b-0100.pcapng"}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got, want := layout(t, readFile(t, filepath.Join(dir, "a-0010.pcapng"))), "head 5 6 end"; got != want {
		t.Errorf("the last file: %s, want %s", got, want)
	}
}

// After a crash a file is readable to its last whole block, wherever it ends.
func TestTruncation(t *testing.T) {
	b := capture(t, Config{}, func(l *link) {
		c := l.open()
		c.connect()
		c.hello()
		l.w.Secret(c.id, secret("A"))
		l.w.Ready(c.id)
		c.state(event.StateEstablished, event.StateFinWait1, event.Cause{By: event.ByCall, What: "close"})
		c.ack()
	})
	packets, start := 0, 0
	for i, bl := range blocks(t, b) {
		if i >= 2 { // there is nothing to read before the interface
			rows, _ := tryFields(t, b[:start+(bl.end-start)/2], "", "frame.number")
			if len(rows) != packets {
				t.Errorf("in the middle of block %d: %d packets, want %d", i, len(rows), packets)
			}
		}
		start = bl.end
		if bl.kind == "EPB" {
			packets++
		}
		if i >= 1 {
			if rows := readFields(t, b[:bl.end], "", "frame.number"); len(rows) != packets {
				t.Errorf("after block %d: %d packets, want %d", i, len(rows), packets)
			}
		}
	}
}

// A write has whole blocks only.
type wholeBlocks struct {
	file
	t *testing.T
}

func (w *wholeBlocks) Write(b []byte) (int, error) {
	blocks(w.t, b)
	return w.file.Write(b)
}

func TestWritesWholeBlocks(t *testing.T) {
	out := &wholeBlocks{t: t}
	w, err := New(out, Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := newLink(t, w).open()
	for range 20 {
		c.send(event.Client, event.ACK, make([]byte, 60_000))
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if out.writes < 10 {
		t.Errorf("%d writes of 1.2 MB", out.writes)
	}
}

// A full disk ends the capture, with one word, and everything else goes on. The
// file is readable to the last whole packet.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		disk := &file{room: 1000}
		w, err := New(disk, Config{OnError: func(err error) { told = append(told, err) }})
		if err != nil {
			t.Fatal(err)
		}
		c := newLink(t, w).open()
		for range 50 {
			c.hello()
			w.Secret(c.id, secret("A"))
			w.Ready(c.id)
			c.connect()
			time.Sleep(100 * time.Millisecond)
		}
		if err := w.Flush(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Flush: %v, want %v", err, syscall.ENOSPC)
		}
		if err := w.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v, want %v", err, syscall.ENOSPC)
		}
		if len(told) != 1 || !errors.Is(told[0], syscall.ENOSPC) {
			t.Errorf("OnError was called with %v, want %v once", told, syscall.ENOSPC)
		}
		if !disk.closed || disk.writes > 5 || len(w.q.entries) != 0 {
			t.Errorf("closed %v, %d writes, %d packets wait", disk.closed, disk.writes, len(w.q.entries))
		}
		rows, _ := tryFields(t, disk.Bytes(), "", "frame.number")
		if len(rows) == 0 || !slices.Contains(rows, "1") {
			t.Errorf("tshark reads %q", rows)
		}
	})
}

// So do a disk that is full from the beginning, a file that cannot be opened,
// and one that cannot be closed.
func TestFailures(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := New(full, Config{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("New on a full disk: %v", err)
	}
	told := 0
	cfg := Config{MaxSize: 1, OnError: func(error) { told++ }, Next: func() (io.WriteCloser, error) { return nil, fs.ErrPermission }}
	w, err := New(&file{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	newLink(t, w).open().connect()
	if err := w.Close(); !errors.Is(err, fs.ErrPermission) || told != 1 {
		t.Errorf("Close when the next file cannot be opened: %v, OnError called %d times", err, told)
	}
	w, err = New(badClose{&file{}}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close when the file cannot be closed: %v", err)
	}
}

type badClose struct{ *file }

func (badClose) Close() error { return syscall.EIO }

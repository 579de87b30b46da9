package pcapng

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"synscope/event"
)

// run has f feed a Writer whose clock stands still unless f sleeps. F sees with
// written what is in the file so far.
func run(t *testing.T, cfg Config, l limits, f func(l *link, written func() string)) (capture []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		out := &file{}
		w, err := newWriter(out, cfg, l)
		if err != nil {
			t.Fatal(err)
		}
		f(newLink(t, w), func() string {
			synctest.Wait()
			return layout(t, out.Bytes())
		})
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		capture = out.Bytes()
	})
	return capture
}

func lowered(f func(*limits)) limits {
	l := defaultLimits
	f(&l)
	return l
}

// Secrets come in the file before the handshake that they are of, also where
// that began before they were known. What does not wait is written within
// 200 ms.
func TestHandshakeWaits(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, written func() string) {
		c := l.open()
		c.connect() // 1 to 3
		time.Sleep(200 * time.Millisecond)
		if got, want := written(), "head 1 2 3"; got != want {
			t.Errorf("after the TCP handshake: %s, want %s", got, want)
		}
		c.ack()   // 4
		c.hello() // 5
		l.w.Secret(c.id, secret("A"))
		c.ack() // 6
		time.Sleep(time.Second)
		if got, want := written(), "head 1 2 3 4"; got != want {
			t.Errorf("while it waits: %s, want %s", got, want)
		}
		l.w.Secret(c.id, secret("B"))
		l.w.Ready(c.id)
		time.Sleep(200 * time.Millisecond)
		if got, want := written(), "head 1 2 3 4 (A B) 5 6"; got != want {
			t.Errorf("when it is ready: %s, want %s", got, want)
		}
		c.hello() // 7: a handshake that is encrypted, or data
		time.Sleep(200 * time.Millisecond)
		if got, want := written(), "head 1 2 3 4 (A B) 5 6 7"; got != want {
			t.Errorf("later: %s, want %s", got, want)
		}
	})
	if got, want := layout(t, b), "head 1 2 3 4 (A B) 5 6 7 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A connection that waits holds up the packets of others behind it, so that the
// order of the frames is kept.
func TestOrderOfFrames(t *testing.T) {
	run(t, Config{}, defaultLimits, func(l *link, written func() string) {
		first, second := l.open(), l.open()
		first.hello()  // 1
		second.hello() // 2
		second.ack()   // 3
		l.w.Secret(second.id, secret("SECOND"))
		l.w.Ready(second.id)
		time.Sleep(time.Second)
		if got, want := written(), "head"; got != want {
			t.Errorf("while the first waits: %s, want %s", got, want)
		}
		l.w.Secret(first.id, secret("FIRST"))
		first.event(event.NoSide, event.Wire, &event.Close{How: "rst"}) // as good as ready
		time.Sleep(200 * time.Millisecond)
		if got, want := written(), "head (FIRST) 1 (SECOND) 2 3"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// After two seconds secrets are waited for no longer, which the file says. Those
// that come later are before what needs them, and the next flight waits again.
func TestWaitIsBoundedInTime(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, written func() string) {
		c := l.open()
		c.hello() // 1
		time.Sleep(defaultLimits.hold - time.Millisecond)
		if got, want := written(), "head"; got != want {
			t.Errorf("just before: %s, want %s", got, want)
		}
		time.Sleep(100 * time.Millisecond)
		if got, want := written(), "head 1"; got != want {
			t.Errorf("after two seconds: %s, want %s", got, want)
		}
		c.hello() // 2: the flight with the Finished of TLS 1.2
		time.Sleep(time.Second)
		l.w.Secret(c.id, secret("MASTER"))
		l.w.Ready(c.id)
		time.Sleep(200 * time.Millisecond)
		if got, want := written(), "head 1 (MASTER) 2"; got != want {
			t.Errorf("the second flight: %s, want %s", got, want)
		}
	})
	want := []string{"1 tls: written before the secrets of the connection were known"}
	if diff := cmp.Diff(want, comments(t, b)); diff != "" {
		t.Errorf("comments (-want +got):\n%s", diff)
	}
}

// Nor are they once too many bytes wait.
func TestWaitIsBoundedInBytes(t *testing.T) {
	limits := lowered(func(l *limits) { l.held, l.settle = 4*512, 512 })
	run(t, Config{}, limits, func(l *link, written func() string) {
		c := l.open()
		c.hello()
		for range 3 {
			c.ack()
		}
		if got, want := written(), "head"; got != want {
			t.Errorf("four packets: %s, want %s", got, want)
		}
		c.ack()
		// What is left is less than settles at once.
		if got, want := written(), "head 1 2 3 4"; got != want {
			t.Errorf("five packets: %s, want %s", got, want)
		}
	})
}

// Flush writes what waits, and the capture goes on.
func TestFlush(t *testing.T) {
	run(t, Config{}, defaultLimits, func(l *link, written func() string) {
		c := l.open()
		c.hello() // 1
		if err := l.w.Flush(); err != nil {
			t.Error(err)
		}
		if got, want := written(), "head 1"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		c.hello()
		if got, want := written(), "head 1"; got != want {
			t.Errorf("the next: %s, want %s", got, want)
		}
	})
}

// A secret without a connection, or without a packet that waits, goes before
// the next packet, and if none comes, to the end.
func TestSecretsWithoutPackets(t *testing.T) {
	b := run(t, Config{}, defaultLimits, func(l *link, _ func() string) {
		l.w.Secret(0, secret("LOST_CONNECTION"))
		c := l.open()
		l.w.Secret(c.id, secret("EARLY"))
		c.hello()
		l.w.Flush()
		l.w.Secret(c.id, secret("LATE"))
	})
	if got, want := layout(t, b), "head (LOST_CONNECTION EARLY) 1 (LATE) end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is given after Close is ignored.
func TestAfterClose(t *testing.T) {
	out := &file{}
	w, err := New(out, Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := newLink(t, w).open()
	c.ack()
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	n := len(out.Bytes())
	c.connect()
	w.Secret(c.id, secret("A"))
	w.Ready(c.id)
	if err := w.Flush(); err != errClosed {
		t.Errorf("Flush: %v, want %v", err, errClosed)
	}
	if got := len(out.Bytes()); got != n {
		t.Errorf("%d bytes more after Close", got-n)
	}
}

// A slow disk takes one write at a time, when it is told to.
type slowDisk struct {
	file
	writes chan struct{}
}

func (d *slowDisk) Write(b []byte) (int, error) {
	<-d.writes
	return d.file.Write(b)
}

// Nobody waits for a disk that is slow. What finds no room is lost, which the
// file and the caller are told; the secrets are not.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost []string
		disk := &slowDisk{writes: make(chan struct{}, 1)}
		disk.writes <- struct{}{} // the head
		cfg := Config{OnLost: func(packets, secrets uint64) {
			lost = append(lost, fmt.Sprintf("%d packets %d secrets", packets, secrets))
		}}
		limits := lowered(func(l *limits) { l.queued, l.keys, l.batch = 5*512, 600, 1 })
		w, err := newWriter(disk, cfg, limits)
		if err != nil {
			t.Fatal(err)
		}
		l := newLink(t, w)
		c := l.open()
		c.ack()
		time.Sleep(200 * time.Millisecond) // 1 is being written
		c.hello()
		for range 7 { // 3 to 9, 7 to 9 are lost
			c.ack()
		}
		for range 4 {
			w.Secret(c.id, secret("KEPT_SECRET"))
		}
		w.mu.Lock()
		if most := limits.queued + limits.keys; w.q.bytes > most {
			t.Errorf("%d bytes in the queue, want at most %d", w.q.bytes, most)
		}
		w.mu.Unlock()
		w.Ready(c.id)
		close(disk.writes)
		w.Flush()
		c.ack() // 10
		c.ack()
		w.Packet(Packet{Frame: 12, IP: make([]byte, 60_000)}) // never has room
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		got := layout(t, disk.Bytes())
		if want := "head 1 (KEPT_SECRET KEPT_SECRET KEPT_SECRET) 2 3 4 5 6 10 11 end"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if diff := cmp.Diff([]string{"10 packets missing before this one: 3, from frame 7 on"}, comments(t, disk.Bytes())); diff != "" {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
		if got, want := statistics(t, disk.Bytes()), "12 received, 4 dropped"; got != want {
			t.Errorf("at the end: %s, want %s", got, want)
		}
		if diff := cmp.Diff([]string{"3 packets 1 secrets", "1 packets 0 secrets"}, lost); diff != "" {
			t.Errorf("told as lost (-want +got):\n%s", diff)
		}
	})
}

// statistics returns what the end of a file counts, as gopacket reads it.
func statistics(t *testing.T, b []byte) (counts string) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{
		StatisticsCallback: func(_ int, s pcapgo.NgInterfaceStatistics) {
			counts += fmt.Sprintf("%d received, %d dropped", s.PacketsReceived, s.PacketsDropped)
		},
	})
	for err == nil {
		_, _, err = r.ReadPacketData()
	}
	if err != io.EOF {
		t.Error(err)
	}
	return counts
}

// Close does not wait forever for a reader that has stopped.
func TestCloseOfAStoppedPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{writes: make(chan struct{}, 1)}
		disk.writes <- struct{}{}
		w, err := New(disk, Config{})
		if err != nil {
			t.Fatal(err)
		}
		newLink(t, w).open().connect()
		if err := w.Close(); err != errStuck {
			t.Errorf("Close: %v, want %v", err, errStuck)
		}
		close(disk.writes) // the goroutine ends
		if err := w.Close(); err != nil {
			t.Errorf("Close when it took it: %v", err)
		}
	})
}

// The bounds hold whatever comes.
func TestMemoryIsBounded(t *testing.T) {
	limits := lowered(func(l *limits) { l.queued, l.held, l.conns = 1<<20, 1<<19, 100 })
	disk := &slowDisk{writes: make(chan struct{}, 1)}
	disk.writes <- struct{}{}
	w, err := newWriter(disk, Config{}, limits)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t, w)
	for range 300 {
		c := l.open()
		c.hello()
		for range 20 {
			w.Secret(c.id, secret(strings.Repeat("K", 100)))
			c.event(event.Server, event.Endpoint, &event.Drop{Reason: strings.Repeat("long ", 1000)})
			c.send(event.Server, event.ACK, make([]byte, 1000))
		}
	}
	w.mu.Lock()
	if w.q.bytes > limits.queued+limits.keys {
		t.Errorf("%d bytes in the queue", w.q.bytes)
	}
	if len(w.q.conns) > limits.conns {
		t.Errorf("%d connections", len(w.q.conns))
	}
	sum := w.q.notes.size
	for _, e := range w.q.entries {
		sum += e.size()
	}
	for _, c := range w.q.conns {
		sum += c.notes.size
	}
	if sum != w.q.bytes {
		t.Errorf("the queue counts %d bytes and has %d", w.q.bytes, sum)
	}
	w.mu.Unlock()
	close(disk.writes)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// All methods may be used at once.
func TestConcurrentUse(t *testing.T) {
	out := &file{}
	w, err := New(out, Config{})
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	users.Go(func() {
		l := newLink(t, w)
		for range 50 {
			c := l.open()
			c.connect()
			c.hello()
		}
	})
	users.Go(func() {
		for i := range uint64(50) {
			w.Secret(i, secret("A"))
			w.Ready(i)
		}
	})
	users.Go(func() {
		for range 5 {
			w.Flush()
		}
	})
	users.Wait()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	n := uint64(0)
	for _, b := range blocks(t, out.Bytes()) {
		if b.kind == "EPB" {
			if n++; b.frame != n {
				t.Fatalf("frame %d comes after %d", b.frame, n-1)
			}
		}
	}
	if n != 200 {
		t.Errorf("%d packets, want 200", n)
	}
}

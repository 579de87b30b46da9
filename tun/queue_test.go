package tun

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// queuePair returns a queue on one end of a socket that keeps the boundaries of
// packets as a TUN does, and the other end.
func queuePair(t *testing.T, vnet bool) (*queue, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, kernel := os.NewFile(uintptr(fds[0]), "queue"), os.NewFile(uintptr(fds[1]), "kernel")
	q, err := newQueue("syn0", file, vnet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close(); kernel.Close() })
	return q, kernel
}

func TestQueueScattersAndGathers(t *testing.T) {
	h := header(1, 0, 0, 0, 4, 2)
	off := Offload{NeedsChecksum: true, ChecksumStart: 4, ChecksumOffset: 2}
	for _, vnet := range []bool{true, false} {
		q, kernel := queuePair(t, vnet)
		wire := []byte("packet of 18 bytes")
		if vnet {
			wire = append(h[:], wire...)
		} else {
			off = Offload{}
		}

		if _, err := kernel.Write(wire); err != nil {
			t.Fatal(err)
		}
		bufs := [][]byte{make([]byte, 7), nil, make([]byte, 4), make([]byte, 7)}
		n, got, err := q.read(bufs)
		if n != 18 || got != off || err != nil {
			t.Errorf("vnet %v: read = %d, %+v, %v; want 18, %+v", vnet, n, got, err, off)
		}
		if want := [][]byte{[]byte("packet "), nil, []byte("of 1"), []byte("8 bytes")}; !equal(bufs, want) {
			t.Errorf("vnet %v: scattered as %q, want %q", vnet, bufs, want)
		}

		if err := q.write(bufs, off); err != nil {
			t.Errorf("vnet %v: write: %v", vnet, err)
		}
		written := make([]byte, 100)
		n, err = kernel.Read(written)
		if err != nil || !bytes.Equal(written[:n], wire) {
			t.Errorf("vnet %v: wrote %q, %v; want %q", vnet, written[:n], err, wire)
		}
	}
}

func equal(a, b [][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

func TestQueueGoesOnAfterAnUnusablePacket(t *testing.T) {
	q, kernel := queuePair(t, true)
	good := header(0, 0, 0, 0, 0, 0)
	bad := header(0, 5, 0, 0, 0, 0)
	for _, tt := range []struct {
		name string
		wire []byte
		want error
	}{
		{"longer than the buffers", append(good[:], "too long"...), io.ErrShortBuffer},
		{"a header alone", good[:], io.ErrUnexpectedEOF},
		{"half a header", good[:5], io.ErrUnexpectedEOF},
		{"an offload that nobody asked for", append(bad[:], "data"...), nil},
	} {
		for _, wire := range [][]byte{tt.wire, append(good[:], "good"...)} {
			if _, err := kernel.Write(wire); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, 4)
		n, _, err := q.read([][]byte{buf})
		if n != 0 || !errors.Is(err, ErrPacket) || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: read = %d, %v; want ErrPacket, %v", tt.name, n, err, tt.want)
		}
		if n, _, err := q.read([][]byte{buf}); n != 4 || string(buf) != "good" || err != nil {
			t.Errorf("%s: the next read = %q, %v; want the good packet", tt.name, buf[:n], err)
		}
	}
}

func TestQueueRefusesToWrite(t *testing.T) {
	checksum := Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}
	tests := []struct {
		name string
		vnet bool
		bufs [][]byte
		off  Offload
		want string
	}{
		{"nothing", true, nil, Offload{}, "length 0"},
		{"empty buffers", false, [][]byte{nil, {}}, Offload{}, "length 0"},
		{"too much", true, [][]byte{make([]byte, 65535), {0}}, Offload{}, "length 65536"},
		{"an impossible offload", true, [][]byte{make([]byte, 37)}, checksum, "outside the packet"},
		{"an offload where there are none", false, [][]byte{make([]byte, 60)}, checksum, "no offloads"},
	}
	for _, tt := range tests {
		q, kernel := queuePair(t, tt.vnet)
		if err := q.write(tt.bufs, tt.off); !errors.Is(err, ErrPacket) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: write = %v, want ErrPacket: %s", tt.name, err, tt.want)
		}
		q.close()
		if n, err := kernel.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: yet something was written: %d, %v", tt.name, n, err)
		}
	}
}

// fill writes until there is no room and returns the number of packets.
func fill(t *testing.T, q *queue, packet []byte) int {
	t.Helper()
	tr := q.out.New().(*transfer)
	tr.add(packet)
	for n := 0; ; n++ {
		if err := q.conn.Control(tr.callOnce); err != nil {
			t.Fatal(err)
		}
		switch tr.errno {
		case 0:
		case unix.EAGAIN:
			return n
		default:
			t.Fatal(tr.errno)
		}
	}
}

func TestQueueWaitsForRoom(t *testing.T) {
	q, kernel := queuePair(t, false)
	queued := fill(t, q, []byte("filler"))
	const writers = 4
	errs := make(chan error, writers)
	for range writers {
		go func() { errs <- q.write([][]byte{[]byte("late")}, Offload{}) }()
	}
	late := 0
	for range queued + writers {
		buf := make([]byte, 10)
		n, err := kernel.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == "late" {
			late++
		}
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if late != writers {
		t.Errorf("%d packets came late, want %d", late, writers)
	}
}

func TestQueueCloseEndsWaiting(t *testing.T) {
	q, _ := queuePair(t, false)
	fill(t, q, []byte("filler"))
	errs := make(chan error, 3)
	go func() {
		_, _, err := q.read([][]byte{make([]byte, 10)})
		errs <- err
	}()
	for range 2 {
		go func() { errs <- q.write([][]byte{[]byte("late")}, Offload{}) }()
	}
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var e *Error
		if err := <-errs; !errors.Is(err, os.ErrClosed) || !errors.As(err, &e) || e.Name != "syn0" {
			t.Errorf("got %v, want os.ErrClosed in an *Error", err)
		}
	}
	if err := q.write([][]byte{[]byte("after")}, Offload{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close = %v, want os.ErrClosed", err)
	}
}

func TestWhatTheKernelSays(t *testing.T) {
	q, _ := queuePair(t, false)
	for _, tt := range []struct {
		op    string
		errno syscall.Errno
		want  error
	}{
		{"read", unix.EBADFD, ErrGone}, // tun(4) detached the queue
		{"read", unix.EIO, ErrGone},
		{"write", unix.EBADFD, ErrGone},
		{"write", unix.EIO, ErrDown}, // the interface is not up
		{"write", unix.EINVAL, ErrPacket},
		{"write", unix.ENOBUFS, ErrPacket}, // lost, but the next may pass
		{"write", unix.ENOMEM, ErrPacket},
		{"write", unix.EPERM, unix.EPERM},
	} {
		err := q.errnoError(tt.op, tt.errno)
		if !errors.Is(err, tt.want) || !errors.Is(err, tt.errno) {
			t.Errorf("%s, %v: %v, want %v", tt.op, tt.errno, err, tt.want)
		}
		for _, other := range []error{ErrGone, ErrDown, ErrPacket} {
			if other != tt.want && errors.Is(err, other) {
				t.Errorf("%s, %v: %v is also %v", tt.op, tt.errno, err, other)
			}
		}
	}
}

func TestQueueAllocatesNothing(t *testing.T) {
	q, kernel := queuePair(t, true)
	conn, err := kernel.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, 100)
	call := func(fd uintptr) bool {
		n, err := unix.Read(int(fd), echo)
		if err == nil {
			_, err = unix.Write(int(fd), echo[:n])
		}
		if err != nil {
			panic(err)
		}
		return true
	}
	bufs := make([][]byte, 20) // more than fit on a stack
	for i := range bufs {
		bufs[i] = make([]byte, 4)
	}
	in := [][]byte{make([]byte, 40), make([]byte, 60)}
	off := Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}
	allocs := testing.AllocsPerRun(1000, func() {
		if err := q.write(bufs, off); err != nil {
			t.Fatal(err)
		}
		if err := conn.Read(call); err != nil {
			t.Fatal(err)
		}
		if n, got, err := q.read(in); n != 80 || got != off || err != nil {
			t.Fatal(n, got, err)
		}
	})
	if allocs != 0 && !raceDetector {
		t.Errorf("%v allocations for each packet written and read, want 0", allocs)
	}
}

func TestQueueWritersDoNotMix(t *testing.T) {
	q, kernel := queuePair(t, true)
	const writers, packets = 4, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			b := bytes.Repeat([]byte{byte('a' + w)}, 50)
			for range packets {
				if err := q.write([][]byte{b[:20], b[20:]}, Offload{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range writers * packets {
		buf := make([]byte, 100)
		n, err := kernel.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		packet := buf[vnetHeaderLen:n]
		if len(packet) != 50 || !bytes.Equal(packet, bytes.Repeat(packet[:1], 50)) {
			t.Fatalf("read %q, want 50 equal bytes", packet)
		}
	}
	wg.Wait()
}

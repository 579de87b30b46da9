package tuntest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"synscope/tun"
	"synscope/tun/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// send writes each string as a packet.
func send(t *testing.T, d *tuntest.Device, packets ...string) {
	t.Helper()
	for _, p := range packets {
		if err := d.Write([][]byte{[]byte(p)}, tun.Offload{}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantRead reads packets and fails unless they are the given ones, in order.
func wantRead(t *testing.T, d *tuntest.Device, packets ...string) {
	t.Helper()
	for _, want := range packets {
		buf := make([]byte, d.MTU())
		n, off, err := d.Read([][]byte{buf})
		if string(buf[:n]) != want || off != (tun.Offload{}) || err != nil {
			t.Fatalf("read %q, %+v, %v; want %q", buf[:n], off, err, want)
		}
	}
}

func TestPipeCarriesPacketsBothWays(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	if a.Name() == b.Name() || a.MTU() != 1500 || b.MTU() != 1500 || a.Offloads() || b.Offloads() {
		t.Errorf("the devices are %s with MTU %d and %s with MTU %d", a.Name(), a.MTU(), b.Name(), b.MTU())
	}
	send(t, a, "to b, first", "to b, second")
	send(t, b, "to a")
	wantRead(t, b, "to b, first", "to b, second")
	wantRead(t, a, "to a")
}

func TestPacketsAreGatheredAndScattered(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	out := [][]byte{[]byte("pa"), nil, []byte("cket")}
	if err := a.Write(out, tun.Offload{}); err != nil {
		t.Fatal(err)
	}
	copy(out[0], "XX") // Write has not kept it
	in := [][]byte{make([]byte, 1), {}, make([]byte, 4), make([]byte, 9)}
	n, _, err := b.Read(in)
	if got := string(bytes.Join(in, nil)[:n]); got != "packet" || err != nil {
		t.Errorf("read %q, %v; want packet", got, err)
	}

	send(t, a, "too long", "fits")
	if _, _, err := b.Read([][]byte{make([]byte, 4)}); !errors.Is(err, tun.ErrPacket) || !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("Read into 4 bytes = %v, want ErrPacket, io.ErrShortBuffer", err)
	}
	wantRead(t, b, "fits")
}

func TestSuperPacketsPassWhole(t *testing.T) {
	a, b := tuntest.Pipe(1500, true)
	packet := bytes.Repeat([]byte("0123456789"), 6000)
	off := tun.Offload{
		NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16,
		GSO: tun.GSOTCPv4, SegmentSize: 1460, HeaderLen: 40,
	}
	if err := a.Write([][]byte{packet[:40], packet[40:]}, off); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, tun.MaxPacketSize)
	n, got, err := b.Read([][]byte{buf})
	if !bytes.Equal(buf[:n], packet) || got != off || err != nil {
		t.Errorf("read %d bytes, %+v, %v; want %d bytes, %+v", n, got, err, len(packet), off)
	}
}

func TestWhatADeviceCannotCarry(t *testing.T) {
	plain, _ := tuntest.Pipe(1500, false)
	super, _ := tuntest.Pipe(1500, true)
	checksum := tun.Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16}
	gso := checksum
	gso.GSO, gso.SegmentSize = tun.GSOTCPv6, 1440
	tests := []struct {
		name   string
		device *tuntest.Device
		length int
		off    tun.Offload
		want   string
	}{
		{"nothing", plain, 0, tun.Offload{}, "length 0"},
		{"more than the MTU", plain, 1501, tun.Offload{}, "length 1501"},
		{"more than the MTU that is no super-packet", super, 1501, checksum, "length 1501"},
		{"more than a super-packet", super, 65536, gso, "length 65536"},
		{"a partial checksum without offloads", plain, 60, checksum, "no offloads"},
		{"a super-packet without offloads", plain, 3000, gso, "no offloads"},
		{"an offload beyond the packet", super, 37, checksum, "outside the packet"},
	}
	for _, tt := range tests {
		err := tt.device.Write([][]byte{make([]byte, tt.length)}, tt.off)
		if !errors.Is(err, tun.ErrPacket) && !strings.Contains(fmt.Sprint(err), "no offloads") || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: Write = %v, want ErrPacket: %s", tt.name, err, tt.want)
		}
	}
}

func TestFilter(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	a.SetFilter(func(p []byte) tuntest.Verdict {
		switch string(p) {
		case "lost":
			return tuntest.Drop
		case "twice":
			return tuntest.Duplicate
		case "late", "later":
			return tuntest.Hold
		case "altered":
			copy(p, "ALT")
		}
		return tuntest.Pass
	})
	send(t, a, "one", "lost", "twice", "late", "lost", "later", "two", "altered", "late", "twice")
	wantRead(t, b, "one", "twice", "twice", "two", "late", "later", "ALTered", "twice", "twice", "late")

	send(t, b, "lost") // the filter is for what is written to a
	wantRead(t, a, "lost")

	send(t, a, "late")
	a.SetFilter(nil)
	send(t, a, "lost")
	wantRead(t, b, "lost", "late")
}

func TestFilterIsBounded(t *testing.T) {
	d := tuntest.New(1500)
	d.SetFilter(func([]byte) tuntest.Verdict { return tuntest.Hold })
	held := 0
	for ; held < 1000; held++ {
		if err := d.Write([][]byte{{1}}, tun.Offload{}); err != nil {
			break
		}
	}
	if held != 64 {
		t.Errorf("the filter held %d packets, want at most 64", held)
	}
	d.SetFilter(func([]byte) tuntest.Verdict { return 99 })
	if err := d.Write([][]byte{{1}}, tun.Offload{}); err == nil || !strings.Contains(err.Error(), "verdict 99") {
		t.Errorf("Write = %v, want an error about the verdict 99", err)
	}
}

func TestTheTestIsTheOtherEnd(t *testing.T) {
	d := tuntest.New(100)
	oversize := strings.Repeat("x", 200) // hostile
	for _, p := range []string{"first", oversize} {
		if err := d.Inject([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	wantRead(t, d, "first")
	buf := make([]byte, 300)
	if n, _, err := d.Read([][]byte{buf}); string(buf[:n]) != oversize || err != nil {
		t.Errorf("read %d bytes, %v; want 200", n, err)
	}
	for _, size := range []int{0, tun.MaxPacketSize + 1} {
		if err := d.Inject(make([]byte, size)); !errors.Is(err, tun.ErrPacket) {
			t.Errorf("Inject of %d bytes = %v, want ErrPacket", size, err)
		}
	}

	send(t, d, "answer")
	p, err := d.Next(context.Background())
	if string(p) != "answer" || err != nil {
		t.Errorf("Next = %q, %v; want answer", p, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if p, err := d.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next = %q, %v; want context.Canceled", p, err)
	}
	send(t, d, "last")
	d.Close()
	if p, err := d.Next(context.Background()); string(p) != "last" || err != nil {
		t.Errorf("Next after Close = %q, %v; want what was written before", p, err)
	}
	if p, err := d.Next(context.Background()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next after Close = %q, %v; want os.ErrClosed", p, err)
	}
}

func TestCloseIsDeletionToThePeer(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	send(t, a, "sent before")
	send(t, b, "never read")
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		device *tuntest.Device
		want   error
	}{{a, os.ErrClosed}, {b, tun.ErrGone}} {
		if tt.device == b {
			wantRead(t, b, "sent before")
		}
		_, _, readErr := tt.device.Read([][]byte{make([]byte, 1500)})
		writeErr := tt.device.Write([][]byte{{1}}, tun.Offload{})
		injectErr := tt.device.Inject([]byte{1})
		for _, err := range []error{readErr, writeErr, injectErr} {
			var e *tun.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &e) || e.Name != tt.device.Name() {
				t.Errorf("device %s: %v, want %v in an *Error", tt.device.Name(), err, tt.want)
			}
		}
	}
}

func TestCloseEndsWaiting(t *testing.T) {
	for _, tt := range []struct {
		name  string
		close func(a, b *tuntest.Device) error
		want  error
	}{
		{"closed here", func(a, _ *tuntest.Device) error { return a.Close() }, os.ErrClosed},
		{"closed there", func(_, b *tuntest.Device) error { return b.Close() }, tun.ErrGone},
	} {
		a, b := tuntest.Pipe(1500, false)
		errs := make(chan error)
		go func() {
			_, _, err := a.Read([][]byte{make([]byte, 1500)})
			errs <- err
		}()
		for range 2 {
			go func() {
				for {
					if err := a.Write([][]byte{{1}}, tun.Offload{}); err != nil {
						errs <- err
						return
					}
				}
			}()
		}
		if err := tt.close(a, b); err != nil {
			t.Error(err)
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
	}
}

// A full queue loses nothing: the writer waits, and the packets stay in order.
func TestWriteWaitsForRoom(t *testing.T) {
	a, b := tuntest.Pipe(1500, false)
	const packets = 5000
	result := make(chan error, 1)
	go func() {
		for i := range packets {
			if err := a.Write([][]byte{[]byte(fmt.Sprint(i))}, tun.Offload{}); err != nil {
				result <- err
				return
			}
		}
		result <- a.Close()
	}()
	var got, want []string
	for i := range packets {
		want = append(want, fmt.Sprint(i))
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := b.Read([][]byte{buf})
		if errors.Is(err, tun.ErrGone) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(buf[:n]))
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %d packets, want %d in order", len(got), packets)
	}
}

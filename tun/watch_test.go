package tun

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// wantChange fails unless c is the next change.
func wantChange(t *testing.T, i *Interface, want Change) {
	t.Helper()
	if got, ok := <-i.Changes(); got != want || !ok {
		t.Fatalf("told %v, %v; want %v", got, ok, want)
	}
}

func TestDeletedIsTold(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{Addresses: bothFamilies})
	read := serve(func() error {
		_, _, err := i.Read([][]byte{make([]byte, MaxPacketSize)})
		return err
	})
	if err := netlink.LinkDel(link(t, "syn0")); err != nil {
		t.Fatal(err)
	}
	wantChange(t, i, Down)
	wantChange(t, i, Deleted)
	if c, ok := <-i.Changes(); ok {
		t.Errorf("told %v after Deleted", c)
	}
	var e *Error
	if err := <-read; !errors.Is(err, ErrGone) || !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("Read = %v, want ErrGone in an *Error with a hint", err)
	}
	if err := i.Write([][]byte{{0x45}}, Offload{}); !errors.Is(err, ErrGone) {
		t.Errorf("Write = %v, want ErrGone", err)
	}
	if err := i.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, _, err := i.Read([][]byte{make([]byte, 1)}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close = %v, want os.ErrClosed", err)
	}
}

func TestDownAndUpAreTold(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{Addresses: prefixes("198.18.0.1/15")})
	packet := segment{src: servers[0], dst: servers[0]}.marshal(false)
	l := link(t, "syn0")
	for range 2 {
		if err := netlink.LinkSetDown(l); err != nil {
			t.Fatal(err)
		}
		wantChange(t, i, Down)
		if err := i.Write([][]byte{packet}, Offload{}); !errors.Is(err, ErrDown) {
			t.Errorf("Write = %v, want ErrDown", err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
		wantChange(t, i, Up)
		if err := i.Write([][]byte{packet}, Offload{}); err != nil {
			t.Errorf("Write = %v", err)
		}
	}
}

// Other interfaces, and other properties of ours, are nobody's business.
func TestOthersAreNotTold(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{})
	addForeign(t, "theirs")
	if err := netlink.LinkSetDown(link(t, "theirs")); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(link(t, "theirs")); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(link(t, "syn0"), 1400); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(link(t, "syn0")); err != nil {
		t.Fatal(err)
	}
	wantChange(t, i, Down)
}

// Nobody receives the changes until the socket has overflowed and the notices
// are lost, that of the deletion too. It is told nevertheless.
func TestLostNoticesAreMadeUpFor(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{})
	l := link(t, "syn0")
	for range 500 {
		if err := errors.Join(netlink.LinkSetDown(l), netlink.LinkSetUp(l)); err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	told, last := 0, Change(0)
	for c := range i.Changes() {
		told, last = told+1, c
	}
	if last != Deleted {
		t.Errorf("the last change told is %v, want deleted", last)
	}
	if told >= 1000 {
		t.Errorf("all of %d changes were told: the socket did not overflow", told)
	}
}

// Once the socket has overflowed, a notice in it may be of a state that has
// passed since. So what counts is the state.
func TestNoticesAfterLostOnesAreChecked(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{})
	down := nl.NewIfInfomsg(unix.AF_UNSPEC)
	down.Index = int32(link(t, "syn0").Attrs().Index)
	notices := []syscall.NetlinkMessage{{
		Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK},
		Data:   down.Serialize(),
	}}
	for _, tt := range []struct {
		lost bool
		want []Change
	}{
		{false, []Change{Down}},
		{true, nil}, // the interface is up
	} {
		w := &watcher{
			links: i.watch.links, index: int(down.Index), up: true, lost: tt.lost,
			changes: make(chan Change, 2),
		}
		if !w.notice(notices) {
			t.Errorf("lost %v: notice does not want to go on", tt.lost)
		}
		close(w.changes)
		var got []Change
		for c := range w.changes {
			got = append(got, c)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("lost %v: told %v, want %v", tt.lost, got, tt.want)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	inNamespace(t, 0)
	i := mustOpen(t, Config{Addresses: bothFamilies})
	read := serve(func() error {
		_, _, err := i.Read([][]byte{make([]byte, MaxPacketSize)})
		return err
	})
	// A change that nobody receives does not hold Close up.
	if err := netlink.LinkSetDown(link(t, "syn0")); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read = %v, want os.ErrClosed", err)
	}
	if err := i.Write([][]byte{{0x45}}, Offload{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write = %v, want os.ErrClosed", err)
	}
}

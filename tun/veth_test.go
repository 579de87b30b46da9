package tun

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVethIsRefused(t *testing.T) {
	for _, server := range servers {
		t.Run(server.String(), func(t *testing.T) {
			inNamespace(t, 0)
			i := mustOpen(t, Config{Kind: Veth, Addresses: bothFamilies})
			if got := interfaces(t); got != "lo syn0p syn0" {
				t.Errorf("the interfaces are %s", got)
			}
			wantRefused(t, i, server)
		})
	}
}

func TestVethLeavesNothing(t *testing.T) {
	inNamespace(t, 0)
	i, err := Open(Config{Kind: Veth, Name: "abcdefghijklmno", Addresses: bothFamilies})
	if err != nil {
		t.Fatal(err)
	}
	if got := interfaces(t); got != "lo abcdefghijklmnp abcdefghijklmno" {
		t.Errorf("the interfaces are %s", got)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if got := interfaces(t); got != "lo" {
		t.Errorf("after Close the interfaces are %s", got)
	}
}

func TestVethNameIsTaken(t *testing.T) {
	inNamespace(t, 0)
	addForeign(t, "syn0")
	wantFailure(t, Config{Kind: Veth}, unix.EEXIST, "an interface of this name exists", hintTaken)
}

// An interface that was handed over is used as if it had been opened here.
func TestAdopt(t *testing.T) {
	for _, c := range []Config{{}, {NoOffload: true}, {Kind: Veth}} {
		for _, server := range servers {
			t.Run(fmt.Sprintf("%v kind=%d noOffload=%v", server, c.Kind, c.NoOffload), func(t *testing.T) {
				inNamespace(t, 0)
				c.Addresses = bothFamilies
				i := mustOpen(t, c)
				d, err := Adopt(duplicate(t, i.File()), i.Name(), i.MTU())
				if err != nil {
					t.Fatal(err)
				}
				if d.Name() != i.Name() || d.MTU() != i.MTU() || d.Offloads() != i.Offloads() {
					t.Errorf("it is %s, MTU %d, offloads %v", d.Name(), d.MTU(), d.Offloads())
				}
				served := serve(func() error { return refuse(newPeer(d), server) })
				if _, err := dial(server); !errors.Is(err, unix.ECONNREFUSED) {
					t.Errorf("Dial = %v, want ECONNREFUSED", err)
				}
				if err := <-served; err != nil {
					t.Error(err)
				}
				for range 2 {
					if err := d.Close(); err != nil {
						t.Errorf("Close = %v", err)
					}
				}
			})
		}
	}
}

// duplicate returns another descriptor of a file, as another process has it.
func duplicate(t *testing.T, f *os.File) *os.File {
	t.Helper()
	var dup int
	if err := control(f, func(fd int) (err error) {
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(dup), f.Name())
}

func TestAdoptAnotherFile(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		_, err := Adopt(f, "syn0", 1500)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, syscall.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("Adopt = %v", err)
		}
	}
}

// An Ethernet header before the packet moves the places of the checksum.
func TestOffloadShifts(t *testing.T) {
	whole := Offload{NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 16, GSO: GSOTCPv4, SegmentSize: 1448, HeaderLen: 52}
	off := whole
	if err := off.shift(etherHeaderLen); err != nil || off.ChecksumStart != 34 || off.HeaderLen != 66 {
		t.Errorf("%+v, %v", off, err)
	}
	if err := off.shift(-etherHeaderLen); err != nil || off != whole {
		t.Errorf("back again it is %+v, %v", off, err)
	}
	off = Offload{NeedsChecksum: true, ChecksumStart: 13}
	if err := off.shift(-etherHeaderLen); err == nil {
		t.Error("a checksum in the Ethernet header is no error")
	}
}

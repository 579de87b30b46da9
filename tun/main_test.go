package tun

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inNamespace moves the test to a network namespace (and whatever else the
// flags say) of its own, for good: the thread is not used by anybody else
// again. Sockets and interfaces that the test's own goroutine opens are in it.
func inNamespace(t *testing.T, flags int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to open a TUN interface in a network namespace of its own")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET | flags); err != nil {
		t.Fatalf("unshare: %v", err)
	}
	if flags&unix.CLONE_NEWNS != 0 {
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			t.Fatalf("make mounts private: %v", err)
		}
	}
}

// mustOpen opens an interface that is closed when the test ends.
func mustOpen(t *testing.T, c Config) *Interface {
	t.Helper()
	i, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// interfaces returns the names of the interfaces in the test's namespace.
func interfaces(t *testing.T) string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return strings.Join(names, " ")
}

// openQueues counts the descriptors of the process that refer to a TUN.
func openQueues(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == clonePath { // an error: Glob's own, closed
			n++
		}
	}
	return n
}

// run runs a command in the test's namespace and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

// link returns an interface of the test's namespace.
func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// addForeign makes a persistent TUN interface that is not ours, with addresses.
func addForeign(t *testing.T, name string, addresses ...string) {
	t.Helper()
	l := &netlink.Tuntap{
		LinkAttrs:  netlink.LinkAttrs{Name: name},
		Mode:       netlink.TUNTAP_MODE_TUN,
		NonPersist: false,
		Queues:     1,
		Flags:      netlink.TUNTAP_MULTI_QUEUE_DEFAULTS,
	}
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatalf("add %s: %v", name, err)
	}
	for _, f := range l.Fds {
		f.Close()
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(l, addr); err != nil {
			t.Fatalf("add %s to %s: %v", a, name, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

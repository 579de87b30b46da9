package tun

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wantFailure opens an interface, which must fail with an error that wraps
// target, says want and hints at hint, and must leave the interfaces as they
// were.
func wantFailure(t *testing.T, c Config, target error, want, hint string) {
	t.Helper()
	before, queues := interfaces(t), openQueues(t)
	i, err := Open(c)
	if err == nil {
		i.Close()
		t.Fatal("Open succeeded")
	}
	var e *Error
	if !errors.As(err, &e) || e.Name != c.withDefaults().Name || !errors.Is(err, target) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want an *Error that wraps %v and says %q", err, target, want)
	} else if !strings.Contains(e.Hint, hint) || e.Hint == "" {
		t.Errorf("the hint of %q is %q, want %q", err, e.Hint, hint)
	}
	if after := interfaces(t); after != before {
		t.Errorf("there are the interfaces %s, want %s as before", after, before)
	}
	if n := openQueues(t); n != queues {
		t.Errorf("%s is open %d times, want %d as before", clonePath, n, queues)
	}
}

// An interface that exists is neither taken over nor removed, whether it is a
// persistent TUN, which the kernel would let us attach to, our own of before,
// or no TUN at all.
func TestNameIsTaken(t *testing.T) {
	inNamespace(t, 0)
	addForeign(t, "theirs", "192.0.2.1/24")
	mustOpen(t, Config{Name: "ours", Addresses: bothFamilies})
	wantFailure(t, Config{Name: "ours", Addresses: bothFamilies}, unix.EBUSY, "of this name exists", "another name")
	for _, name := range []string{"theirs", "ours", "lo"} {
		for _, noOffload := range []bool{false, true} {
			wantFailure(t, Config{Name: name, NoOffload: noOffload}, unix.EBUSY, name, "another name")
		}
	}
	l, ok := link(t, "theirs").(*netlink.Tuntap)
	if !ok || l.NonPersist {
		t.Errorf("their interface is now %+v, want it persistent as before", l)
	}
}

func TestAddressIsTaken(t *testing.T) {
	inNamespace(t, 0)
	addForeign(t, "theirs", "198.18.0.1/24", "2001:2::1/64")
	for _, p := range bothFamilies {
		wantFailure(t, Config{Addresses: prefixes(p.String())}, unix.EADDRINUSE,
			"add address "+p.String()+": interface syn0: "+p.Addr().String()+" is already an address of interface theirs", "another address")
	}
}

func TestOverlapsAreTold(t *testing.T) {
	inNamespace(t, 0)
	addForeign(t, "theirs", "198.18.7.1/24", "192.0.2.1/24", "2001:2:0:7::1/64")
	run(t, "ip", "route", "add", "198.0.0.0/8", "dev", "theirs")
	run(t, "ip", "route", "add", "default", "dev", "theirs")
	run(t, "ip", "route", "add", "blackhole", "198.18.8.0/24")
	i := mustOpen(t, Config{Addresses: bothFamilies})
	want := []Overlap{
		{bothFamilies[0], prefixes("198.0.0.0/8")[0], "theirs"},
		{bothFamilies[0], prefixes("198.18.7.0/24")[0], "theirs"},
		{bothFamilies[0], prefixes("198.18.8.0/24")[0], ""},
		{bothFamilies[1], prefixes("2001:2:0:7::/64")[0], "theirs"},
	}
	byRoute := func(a, b Overlap) bool { return a.Route.String() < b.Route.String() }
	if diff := cmp.Diff(want, i.Overlaps(), cmpopts.SortSlices(byRoute), cmp.Comparer(func(a, b Overlap) bool { return a == b })); diff != "" {
		t.Errorf("Overlaps (-want +got):\n%s", diff)
	}
}

// disableIPv6 disables IPv6 in the test's namespace.
func disableIPv6(t *testing.T) {
	t.Helper()
	for _, which := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// By the time that the address is refused the interface exists: it is removed.
func TestIPv6IsDisabled(t *testing.T) {
	inNamespace(t, 0)
	disableIPv6(t)
	wantFailure(t, Config{Addresses: bothFamilies}, unix.EACCES, "add address 2001:2::1/48: interface syn0: IPv6 is disabled", "disable_ipv6=0")
	i := mustOpen(t, Config{Addresses: prefixes("198.18.0.1/15")})
	wantRefused(t, i, servers[0])
}

// dropCapabilities leaves the test's thread without any capability.
func dropCapabilities(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}

func TestCapabilityIsMissing(t *testing.T) {
	inNamespace(t, 0)
	dropCapabilities(t)
	wantFailure(t, Config{}, unix.EPERM, "TUNSETIFF", "CAP_NET_ADMIN")
}

// Once it is open, an interface can be used, watched and removed without any
// capability.
func TestCapabilityIsDropped(t *testing.T) {
	inNamespace(t, 0)
	before := interfaces(t)
	i := mustOpen(t, Config{Addresses: bothFamilies})
	dropCapabilities(t)
	err := i.Write([][]byte{segment{src: servers[0], dst: servers[0]}.marshal(false)}, Offload{})
	if err != nil {
		t.Error(err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if after := interfaces(t); after != before {
		t.Errorf("there are the interfaces %s, want %s as before", after, before)
	}
}

func TestDeviceNodeIsMissing(t *testing.T) {
	inNamespace(t, unix.CLONE_NEWNS)
	if err := unix.Mount("empty", "/dev/net", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, Config{}, unix.ENOENT, "open /dev/net/tun", "modprobe tun")
}

func TestDeviceNodeIsAnother(t *testing.T) {
	inNamespace(t, unix.CLONE_NEWNS)
	if err := unix.Mount("/dev/null", clonePath, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, Config{}, unix.ENOTTY, "TUNSETIFF", "mknod /dev/net/tun c 10 200")
}

// The node is 0600 on some systems and 0666 on others; here it is 0000.
func TestDeviceNodeIsDenied(t *testing.T) {
	inNamespace(t, unix.CLONE_NEWNS)
	private := t.TempDir() + "/tun"
	if err := unix.Mknod(private, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(private, clonePath, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	dropCapabilities(t)
	wantFailure(t, Config{}, unix.EACCES, "open /dev/net/tun", "--device /dev/net/tun")
}

// refuseIoctl has the kernel answer EINVAL to an ioctl of the test's thread, as
// a kernel does that does not know it.
func refuseIoctl(t *testing.T, request uint32) {
	t.Helper()
	const nr, argument1 = 0, 24 // offsets in struct seccomp_data, little-endian
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IOCTL, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: argument1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: request, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		t.Fatalf("seccomp: %v", err)
	}
}

// A kernel without offloads gives packets one at a time, and it is told why.
func TestOffloadIsRefused(t *testing.T) {
	for name, request := range map[string]uint32{"TUNSETOFFLOAD": unix.TUNSETOFFLOAD, "TUNGETIFF": unix.TUNGETIFF} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t, 0)
			refuseIoctl(t, request)
			i := mustOpen(t, Config{Addresses: bothFamilies})
			if err := i.OffloadError(); i.Offloads() || !errors.Is(err, unix.EINVAL) || !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("Offloads() = %v, OffloadError() = %v; want false, EINVAL from %s", i.Offloads(), err, name)
			}
			wantRefused(t, i, servers[1])
		})
	}
}

// A child of the process does not get the queue, which would keep the interface
// alive and let the child read what others send.
func TestChildDoesNotInheritTheQueue(t *testing.T) {
	inNamespace(t, 0)
	for _, noOffload := range []bool{false, true} {
		i := mustOpen(t, Config{NoOffload: noOffload})
		if n := openQueues(t); n != 1 {
			t.Errorf("%s is open %d times, want once", clonePath, n)
		}
		out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
		if err != nil || strings.Contains(string(out), "tun") || !strings.Contains(string(out), "/dev/null") {
			t.Errorf("a child has open, %v:\n%s", err, out)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
}

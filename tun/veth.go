package tun

import (
	"encoding/binary"
	"errors"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The two ends of a pair have locally administered addresses. The interface does
// not ask for the address of a neighbour (IFF_NOARP): it sends all frames to its
// own, which is not that of the other end, so that the kernel takes nothing in
// there.
var (
	vethAddress = net.HardwareAddr{2, 's', 'y', 'n', 0, 0}
	peerAddress = net.HardwareAddr{2, 's', 'y', 'n', 0, 1}
)

const etherHeaderLen = 14

// An etherHeader is an Ethernet header: destination, source, type.
type etherHeader [etherHeaderLen]byte

// isIP reports whether the frame is an IP packet.
func (h *etherHeader) isIP() bool {
	t := binary.BigEndian.Uint16(h[12:])
	return t == unix.ETH_P_IP || t == unix.ETH_P_IPV6
}

// address sets the header of an IP packet to the interface, which begins with
// the byte first.
func (h *etherHeader) address(first byte) {
	copy(h[:6], vethAddress)
	copy(h[6:], peerAddress)
	t := uint16(unix.ETH_P_IP)
	if first>>4 == 6 {
		t = unix.ETH_P_IPV6
	}
	binary.BigEndian.PutUint16(h[12:], t)
}

// openVeth makes a pair and returns the queue of its other end.
func (l *links) openVeth(c Config) (*queue, error) {
	peerName := peerNameOf(c.Name)
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: c.Name, MTU: c.MTU, HardwareAddr: vethAddress},
		PeerName:  peerName, PeerHardwareAddr: peerAddress,
	}
	if err := l.handle.LinkAdd(pair); err != nil {
		return nil, createError(c.Name, os.NewSyscallError("add a veth pair", err))
	}
	q, err := l.openPeer(pair, peerName)
	if err != nil {
		l.handle.LinkDel(pair) // what is told is why it is no use
		return nil, setUpError("open the other end", c.Name, err)
	}
	return q, nil
}

// peerNameOf returns the name of the other end: that of the interface with a
// letter more, in its place if there is no room.
func peerNameOf(name string) string {
	return name[:min(len(name), maxNameLen-1)] + "p"
}

// openPeer brings the other end up, with no protocol of the kernel's on it, and
// opens a packet socket there.
func (l *links) openPeer(pair *netlink.Veth, name string) (*queue, error) {
	peer, err := l.handle.LinkByName(name)
	if err != nil {
		return nil, err
	}
	if err := l.quietIPv6(peer, Config{Name: name}); err != nil {
		return nil, err
	}
	for _, do := range []func(netlink.Link) error{l.handle.LinkSetMulticastOff, l.handle.LinkSetARPOff, l.handle.LinkSetUp} {
		if err := do(peer); err != nil {
			return nil, err
		}
	}
	if err := l.handle.LinkSetARPOff(pair); err != nil {
		return nil, err
	}
	file, err := openPacketSocket(peer.Attrs().Index)
	if err != nil {
		return nil, err
	}
	q, err := newQueue(pair.Name, file, true)
	if err != nil {
		file.Close()
		return nil, err
	}
	q.ether = true
	return q, nil
}

// remove removes a pair by one of its ends. One that is gone is no error.
func (l *links) remove(index int, name string) error {
	err := l.handle.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: index}})
	if err == nil || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return &Error{Op: "remove", Name: name, Err: err}
}

// openPacketSocket opens a packet socket on an interface, with the virtio-net
// header, so that frames keep their offloads.
func openPacketSocket(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "packet socket")
	set := func(level, option, value int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, option, value))
	}
	err = errors.Join(
		set(unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		set(unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		// The queue of the end that came up first loses what it gets until
		// the kernel has noticed, some time later, that the other end is up too.
		set(unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
	)
	if err == nil && set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, vethBuffer) != nil {
		err = set(unix.SOL_SOCKET, unix.SO_RCVBUF, vethBuffer) // the system's limit then applies
	}
	if err == nil {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}))
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// vethBuffer is room for what a client sends before it waits, in bytes: the
// socket loses what it has no room for.
const vethBuffer = 8 << 20

package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"synscope/tun"
)

// interfaceName is that of the command's interface.
const interfaceName = tun.DefaultName

// makeInterface makes the command's interface, routes all to it, and sends its
// queue to the parent.
func (h *helper) makeInterface() error {
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer links.Close()
	lo, err := links.LinkByName("lo")
	if err == nil {
		err = links.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bringing the loopback interface up: %w", err)
	}
	addresses := h.order.Addresses
	if !hasIPv6() {
		addresses = slices.DeleteFunc(slices.Clone(addresses), func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	iface, err := openInterface(addresses)
	if err != nil {
		return err
	}
	// Closed at exec, and not before: what is still to come is sent through it.
	link, err := links.LinkByName(interfaceName)
	if err != nil {
		return err
	}
	ipv6 := false
	for _, p := range addresses {
		if err := routeAll(links, link, p.Addr().Is4()); err != nil {
			return err
		}
		ipv6 = ipv6 || p.Addr().Is6()
	}
	netns, err := networkOf(os.Getpid())
	if err != nil {
		return err
	}
	conn, err := iface.File().SyscallConn()
	if err != nil {
		return err
	}
	var told error
	if err := conn.Control(func(fd uintptr) {
		leaveToNamespace(int(fd))
		told = h.control.tell(message{Ready: &ready{Name: iface.Name(), MTU: iface.MTU(), IPv6: ipv6, NetNS: netns}}, int(fd))
	}); err != nil {
		return err
	}
	return told
}

// leaveToNamespace has the interface outlive its queue, and go with its network
// namespace. The kernel removes that in the background, where the end of the
// queue would wait for it, some 20 ms.
func leaveToNamespace(queue int) {
	unix.IoctlSetInt(queue, unix.TUNSETPERSIST, 1) // a pair does so anyway
}

// openInterface makes a TUN interface or, where it may not, a pair of virtual
// Ethernet interfaces.
func openInterface(addresses []netip.Prefix) (*tun.Interface, error) {
	config := tun.Config{Name: interfaceName, Addresses: addresses}
	iface, tunErr := tun.Open(config)
	if tunErr == nil {
		return iface, nil
	}
	config.Kind = tun.Veth
	iface, err := tun.Open(config)
	if err != nil {
		return nil, toldError(errors.Join(tunErr, err))
	}
	return iface, nil
}

// toldError carries the hint of an error of package tun on.
func toldError(err error) error {
	var e *tun.Error
	if !errors.As(err, &e) {
		return err
	}
	return &Error{Op: "make the interface", Err: err, Hint: e.Hint}
}

// routeAll sends all packets of a family to an interface.
func routeAll(links *netlink.Handle, link netlink.Link, v4 bool) error {
	all := &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	if v4 {
		all = &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	}
	if err := links.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("adding the route of %v: %w", all, err)
	}
	return nil
}

// hasIPv6 reports whether interfaces of this network namespace can have IPv6.
func hasIPv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
	return err == nil && string(b) == "0\n"
}

package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// links asks the kernel about network interfaces and sets ours up. It holds a
// netlink socket, which stays in the network namespace it was opened in.
type links struct {
	handle *netlink.Handle
}

func openLinks() (*links, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &links{h}, nil
}

func (l *links) close() { l.handle.Close() }

// name returns the name of an interface, or its number if it has gone. Zero is
// no interface.
func (l *links) name(index int) string {
	if index == 0 {
		return ""
	}
	link, err := l.handle.LinkByIndex(index)
	if err != nil {
		return "number " + strconv.Itoa(index)
	}
	return link.Attrs().Name
}

// checkAddresses fails if another interface has one of the addresses: the
// kernel would allow it and then answer for one of the two.
func (l *links) checkAddresses(c Config) error {
	if len(c.Addresses) == 0 {
		return nil
	}
	present, err := l.handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // changed meanwhile: good enough
		return &Error{Op: "list addresses", Name: c.Name, Err: err}
	}
	for _, a := range present {
		ip, _ := netip.AddrFromSlice(a.IP)
		for _, p := range c.Addresses {
			if ip.Unmap() != p.Addr() {
				continue
			}
			owner := l.name(a.LinkIndex)
			if owner == c.Name {
				continue // what is wrong is the name, which create will say
			}
			return &Error{
				Op: "add address " + p.String(), Name: c.Name,
				Err:  fmt.Errorf("%v is already an address of interface %s: %w", p.Addr(), owner, unix.EADDRINUSE),
				Hint: "give another address, or remove it there",
			}
		}
	}
	return nil
}

// An Overlap is a route of another interface that shares addresses with a
// served prefix. The longer prefix wins: if that is the route, what is sent to
// its addresses does not reach the device; if it is ours, the other interface
// no longer gets what it used to. A default route is no overlap.
type Overlap struct {
	Prefix    netip.Prefix // as configured
	Route     netip.Prefix
	Interface string // of the route; empty if it has none, or several
}

// overlaps looks for routes of the main table that overlap a served prefix.
func (l *links) overlaps(c Config) ([]Overlap, error) {
	routes, err := l.handle.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // changed meanwhile: good enough
		return nil, &Error{Op: "list routes", Name: c.Name, Err: err}
	}
	var found []Overlap
	for _, r := range routes {
		dst, ok := prefixOf(r.Dst)
		if !ok || dst.Bits() == 0 {
			continue
		}
		for _, p := range c.Addresses {
			if p.Overlaps(dst) {
				found = append(found, Overlap{p, dst, l.name(r.LinkIndex)})
			}
		}
	}
	return found, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), ones), ok
}

// setUp configures the new interface, brings it up and returns its index. The
// addresses come before that, so that it never is up and half configured.
func (l *links) setUp(c Config) (index int, err error) {
	h := l.handle
	link, err := h.LinkByName(c.Name)
	if err != nil {
		return 0, setUpError("find", c.Name, err)
	}
	steps := []struct {
		op string
		do func() error
	}{
		{"set MTU", func() error { return h.LinkSetMTU(link, c.MTU) }},
		{"set transmit queue length", func() error { return h.LinkSetTxQLen(link, c.TxQueueLen) }},
		{"set queueing discipline", func() error { return l.oneQueue(link) }},
		{"turn multicast off", func() error { return h.LinkSetMulticastOff(link) }},
		{"turn IPv6 autoconfiguration off", func() error { return l.quietIPv6(link, c) }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return 0, setUpError(s.op, c.Name, err)
		}
	}
	for _, p := range c.Addresses {
		if err := l.addAddress(link, p); err != nil {
			return 0, setUpError("add address "+p.String(), c.Name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return 0, setUpError("bring up", c.Name, err)
	}
	for _, p := range c.Addresses {
		if err := l.awaitLocal(p.Addr()); err != nil {
			return 0, setUpError("await address "+p.String(), c.Name, err)
		}
	}
	return link.Attrs().Index, nil
}

// oneQueue gives the link one queue of packets. A multi-queue interface would have
// 256 of them, and three arrays of TxQueueLen in each: 60 MB, and most of the time
// that it takes to bring the interface up.
func (l *links) oneQueue(link netlink.Link) error {
	err := l.handle.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		QdiscType:  "pfifo",
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return nil // the kernel has none: it only costs more
	}
	return err
}

// quietIPv6 keeps the kernel from using IPv6 on the link for itself: without a
// link-local address it sends no router solicitations, and router
// advertisements written to the device do not change the host.
func (l *links) quietIPv6(link netlink.Link, c Config) error {
	err := l.handle.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		if !slices.ContainsFunc(c.Addresses, isIPv6) {
			return nil // no IPv6 on this host, and none wanted
		}
		return unix.EAFNOSUPPORT
	}
	if err != nil {
		return err
	}
	// Not all containers may write here. Then only this second lock is missing:
	// nothing but this program can write an advertisement to its device.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+c.Name+"/accept_ra", []byte("0"), 0)
	return nil
}

// addAddress gives the link an address, and so the route of its prefix. There
// is nobody on the link who could have the address too, so duplicate address
// detection (RFC 4862, section 5.4) would only delay it.
func (l *links) addAddress(link netlink.Link, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
	if isIPv6(p) {
		a.Flags = unix.IFA_F_NODAD
	}
	return l.handle.AddrAdd(link, a)
}

// localRouteTimeout is how long the kernel may take to route packets to an
// address that it was given. It needs a few milliseconds.
const localRouteTimeout = 5 * time.Second

// awaitLocal waits until packets to an address are for this host. For IPv6 a
// worker of the kernel makes that so, some time after the address can be used
// as a source; an answer that comes before is lost.
func (l *links) awaitLocal(a netip.Addr) error {
	for deadline := time.Now().Add(localRouteTimeout); ; time.Sleep(time.Millisecond) {
		routes, err := l.handle.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("its route is %v", routes)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("packets to it are not for this host after %v: %v", localRouteTimeout, err)
		}
	}
}

package tun

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Defaults of a Config.
const (
	DefaultName = "syn0"
	DefaultMTU  = 1500

	// DefaultTxQueueLen is 20 times what the kernel gives: with 500, a burst of
	// a few thousand segments, such as the RSTs of a client that exits with
	// 5,000 connections, overflows the queue and is lost.
	DefaultTxQueueLen = 10000
)

// Limits of a Config.
const (
	maxNameLen    = unix.IFNAMSIZ - 1 // without the final zero byte
	minMTU        = 68                // RFC 791, section 3.2; also the kernel's limit
	minMTUv6      = 1280              // RFC 8200, section 5
	maxMTU        = MaxPacketSize
	maxTxQueueLen = 1 << 20 // the kernel allocates 8 bytes for each place at once
	maxAddresses  = 64      // nobody needs more; each is a netlink request
)

// A Kind is a kind of interface.
type Kind uint8

const (
	// TUN is a TUN interface, made with /dev/net/tun.
	TUN Kind = iota
	// Veth is one end of a virtual Ethernet pair, whose packets are read and
	// written on the other end, through a packet socket. It takes CAP_NET_RAW
	// too. It is there for where /dev/net/tun may not be opened.
	Veth
)

// Config says what interface to open. The zero value is a valid one: an
// interface "syn0" without addresses.
type Config struct {
	// Kind is the kind of interface; default TUN.
	Kind Kind

	// Name of the interface, at most 15 bytes; default DefaultName. No
	// interface of that name may exist.
	Name string

	// Addresses are the host's own addresses on the interface, each with the
	// prefix that is served behind it: with 198.18.0.1/15 the host sends from
	// 198.18.0.1, and all other addresses of 198.18.0.0/15 are routed to the
	// device.
	Addresses []netip.Prefix

	// MTU in bytes: 68, or 1280 with an IPv6 address, to 65535; default
	// DefaultMTU.
	MTU int

	// NoOffload asks for packet at a time even where the kernel could pass
	// super-packets.
	NoOffload bool

	// TxQueueLen is the number of packets that the kernel keeps for Read, up to
	// 1,048,576; default DefaultTxQueueLen. What comes when it is full is lost.
	TxQueueLen int
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.TxQueueLen == 0 {
		c.TxQueueLen = DefaultTxQueueLen
	}
	return c
}

// Validate reports the first thing that is wrong with the configuration itself,
// as an *Error. It needs no privileges and does not ask the system: that a name
// is taken, for example, only Open can tell.
func (c Config) Validate() error {
	c = c.withDefaults()
	fail := func(hint, format string, a ...any) error {
		return &Error{Op: "configure", Name: c.Name, Err: fmt.Errorf(format, a...), Hint: hint}
	}
	if fault := nameFault(c.Name); fault != "" {
		return fail("use letters and digits, as in "+DefaultName, "name %q %s", c.Name, fault)
	}
	if len(c.Addresses) > maxAddresses {
		return fail("use fewer and wider prefixes", "%d addresses, more than %d", len(c.Addresses), maxAddresses)
	}
	for i, p := range c.Addresses {
		if fault, hint := addressFault(p); fault != "" {
			return fail(hint, "address %v %s", p, fault)
		}
		if slices.ContainsFunc(c.Addresses[:i], func(q netip.Prefix) bool { return p.Addr() == q.Addr() }) {
			return fail("", "address %v is given twice", p.Addr())
		}
	}
	if c.MTU < minMTU || c.MTU > maxMTU {
		return fail("", "MTU %d is not within %d to %d", c.MTU, minMTU, maxMTU)
	}
	if c.MTU < minMTUv6 && slices.ContainsFunc(c.Addresses, isIPv6) {
		return fail("raise the MTU, or serve IPv4 addresses only",
			"MTU %d is below %d, the least for IPv6", c.MTU, minMTUv6)
	}
	if c.TxQueueLen < 0 || c.TxQueueLen > maxTxQueueLen {
		return fail("", "transmit queue length %d is not within 1 to %d", c.TxQueueLen, maxTxQueueLen)
	}
	return nil
}

// nameFault says what keeps name from being the name of an interface, or "".
func nameFault(name string) string {
	switch {
	case len(name) > maxNameLen:
		return fmt.Sprintf("is longer than %d bytes", maxNameLen)
	case name == "." || name == "..", name == "all" || name == "default":
		return "is reserved" // as a directory below /proc/sys/net/ipv4/conf
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "has a space, a control character or one outside ASCII"
	case strings.ContainsAny(name, "/:"):
		return "has a slash or a colon"
	case strings.Contains(name, "%"):
		return "has a percent sign" // the kernel would number it: syn%d
	}
	return ""
}

// addressFault says what keeps p from being the host's own address on an
// interface with the prefix served behind it, or "".
func addressFault(p netip.Prefix) (fault, hint string) {
	const example = "give the host's own address and the prefix behind it, as in 198.18.0.1/15"
	a := p.Addr()
	switch {
	case !p.IsValid():
		return "is not valid", example
	case a.Is4In6():
		return "is an IPv4 address written as IPv6", "write it as " + a.Unmap().String()
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is not a unicast address of a network", example
	case a.IsLinkLocalUnicast() && a.Is6():
		return "is link-local, which clients cannot use without naming the interface", "use one of 2001:2::/48 or fc00::/7"
	case p.Bits() == 0:
		return "would route everything that the host sends to the interface", "give a narrower prefix"
	case a.BitLen()-p.Bits() > 1 && a == p.Masked().Addr():
		return "is the prefix alone", fmt.Sprintf("give an address within it to the host, as in %v/%d", a.Next(), p.Bits())
	case a.Is4() && 32-p.Bits() > 1 && !p.Contains(a.Next()):
		return "is the broadcast address of its prefix", fmt.Sprintf("give another to the host, as in %v/%d", p.Masked().Addr().Next(), p.Bits())
	}
	return "", ""
}

func isIPv6(p netip.Prefix) bool { return p.Addr().Is6() }

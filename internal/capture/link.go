package capture

import (
	"encoding/binary"
	"fmt"
)

// Link types (draft-ietf-opsawg-pcaplinktype).
const (
	linkNull      = 0   // LINKTYPE_NULL, BSD loopback
	linkEthernet  = 1   // LINKTYPE_ETHERNET
	linkRawBSD    = 12  // DLT_RAW of most systems, as some writers leave it
	linkRawOther  = 14  // DLT_RAW of OpenBSD
	linkRaw       = 101 // LINKTYPE_RAW
	linkLoop      = 108 // LINKTYPE_LOOP, OpenBSD loopback
	linkSLL       = 113 // LINKTYPE_LINUX_SLL, Linux cooked
	linkIPv4      = 228 // LINKTYPE_IPV4
	linkIPv6      = 229 // LINKTYPE_IPV6
	linkLinuxSLL2 = 276 // LINKTYPE_LINUX_SLL2, Linux cooked v2
)

// EtherTypes (IANA, IEEE 802 Numbers).
const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
	etherTypeVLAN = 0x8100 // IEEE 802.1Q
	etherTypeQinQ = 0x88a8 // IEEE 802.1ad
	etherTypeQ91  = 0x9100 // QinQ before 802.1ad
	etherTypeQ92  = 0x9200
)

// maxLengthField is the highest value of an Ethernet frame's type field that
// is a length (IEEE 802.3, 3.2.6).
const maxLengthField = 1500

// A family says which IP a packet is.
type family int

const (
	eitherIP family = 0 // the version field says
	ipv4     family = 4
	ipv6     family = 6
)

// A link finds the IP packet in what an interface captures.
type link struct {
	// find returns what follows the link header, or why it is not IP.
	find func(b []byte) (f family, payload []byte, skipped string)
	// unknown is why nothing is found, if find is nil.
	unknown string
}

// newLink returns the link of a link type.
func newLink(linkType uint16) *link {
	switch linkType {
	case linkEthernet:
		return &link{find: ethernet}
	case linkRaw, linkRawBSD, linkRawOther:
		return &link{find: raw(eitherIP)}
	case linkIPv4:
		return &link{find: raw(ipv4)}
	case linkIPv6:
		return &link{find: raw(ipv6)}
	case linkSLL:
		return &link{find: cooked}
	case linkLinuxSLL2:
		return &link{find: cooked2}
	case linkNull:
		return &link{find: null}
	case linkLoop:
		return &link{find: loop}
	}
	return &link{unknown: fmt.Sprintf("unknown link type %d", linkType)}
}

// payload returns what follows the link header, or why it is not IP.
func (l *link) payload(b []byte) (f family, payload []byte, skipped string) {
	if l.find == nil {
		return 0, nil, l.unknown
	}
	return l.find(b)
}

// raw returns the link that has no header.
func raw(f family) func([]byte) (family, []byte, string) {
	return func(b []byte) (family, []byte, string) { return f, b, "" }
}

// ethernet reads an Ethernet header.
func ethernet(b []byte) (family, []byte, string) {
	if len(b) < 14 {
		return 0, nil, "Ethernet header cut"
	}
	return etherType(binary.BigEndian.Uint16(b[12:]), b[14:])
}

// etherType reads what an EtherType stands before, which may be VLAN tags.
func etherType(t uint16, b []byte) (family, []byte, string) {
	for t == etherTypeVLAN || t == etherTypeQinQ || t == etherTypeQ91 || t == etherTypeQ92 {
		if len(b) < 4 {
			return 0, nil, "malformed VLAN"
		}
		t, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch {
	case t == etherTypeIPv4:
		return ipv4, b, ""
	case t == etherTypeIPv6:
		return ipv6, b, ""
	case t <= maxLengthField:
		return snap(b)
	}
	return 0, nil, etherTypeName(t)
}

// snap reads an IEEE 802.2 header, behind which an EtherType may be (RFC 1042).
func snap(b []byte) (family, []byte, string) {
	if len(b) < 8 || string(b[:6]) != "\xaa\xaa\x03\x00\x00\x00" {
		return 0, nil, "IEEE 802.2"
	}
	switch t := binary.BigEndian.Uint16(b[6:]); t {
	case etherTypeIPv4:
		return ipv4, b[8:], ""
	case etherTypeIPv6:
		return ipv6, b[8:], ""
	default:
		return 0, nil, etherTypeName(t)
	}
}

// etherTypeName names an EtherType that is not IP.
func etherTypeName(t uint16) string {
	switch t {
	case 0x0806:
		return "ARP"
	case 0x8035:
		return "RARP"
	case 0x8847, 0x8848:
		return "MPLS"
	case 0x8863, 0x8864:
		return "PPPoE"
	case 0x888e:
		return "EAPOL"
	case 0x88cc:
		return "LLDP"
	case 0x88e5:
		return "MACsec"
	}
	return fmt.Sprintf("EtherType 0x%04x", t)
}

// ARPHRD types of Linux (if_arp.h) where the protocol of a cooked header is no
// EtherType.
const (
	arphrdFrameRelay = 770
	arphrdGRE        = 778
	arphrdRadiotap   = 803
	arphrdNetlink    = 824
)

// cooked reads a Linux cooked header.
func cooked(b []byte) (family, []byte, string) {
	if len(b) < 16 {
		return 0, nil, "Linux cooked header cut"
	}
	return cookedProtocol(binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[14:]), b[16:])
}

// cooked2 reads a Linux cooked v2 header.
func cooked2(b []byte) (family, []byte, string) {
	if len(b) < 20 {
		return 0, nil, "Linux cooked v2 header cut"
	}
	return cookedProtocol(binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b), b[20:])
}

// cookedProtocol reads what follows a Linux cooked header.
func cookedProtocol(arphrd, protocol uint16, b []byte) (family, []byte, string) {
	switch arphrd {
	case arphrdFrameRelay:
		return 0, nil, "frame relay"
	case arphrdRadiotap:
		return 0, nil, "IEEE 802.11"
	case arphrdNetlink:
		return 0, nil, "netlink"
	case arphrdGRE:
		if protocol != etherTypeIPv4 && protocol != etherTypeIPv6 {
			return 0, nil, "GRE"
		}
	}
	const noLLC, llc = 0x0001, 0x0004 // LINUX_SLL_P_802_3, LINUX_SLL_P_802_2
	if protocol <= maxLengthField && protocol != llc {
		if protocol == noLLC {
			return 0, nil, "Novell IPX"
		}
		return 0, nil, fmt.Sprintf("Linux protocol %d", protocol)
	}
	return etherType(protocol, b)
}

// null reads the header of the loopback of BSD: an address family in the byte
// order of the host that captured, which need not be that of the file.
func null(b []byte) (family, []byte, string) {
	if len(b) < 4 {
		return 0, nil, "loopback header cut"
	}
	f := binary.LittleEndian.Uint32(b)
	if f > 0xffff {
		f = binary.BigEndian.Uint32(b)
	}
	return addressFamily(f, b[4:])
}

// loop reads the header of the loopback of OpenBSD: the same in network order.
func loop(b []byte) (family, []byte, string) {
	if len(b) < 4 {
		return 0, nil, "loopback header cut"
	}
	return addressFamily(binary.BigEndian.Uint32(b), b[4:])
}

// addressFamily reads what an address family stands before. AF_INET is 2
// everywhere; AF_INET6 is not the same on any two systems.
func addressFamily(f uint32, b []byte) (family, []byte, string) {
	switch f {
	case 2:
		return ipv4, b, ""
	case 10, 23, 24, 28, 30: // Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS
		return ipv6, b, ""
	}
	return 0, nil, fmt.Sprintf("address family %d", f)
}

package tcptrack

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
)

var (
	src4 = netip.MustParseAddrPort("192.0.2.1:40000")
	dst4 = netip.MustParseAddrPort("198.51.100.1:443")
	src6 = netip.MustParseAddrPort("[2001:db8::1]:40000")
	dst6 = netip.MustParseAddrPort("[2001:db8::2]:443")
)

// netstackTCP has netstack's encoder make a TCP segment, checksum included.
func netstackTCP(src, dst netip.AddrPort, options, payload []byte) []byte {
	offset := header.TCPMinimumSize + len(options)
	b := slices.Concat(make([]byte, header.TCPMinimumSize), options, payload)
	th := header.TCP(b)
	th.Encode(&header.TCPFields{
		SrcPort: src.Port(), DstPort: dst.Port(), SeqNum: 0xdeadbeef, AckNum: 0x01020304,
		DataOffset: uint8(offset), Flags: header.TCPFlagAck | header.TCPFlagPsh | header.TCPFlagUrg,
		WindowSize: 0xabcd, UrgentPointer: 3,
	})
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber,
		tcpip.AddrFromSlice(src.Addr().AsSlice()), tcpip.AddrFromSlice(dst.Addr().AsSlice()), uint16(len(b)))
	th.SetChecksum(^checksum.Checksum(b, sum))
	return b
}

// ipv4 puts a transport segment into a packet.
func ipv4(proto uint8, src, dst netip.AddrPort, options header.IPv4OptionsSerializer, transport []byte) []byte {
	size := header.IPv4MinimumSize + int(options.Length())
	b := append(make([]byte, size), transport...)
	header.IPv4(b).Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)), TTL: 63, Protocol: proto, Options: options,
		SrcAddr: tcpip.AddrFrom4(src.Addr().As4()), DstAddr: tcpip.AddrFrom4(dst.Addr().As4()),
	})
	return b
}

// ipv6 puts a payload, which may begin with extension headers, into a packet.
func ipv6(next uint8, src, dst netip.AddrPort, payload ...[]byte) []byte {
	p := slices.Concat(payload...)
	b := append(make([]byte, header.IPv6MinimumSize), p...)
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(p)), TransportProtocol: tcpip.TransportProtocolNumber(next), HopLimit: 63,
		SrcAddr: tcpip.AddrFrom16(src.Addr().As16()), DstAddr: tcpip.AddrFrom16(dst.Addr().As16()),
	})
	return b
}

// extension returns an IPv6 extension header of 8 times n bytes.
func extension(next uint8, n int) []byte {
	return append([]byte{next, uint8(n - 1)}, make([]byte, 8*n-2)...)
}

// goodPackets all hold the segment of netstackTCP with the payload "payload".
func goodPackets() map[string][]byte {
	payload := []byte("payload")
	timestamps := make([]byte, 12)
	header.EncodeTSOption(7, 8, timestamps)
	timestamps[10], timestamps[11] = header.TCPOptionNOP, header.TCPOptionNOP
	tcp4 := netstackTCP(src4, dst4, timestamps, payload)
	tcp6 := netstackTCP(src6, dst6, timestamps, payload)
	authentication := append([]byte{ProtocolTCP, 4}, make([]byte, 22)...)
	atomic := []byte{ProtocolTCP, 0, 0, 0, 1, 2, 3, 4} // RFC 6946
	return map[string][]byte{
		"IPv4":              ipv4(ProtocolTCP, src4, dst4, nil, tcp4),
		"IPv4, with option": ipv4(ProtocolTCP, src4, dst4, header.IPv4OptionsSerializer{&header.IPv4SerializableRouterAlertOption{}}, tcp4),
		"IPv4, padded":      append(ipv4(ProtocolTCP, src4, dst4, nil, tcp4), 0, 0, 0, 0),
		"IPv6":              ipv6(ProtocolTCP, src6, dst6, tcp6),
		"IPv6, padded":      append(ipv6(ProtocolTCP, src6, dst6, tcp6), 0, 0),
		"IPv6, hop-by-hop":  ipv6(protocolHopByHop, src6, dst6, extension(ProtocolTCP, 1), tcp6),
		"IPv6, many": ipv6(protocolHopByHop, src6, dst6, extension(protocolRouting, 1), extension(protocolDestOpts, 3),
			extension(protocolMobility, 2), extension(ProtocolTCP, 1), tcp6),
		"IPv6, authentication":  ipv6(protocolAuth, src6, dst6, authentication, tcp6),
		"IPv6, atomic fragment": ipv6(protocolFragment, src6, dst6, atomic, tcp6),
		"IPv6, as many as there may be": ipv6(protocolDestOpts, src6, dst6,
			bytes.Repeat(extension(protocolDestOpts, 1), maxExtensionHeaders-1), extension(ProtocolTCP, 1), tcp6),
	}
}

func TestParse(t *testing.T) {
	for name, b := range goodPackets() {
		t.Run(name, func(t *testing.T) {
			var p Packet
			if err := p.Parse(b); err != nil {
				t.Fatal(err)
			}
			src, dst := src4, dst4
			if strings.HasPrefix(name, "IPv6") {
				src, dst = src6, dst6
			}
			if p.Src != src || p.Dst != dst || p.Protocol != ProtocolTCP || p.TTL != 63 || p.Fragment {
				t.Errorf("IP: %+v", p)
			}
			if p.Seq != 0xdeadbeef || p.Ack != 0x01020304 || p.Flags != event.ACK|event.PSH|event.URG || p.Window != 0xabcd || p.Urgent != 3 {
				t.Errorf("TCP: %+v", p)
			}
			if !p.Options.HasTimestamps || p.Options.TSVal != 7 || p.Options.TSEcr != 8 || p.Options.Malformed {
				t.Errorf("options: %+v", p.Options)
			}
			if string(p.Payload) != "payload" || p.Len != len("payload") {
				t.Errorf("payload %q of %d bytes", p.Payload, p.Len)
			}
			if !p.VerifyChecksum(b) {
				t.Error("the checksum of netstack is taken for wrong")
			}
		})
	}
}

// Any byte that is wrong is noticed, of those that the checksum covers.
func TestVerifyChecksum(t *testing.T) {
	for _, size := range []int{0, 1, 2, 1459, 65535 - 40 - 20} {
		payload := bytes.Repeat([]byte{0xff}, size)
		for _, good := range [][]byte{
			ipv4(ProtocolTCP, src4, dst4, nil, netstackTCP(src4, dst4, nil, payload)),
			ipv6(ProtocolTCP, src6, dst6, netstackTCP(src6, dst6, nil, payload)),
		} {
			var p Packet
			if err := p.Parse(good); err != nil {
				t.Fatal(err)
			}
			if !p.VerifyChecksum(good) {
				t.Errorf("%d bytes: right checksum refused", size)
			}
			for _, i := range []int{p.TransportOffset - 1, p.TransportOffset, p.TransportOffset + 16, len(good) - 1} {
				bad := bytes.Clone(good)
				bad[i] ^= 0x10
				if err := p.Parse(bad); err != nil {
					t.Fatal(err)
				}
				if p.VerifyChecksum(bad) {
					t.Errorf("%d bytes: wrong byte %d not noticed", size, i)
				}
			}
		}
	}
}

// A packet that was cut at any length gives an error that says what is short,
// or a payload that is shorter than Len.
func TestParseCut(t *testing.T) {
	for name, b := range goodPackets() {
		var p Packet
		if err := p.Parse(b); err != nil {
			t.Fatal(err)
		}
		payload := len(b) - p.Len
		if strings.Contains(name, "padded") {
			continue
		}
		for n := range b {
			err := p.Parse(b[:n:n])
			switch {
			case n < payload && (!errors.Is(err, errShort) || !strings.Contains(err.Error(), "header")):
				t.Errorf("%s at %d bytes: %v", name, n, err)
			case n >= payload && (err != nil || p.Len != len("payload") || len(p.Payload) != n-payload || p.VerifyChecksum(b[:n])):
				t.Errorf("%s at %d bytes: %v, payload %d of %d", name, n, err, len(p.Payload), p.Len)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	tcp := netstackTCP(src4, dst4, nil, []byte("x"))
	edit := func(b []byte, i int, v byte) []byte {
		b = bytes.Clone(b)
		b[i] = v
		return b
	}
	good4 := ipv4(ProtocolTCP, src4, dst4, nil, tcp)
	good6 := ipv6(ProtocolTCP, src6, dst6, tcp)
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"nothing", nil, "IP header: cut short"},
		{"neither IPv4 nor IPv6", []byte{0x50}, "IP version 5: neither 4 nor 6"},
		{"IPv4 header too small", edit(good4, 0, 0x44), "IPv4 header: impossible length: header 16, total 41"},
		{"IPv4 total too small", edit(good4, 3, 19), "IPv4 header: impossible length: header 20, total 19"},
		{"TCP header too small", edit(good4, 20+12, 0x40), "TCP header: impossible length: header 16, segment 21"},
		{"TCP header too large", edit(good4, 20+12, 0xf0), "TCP header: impossible length: header 60, segment 21"},
		{"IPv4 ends in the TCP header", edit(good4, 3, 39), "TCP header: cut short at 19 bytes"},
		{"IPv6 ends in the TCP header", edit(good6, 5, 19), "TCP header: cut short at 19 bytes"},
		{"IPv6 extension header cut", ipv6(protocolHopByHop, src6, dst6, extension(ProtocolTCP, 2)[:15]), "IPv6 extension header 0: cut short"},
		{"too many extension headers", ipv6(protocolDestOpts, src6, dst6,
			bytes.Repeat(extension(protocolDestOpts, 1), maxExtensionHeaders), extension(ProtocolTCP, 1), tcp), "IPv6 header: more than 16 extension headers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Packet
			if err := p.Parse(tt.b); err == nil || err.Error() != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if p.VerifyChecksum(tt.b) {
				t.Error("the checksum is taken for right")
			}
		})
	}
}

func TestParseFragments(t *testing.T) {
	tcp := netstackTCP(src4, dst4, nil, []byte("x"))
	first4 := ipv4(ProtocolTCP, src4, dst4, nil, tcp)
	first4[6] = 0x20 // more fragments
	last4 := ipv4(ProtocolTCP, src4, dst4, nil, tcp[:8])
	last4[7] = 3 // offset
	dontFragment := ipv4(ProtocolTCP, src4, dst4, nil, tcp)
	dontFragment[6] = 0x40
	for _, tt := range []struct {
		name     string
		b        []byte
		fragment bool
	}{
		{"IPv4, first", first4, true},
		{"IPv4, last", last4, true},
		{"IPv4, don't fragment", dontFragment, false},
		{"IPv6, first", ipv6(protocolFragment, src6, dst6, []byte{ProtocolTCP, 0, 0, 1, 0, 0, 0, 9}, tcp), true},
		{"IPv6, last", ipv6(protocolFragment, src6, dst6, []byte{ProtocolTCP, 0, 0, 8, 0, 0, 0, 9}, tcp[:4]), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Packet
			if err := p.Parse(tt.b); err != nil {
				t.Fatal(err)
			}
			if p.Fragment != tt.fragment || p.Protocol != ProtocolTCP {
				t.Errorf("%+v", p)
			}
			if parsed := p.Src.Port() != 0; parsed == tt.fragment {
				t.Errorf("transport header parsed: %v", parsed)
			}
			if tt.fragment && p.VerifyChecksum(tt.b) {
				t.Error("the checksum of a fragment is taken for right")
			}
		})
	}
}

func TestParseOtherProtocols(t *testing.T) {
	const icmp, udp, noNext = 1, 17, 59
	ports := []byte{0x9c, 0x40, 1, 187, 0, 8, 0, 0}
	for _, tt := range []struct {
		name     string
		b        []byte
		protocol uint8
		ports    bool
		offset   int
	}{
		{"UDP", ipv4(udp, src4, dst4, nil, ports), udp, true, 20},
		{"UDP, cut", ipv4(udp, src4, dst4, nil, ports[:3]), udp, false, 20},
		{"UDP over IPv6", ipv6(protocolDestOpts, src6, dst6, extension(udp, 1), ports), udp, true, 48},
		{"ICMP", ipv4(icmp, src4, dst4, nil, ports), icmp, false, 20},
		{"no next header", ipv6(noNext, src6, dst6), noNext, false, 40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := Packet{Seq: 1, Len: 5, Fragment: true} // of the packet before
			if err := p.Parse(tt.b); err != nil {
				t.Fatal(err)
			}
			if p.Protocol != tt.protocol || p.TransportOffset != tt.offset || p.Seq != 0 || p.Len != 0 || p.Fragment {
				t.Errorf("%+v", p)
			}
			if parsed := p.Src.Port() == 40000 && p.Dst.Port() == 443; parsed != tt.ports {
				t.Errorf("ports %d and %d", p.Src.Port(), p.Dst.Port())
			}
		})
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	for name, b := range goodPackets() {
		var p Packet
		if n := testing.AllocsPerRun(100, func() {
			if p.Parse(b) != nil || !p.VerifyChecksum(b) {
				t.Fatal(name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

package stack

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
)

var (
	outside4 = netip.MustParseAddrPort("203.0.113.5:443")
	outside6 = netip.MustParseAddrPort("[2001:db8::5]:443")
)

// echoRequest4 makes an ICMP echo request (RFC 792).
func echoRequest4(data []byte) []byte {
	b := append(make([]byte, header.ICMPv4MinimumSize), data...)
	h := header.ICMPv4(b)
	h.SetType(header.ICMPv4Echo)
	h.SetIdent(7)
	h.SetSequence(8)
	h.SetChecksum(^checksum.Checksum(b, 0))
	return b
}

// echoRequest6 makes an ICMPv6 echo request (RFC 4443, section 4.1).
func echoRequest6(data []byte) []byte {
	b := append(make([]byte, header.ICMPv6EchoMinimumSize), data...)
	h := header.ICMPv6(b)
	h.SetType(header.ICMPv6EchoRequest)
	h.SetIdent(7)
	h.SetSequence(8)
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, addressed(client6.Addr()), addressed(server6.Addr()), uint16(len(b)))
	h.SetChecksum(^checksum.Checksum(b, sum))
	return b
}

// checkIP checks the IP header and the ICMP checksum of an answer, and returns
// the ICMP message.
func checkICMP(t *testing.T, b []byte, src, dst netip.Addr) []byte {
	t.Helper()
	if src.Is4() {
		h := header.IPv4(b)
		if !h.IsValid(len(b)) || int(h.TotalLength()) != len(b) || !h.IsChecksumValid() || h.TransportProtocol() != header.ICMPv4ProtocolNumber {
			t.Fatalf("the IPv4 header of %x is wrong", b)
		}
		if h.SourceAddress() != addressed(src) || h.DestinationAddress() != addressed(dst) {
			t.Errorf("the answer is from %v to %v, want from %v to %v", h.SourceAddress(), h.DestinationAddress(), src, dst)
		}
		if checksum.Checksum(h.Payload(), 0) != 0xffff {
			t.Errorf("the ICMP checksum of %x is wrong", b)
		}
		return h.Payload()
	}
	h := header.IPv6(b)
	if !h.IsValid(len(b)) || header.IPv6MinimumSize+int(h.PayloadLength()) != len(b) || h.NextHeader() != uint8(header.ICMPv6ProtocolNumber) {
		t.Fatalf("the IPv6 header of %x is wrong", b)
	}
	if h.SourceAddress() != addressed(src) || h.DestinationAddress() != addressed(dst) {
		t.Errorf("the answer is from %v to %v, want from %v to %v", h.SourceAddress(), h.DestinationAddress(), src, dst)
	}
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, h.SourceAddress(), h.DestinationAddress(), h.PayloadLength())
	if checksum.Checksum(h.Payload(), sum) != 0xffff {
		t.Errorf("the ICMPv6 checksum of %x is wrong", b)
	}
	return h.Payload()
}

func TestEcho(t *testing.T) {
	h := newRawHost(t, Config{})
	for _, n := range []int{0, 1, 2, 56, 57, 1471, 1472, 1452} {
		data := bytes.Repeat([]byte{0xa5}, n)
		if n <= 1472 {
			request := echoRequest4(data)
			h.inject(ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv4ProtocolNumber, request))
			reply := checkICMP(t, h.next(), server4.Addr(), client4.Addr())
			if header.ICMPv4(reply).Type() != header.ICMPv4EchoReply || !bytes.Equal(reply[4:], request[4:]) {
				t.Errorf("%d bytes: the reply is %x to %x", n, reply, request)
			}
		}
		if n <= 1452 {
			request := echoRequest6(data)
			h.inject(ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv6ProtocolNumber, request))
			reply := checkICMP(t, h.next(), server6.Addr(), client6.Addr())
			if header.ICMPv6(reply).Type() != header.ICMPv6EchoReply || !bytes.Equal(reply[4:], request[4:]) {
				t.Errorf("%d bytes: the reply is %x to %x", n, reply, request)
			}
		}
	}
}

// An IPv6 echo request is found behind extension headers.
func TestEchoBehindExtensionHeader(t *testing.T) {
	h := newRawHost(t, Config{})
	request := echoRequest6([]byte("behind"))
	hopByHop := []byte{uint8(header.ICMPv6ProtocolNumber), 0, 1, 4, 0, 0, 0, 0} // PadN
	h.inject(ipv6Packet(client6.Addr(), server6.Addr(), 0, append(hopByHop, request...)))
	reply := checkICMP(t, h.next(), server6.Addr(), client6.Addr())
	if header.ICMPv6(reply).Type() != header.ICMPv6EchoReply || !bytes.Equal(reply[4:], request[4:]) {
		t.Errorf("the reply is %x to %x", reply, request)
	}
}

// What must not be answered with anything.
func TestNoAnswer(t *testing.T) {
	bad4, bad6 := echoRequest4([]byte("bad")), echoRequest6([]byte("bad"))
	bad4[2] ^= 1
	bad6[2] ^= 1
	reply4, reply6 := echoRequest4(nil), echoRequest6(nil)
	reply4[0], reply6[0] = uint8(header.ICMPv4EchoReply), uint8(header.ICMPv6EchoReply)
	unreachable4 := append([]byte{uint8(header.ICMPv4DstUnreachable), 1, 0, 0, 0, 0, 0, 0}, make([]byte, 28)...)
	unreachable6 := append([]byte{uint8(header.ICMPv6DstUnreachable), 0, 0, 0, 0, 0, 0, 0}, make([]byte, 48)...)
	udp := make([]byte, header.UDPMinimumSize)
	anySYN := segment{src: client4, dst: server4, flags: syn}.packet()[header.IPv4MinimumSize:]

	first := ipv4Packet(client4.Addr(), outside4.Addr(), header.UDPProtocolNumber, udp)
	header.IPv4(first).SetFlagsFragmentOffset(header.IPv4FlagMoreFragments, 0)
	later := ipv4Packet(client4.Addr(), outside4.Addr(), header.UDPProtocolNumber, udp)
	header.IPv4(later).SetFlagsFragmentOffset(0, 8)
	served4 := ipv4Packet(client4.Addr(), server4.Addr(), header.TCPProtocolNumber, anySYN)
	header.IPv4(served4).SetFlagsFragmentOffset(header.IPv4FlagMoreFragments, 0)
	for _, b := range [][]byte{first, later, served4} {
		header.IPv4(b).SetChecksum(0)
		header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	}
	fragment6 := append([]byte{uint8(header.UDPProtocolNumber), 0, 0, 9, 0, 0, 0, 1}, udp...)
	badIP := ipv4Packet(client4.Addr(), server4.Addr(), header.TCPProtocolNumber, anySYN)
	badIP[10] ^= 1

	multicast4, multicast6 := netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("ff02::1")
	for name, packet := range map[string][]byte{
		"echo with a wrong checksum, IPv4":         ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv4ProtocolNumber, bad4),
		"echo with a wrong checksum, IPv6":         ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv6ProtocolNumber, bad6),
		"echo cut short, IPv4":                     ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv4ProtocolNumber, bad4[:3]),
		"echo cut short, IPv6":                     ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv6ProtocolNumber, bad6[:3]),
		"echo of ICMPv6 over IPv4":                 ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv6ProtocolNumber, echoRequest6(nil)),
		"echo of ICMPv4 over IPv6":                 ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv4ProtocolNumber, echoRequest4(nil)),
		"echo reply, IPv4":                         ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv4ProtocolNumber, reply4),
		"echo reply, IPv6":                         ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv6ProtocolNumber, reply6),
		"ICMP error to an outside address, IPv4":   ipv4Packet(client4.Addr(), outside4.Addr(), header.ICMPv4ProtocolNumber, unreachable4),
		"ICMP error to an outside address, IPv6":   ipv6Packet(client6.Addr(), outside6.Addr(), header.ICMPv6ProtocolNumber, unreachable6),
		"first fragment to an outside address":     first,
		"later fragment to an outside address":     later,
		"fragment to an outside address, IPv6":     ipv6Packet(client6.Addr(), outside6.Addr(), header.IPv6FragmentHeader, fragment6),
		"fragment of a SYN":                        served4,
		"to a multicast group, IPv4":               ipv4Packet(client4.Addr(), multicast4, header.UDPProtocolNumber, udp),
		"to a multicast group, IPv6":               ipv6Packet(client6.Addr(), multicast6, header.UDPProtocolNumber, udp),
		"from a multicast group, IPv4":             ipv4Packet(multicast4, outside4.Addr(), header.UDPProtocolNumber, udp),
		"from a multicast group, IPv6":             ipv6Packet(multicast6, outside6.Addr(), header.UDPProtocolNumber, udp),
		"to everybody":                             ipv4Packet(client4.Addr(), netip.MustParseAddr("255.255.255.255"), header.UDPProtocolNumber, udp),
		"from nobody, IPv4":                        ipv4Packet(netip.IPv4Unspecified(), server4.Addr(), header.ICMPv4ProtocolNumber, echoRequest4(nil)),
		"from nobody, IPv6":                        ipv6Packet(netip.IPv6Unspecified(), outside6.Addr(), header.UDPProtocolNumber, udp),
		"from the loopback address":                ipv4Packet(netip.MustParseAddr("127.0.0.1"), outside4.Addr(), header.UDPProtocolNumber, udp),
		"link-local":                               ipv6Packet(netip.MustParseAddr("fe80::1"), outside6.Addr(), header.UDPProtocolNumber, udp),
		"wrong IPv4 checksum":                      badIP,
		"shorter than its IPv4 header says":        served4[:len(served4)-1],
		"shorter than its IPv6 header says":        ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv6ProtocolNumber, echoRequest6([]byte("short")))[:50],
		"neither IPv4 nor IPv6":                    {0x50, 1, 2, 3},
		"one byte":                                 {0x45},
		"IPv6 extension header that never ends":    ipv6Packet(client6.Addr(), server6.Addr(), 0, []byte{0, 200, 0, 0, 0, 0, 0, 0}),
		"TCP header shorter than it may be, IPv4":  ipv4Packet(client4.Addr(), server4.Addr(), header.TCPProtocolNumber, anySYN[:19]),
		"TCP header longer than the segment, IPv4": ipv4Packet(client4.Addr(), server4.Addr(), header.TCPProtocolNumber, append(bytes.Clone(anySYN[:12]), 0xf0, 2, 0, 0, 0, 0, 0, 0)),
	} {
		t.Run(name, func(t *testing.T) {
			h := newRawHost(t, Config{})
			h.inject(packet)
			h.fence()
			h.rec.mu.Lock()
			defer h.rec.mu.Unlock()
			if !bytes.Equal(h.rec.packets[0].bytes, packet) {
				t.Errorf("the packet told first is %x, want %x", h.rec.packets[0].bytes, packet)
			}
			for _, u := range h.rec.unreachable {
				if u.Answer != "" || u.Reason == "" || u.Frame != 1 {
					t.Errorf("told is %+v, want no answer", u)
				}
			}
		})
	}
}

// A packet to an address that is not served, or of a protocol that is not, is
// answered with ICMP unreachable, which quotes it.
func TestUnreachable(t *testing.T) {
	udp := func(n int) []byte {
		b := make([]byte, header.UDPMinimumSize+n)
		header.UDP(b).Encode(&header.UDPFields{SrcPort: 5353, DstPort: 53, Length: uint16(len(b))})
		return b
	}
	type want struct {
		typ, code uint8
		pointer   uint32
		quoted    int
		told      event.Unreachable
	}
	tests := []struct {
		name     string
		src, dst netip.Addr
		packet   []byte
		want     want
	}{
		{"a SYN to another network, IPv4", client4.Addr(), outside4.Addr(), segment{src: client4, dst: outside4, flags: syn}.packet(),
			want{3, 0, 0, 40, event.Unreachable{Src: "198.18.0.1:51234", Dst: "203.0.113.5:443", Protocol: "tcp", Reason: "address outside the served prefixes", Answer: "icmp net unreachable"}}},
		{"a SYN to another network, IPv6", client6.Addr(), outside6.Addr(), segment{src: client6, dst: outside6, flags: syn}.packet(),
			want{1, 0, 0, 60, event.Unreachable{Src: "[2001:2::1]:51234", Dst: "[2001:db8::5]:443", Protocol: "tcp", Reason: "address outside the served prefixes", Answer: "icmp no route to destination"}}},
		{"an echo request to another network, IPv4", client4.Addr(), outside4.Addr(), ipv4Packet(client4.Addr(), outside4.Addr(), header.ICMPv4ProtocolNumber, echoRequest4(nil)),
			want{3, 0, 0, 28, event.Unreachable{Src: "198.18.0.1", Dst: "203.0.113.5", Protocol: "icmp", Reason: "address outside the served prefixes", Answer: "icmp net unreachable"}}},
		{"UDP, IPv4", client4.Addr(), server4.Addr(), ipv4Packet(client4.Addr(), server4.Addr(), header.UDPProtocolNumber, udp(5)),
			want{3, 3, 0, 33, event.Unreachable{Src: "198.18.0.1:5353", Dst: "198.18.3.4:53", Protocol: "udp", Reason: "no UDP service", Answer: "icmp port unreachable"}}},
		{"long UDP, IPv4", client4.Addr(), server4.Addr(), ipv4Packet(client4.Addr(), server4.Addr(), header.UDPProtocolNumber, udp(1001)),
			want{3, 3, 0, 84, event.Unreachable{Src: "198.18.0.1:5353", Dst: "198.18.3.4:53", Protocol: "udp", Reason: "no UDP service", Answer: "icmp port unreachable"}}},
		{"UDP, IPv6", client6.Addr(), server6.Addr(), ipv6Packet(client6.Addr(), server6.Addr(), header.UDPProtocolNumber, udp(5)),
			want{1, 4, 0, 53, event.Unreachable{Src: "[2001:2::1]:5353", Dst: "[2001:2::3:4]:53", Protocol: "udp", Reason: "no UDP service", Answer: "icmp port unreachable"}}},
		{"long UDP, IPv6: the answer is no longer than the minimum MTU", client6.Addr(), server6.Addr(), ipv6Packet(client6.Addr(), server6.Addr(), header.UDPProtocolNumber, udp(1401)),
			want{1, 4, 0, 1232, event.Unreachable{Src: "[2001:2::1]:5353", Dst: "[2001:2::3:4]:53", Protocol: "udp", Reason: "no UDP service", Answer: "icmp port unreachable"}}},
		{"SCTP, IPv4", client4.Addr(), server4.Addr(), ipv4Packet(client4.Addr(), server4.Addr(), 132, make([]byte, 12)),
			want{3, 2, 0, 32, event.Unreachable{Src: "198.18.0.1", Dst: "198.18.3.4", Protocol: "132", Reason: "protocol not served", Answer: "icmp protocol unreachable"}}},
		{"SCTP, IPv6", client6.Addr(), server6.Addr(), ipv6Packet(client6.Addr(), server6.Addr(), 132, make([]byte, 12)),
			want{4, 1, 6, 52, event.Unreachable{Src: "2001:2::1", Dst: "2001:2::3:4", Protocol: "132", Reason: "protocol not served", Answer: "icmp unrecognized next header"}}},
		{"SCTP behind an extension header, IPv6", client6.Addr(), server6.Addr(),
			ipv6Packet(client6.Addr(), server6.Addr(), 0, append([]byte{132, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 12)...)),
			want{4, 1, 40, 60, event.Unreachable{Src: "2001:2::1", Dst: "2001:2::3:4", Protocol: "132", Reason: "protocol not served", Answer: "icmp unrecognized next header"}}},
		{"SCTP behind three extension headers, IPv6", client6.Addr(), server6.Addr(),
			ipv6Packet(client6.Addr(), server6.Addr(), 0, slices.Concat(
				[]byte{51, 0, 1, 4, 0, 0, 0, 0}, // hop-by-hop options: PadN
				[]byte{44, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, // authentication
				[]byte{132, 0, 0, 0, 0, 0, 0, 1},                                                // an atomic fragment (RFC 6946)
				make([]byte, 12))),
			want{4, 1, 72, 92, event.Unreachable{Src: "2001:2::1", Dst: "2001:2::3:4", Protocol: "132", Reason: "protocol not served", Answer: "icmp unrecognized next header"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newRawHost(t, Config{})
			h.inject(tt.packet)
			m := checkICMP(t, h.next(), tt.dst, tt.src)
			if m[0] != tt.want.typ || m[1] != tt.want.code {
				t.Errorf("the answer has type %d, code %d; want %d, %d", m[0], m[1], tt.want.typ, tt.want.code)
			}
			if tt.src.Is6() && header.ICMPv6(m).TypeSpecific() != tt.want.pointer {
				t.Errorf("the answer points at %d, want %d", header.ICMPv6(m).TypeSpecific(), tt.want.pointer)
			}
			if !bytes.Equal(m[8:], tt.packet[:tt.want.quoted]) {
				t.Errorf("the answer quotes\n%x, want the first %d bytes of\n%x", m[8:], tt.want.quoted, tt.packet)
			}
			h.rec.wantUnreachable(tt.want.told)
		})
	}
}

// A flood of strays gets no more than icmpLimit's burst of answers, and is told
// in full.
func TestUnreachableIsLimited(t *testing.T) {
	h := newRawHost(t, Config{})
	const flood = 1000
	packet := segment{src: client4, dst: outside4, flags: syn}.packet()
	for range flood {
		h.inject(packet)
	}
	h.rec.wait("all strays", func() bool { return len(h.rec.unreachable) == flood })
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	answers := 0
	for _, u := range h.rec.unreachable {
		if u.Answer != "" {
			answers++
		}
	}
	if answers < 100 || answers == flood {
		t.Errorf("%d of %d were answered, want at least the burst of 100, and not all", answers, flood)
	}
	if sent := len(h.rec.packets) - flood; sent != answers {
		t.Errorf("%d answers were told and %d sent", answers, sent)
	}
}

// A token bucket gives the burst, then its rate, and never more than the burst.
func TestRate(t *testing.T) {
	r := rate{perSecond: 10, burst: 3}
	start := time.Unix(1000, 0)
	for _, tt := range []struct {
		after time.Duration
		want  string
	}{
		{0, "true true true false"},
		{99 * time.Millisecond, "false false false false"},
		{100 * time.Millisecond, "true false false false"},
		{300 * time.Millisecond, "true true false false"},
		{time.Hour, "true true true false"},
		{time.Hour, "false false false false"},
	} {
		now := start.Add(tt.after)
		got := fmt.Sprint(r.allow(now), r.allow(now), r.allow(now), r.allow(now))
		if got != tt.want {
			t.Errorf("after %v: %s, want %s", tt.after, got, tt.want)
		}
	}
}

// Where nobody answers for the world, an echo request is refused, and told.
func TestNoEcho(t *testing.T) {
	h := newRawHost(t, Config{NoEcho: true})
	h.inject(ipv4Packet(client4.Addr(), server4.Addr(), header.ICMPv4ProtocolNumber, echoRequest4([]byte("?"))))
	if icmp := checkICMP(t, h.next(), server4.Addr(), client4.Addr()); icmp[0] != 3 || icmp[1] != 2 {
		t.Errorf("the answer is of type %d, code %d", icmp[0], icmp[1])
	}
	h.inject(ipv6Packet(client6.Addr(), server6.Addr(), header.ICMPv6ProtocolNumber, echoRequest6([]byte("?"))))
	if icmp := checkICMP(t, h.next(), server6.Addr(), client6.Addr()); icmp[0] != 4 || icmp[1] != 1 {
		t.Errorf("the answer is of type %d, code %d", icmp[0], icmp[1])
	}
}

package pcapng

import (
	"bytes"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	ipv4 = &layers.IPv4{Version: 4, IHL: 5, TTL: 64, SrcIP: net.IPv4(198, 18, 0, 1).To4(), DstIP: net.IPv4(198, 18, 3, 4).To4()}
	ipv6 = &layers.IPv6{Version: 6, HopLimit: 64, SrcIP: net.ParseIP("2001:2::1"), DstIP: net.ParseIP("2001:2::5")}
)

// build encodes a packet of the given layers over IP, with good checksums.
func build(t testing.TB, network gopacket.SerializableLayer, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	for _, l := range ls {
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			c.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer))
		}
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append([]gopacket.SerializableLayer{network}, ls...)...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func over4(p layers.IPProtocol) *layers.IPv4 { ip := *ipv4; ip.Protocol = p; return &ip }
func over6(p layers.IPProtocol) *layers.IPv6 { ip := *ipv6; ip.NextHeader = p; return &ip }

// hopByHop is an extension header of 16 bytes, of padding.
func hopByHop(next layers.IPProtocol) gopacket.Payload {
	return append([]byte{byte(next), 1, 1, 12}, make([]byte, 12)...)
}

// zeroUDP is a datagram over IPv4 whose checksum computes to 0.
func zeroUDP() []byte {
	return []byte{
		0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 3, 4,
		0, 1, 0, 2, 0, 10, 0xff, 0xff, 0x70, 0xad,
	}
}

// The checksums are those that gopacket computes, for odd lengths and super-
// packets as well.
func TestCompleteChecksum(t *testing.T) {
	tcp := &layers.TCP{SrcPort: 40001, DstPort: 443, Seq: 1, ACK: true, Window: 100}
	udp := &layers.UDP{SrcPort: 40001, DstPort: 443}
	long := gopacket.Payload(bytes.Repeat([]byte{0xff, 0xfe, 3}, 21_800))
	const hop = layers.IPProtocolIPv6HopByHop
	for _, tt := range []struct {
		name   string
		packet []byte
		field  int // of the checksum
	}{
		{"TCP over IPv4", build(t, over4(layers.IPProtocolTCP), tcp, gopacket.Payload("even")), 20 + 16},
		{"odd length", build(t, over4(layers.IPProtocolTCP), tcp, gopacket.Payload("odd")), 20 + 16},
		{"super-packet", build(t, over4(layers.IPProtocolTCP), tcp, long), 20 + 16},
		{"TCP over IPv6", build(t, over6(layers.IPProtocolTCP), tcp, long), 40 + 16},
		{"UDP over IPv4", build(t, over4(layers.IPProtocolUDP), udp, gopacket.Payload("data")), 20 + 6},
		{"UDP over IPv6", build(t, over6(layers.IPProtocolUDP), udp, gopacket.Payload("odd")), 40 + 6},
		{"UDP whose sum is 0", zeroUDP(), 20 + 6},
		{"bytes after the packet", append(build(t, over4(layers.IPProtocolTCP), tcp, gopacket.Payload("odd")), 1, 2, 3), 20 + 16},
		{"an extension header", build(t, over6(hop), hopByHop(layers.IPProtocolTCP), tcp), 40 + 16 + 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packet := bytes.Clone(tt.packet)
			packet[tt.field], packet[tt.field+1] = 0x12, 0x34
			before := bytes.Clone(packet)
			for _, keep := range []int{len(packet), tt.field + 2, tt.field + 1, 0} {
				got, want := bytes.Clone(packet[:keep]), bytes.Clone(tt.packet[:keep])
				if keep < tt.field+2 {
					copy(want, packet)
				}
				if !completeChecksum(got, packet) {
					t.Fatal("not completed")
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%d bytes kept: checksum %x, want %x", keep, got[tt.field:], want[tt.field:])
				}
			}
			if !bytes.Equal(packet, before) {
				t.Error("the packet itself was changed")
			}
		})
	}
}

// What has no checksum to complete is left as it is.
func TestNoChecksum(t *testing.T) {
	tcp := &layers.TCP{SrcPort: 40001, DstPort: 443}
	fragment := over4(layers.IPProtocolTCP)
	fragment.Flags = layers.IPv4MoreFragments
	whole := build(t, over4(layers.IPProtocolTCP), tcp)
	for name, packet := range map[string][]byte{
		"nothing":           nil,
		"IP version 5":      append([]byte{0x50}, make([]byte, 60)...),
		"a fragment":        build(t, fragment, tcp),
		"ICMP":              build(t, over4(layers.IPProtocolICMPv4), &layers.ICMPv4{}, gopacket.Payload("ping")),
		"a cut packet":      whole[:len(whole)-1],
		"a short header":    build(t, over4(layers.IPProtocolTCP), gopacket.Payload("short")),
		"a short extension": build(t, over6(layers.IPProtocolIPv6HopByHop), gopacket.Payload("x")),
	} {
		got := bytes.Clone(packet)
		if completeChecksum(got, packet) || !bytes.Equal(got, packet) {
			t.Errorf("%s was completed", name)
		}
	}
	b := capture(t, Config{}, func(l *link) {
		l.w.Packet(Packet{Time: l.now, Frame: 1, IP: build(t, fragment, tcp), Partial: true})
	})
	wantComments(t, b, "1 checksum: left to the device, and not completed here")
}

func TestBeginsHandshake(t *testing.T) {
	tcp := &layers.TCP{SrcPort: 40001, DstPort: 443, Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}}}
	for _, tt := range []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"a ClientHello", build(t, over4(layers.IPProtocolTCP), tcp, gopacket.Payload(hello)), true},
		{"its first byte", build(t, over6(layers.IPProtocolTCP), tcp, gopacket.Payload(hello[:1])), true},
		{"plain text", build(t, over4(layers.IPProtocolTCP), tcp, gopacket.Payload("GET / HTTP/1.1")), false},
		{"no payload", build(t, over4(layers.IPProtocolTCP), tcp), false},
		{"UDP", build(t, over4(layers.IPProtocolUDP), gopacket.Payload(hello)), false},
		{"nothing", nil, false},
	} {
		if got := beginsHandshake(tt.packet); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// No packet does harm, and only the checksum is changed.
func FuzzPacket(f *testing.F) {
	tcp := &layers.TCP{SrcPort: 40001, DstPort: 443}
	f.Add(build(f, over4(layers.IPProtocolTCP), tcp, gopacket.Payload(hello)), 10)
	f.Add(build(f, over6(layers.IPProtocolIPv6HopByHop), hopByHop(layers.IPProtocolTCP), tcp), 100)
	f.Add(zeroUDP(), 26)
	f.Add([]byte{0x45}, 0)
	f.Fuzz(func(t *testing.T, packet []byte, keep int) {
		beginsHandshake(packet)
		kept := bytes.Clone(packet[:min(max(keep, 0), len(packet))])
		ok := completeChecksum(kept, packet)
		changed := 0
		for i := range kept {
			if kept[i] != packet[i] {
				changed++
			}
		}
		if changed > 2 || !ok && changed > 0 {
			t.Errorf("%d bytes changed", changed)
		}
		if again := bytes.Clone(kept); len(kept) == len(packet) && (completeChecksum(again, kept) != ok || !bytes.Equal(again, kept)) {
			t.Error("to complete it again changes it")
		}
	})
}

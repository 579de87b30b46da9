package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// unhex reads hexadecimal digits.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

const macs = "020000000002020000000001"

// frames are packets of each link type, and what is found in them.
var frames = []struct {
	name     string
	linkType uint16
	header   string
	ip       []byte // found whole
	skipped  string
}{
	{"Ethernet", linkEthernet, macs + "0800", packet4(1, 0, udp(5)), ""},
	{"Ethernet, IPv6", linkEthernet, macs + "86dd", packet6(protocolUDP, udp(5)), ""},
	{"Ethernet, VLAN", linkEthernet, macs + "81000007" + "0800", packet4(1, 0, udp(5)), ""},
	{"Ethernet, QinQ", linkEthernet, macs + "88a80008" + "81000007" + "86dd", packet6(protocolUDP, udp(5)), ""},
	{"Ethernet, old QinQ", linkEthernet, macs + "91000008" + "81000007" + "0800", packet4(1, 0, udp(5)), ""},
	{"Ethernet, SNAP", linkEthernet, macs + "0029" + "aaaa03000000" + "0800", packet4(1, 0, udp(5)), ""},
	{"Ethernet, ARP", linkEthernet, macs + "0806" + "0001080006040001", nil, "ARP"},
	{"Ethernet, LLDP in a VLAN", linkEthernet, macs + "81000007" + "88cc" + "0207", nil, "LLDP"},
	{"Ethernet, spanning tree", linkEthernet, macs + "0026" + "424203" + "0000000000", nil, "IEEE 802.2"},
	{"Ethernet, loopback test", linkEthernet, macs + "9000" + "00000100", nil, "EtherType 0x9000"},
	{"Ethernet, cut", linkEthernet, macs, nil, "Ethernet header cut"},
	{"Ethernet, VLAN cut", linkEthernet, macs + "8100" + "0007", nil, "malformed VLAN"},
	{"Ethernet, nothing behind", linkEthernet, macs + "0800", nil, "nothing behind the link header"},
	{"Ethernet, IPv6 said to be IPv4", linkEthernet, macs + "0800" + "60", nil, "malformed IP version"},
	{"raw, IPv4", linkRaw, "", packet4(1, 0, udp(5)), ""},
	{"raw, IPv6", linkRaw, "", packet6(protocolUDP, udp(5)), ""},
	{"raw, IPv5", linkRaw, "50", nil, "malformed IP version"},
	{"raw, as BSD numbers it", linkRawBSD, "", packet4(1, 0, udp(5)), ""},
	{"IPv4", linkIPv4, "", packet4(1, 0, udp(5)), ""},
	{"IPv6", linkIPv6, "", packet6(protocolUDP, udp(5)), ""},
	{"Linux cooked", linkSLL, "0000" + "0001" + "0006" + "0200000000010000" + "0800", packet4(1, 0, udp(5)), ""},
	{"Linux cooked, VLAN", linkSLL, "0000" + "0001" + "0006" + "0200000000010000" + "8100" + "0007" + "86dd", packet6(protocolUDP, udp(5)), ""},
	{"Linux cooked, ARP", linkSLL, "0000" + "0001" + "0006" + "0200000000010000" + "0806", nil, "ARP"},
	{"Linux cooked, netlink", linkSLL, "0004" + "0338" + "0000" + "0000000000000000" + "0800", nil, "netlink"},
	{"Linux cooked, cut", linkSLL, "0000" + "0001", nil, "Linux cooked header cut"},
	{"Linux cooked v2", linkLinuxSLL2, "0800" + "0000" + "00000002" + "0001" + "00" + "06" + "0200000000010000", packet4(1, 0, udp(5)), ""},
	{"Linux cooked v2, IPv6", linkLinuxSLL2, "86dd" + "0000" + "00000002" + "0001" + "04" + "06" + "0200000000010000", packet6(protocolUDP, udp(5)), ""},
	{"Linux cooked v2, CAN", linkLinuxSLL2, "000c" + "0000" + "00000002" + "0118" + "04" + "00" + "0000000000000000", nil, "Linux protocol 12"},
	{"Linux cooked v2, cut", linkLinuxSLL2, "0800" + "0000", nil, "Linux cooked v2 header cut"},
	{"NULL, little-endian host", linkNull, "02000000", packet4(1, 0, udp(5)), ""},
	{"NULL, big-endian host", linkNull, "00000002", packet4(1, 0, udp(5)), ""},
	{"NULL, IPv6 of macOS", linkNull, "1e000000", packet6(protocolUDP, udp(5)), ""},
	{"NULL, IPv6 of FreeBSD", linkNull, "0000001c", packet6(protocolUDP, udp(5)), ""},
	{"NULL, not the IPv6 that it says", linkNull, "17000000" + "45", nil, "malformed IP version"},
	{"NULL, AppleTalk", linkNull, "10000000", nil, "address family 16"},
	{"NULL, cut", linkNull, "0200", nil, "loopback header cut"},
	{"LOOP", linkLoop, "00000002", packet4(1, 0, udp(5)), ""},
	{"LOOP, IPv6", linkLoop, "00000018", packet6(protocolUDP, udp(5)), ""},
	{"LOOP, cut", linkLoop, "", nil, "loopback header cut"},
	{"user-defined", 147, "00", nil, "unknown link type 147"},
}

// Of each link type the IP packet is found, without what pads the frame.
func TestLinkTypes(t *testing.T) {
	for _, f := range frames {
		frame := append(unhex(f.header), f.ip...)
		if f.ip != nil {
			frame = append(frame, "padding"...)
		}
		file := newRecords(binary.LittleEndian, magicMicrosecond, uint32(f.linkType)).packet(1, 0, frame)
		items, _ := mustRead(t, file.b)
		if len(items) != 1 {
			t.Fatalf("%s: %d items, want 1", f.name, len(items))
		}
		p := items[0].Packet
		if !bytes.Equal(p.IP, f.ip) || p.Len != len(f.ip) || p.Skipped != f.skipped {
			t.Errorf("%s: IP % x, length %d, skipped %q\nwant % x, %q", f.name, p.IP, p.Len, p.Skipped, f.ip, f.skipped)
		}
	}
}

// The frame check sequence that some files have is no part of the link type.
func TestLinkTypeWithFCS(t *testing.T) {
	frame := append(unhex(macs+"0800"), packet4(1, 0, udp(50))...)
	file := newRecords(binary.LittleEndian, magicMicrosecond, 0x24000000|linkEthernet).packet(1, 0, append(frame, 1, 2, 3, 4))
	items, _ := mustRead(t, file.b)
	if p := items[0].Packet; !bytes.Equal(p.IP, frame[14:]) {
		t.Errorf("IP % x, skipped %q, want % x", p.IP, p.Skipped, frame[14:])
	}
}

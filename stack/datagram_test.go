package stack

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
)

// udpTo makes a datagram of the client's with a port as its server's.
func udpTo(server netip.Addr, port uint16, payload string) ([]byte, event.Flow) {
	client := client4
	if server.Is6() {
		client = client6
	}
	f := event.Flow{Client: client, Server: netip.AddrPortFrom(server, port)}
	return udpPacket(event.Flow{Client: f.Server, Server: f.Client}, []byte(payload)), f
}

// Datagrams to the port come in, on whatever address, and are answered from
// there.
func TestDatagrams(t *testing.T) {
	h := newRawHost(t, Config{})
	d, err := h.stack.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	for _, server := range []netip.Addr{server4.Addr(), server6.Addr()} {
		packet, flow := udpTo(server, 53, "question")
		h.inject(packet)
		n, from, err := d.ReadFrom(b)
		if err != nil || string(b[:n]) != "question" || from != (UDPFlow{flow}) {
			t.Fatalf("ReadFrom = %q from %v, %v", b[:n], from, err)
		}
		if n, err := d.WriteTo([]byte("answer!"), from); n != 7 || err != nil { // odd, for the checksum
			t.Errorf("WriteTo = %d, %v", n, err)
		}
		checkDatagram(t, h.next(), flow, "answer!")
	}
	if from := (UDPFlow{event.Flow{Client: client4}}); from.Network() != "udp" || from.String() != client4.String() {
		t.Errorf("the address is %s %s", from.Network(), from)
	}
}

// checkDatagram checks a packet of the stack's, its checksum too.
func checkDatagram(t *testing.T, b []byte, flow event.Flow, want string) {
	t.Helper()
	var in inbound
	in.Views = [][]byte{b}
	if err := in.pkt.Parse(b); err != nil {
		t.Fatal(err)
	}
	payload, reason := in.datagram()
	if string(payload) != want || reason != "" || in.pkt.Src != flow.Server || in.pkt.Dst != flow.Client {
		t.Errorf("%q came from %v to %v, %s; want %q of %v", payload, in.pkt.Src, in.pkt.Dst, reason, want, flow)
	}
}

// Ports without a service are refused as before, also after Close.
func TestDatagramsOfOtherPorts(t *testing.T) {
	h := newRawHost(t, Config{})
	d, err := h.stack.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.stack.ListenUDP(53); err == nil {
		t.Error("a port was given away twice")
	}
	packet, flow := udpTo(server4.Addr(), 54, "question")
	refused := func(packet []byte, flow event.Flow) {
		t.Helper()
		h.inject(packet)
		icmp := header.ICMPv4(checkICMP(t, h.next(), server4.Addr(), client4.Addr()))
		if icmp.Type() != header.ICMPv4DstUnreachable || icmp.Code() != header.ICMPv4PortUnreachable {
			t.Errorf("the answer is of type %d, code %d", icmp.Type(), icmp.Code())
		}
	}
	refused(packet, flow)
	h.rec.wantUnreachable(event.Unreachable{
		Src: flow.Client.String(), Dst: flow.Server.String(), Protocol: "udp", Reason: "no UDP service", Answer: "icmp port unreachable",
	})
	d.Close()
	d.Close()
	refused(udpTo(server4.Addr(), 53, "question"))
	if _, _, err := d.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrom after Close: %v", err)
	}
	if _, err := h.stack.ListenUDP(53); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

// Port 0 takes what no other does, and what it cannot serve it refuses itself,
// quoting the datagram.
func TestDatagramsOfAllPorts(t *testing.T) {
	h := newRawHost(t, Config{})
	dns, err := h.stack.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.stack.ListenUDP(0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	for _, server := range []netip.Addr{server4.Addr(), server6.Addr()} {
		for port, d := range map[uint16]*Datagrams{53: dns, 54: all, 443: all} {
			packet, flow := udpTo(server, port, "question")
			h.inject(packet)
			n, from, err := d.ReadFrom(b)
			if err != nil || from != (UDPFlow{flow}) {
				t.Fatalf("port %d: %v came, %v", port, from, err)
			}
			d.Unreachable(b[:n], from)
			quoted := checkICMP(t, h.next(), flow.Server.Addr(), flow.Client.Addr())[header.ICMPv4MinimumSize:]
			if !bytes.Equal(quoted[ipHeader(server):], packet[ipHeader(server):]) {
				t.Errorf("port %d: %x is quoted, want %x", port, quoted, packet)
			}
		}
	}
	all.Close()
	packet, flow := udpTo(server4.Addr(), 54, "question")
	h.inject(packet)
	checkICMP(t, h.next(), flow.Server.Addr(), flow.Client.Addr())
}

func ipHeader(a netip.Addr) int {
	if a.Is4() {
		return header.IPv4MinimumSize
	}
	return header.IPv6MinimumSize
}

func TestDatagramIsBad(t *testing.T) {
	for _, server := range []netip.Addr{server4.Addr(), server6.Addr()} {
		packet, flow := udpTo(server, 53, "question")
		at := len(packet) - len("question") - header.UDPMinimumSize
		none := append([]byte(nil), packet...)
		copy(none[at+6:], []byte{0, 0})
		wrong := append([]byte(nil), packet...)
		wrong[len(wrong)-1] ^= 1
		short := append([]byte(nil), packet...)
		short[at+5] = 7
		long := append([]byte(nil), packet...)
		long[at+5]++
		for name, c := range map[string]struct {
			packet []byte
			reason string
		}{
			"wrong checksum": {wrong, "bad UDP checksum"},
			"no checksum":    {none, map[bool]string{false: "bad UDP checksum"}[server.Is4()]}, // only IPv4 may
			"short":          {short, "malformed: UDP length"},
			"long":           {long, "malformed: UDP length"},
		} {
			t.Run(fmt.Sprint(name, " ", server), func(t *testing.T) {
				h := newRawHost(t, Config{})
				d, err := h.stack.ListenUDP(53)
				if err != nil {
					t.Fatal(err)
				}
				h.inject(c.packet)
				if c.reason == "" {
					if n, _, err := d.ReadFrom(make([]byte, 100)); n != len("question") || err != nil {
						t.Errorf("ReadFrom = %d, %v", n, err)
					}
					return
				}
				h.rec.wantUnreachable(event.Unreachable{
					Src: flow.Client.String(), Dst: flow.Server.String(), Protocol: "udp", Reason: c.reason,
				})
			})
		}
	}
}

// Nobody reads: what finds no room is told.
func TestDatagramsAreBounded(t *testing.T) {
	h := newRawHost(t, Config{})
	d, err := h.stack.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	packet, _ := udpTo(server4.Addr(), 53, "question")
	for range maxDatagrams + 1 {
		h.inject(packet)
	}
	h.rec.wait("unreachable", func() bool { return len(h.rec.unreachable) == 1 })
	if got := h.rec.unreachable[0].Reason; got != "too many datagrams wait" {
		t.Errorf("it is told as %q", got)
	}
	b := make([]byte, 100)
	for range maxDatagrams {
		if _, _, err := d.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatagramIsNotSent(t *testing.T) {
	h := newRawHost(t, Config{})
	d, err := h.stack.ListenUDP(53)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteTo(nil, &net.UDPAddr{}); err == nil {
		t.Error("an address of another type was taken")
	}
	flow := UDPFlow{event.Flow{Client: client4, Server: server4}}
	if _, err := d.WriteTo([]byte(strings.Repeat("x", 1500)), flow); err == nil {
		t.Error("a datagram of more than the MTU was taken")
	}
	if err := d.SetReadDeadline(time.Now()); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("SetReadDeadline = %v", err)
	}
	h.stack.Close()
	if _, _, err := d.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrom on a closed stack: %v", err)
	}
}

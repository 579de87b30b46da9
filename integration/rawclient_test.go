package integration

import (
	"bytes"
	byteorder "encoding/binary"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"synscope/event"
)

const (
	// rawPort is the first of the ports that raw clients use. They are beyond
	// the ephemeral ones of the kernel, which does not see what comes for them.
	rawPort = 61000
	// rawISN is the initial sequence number of a raw client.
	rawISN = 1000
	// rawWindow is the window that a raw client offers, unscaled.
	rawWindow = 65535
)

// A segment is one that a raw client sends or has received.
type segment struct {
	flags    event.Flags
	seq, ack uint32
	window   uint16 // 0 when sending: rawWindow
	options  []byte
	payload  string
	badSum   bool // send it with a wrong checksum
}

// end is the sequence number after the segment.
func (s segment) end() uint32 {
	n := s.seq + uint32(len(s.payload))
	if s.flags.Has(event.SYN) {
		n++
	}
	if s.flags.Has(event.FIN) {
		n++
	}
	return n
}

// A rawClient is a TCP client without a state machine: it sends the segments
// that it is told to send, and nothing else. It sits on the interface itself,
// beside the kernel's stack:
//
//	kernel's TCP --x (nft drops what is for our ports)
//	                \
//	rawClient ------- syn0 (TUN) --- synscope serve
type rawClient struct {
	t              *testing.T
	fd             int // a packet socket on syn0
	link           unix.SockaddrLinklayer
	client, server netip.AddrPort

	seq, ack uint32 // SND.NXT and RCV.NXT of RFC 9293
	options  []byte // of each segment that has none of its own
}

// newRawClient returns a raw client for a service of the server. Index tells
// the clients of a lab apart.
func (l *lab) newRawClient(server netip.AddrPort, index uint16) *rawClient {
	l.t.Helper()
	l.hideRawPorts()
	host := netip.MustParseAddr(hostIP4)
	if server.Addr().Is6() {
		host = netip.MustParseAddr(hostIP6)
	}
	return &rawClient{
		t: l.t, fd: l.packetSocket(), link: l.linkAddress(server.Addr()),
		client: netip.AddrPortFrom(host, rawPort+index), server: server, seq: rawISN,
	}
}

// hideRawPorts keeps the kernel from answering segments of raw clients with RST.
func (l *lab) hideRawPorts() {
	l.t.Helper()
	const rules = `
		add table inet synt
		add chain inet synt raw { type filter hook input priority 0; }
		flush chain inet synt raw
		add rule inet synt raw iifname "syn0" tcp dport 61000-65535 drop
	`
	l.nft(rules)
}

// nft runs commands of nftables in the namespace.
func (l *lab) nft(commands string) {
	l.t.Helper()
	if r := l.run(strings.NewReader(commands), "nft", "-f", "-"); r.code != 0 {
		l.t.Fatalf("nft: exit %d\n%s", r.code, r.out)
	}
}

// packetSocket opens a socket that sends and receives whole IP packets on syn0.
func (l *lab) packetSocket() int {
	l.t.Helper()
	fd := -1
	var err error
	l.inside(func() {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		link := l.linkAddressInside()
		link.Protocol = networkOrder(unix.ETH_P_ALL)
		timeout := unix.NsecToTimeval(int64(startTimeout))
		if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err == nil {
			err = unix.Bind(fd, &link)
		}
	})
	if err != nil {
		l.t.Fatalf("packet socket: %v", err)
	}
	l.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// linkAddress addresses packets of the IP version of a to syn0.
func (l *lab) linkAddress(a netip.Addr) (link unix.SockaddrLinklayer) {
	l.t.Helper()
	l.inside(func() { link = l.linkAddressInside() })
	link.Protocol = networkOrder(unix.ETH_P_IP)
	if a.Is6() {
		link.Protocol = networkOrder(unix.ETH_P_IPV6)
	}
	return link
}

func (l *lab) linkAddressInside() unix.SockaddrLinklayer {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.t.Errorf("socket: %v", err)
		return unix.SockaddrLinklayer{}
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("syn0")
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	}
	if err != nil {
		l.t.Errorf("index of syn0: %v", err)
		return unix.SockaddrLinklayer{}
	}
	return unix.SockaddrLinklayer{Ifindex: int(request.Uint32())}
}

func networkOrder(v uint16) uint16 {
	return byteorder.NativeEndian.Uint16(byteorder.BigEndian.AppendUint16(nil, v))
}

// send sends a segment at SND.NXT that acknowledges RCV.NXT, if it has ACK.
func (c *rawClient) send(flags event.Flags, payload string) {
	c.t.Helper()
	s := segment{flags: flags, seq: c.seq, payload: payload}
	if flags.Has(event.ACK) {
		s.ack = c.ack
	}
	c.sendSegment(s)
}

// sendSegment sends exactly this segment. SND.NXT moves on if it is new.
func (c *rawClient) sendSegment(s segment) {
	c.t.Helper()
	if s.window == 0 {
		s.window = rawWindow
	}
	if s.options == nil {
		s.options = c.options
	}
	if err := unix.Sendto(c.fd, packetOf(c.client, c.server, s), 0, &c.link); err != nil {
		c.t.Fatalf("sending [%v]: %v", s.flags, err)
	}
	if int32(s.end()-c.seq) > 0 && s.seq == c.seq {
		c.seq = s.end()
	}
}

// receive returns the next segment from the server. RCV.NXT moves on if it is
// the next in order.
func (c *rawClient) receive() segment {
	c.t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			c.t.Fatalf("receiving from %v: %v", c.server, err)
		}
		s, from, to := parsePacket(buf[:n])
		if from != c.server || to != c.client {
			continue
		}
		if s.flags.Has(event.SYN) || s.seq == c.ack {
			c.ack = s.end()
		}
		return s
	}
}

// want receives a segment that must have these flags, PSH aside.
func (c *rawClient) want(flags event.Flags) segment {
	c.t.Helper()
	s := c.receive()
	if s.flags&^event.PSH != flags {
		c.t.Fatalf("the server sent [%v] seq %d ack %d len %d, want [%v]", s.flags, s.seq, s.ack, len(s.payload), flags)
	}
	return s
}

// until receives up to the segment that has these flags.
func (c *rawClient) until(flags event.Flags) segment {
	c.t.Helper()
	for {
		if s := c.receive(); s.flags.Has(flags) {
			return s
		}
	}
}

// read receives until the server has sent n bytes, and returns them.
func (c *rawClient) read(n int) string {
	c.t.Helper()
	var b strings.Builder
	for b.Len() < n {
		next := c.ack
		if s := c.receive(); s.seq == next {
			b.WriteString(s.payload)
		}
	}
	return b.String()
}

// connect makes the three-way handshake.
func (c *rawClient) connect() {
	c.t.Helper()
	c.send(event.SYN, "")
	c.want(event.SYN | event.ACK)
	c.send(event.ACK, "")
}

// echo sends text and must get it back, to a service that echoes.
func (c *rawClient) echo(text string) {
	c.t.Helper()
	c.send(event.ACK|event.PSH, text)
	if got := c.read(len(text)); got != text {
		c.t.Errorf("echo sent %q back for %q", got, text)
	}
}

// waiting reports whether something from the server waits to be received.
func (c *rawClient) waiting() bool {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return n > 0 && err == nil
}

// awaitCapture waits until the capture has written what crossed the interface:
// a last packet, of no protocol and for no one, is in the file.
func (l *lab) awaitCapture() {
	l.t.Helper()
	const mark = "the capture is complete up to here"
	group := netip.AddrFrom4([4]byte{224, 0, 0, 1})
	b := make([]byte, header.IPv4MinimumSize+len(mark))
	h := header.IPv4(b)
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)), TTL: 1, Protocol: 253, // for experiments (RFC 3692)
		SrcAddr: tcpip.AddrFromSlice(netip.MustParseAddr(hostIP4).AsSlice()), DstAddr: tcpip.AddrFromSlice(group.AsSlice()),
	})
	h.SetChecksum(^h.CalculateChecksum())
	copy(h.Payload(), mark)
	fd, link := l.packetSocket(), l.linkAddress(group)
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err := unix.Sendto(fd, b, 0, &link); err != nil && err != unix.ENOBUFS { // a rule of the test's may drop it
			l.t.Fatalf("marking the end of the capture: %v", err)
		}
		captured, err := os.ReadFile(l.path("capture.pcapng"))
		if err != nil {
			l.t.Fatal(err)
		}
		if bytes.Contains(captured, []byte(mark)) {
			return
		}
	}
	l.t.Fatalf("dumpcap did not write its last packets within %v", startTimeout)
}

// packetOf builds the IP packet of a segment.
func packetOf(src, dst netip.AddrPort, s segment) []byte {
	from, to := tcpip.AddrFromSlice(src.Addr().AsSlice()), tcpip.AddrFromSlice(dst.Addr().AsSlice())
	length := header.TCPMinimumSize + len(s.options) + len(s.payload)
	ip := header.IPv4MinimumSize
	if src.Addr().Is6() {
		ip = header.IPv6MinimumSize
	}
	b := make([]byte, ip+length)
	if src.Addr().Is6() {
		header.IPv6(b).Encode(&header.IPv6Fields{
			PayloadLength: uint16(length), TransportProtocol: header.TCPProtocolNumber, HopLimit: 64, SrcAddr: from, DstAddr: to,
		})
	} else {
		h := header.IPv4(b)
		h.Encode(&header.IPv4Fields{
			TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: from, DstAddr: to,
		})
		h.SetChecksum(^h.CalculateChecksum())
	}
	th := header.TCP(b[ip:])
	th.Encode(&header.TCPFields{
		SrcPort: src.Port(), DstPort: dst.Port(), SeqNum: s.seq, AckNum: s.ack,
		DataOffset: uint8(header.TCPMinimumSize + len(s.options)), Flags: header.TCPFlags(s.flags), WindowSize: s.window,
	})
	copy(b[ip+header.TCPMinimumSize:], s.options)
	copy(b[ip+header.TCPMinimumSize+len(s.options):], s.payload)
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, from, to, uint16(length))
	sum = ^checksum.Checksum(th, sum)
	if s.badSum {
		sum++
	}
	th.SetChecksum(sum)
	return b
}

// parsePacket is the inverse of packetOf. Its addresses are invalid for what is
// no TCP.
func parsePacket(b []byte) (s segment, src, dst netip.AddrPort) {
	var from, to tcpip.Address
	switch header.IPVersion(b) {
	case header.IPv4Version:
		h := header.IPv4(b)
		if !h.IsValid(len(b)) || h.TransportProtocol() != header.TCPProtocolNumber {
			return s, src, dst
		}
		from, to, b = h.SourceAddress(), h.DestinationAddress(), h.Payload()
	case header.IPv6Version:
		h := header.IPv6(b)
		if !h.IsValid(len(b)) || h.NextHeader() != uint8(header.TCPProtocolNumber) {
			return s, src, dst
		}
		from, to, b = h.SourceAddress(), h.DestinationAddress(), h.Payload()
	}
	if len(b) < header.TCPMinimumSize {
		return s, src, dst
	}
	th := header.TCP(b)
	s = segment{
		flags: event.Flags(th.Flags()), seq: th.SequenceNumber(), ack: th.AckNumber(),
		window: th.WindowSize(), options: th.Options(), payload: string(th.Payload()),
	}
	return s, addrPort(from, th.SourcePort()), addrPort(to, th.DestinationPort())
}

func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return netip.AddrPortFrom(addr, port)
}

// timestampsOption is a timestamps option (RFC 7323, section 3.2), padded.
func timestampsOption(val, ecr uint32) []byte {
	b := []byte{header.TCPOptionNOP, header.TCPOptionNOP, header.TCPOptionTS, header.TCPOptionTSLength}
	return byteorder.BigEndian.AppendUint32(byteorder.BigEndian.AppendUint32(b, val), ecr)
}

package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Flags of a TCP segment (RFC 9293, section 3.1).
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

// A segment is a TCP segment in an IP packet.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    uint8
	options  []byte // a multiple of 4
	payload  []byte

	badChecksum bool // when parsed: the checksum is not that of the packet
}

// headerLens returns the lengths of the IP and the TCP header.
func (s segment) headerLens() (ip, tcp int) {
	if s.src.Addr().Is4() {
		return 20, 20 + len(s.options)
	}
	return 40, 20 + len(s.options)
}

// marshal returns the packet. With partial, the TCP checksum covers the
// pseudo-header alone, as it does where it is offloaded.
func (s segment) marshal(partial bool) []byte {
	ipLen, tcpLen := s.headerLens()
	b := make([]byte, ipLen+tcpLen+len(s.payload))
	length := uint16(tcpLen + len(s.payload))
	if ipLen == 20 {
		b[0], b[8], b[9] = 0x45, 64, 6 // version and header length, TTL, TCP
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		copy(b[12:], s.src.Addr().AsSlice())
		copy(b[16:], s.dst.Addr().AsSlice())
		binary.BigEndian.PutUint16(b[10:], ^sum(b[:20], 0))
	} else {
		b[0], b[6], b[7] = 0x60, 6, 64 // version, TCP, hop limit
		binary.BigEndian.PutUint16(b[4:], length)
		copy(b[8:], s.src.Addr().AsSlice())
		copy(b[24:], s.dst.Addr().AsSlice())
	}
	tcp := b[ipLen:]
	binary.BigEndian.PutUint16(tcp[0:], s.src.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12], tcp[13] = uint8(tcpLen/4)<<4, s.flags
	binary.BigEndian.PutUint16(tcp[14:], 0xffff) // window
	copy(tcp[20:], s.options)
	copy(tcp[tcpLen:], s.payload)
	checksum := pseudo(s.src.Addr(), s.dst.Addr(), length)
	if !partial {
		checksum = ^sum(tcp, checksum)
	}
	binary.BigEndian.PutUint16(tcp[16:], checksum)
	return b
}

// parseSegment is the inverse of marshal.
func parseSegment(b []byte) (segment, error) {
	var s segment
	var src, dst []byte
	ipLen := 20
	switch {
	case len(b) >= 40 && b[0] == 0x45 && b[9] == 6:
		src, dst = b[12:16], b[16:20]
	case len(b) >= 60 && b[0]>>4 == 6 && b[6] == 6:
		ipLen, src, dst = 40, b[8:24], b[24:40]
	default:
		return s, fmt.Errorf("no TCP segment: % x", b[:min(len(b), 60)])
	}
	tcp := b[ipLen:]
	tcpLen := int(tcp[12]>>4) * 4
	if tcpLen < 20 || tcpLen > len(tcp) {
		return s, errors.New("bad data offset")
	}
	from, _ := netip.AddrFromSlice(src)
	to, _ := netip.AddrFromSlice(dst)
	s.src = netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp[0:]))
	s.dst = netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:]))
	s.seq, s.ack = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])
	s.flags, s.options, s.payload = tcp[13], tcp[20:tcpLen], tcp[tcpLen:]
	s.badChecksum = sum(tcp, pseudo(from, to, uint16(len(tcp)))) != 0xffff
	return s, nil
}

// sum is the Internet checksum (RFC 1071) before it is inverted.
func sum(b []byte, initial uint16) uint16 {
	v := uint32(initial)
	for i, x := range b {
		if i%2 == 0 {
			v += uint32(x) << 8
		} else {
			v += uint32(x)
		}
		v = v>>16 + v&0xffff
	}
	return uint16(v)
}

// pseudo is the sum over the pseudo-header (RFC 9293, section 3.1).
func pseudo(src, dst netip.Addr, length uint16) uint16 {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint16(append(b, 0, 6), length)
	return sum(b, 0)
}

// A peer is the other end of the kernel's TCP connections: it answers from the
// prefix behind a device, segment by segment.
type peer struct {
	device Device
	buf    [2][]byte
}

func newPeer(d Device) *peer {
	return &peer{device: d, buf: [2][]byte{make([]byte, 2048), make([]byte, MaxPacketSize)}}
}

// receive returns the next packet, its offload and its length.
func (p *peer) receive() (segment, Offload, int, error) {
	n, off, err := p.device.Read(p.buf[:])
	if err != nil {
		return segment{}, off, 0, err
	}
	whole := append(append([]byte(nil), p.buf[0]...), p.buf[1]...)[:n]
	s, err := parseSegment(whole)
	return s, off, n, err
}

// reply sends a segment back to where s came from.
func (p *peer) reply(s segment, flags uint8, seq uint32, options, payload []byte) error {
	r := segment{
		src: s.dst, dst: s.src, flags: flags, options: options, payload: payload,
		seq: seq, ack: s.seq + uint32(len(s.payload)),
	}
	if s.flags&(syn|fin) != 0 {
		r.ack++
	}
	ipLen, tcpLen := r.headerLens()
	partial := p.device.Offloads()
	var off Offload
	if partial {
		off = Offload{NeedsChecksum: true, ChecksumStart: uint16(ipLen), ChecksumOffset: 16}
	}
	if tcpLen+ipLen+len(payload) > p.device.MTU() {
		off.GSO, off.HeaderLen = GSOTCPv4, uint16(ipLen+tcpLen)
		if ipLen == 40 {
			off.GSO = GSOTCPv6
		}
		off.SegmentSize = uint16(p.device.MTU() - ipLen - tcpLen)
	}
	b := r.marshal(partial)
	return p.device.Write([][]byte{b[:ipLen], b[ipLen : ipLen+tcpLen], b[ipLen+tcpLen:]}, off)
}

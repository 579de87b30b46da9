package tun

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// vnetHeaderLen is the length of struct virtio_net_hdr, which precedes each
// packet of a queue with IFF_VNET_HDR. Its numbers are in the byte order of the
// machine as long as nobody asks for another with TUNSETVNETLE.
//
//	0  flags        u8
//	1  gso_type     u8
//	2  hdr_len      u16
//	4  gso_size     u16
//	6  csum_start   u16
//	8  csum_offset  u16
const vnetHeaderLen = 10

type vnetHeader [vnetHeaderLen]byte

// decode returns the offload of a packet of n bytes. It fails on what the
// kernel should not send, having been told by TUNSETOFFLOAD what we take.
func (h *vnetHeader) decode(n int) (Offload, error) {
	off := Offload{
		NeedsChecksum:  h[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0,
		DataValid:      h[0]&unix.VIRTIO_NET_HDR_F_DATA_VALID != 0,
		HeaderLen:      binary.NativeEndian.Uint16(h[2:]),
		SegmentSize:    binary.NativeEndian.Uint16(h[4:]),
		ChecksumStart:  binary.NativeEndian.Uint16(h[6:]),
		ChecksumOffset: binary.NativeEndian.Uint16(h[8:]),
	}
	switch h[1] {
	case unix.VIRTIO_NET_HDR_GSO_NONE:
	case unix.VIRTIO_NET_HDR_GSO_TCPV4:
		off.GSO = GSOTCPv4
	case unix.VIRTIO_NET_HDR_GSO_TCPV6:
		off.GSO = GSOTCPv6
	default:
		return Offload{}, fmt.Errorf("virtio-net header with GSO type %#x", h[1])
	}
	if err := off.Validate(n); err != nil {
		return Offload{}, err
	}
	return off, nil
}

// encode sets the header to the offload of a packet of n bytes.
func (h *vnetHeader) encode(off Offload, n int) error {
	if err := off.Validate(n); err != nil {
		return err
	}
	h[0], h[1] = 0, unix.VIRTIO_NET_HDR_GSO_NONE
	if off.NeedsChecksum {
		h[0] |= unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	}
	if off.DataValid {
		h[0] |= unix.VIRTIO_NET_HDR_F_DATA_VALID
	}
	switch off.GSO {
	case GSOTCPv4:
		h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	case GSOTCPv6:
		h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	binary.NativeEndian.PutUint16(h[2:], off.HeaderLen)
	binary.NativeEndian.PutUint16(h[4:], off.SegmentSize)
	binary.NativeEndian.PutUint16(h[6:], off.ChecksumStart)
	binary.NativeEndian.PutUint16(h[8:], off.ChecksumOffset)
	return nil
}

// shift moves the places by n bytes: a header of that length was put before
// the packet, or taken away.
func (o *Offload) shift(n int) error {
	if o.NeedsChecksum {
		at := int(o.ChecksumStart) + n
		if at < 0 || at > MaxPacketSize {
			return fmt.Errorf("checksum from byte %d on", at)
		}
		o.ChecksumStart = uint16(at)
	}
	if o.GSO != GSONone {
		o.HeaderLen = uint16(max(int(o.HeaderLen)+n, 0))
	}
	return nil
}

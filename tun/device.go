package tun

import (
	"errors"
	"fmt"
)

// MaxPacketSize is the length of the longest packet that a device carries, in
// bytes: the largest total length of IPv4 (RFC 791, section 3.1), and the
// largest MTU of a TUN interface. Linux keeps its super-packets below it.
const MaxPacketSize = 65535

// GSO is the kind of generic segmentation offload of a packet: what the segments
// are that a super-packet stands for.
type GSO uint8

const (
	GSONone  GSO = iota // not a super-packet: it is sent as it is
	GSOTCPv4            // TCP over IPv4
	GSOTCPv6            // TCP over IPv6
)

func (g GSO) String() string {
	switch g {
	case GSONone:
		return "none"
	case GSOTCPv4:
		return "TCPv4"
	case GSOTCPv6:
		return "TCPv6"
	}
	return fmt.Sprintf("GSO(%d)", uint8(g))
}

// Offload is the per-packet part of the virtio-net header (virtio 1.2, section
// 5.1.6): what the sender of a packet left for the receiver to do. The zero
// value leaves nothing: the packet is complete.
type Offload struct {
	// NeedsChecksum says that the checksum of the transport header is partial:
	// its field holds the sum over the pseudo-header alone. It is finished by
	// summing the packet from ChecksumStart to its end and storing the result
	// at ChecksumStart+ChecksumOffset.
	NeedsChecksum bool
	// ChecksumStart is where the transport header begins, in bytes from the
	// start of the packet; ChecksumOffset is the place of the checksum in it.
	ChecksumStart, ChecksumOffset uint16

	// DataValid says that the checksum was verified.
	DataValid bool

	// GSO tells whether the packet is a super-packet, and of what.
	GSO GSO
	// SegmentSize is the number of payload bytes of each segment that the
	// super-packet stands for; the last one may have fewer. Not zero with GSO.
	SegmentSize uint16
	// HeaderLen is the length of the headers that are repeated in each segment,
	// in bytes. From the kernel it is a hint and may cover payload too.
	HeaderLen uint16
}

// Validate reports whether the offload can belong to a packet of n bytes: its
// places lie within the packet, and a super-packet has a segment size and a
// partial checksum. A Device returns no Offload that does not, and accepts none.
func (o Offload) Validate(n int) error {
	if o.NeedsChecksum && int(o.ChecksumStart)+int(o.ChecksumOffset)+2 > n {
		return fmt.Errorf("checksum at %d+%d is outside the packet of %d bytes", o.ChecksumStart, o.ChecksumOffset, n)
	}
	switch o.GSO {
	case GSONone:
		return nil
	case GSOTCPv4, GSOTCPv6:
	default:
		return fmt.Errorf("unknown segmentation offload %v", o.GSO)
	}
	switch {
	case o.SegmentSize == 0:
		return errors.New("super-packet without a segment size")
	case !o.NeedsChecksum:
		return errors.New("super-packet without a partial checksum")
	case int(o.HeaderLen) > n:
		return fmt.Errorf("headers of %d bytes in a packet of %d bytes", o.HeaderLen, n)
	}
	return nil
}

// A Device is a queue of IP packets, with no link-layer header.
type Device interface {
	// Name is the name of the interface.
	Name() string

	// MTU is the length of the longest packet that is not a super-packet, in
	// bytes.
	MTU() int

	// Offloads reports whether packets may be super-packets of up to
	// MaxPacketSize with an Offload that is not zero.
	Offloads() bool

	// Read waits for a packet, scatters it over bufs in order and returns its
	// length. One goroutine reads at a time.
	//
	// bufs should hold MaxPacketSize bytes if Offloads, else MTU bytes. The
	// rest of a packet that is longer is lost, which is an error wrapping
	// ErrPacket. After such an error the next packet can be read; any other is
	// final. It wraps os.ErrClosed after Close, and ErrGone when the interface
	// was deleted.
	Read(bufs [][]byte) (n int, off Offload, err error)

	// Write gathers one packet from bufs and sends it. It does not keep bufs.
	// It waits while the device has no room, but not beyond Close. It is safe
	// for concurrent use, also with Read.
	//
	// Without Offloads, off must leave nothing to do. An error means that the
	// packet was not sent; it wraps ErrPacket if the fault is in the packet,
	// ErrDown, os.ErrClosed or ErrGone if it is in the device.
	Write(bufs [][]byte, off Offload) error

	// Close ends the device: Read and Write return. To close it again does
	// nothing.
	Close() error
}

package main

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// maxSegment is the payload of a segment on Ethernet with timestamps.
const maxSegment = 1448

// A captureFile is a pcapng file that packets are written to.
type captureFile struct {
	*pcapgo.NgWriter
	buf gopacket.SerializeBuffer
	now time.Time // of the next packet
}

// tick is between two packets of the capture.
const tick = 5 * time.Microsecond

func newCaptureFile(w io.Writer) (*captureFile, error) {
	ng, err := pcapgo.NewNgWriter(w, layers.LinkTypeEthernet)
	if err != nil {
		return nil, err
	}
	return &captureFile{NgWriter: ng, buf: gopacket.NewSerializeBuffer(), now: time.Unix(1767225600, 0)}, nil
}

// secrets writes a Decryption Secrets Block.
func (f *captureFile) secrets(keyLog []byte) error {
	return f.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, keyLog)
}

// A connection is the TCP of one connection, both sides of it.
type connection struct {
	file *captureFile
	addr [2]netip.AddrPort // client, server
	seq  [2]uint32
}

const (
	client = 0
	server = 1
)

func (f *captureFile) connection(from, to netip.AddrPort) *connection {
	c := &connection{file: f, addr: [2]netip.AddrPort{from, to}}
	c.seq[client] = binary.BigEndian.Uint32(from.Addr().AsSlice()) * 2654435761
	c.seq[server] = ^c.seq[client]
	return c
}

// send writes a segment of a side.
func (c *connection) send(side int, flags string, payload []byte) error {
	src, dst := c.addr[side], c.addr[1-side]
	ether := layers.Ethernet{
		SrcMAC: []byte{2, 0, 0, 0, 0, byte(side)}, DstMAC: []byte{2, 0, 0, 0, 0, byte(1 - side)}, EthernetType: layers.EthernetTypeIPv4,
	}
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	tcp := layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: c.seq[side], Window: 64240,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: binary.BigEndian.AppendUint64(nil, uint64(c.file.now.UnixMilli())<<32)}},
	}
	for _, flag := range flags {
		switch flag {
		case 'S':
			tcp.SYN = true
			tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}},
				layers.TCPOption{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}})
		case 'A':
			tcp.ACK, tcp.Ack = true, c.seq[1-side]
		case 'P':
			tcp.PSH = true
		case 'F':
			tcp.FIN = true
		}
	}
	c.seq[side] += uint32(len(payload))
	if tcp.SYN || tcp.FIN {
		c.seq[side]++
	}
	if err := tcp.SetNetworkLayerForChecksum(&ip); err != nil {
		return err
	}
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(c.file.buf, options, &ether, &ip, &tcp, gopacket.Payload(payload)); err != nil {
		return err
	}
	c.file.now = c.file.now.Add(tick)
	b := c.file.buf.Bytes()
	return c.file.WritePacket(gopacket.CaptureInfo{Timestamp: c.file.now, CaptureLength: len(b), Length: len(b)}, b)
}

// open is the three-way handshake.
func (c *connection) open() []step {
	return []step{{client, "S", nil}, {server, "SA", nil}, {client, "A", nil}}
}

// close is its end: both sides have said what they had to say.
func (c *connection) close() []step {
	return []step{{client, "FA", nil}, {server, "FA", nil}, {client, "A", nil}}
}

// A step is one segment to come.
type step struct {
	from    int
	flags   string
	payload []byte
}

// segments cuts what a side wrote into segments, each two acknowledged, and the
// last one.
func segments(from int, b []byte) (steps []step) {
	for n := 1; len(b) > 0; n++ {
		k := min(len(b), maxSegment)
		flags := "A"
		if k == len(b) {
			flags = "PA"
		}
		steps = append(steps, step{from, flags, b[:k]})
		if b = b[k:]; len(b) == 0 || n%2 == 0 {
			steps = append(steps, step{1 - from, "A", nil})
		}
	}
	return steps
}

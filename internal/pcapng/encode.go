package pcapng

import (
	"bytes"
	"fmt"
	"runtime"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"synscope/event"
)

// An encoder makes blocks of one section with one interface. They do not depend
// on what was encoded before, so that they may go to any file that begins with
// head. What it returns is valid until its next call.
type encoder struct {
	buf  bytes.Buffer
	ng   *pcapgo.NgWriter
	head []byte // section header and interface description

	flags    pcapgo.NgEpbFlags // options of the packet at hand
	id, lost uint64
	comments []string
}

func newEncoder(cfg *Config) (*encoder, error) {
	e := &encoder{}
	var err error
	e.ng, err = pcapgo.NewNgWriterInterface(&e.buf, pcapgo.NgInterface{
		Name:        printable(cfg.Device),
		Description: "packets between the network and the stack of synscope",
		OS:          runtime.GOOS,
		LinkType:    layers.LinkTypeRaw,
		SnapLength:  uint32(min(cfg.SnapLen, maxPacket)),
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Application: "synscope",
		Comment:     "TLS secrets are in this file: who has it can decrypt its connections",
		Hardware:    runtime.GOARCH,
		OS:          runtime.GOOS,
	}})
	if err != nil {
		return nil, err
	}
	head, err := e.take()
	e.head = bytes.Clone(head)
	return e, err
}

// packet encodes a packet, with its secrets before it.
func (e *encoder) packet(p *entry) ([]byte, error) {
	e.buf.Reset()
	if err := e.secrets(p.keys); err != nil {
		return nil, err
	}
	e.id, e.lost = p.frame, p.missing
	e.comments = append(e.comments[:0], p.notes.strings()...)
	opts := pcapgo.NgPacketOptions{PacketID: &e.id}
	if p.from != event.NoSide {
		e.flags.Direction = pcapgo.NgEpbFlagDirectionInbound
		if p.from == event.Server {
			e.flags.Direction = pcapgo.NgEpbFlagDirectionOutbound
		}
		opts.Flags = &e.flags
	}
	if p.missing > 0 {
		opts.DropCount = &e.lost
		e.comments = append(e.comments, fmt.Sprintf("packets missing before this one: %d, from frame %d on", p.missing, p.frame-p.missing))
	}
	if p.segment > 0 {
		e.comments = append(e.comments, fmt.Sprintf("super-packet: stands for segments of %d bytes of payload", p.segment))
	}
	opts.Comments = e.comments
	ci := gopacket.CaptureInfo{Timestamp: p.time, CaptureLength: len(p.data), Length: p.length}
	if err := e.ng.WritePacketWithOptions(ci, p.data, opts); err != nil {
		return nil, err
	}
	return e.take()
}

// statistics encodes what comes last in a file: how many packets were received,
// those that are missing included.
func (e *encoder) statistics(received, missing uint64, keys []byte, at time.Time) ([]byte, error) {
	e.buf.Reset()
	if err := e.secrets(keys); err != nil {
		return nil, err
	}
	err := e.ng.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{
		LastUpdate: at, PacketsReceived: received, PacketsDropped: missing,
	})
	if err != nil {
		return nil, err
	}
	return e.take()
}

func (e *encoder) secrets(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	return e.ng.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, lines)
}

func (e *encoder) take() ([]byte, error) {
	err := e.ng.Flush()
	return e.buf.Bytes(), err
}

package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Block types (draft-ietf-opsawg-pcapng, section 11.1).
const (
	blockInterface         = 0x00000001
	blockPacket            = 0x00000002 // obsolete
	blockSimplePacket      = 0x00000003
	blockEnhancedPacket    = 0x00000006
	blockJournal           = 0x00000009 // systemd journal export
	blockDecryptionSecrets = 0x0000000a
	blockCustom            = 0x00000bad
	blockCustomNoCopy      = 0x40000bad
	blockSectionHeader     = magicSectionHeader
)

const (
	byteOrderMagic = 0x1a2b3c4d

	blockHeaderLen  = 8 // type and total length
	blockTrailerLen = 4 // total length again
	minBlock        = blockHeaderLen + blockTrailerLen
)

// Options of an Interface Description Block.
const (
	optionEnd              = 0
	optionClockResolution  = 9  // if_tsresol
	optionClockOffset      = 14 // if_tsoffset
	optionHeaderLen        = 4
	interfaceDescriptorLen = 8 // before the options
)

// maxInterfaces bounds the interfaces of a section.
const maxInterfaces = 1 << 16

// A pcapng reads a pcapng file (draft-ietf-opsawg-pcapng).
type pcapng struct {
	in         *input
	order      binary.ByteOrder // of the section; nil before the first
	interfaces []iface          // of the section
	secrets    secretsLeft
	malformed  *uint64 // counts the lines that are no secrets
}

// An iface is an interface of a section.
type iface struct {
	link  *link
	clock clock
	snap  uint32 // snap length, 0 if unlimited
}

// A block is one that is in the window as a whole, or, if it is too long for
// it, its beginning.
type block struct {
	kind    uint32
	claimed uint32 // its length as it has it
	total   int64  // its length as a whole
	body    []byte // between header and trailer; empty if it is too long
}

// next reads blocks up to one that holds a packet or secrets.
func (p *pcapng) next(rec *record) error {
	*rec = record{}
	for {
		if p.secrets.payload > 0 {
			if err := p.readSecrets(rec); err != nil || len(rec.secrets) > 0 {
				return err
			}
			continue
		}
		if err := p.in.atEnd(); err != nil {
			return err
		}
		b, err := p.block()
		if err != nil {
			return err
		}
		if b.kind == blockDecryptionSecrets {
			if err := p.startSecrets(b); err != nil {
				return err
			}
			continue
		}
		found, err := p.read(b, rec)
		if err != nil {
			return p.in.damage(p.in.offset, err)
		}
		if err := p.pass(b); err != nil || found {
			return err
		}
	}
}

// block brings the next block into the window, without passing over it.
func (p *pcapng) block() (block, error) {
	h, err := p.in.need("block header", minBlock)
	if err != nil {
		return block{}, err
	}
	if binary.BigEndian.Uint32(h) == blockSectionHeader {
		switch uint32(byteOrderMagic) {
		case binary.LittleEndian.Uint32(h[blockHeaderLen:]):
			p.order = binary.LittleEndian
		case binary.BigEndian.Uint32(h[blockHeaderLen:]):
			p.order = binary.BigEndian
		default:
			return block{}, p.in.damage(p.in.offset, errors.New("a section header without the byte-order magic"))
		}
	}
	b := block{kind: p.order.Uint32(h), claimed: p.order.Uint32(h[4:])}
	// Some writers leave the padding out of the length, but not out of the file.
	b.total = (int64(b.claimed) + 3) &^ 3
	if b.total < minBlock {
		return block{}, p.in.damage(p.in.offset, fmt.Errorf("a block of %d bytes, and none is shorter than %d", b.claimed, minBlock))
	}
	if b.long() {
		return b, nil
	}
	whole, err := p.in.need(b.name(), int(b.total))
	if err != nil {
		return block{}, err
	}
	b.body = whole[blockHeaderLen : b.total-blockTrailerLen]
	if err := p.checkTrailer(b, whole[b.total-blockTrailerLen:]); err != nil {
		return block{}, p.in.damage(p.in.offset, err)
	}
	return b, nil
}

// name names the block in an error.
func (b block) name() string {
	switch b.kind {
	case blockSectionHeader:
		return "Section Header Block"
	case blockInterface:
		return "Interface Description Block"
	case blockPacket:
		return "Packet Block"
	case blockSimplePacket:
		return "Simple Packet Block"
	case blockEnhancedPacket:
		return "Enhanced Packet Block"
	case blockDecryptionSecrets:
		return "Decryption Secrets Block"
	}
	return fmt.Sprintf("block of type 0x%x", b.kind)
}

// long reports whether the block does not fit the window.
func (b block) long() bool { return b.total > maxBlock }

// checkTrailer compares the two lengths of a block.
func (p *pcapng) checkTrailer(b block, trailer []byte) error {
	if again := p.order.Uint32(trailer); again != b.claimed {
		return fmt.Errorf("a block of %d bytes by its beginning and of %d by its end", b.claimed, again)
	}
	return nil
}

// pass goes to the end of a block. A long one is damaged if it is not whole,
// though nothing in it was read.
func (p *pcapng) pass(b block) error {
	if b.long() {
		return p.passRest(b, p.in.offset)
	}
	_, err := p.in.skip(b.total)
	return err
}

// passRest goes from within the block at start to its end, and checks its
// trailer.
func (p *pcapng) passRest(b block, start int64) error {
	if _, err := p.in.skip(start + b.total - blockTrailerLen - p.in.offset); err != nil {
		return p.in.damage(start, cut(err, b.name(), p.in.offset-start, b.total))
	}
	trailer, err := p.in.window.Peek(blockTrailerLen)
	if err != nil {
		return p.in.damage(start, cut(err, b.name(), p.in.offset-start+int64(len(trailer)), b.total))
	}
	if err := p.checkTrailer(b, trailer); err != nil {
		return p.in.damage(start, err)
	}
	_, err = p.in.skip(blockTrailerLen)
	return err
}

// read takes in a block. It reports whether that is a record.
func (p *pcapng) read(b block, rec *record) (found bool, err error) {
	switch b.kind {
	case blockSectionHeader:
		return false, p.section(b)
	case blockInterface:
		return false, p.addInterface(b)
	case blockEnhancedPacket, blockPacket:
		return true, p.packet(b, rec)
	case blockSimplePacket:
		return true, p.simplePacket(b, rec)
	}
	// These are no packets, but Wireshark gives them numbers.
	rec.skipped = otherRecords[b.kind]
	return rec.skipped != "", nil
}

// otherRecords are blocks that are numbered as packets.
var otherRecords = map[uint32]string{
	blockJournal:      "systemd journal entry",
	blockCustom:       "custom block",
	blockCustomNoCopy: "custom block",
	0x204:             "sysdig event",
	0x208:             "sysdig event",
	0x216:             "sysdig event",
	0x217:             "sysdig event",
	0x221:             "sysdig event",
	0x222:             "sysdig event",
}

// section begins a section, which has interfaces of its own.
func (p *pcapng) section(b block) error {
	if len(b.body) < 16 {
		return p.unfit(b)
	}
	if major, minor := p.order.Uint16(b.body[4:]), p.order.Uint16(b.body[6:]); major != 1 {
		return fmt.Errorf("a section of pcapng version %d.%d, of which only 1 is read", major, minor)
	}
	p.interfaces = p.interfaces[:0]
	return nil
}

// unfit returns the error of a block that does not have the length of its kind.
func (p *pcapng) unfit(b block) error {
	return fmt.Errorf("the %s cannot have %d bytes", b.name(), b.total)
}

// addInterface reads an Interface Description Block.
func (p *pcapng) addInterface(b block) error {
	if len(b.body) < interfaceDescriptorLen {
		return p.unfit(b)
	}
	if len(p.interfaces) == maxInterfaces {
		return fmt.Errorf("more than %d interfaces in a section", maxInterfaces)
	}
	i := iface{clock: microseconds, link: newLink(p.order.Uint16(b.body)), snap: p.order.Uint32(b.body[4:])}
	for options := b.body[interfaceDescriptorLen:]; len(options) >= optionHeaderLen; {
		code, n := p.order.Uint16(options), int(p.order.Uint16(options[2:]))
		if code == optionEnd {
			break
		}
		options = options[optionHeaderLen:]
		if n > len(options) {
			return fmt.Errorf("an option of %d bytes in the %d left of the %s", n, len(options), b.name())
		}
		value := options[:n]
		options = options[min((n+3)&^3, len(options)):]
		switch {
		case code == optionClockResolution && n >= 1:
			if err := i.clock.resolve(value[0]); err != nil {
				return err
			}
		case code == optionClockOffset && n >= 8:
			i.clock.offset = int64(p.order.Uint64(value))
		}
	}
	p.interfaces = append(p.interfaces, i)
	return nil
}

// packet reads an Enhanced Packet Block, or the Packet Block that it replaced.
func (p *pcapng) packet(b block, rec *record) error {
	if b.long() {
		rec.skipped = tooLong
		return nil
	}
	const headerLen = 20
	if len(b.body) < headerLen {
		return p.unfit(b)
	}
	index := int64(p.order.Uint32(b.body))
	if b.kind == blockPacket {
		index = int64(p.order.Uint16(b.body)) // and the count of drops
	}
	timestamp := uint64(p.order.Uint32(b.body[4:]))<<32 | uint64(p.order.Uint32(b.body[8:]))
	captured, length := p.order.Uint32(b.body[12:]), p.order.Uint32(b.body[16:])
	if err := p.fill(rec, b, index, captured, length, b.body[headerLen:]); err != nil {
		return err
	}
	rec.time = p.interfaces[index].clock.time(timestamp)
	return nil
}

// simplePacket reads a Simple Packet Block, which is of the first interface
// and has no time.
func (p *pcapng) simplePacket(b block, rec *record) error {
	if b.long() {
		rec.skipped = tooLong
		return nil
	}
	const headerLen = 4
	if len(b.body) < headerLen {
		return p.unfit(b)
	}
	length := p.order.Uint32(b.body)
	captured := length
	if len(p.interfaces) > 0 && p.interfaces[0].snap != 0 {
		captured = min(captured, p.interfaces[0].snap)
	}
	return p.fill(rec, b, 0, captured, length, b.body[headerLen:])
}

// tooLong is why a packet is not read that no capture has.
const tooLong = "longer than 256 KiB"

// fill makes a record of the packet at the beginning of data.
func (p *pcapng) fill(rec *record, b block, index int64, captured, length uint32, data []byte) error {
	if index >= int64(len(p.interfaces)) {
		return fmt.Errorf("a packet of interface %d, and the section has described %d", index, len(p.interfaces))
	}
	if int64(captured) > int64(len(data)) {
		return fmt.Errorf("a packet of %d bytes in the %s with %d", captured, b.name(), b.total)
	}
	rec.iface = int(index)
	rec.link = p.interfaces[index].link
	rec.data = data[:captured]
	rec.length = wireLength(length, captured)
	if captured > maxPacket {
		rec.skipped = tooLong
	}
	return nil
}

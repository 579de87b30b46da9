package pcapng

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"synscope/event"
	"synscope/tlsbridge/tlswire"
)

// A block of a capture, as far as the tests look into it.
type block struct {
	kind     string
	end      int // in the capture
	frame    uint64
	time     time.Time
	dropped  uint64
	comments []string
	keys     []string // labels
}

// blocks walks through a capture (draft-ietf-opsawg-pcapng, section 3.1).
func blocks(t *testing.T, b []byte) []block {
	t.Helper()
	var bs []block
	for at := 0; at < len(b); {
		if len(b)-at < 12 {
			t.Fatalf("%d bytes after the last block", len(b)-at)
		}
		size := int(binary.LittleEndian.Uint32(b[at+4:]))
		if size%4 != 0 || size < 12 || size > len(b)-at || int(binary.LittleEndian.Uint32(b[at+size-4:])) != size {
			t.Fatalf("a block of %d bytes at %d of %d", size, at, len(b))
		}
		body := b[at+8 : at+size-4]
		at += size
		bl := block{end: at}
		switch typ := binary.LittleEndian.Uint32(b[at-size:]); typ {
		case 0x0a0d0d0a:
			bl.kind = "SHB"
		case 1:
			bl.kind = "IDB"
		case 5:
			bl.kind = "ISB"
		case 6:
			bl.packet(body)
		case 10:
			bl.kind = "DSB"
			lines := string(body[8 : 8+binary.LittleEndian.Uint32(body[4:])])
			for line := range strings.Lines(lines) {
				if !strings.HasSuffix(line, "\n") {
					t.Errorf("the key log line %q has no end", line)
				}
				bl.keys = append(bl.keys, strings.Fields(line)[0])
			}
		default:
			t.Errorf("block type %d", typ)
		}
		bs = append(bs, bl)
	}
	return bs
}

// packet reads an Enhanced Packet Block.
func (bl *block) packet(body []byte) {
	bl.kind = "EPB"
	nanoseconds := uint64(binary.LittleEndian.Uint32(body[4:]))<<32 | uint64(binary.LittleEndian.Uint32(body[8:]))
	bl.time = time.Unix(0, int64(nanoseconds))
	captured := int(binary.LittleEndian.Uint32(body[12:]))
	for o := body[20+(captured+3)&^3:]; len(o) >= 4; {
		code, n := binary.LittleEndian.Uint16(o), int(binary.LittleEndian.Uint16(o[2:]))
		switch v := o[4 : 4+n]; code {
		case 1:
			bl.comments = append(bl.comments, string(v))
		case 4:
			bl.dropped = binary.LittleEndian.Uint64(v)
		case 5:
			bl.frame = binary.LittleEndian.Uint64(v)
		}
		o = o[4+(n+3)&^3:]
	}
}

// layout describes a capture: packets by their frames, secrets by their labels.
func layout(t *testing.T, b []byte) string {
	t.Helper()
	var s []string
	for _, bl := range blocks(t, b) {
		switch bl.kind {
		case "EPB":
			s = append(s, fmt.Sprint(bl.frame))
		case "DSB":
			s = append(s, "("+strings.Join(bl.keys, " ")+")")
		case "ISB":
			s = append(s, "end")
		case "SHB":
			s = append(s, "head")
		}
	}
	return strings.Join(s, " ")
}

// comments lists the comments of a capture, each after its frame.
func comments(t *testing.T, b []byte) []string {
	t.Helper()
	var cs []string
	for _, bl := range blocks(t, b) {
		for _, c := range bl.comments {
			cs = append(cs, fmt.Sprintf("%d %s", bl.frame, c))
		}
	}
	return cs
}

// hello is what begins like a ClientHello.
var hello = []byte{recordHandshake, 3, 1, 0, 5, 1, 0, 0, 1, 0}

// secret returns a made up secret.
func secret(label string) tlswire.Secret {
	return tlswire.Secret{Label: label, ClientRandom: make([]byte, 32), Secret: slices.Repeat([]byte{7}, 48)}
}

// hello sends that.
func (c *wire) hello() { c.send(event.Client, event.ACK|event.PSH, hello) }

// ack sends a segment without payload.
func (c *wire) ack() { c.send(event.Client, event.ACK, nil) }

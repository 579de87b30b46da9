package integration

import (
	"bytes"
	byteorder "encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// A tape is the packets of a capture.
type tape struct {
	link    layers.LinkType
	packets []taped
}

type taped struct {
	gopacket.CaptureInfo
	data []byte
	base uint64 // its number in the capture that the tape is derived from
}

// hellos is how many packets the first hellos need, and those before them.
const hellos = 6

// derive makes another capture of c, and judges what is told of it. How is one of
//
//	drop SEED     some packets are missing, chosen by the seed
//	lose SEED     the same, but not of the first
//	swap SEED     some packets have changed places with the next, but for data
//	              with the other side's data
//	answer        the server's last flight of the handshake stands before the
//	              client's that it answers
//	cut SEED      the file ends somewhere
//	snap N        of each packet N bytes were captured
//	join N        the first N packets were not captured
//	fragment N    IPv4 packets are in fragments with N bytes
//	vlan          frames have two VLAN tags
//	raw, null     IP packets without a link, and on the loopback of BSD
func (s *site) derive(t *testing.T, c captured, how string, known difference) {
	verb, argument, _ := strings.Cut(how, " ")
	n, _ := strconv.Atoi(argument)
	whole := readTape(t, s.file)
	d := whole
	rows := tshark(t, c.file, c.keys, c.decode...)
	said := make(map[uint64]row)
	for _, r := range rows {
		said[r.frame] = r
	}
	random := rand.New(rand.NewPCG(uint64(n), 0))
	switch verb {
	case "drop", "lose":
		d.packets = nil
		for i, p := range whole.packets {
			if spared := verb == "lose" && i < hellos; spared || random.IntN(8) > 0 {
				d.packets = append(d.packets, p)
			}
		}
	case "swap":
		d.swap(said, random)
	case "answer":
		d.answer(said)
	case "snap":
		for i := range d.packets {
			p := &d.packets[i]
			p.data = p.data[:min(n, len(p.data))]
			p.CaptureLength = len(p.data)
		}
	case "join":
		d.packets = d.packets[n:]
	case "fragment":
		d.fragment(t, n)
	case "vlan":
		d.replaceLink(14, func(h []byte) []byte {
			tags := []byte{0x88, 0xa8, 0, 5, 0x81, 0, 0, 7}
			return append(append(bytes.Clone(h[:12]), tags...), h[12:]...)
		})
	case "raw":
		d.link = layers.LinkTypeRaw
		d.replaceLink(14, func([]byte) []byte { return nil })
	case "null":
		d.link = layers.LinkTypeNull
		d.replaceLink(14, func(h []byte) []byte { return []byte{2, 0, 0, 0} }) // AF_INET, in the byte order of the host
	}
	file := s.path(strings.ReplaceAll(how, " ", "-") + ".pcap")
	d.write(t, file)
	derived := s.withSecrets(file)
	derived.decode = c.decode
	switch verb {
	case "drop", "lose", "snap", "join":
		derived.judgeLoss(t, rows, d)
	case "swap", "answer":
		derived.judgeOrder(t, known)
	case "cut":
		derived.judgeCut(t, random)
	default:
		derived.judge(t, known)
	}
}

// judgeOrder compares a capture whose packets are not in their order. The
// messages and alerts of each direction are the same in the same order; which
// packet a message is seen with may differ: we name those that carried it,
// tshark may name the one with which its segment's turn came.
func (c captured) judgeOrder(t *testing.T, known difference) {
	t.Helper()
	want := tshark(t, c.file, c.keys, c.decode...)
	_, events, err := c.read(t)
	if err != nil {
		t.Errorf("synscope read: %v", err)
	}
	judgeSegments(t, want, events)
	judgeTalk(t, anywhere(utter(want)), anywhere(talkOf(events)), known)
}

// anywhere returns what each direction says, whatever the packets.
func anywhere(talk []utterance) []utterance {
	for i := range talk {
		talk[i].frame = 0
	}
	slices.SortStableFunc(talk, func(a, b utterance) int { return strings.Compare(a.direction, b.direction) })
	return talk
}

// judgeLoss compares a capture that lacks packets, or parts of them, with the
// whole one. The segments are as tshark tells them. Behind a loss tshark looks
// for the next record where a segment begins; we tell nothing more of the
// direction, since it would be a guess. So what we tell is what was said, up to
// some point in each direction, and that point is not before the first loss.
func (c captured) judgeLoss(t *testing.T, whole []row, d tape) {
	t.Helper()
	_, events, err := c.read(t)
	if err != nil {
		t.Errorf("synscope read: %v", err)
	}
	judgeSegments(t, tshark(t, c.file, c.keys, c.decode...), events)
	lost := d.firstLoss(whole)
	told := saying(talkOf(events))
	said, certain := make(map[string][]string), make(map[string]int)
	for _, r := range whole {
		for _, note := range r.notes {
			said[r.direction()] = append(said[r.direction()], note)
			if first, ok := lost[r.connection()]; !ok || r.frame < first {
				certain[r.direction()]++
			}
		}
	}
	for direction, notes := range told {
		if all := said[direction]; len(notes) > len(all) || !gocmp.Equal(notes, all[:len(notes)]) {
			t.Errorf("%s: said %q, told %q", direction, all, notes)
		}
	}
	for direction, n := range certain {
		if len(told[direction]) < n {
			t.Errorf("%s: said before the first loss %q, told %q", direction, said[direction][:n], told[direction])
		}
	}
}

// judgeCut cuts the file, and compares what is told of the rest.
func (c captured) judgeCut(t *testing.T, random *rand.Rand) {
	t.Helper()
	info, err := os.Stat(c.file)
	if err != nil {
		t.Fatal(err)
	}
	size := info.Size()
	at := size/4 + random.Int64N(size-size/4)
	if err := os.Truncate(c.file, at); err != nil {
		t.Fatal(err)
	}
	want, err := tsharkRows(t, c.file, c.keys, c.decode...)
	damaged := err != nil
	_, events, err := c.read(t)
	if damaged != (err != nil) {
		t.Errorf("cut at %d of %d: tshark finds damage: %t; synscope read: %v", at, size, damaged, err)
	}
	if err != nil && !strings.Contains(err.Error(), "offset") {
		t.Errorf("the error does not say where the file is damaged: %v", err)
	}
	judgeSegments(t, want, events)
	judgeTalk(t, utter(want), inOrder(talkOf(events)), difference{})
}

// saying is what each direction said.
func saying(talk []utterance) map[string][]string {
	said := make(map[string][]string)
	for _, u := range talk {
		said[u.direction] = append(said[u.direction], u.note)
	}
	return said
}

// firstLoss returns, by connection, the first packet of the whole capture whose
// payload the tape lacks.
func (d tape) firstLoss(whole []row) map[string]uint64 {
	have := make(map[uint64]bool)
	for _, p := range d.packets {
		have[p.base] = p.CaptureLength == p.Length
	}
	lost := make(map[string]uint64)
	for _, r := range whole {
		if _, ok := lost[r.connection()]; !ok && !have[r.frame] && r.data() {
			lost[r.connection()] = r.frame
		}
	}
	return lost
}

// connection names the connection of a row, whatever its direction.
func (r row) connection() string {
	if r.from.Compare(r.to) > 0 {
		r.from, r.to = r.to, r.from
	}
	return r.direction()
}

// readTape reads a capture with a library that shares no code with ours.
func readTape(t *testing.T, file string) tape {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var source interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	if source, err = pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions); err != nil {
		f.Seek(0, io.SeekStart)
		source, err = pcapgo.NewReader(f)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	d := tape{link: source.LinkType()}
	for {
		data, info, err := source.ReadPacketData()
		if err == io.EOF {
			return d
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		d.packets = append(d.packets, taped{info, data, uint64(len(d.packets) + 1)})
	}
}

func (d tape) write(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriterNanos(f)
	err = w.WriteFileHeader(1<<18, d.link)
	for _, p := range d.packets {
		p.InterfaceIndex = 0
		if err == nil {
			err = w.WritePacket(p.CaptureInfo, p.data)
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// swap lets packets change places with the next; the times stay. Said is what
// tshark tells of them, by frame. What a path puts out of order is packets of one
// direction, or acknowledgements; that data is seen before the data that it
// answers is another thing. So is data behind a RST of the other side: tshark
// tells it; it was delivered to nobody, and we do not.
func (d tape) swap(said map[uint64]row, random *rand.Rand) {
	for i := 0; i+1 < len(d.packets); i++ {
		a, b := said[d.packets[i].base], said[d.packets[i+1].base]
		if random.IntN(3) > 0 || a.from != b.from && a.matters() && b.matters() {
			continue
		}
		d.exchange(i, i+1)
		i++
	}
}

func (d tape) exchange(i, j int) {
	a, b := &d.packets[i], &d.packets[j]
	a.Timestamp, b.Timestamp = b.Timestamp, a.Timestamp
	*a, *b = *b, *a
}

// answer lets the client's second flight change places with the server's.
func (d tape) answer(said map[uint64]row) {
	var flights []int
	var last netip.AddrPort
	for i, p := range d.packets {
		if r := said[p.base]; r.data() && r.from != last {
			flights, last = append(flights, i), r.from
		}
	}
	d.exchange(flights[2], flights[3])
}

// matters reports whether the row's segment has a payload or resets.
func (r row) matters() bool { return r.data() || strings.Contains(r.text, "RST") }

// data reports whether the row's segment has a payload.
func (r row) data() bool { return r.text != "" && !strings.HasSuffix(r.text, " len 0") }

// replaceLink replaces the link header of n bytes of each packet.
func (d *tape) replaceLink(n int, f func(header []byte) []byte) {
	for i := range d.packets {
		p := &d.packets[i]
		p.data = append(f(p.data[:n]), p.data[n:]...)
		p.Length += len(p.data) - p.CaptureLength
		p.CaptureLength = len(p.data)
	}
}

// fragment puts the payloads of IPv4 packets in fragments of at most n bytes; the
// last comes first.
func (d *tape) fragment(t *testing.T, n int) {
	t.Helper()
	const ethernet, header = 14, 20
	n -= n % 8
	var all []taped
	for id, p := range d.packets {
		ip := p.data[ethernet:]
		if len(ip) < header || ip[0] != 0x45 || len(ip)-header <= n {
			all = append(all, p)
			continue
		}
		var fragments []taped
		payload := ip[header:]
		for offset := 0; offset < len(payload); offset += n {
			part := payload[offset:min(offset+n, len(payload))]
			f := p
			f.data = append(bytes.Clone(p.data[:ethernet+header]), part...)
			h := f.data[ethernet:]
			byteorder.BigEndian.PutUint16(h[2:], uint16(header+len(part)))
			byteorder.BigEndian.PutUint16(h[4:], uint16(id))
			more := uint16(0)
			if offset+len(part) < len(payload) {
				more = 0x2000
			}
			byteorder.BigEndian.PutUint16(h[6:], more|uint16(offset/8))
			f.Length, f.CaptureLength = len(f.data), len(f.data)
			fragments = append([]taped{f}, fragments...)
		}
		all = append(all, fragments...)
	}
	if len(all) == len(d.packets) {
		t.Errorf("no packet is longer than %d bytes", n)
	}
	d.packets = all
}

package integration

import (
	"cmp"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"synscope/event"
)

// A row is what one segment says, in the words in which two tellers of the same
// packets are compared.
type row struct {
	frame    uint64
	from, to netip.AddrPort
	text     string   // flags, relative numbers, length
	notes    []string // the messages and alerts that it completes
}

func (r row) place() string { return fmt.Sprintf("packet %d, %s: ", r.frame, r.direction()) }

func (r row) direction() string { return fmt.Sprintf("%v > %v", r.from, r.to) }

// byDirection returns the lines of each direction of each connection.
func byDirection(rows []row) map[string][]string {
	lines := make(map[string][]string)
	for _, r := range rows {
		lines[r.direction()] = append(lines[r.direction()], strings.Join(append([]string{r.text}, r.notes...), " "))
	}
	return lines
}

// judge has others tell the captured packets, with our key log, and compares:
// every segment with its flags and relative numbers, every handshake message
// and every alert, in order, for each direction of each connection. (Between
// the directions the order is not the same on both sides of the interface.)
func (l *lab) judge() {
	l.t.Helper()
	l.stop()
	got := byDirection(rowsOf(l.events))
	for _, c := range []struct {
		teller string
		tell   func() []row
	}{
		{"tshark, of dumpcap's capture,", func() []row { return tshark(l.t, l.path("capture.pcapng"), l.path("keys"), anyPort) }},
		{"tshark, of our capture with the secrets inside,", func() []row { return tshark(l.t, l.path(ownCapture), "", anyPort) }},
	} {
		want := byDirection(c.tell())
		if diff := gocmp.Diff(want, got); diff != "" {
			l.t.Errorf("%s tells otherwise (-it +serve):\n%s", c.teller, diff)
		}
		if len(want) == 0 {
			l.t.Errorf("%s saw no packets: nothing was judged", c.teller)
		}
	}
	l.judgeFrames()
	l.judgeRead()
}

// judgeFrames checks that the number that tshark gives to each packet of our own
// capture is the frame of its event.
func (l *lab) judgeFrames() {
	l.t.Helper()
	out, err := exec.Command("tshark", "-r", l.path(ownCapture), "-Y", "tcp", "-T", "fields",
		"-e", "frame.number", "-e", "tcp.seq_raw", "-e", "tcp.len").Output()
	if err != nil {
		l.t.Fatalf("tshark: %v", err)
	}
	want := make(map[uint64]string)
	for row := range strings.Lines(string(out)) {
		f := strings.Fields(row)
		want[uint64(number(l.t, f[0]))] = strings.Join(f[1:], " ")
	}
	got := make(map[uint64]string)
	for _, s := range l.stories() {
		for _, seg := range find[*event.Segment](s) {
			got[seg.Frame] = fmt.Sprint(seg.Seq, " ", seg.Len)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		l.t.Errorf("sequence number and length by frame (-tshark +synscope):\n%s", diff)
	}
}

// rowsOf returns the segments of all connections, in the order of their packets.
func rowsOf(events []*event.Event) []row {
	var rows []row
	at := make(map[uint64]int) // frame: its row, until they are sorted
	talkers := make(talkers)
	for _, e := range events {
		talkers.meet(e)
		if b, ok := e.Body.(*event.Segment); ok {
			from, to := talkers.of(e)
			at[b.Frame] = len(rows)
			rows = append(rows, row{frame: b.Frame, from: from, to: to, text: segmentText(b.Flags, b.SeqRel, b.AckRel, b.Len)})
		}
	}
	for _, u := range talkOf(events) {
		r := &rows[at[u.frame]]
		r.notes = append(r.notes, u.note)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.frame, b.frame) })
	return rows
}

// An utterance is a handshake message or an alert, and the packet that completed
// it.
type utterance struct {
	frame     uint64
	direction string
	note      string
}

// talkOf returns the messages and alerts in the order in which they were told.
func talkOf(events []*event.Event) []utterance {
	var talk []utterance
	talkers := make(talkers)
	for _, e := range events {
		talkers.meet(e)
		var u utterance
		switch b := e.Body.(type) {
		case *event.Message:
			u.frame, u.note = slices.Max(b.Frames), handshakeNote(uint8(b.Type))
		case *event.Alert:
			u.frame, u.note = slices.Max(b.Frames), alertNote(b.Code)
		default:
			continue
		}
		from, to := talkers.of(e)
		u.direction = row{from: from, to: to}.direction()
		talk = append(talk, u)
	}
	return talk
}

// talkers knows who talks in each connection.
type talkers map[uint64]*event.Open

func (t talkers) meet(e *event.Event) {
	if o, ok := e.Body.(*event.Open); ok {
		t[e.Conn] = o
	}
}

// of returns who sent what an event tells, and to whom.
func (t talkers) of(e *event.Event) (from, to netip.AddrPort) {
	o := t[e.Conn]
	if e.From == event.Server {
		return o.Server, o.Client
	}
	return o.Client, o.Server
}

func segmentText(flags event.Flags, seq, ack int64, length int) string {
	return fmt.Sprintf("[%v] seq %d ack %d len %d", flags, seq, ack, length)
}

// handshakeNote names a handshake message by its number on the wire, where a
// HelloRetryRequest is a ServerHello.
func handshakeNote(t uint8) string {
	if event.HandshakeType(t) == event.HelloRetryRequest {
		t = uint8(event.ServerHelloType)
	}
	return fmt.Sprintf("handshake %d", t)
}

func alertNote(code uint8) string { return fmt.Sprintf("alert %d", code) }

// anyPort has tshark take what it does not know better for TLS, on any port.
const anyPort = "tcp.port==1-65535,tls"

// tshark returns what it tells of a capture, with the secrets inside and those
// of a key log, if any. Decode says what to take ports for.
func tshark(t *testing.T, file, keys string, decode ...string) []row {
	t.Helper()
	rows, err := tsharkRows(t, file, keys, decode...)
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	return rows
}

// tsharkRows is tshark, for captures that are damaged: rows are told up to there.
func tsharkRows(t *testing.T, file, keys string, decode ...string) ([]row, error) {
	t.Helper()
	fields := []string{"frame.number", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
		"tcp.flags", "tcp.seq", "tcp.ack", "tcp.len", "tls.handshake.type", "tls.alert_message.desc"}
	args := []string{"-r", file, "-Y", "tcp", "-T", "fields", "-E", "separator=|",
		"-o", "tls.keylog_file:" + keys, "-o", "tcp.relative_sequence_numbers:TRUE",
		"-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tls.desegment_ssl_records:TRUE"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	for _, d := range decode {
		args = append(args, "-d", d)
	}
	out, err := exec.Command("tshark", args...).Output()
	var rows []row
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(f) != len(fields) {
			t.Fatalf("tshark printed %q", line)
		}
		flags, _ := strconv.ParseUint(f[7], 0, 16)
		r := row{
			frame: uint64(number(t, f[0])), from: address(t, f[1]+f[2], f[3]), to: address(t, f[4]+f[5], f[6]),
			text: segmentText(event.Flags(flags), number(t, f[8]), number(t, f[9]), int(number(t, f[10]))),
		}
		for _, n := range split(f[11]) {
			v, _ := strconv.ParseUint(n, 0, 8)
			r.notes = append(r.notes, handshakeNote(uint8(v)))
		}
		for _, n := range split(f[12]) {
			r.notes = append(r.notes, alertNote(uint8(number(t, n))))
		}
		rows = append(rows, r)
	}
	return rows, err
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("tshark printed the number %q", s)
	}
	return n
}

func address(t *testing.T, ip, port string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort("[" + ip + "]:" + port)
	if err != nil {
		a, err = netip.ParseAddrPort(ip + ":" + port)
	}
	if err != nil {
		t.Fatalf("tshark printed the address %q, port %q", ip, port)
	}
	return a
}

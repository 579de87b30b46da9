package integration

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// judge has tshark tell the captured packets, with our key log, and compares:
// every segment with its flags and relative numbers, every handshake message
// and every alert, in order, for each direction of each connection. (Between
// the directions the order is not the same on both sides of the interface.)
func (l *lab) judge() {
	l.t.Helper()
	l.stop()
	got := make(map[string][]string)
	for _, s := range l.stories() {
		s.tell(got)
	}
	for _, c := range []struct{ by, file, keys string }{
		{"dumpcap", "capture.pcapng", l.path("keys")},
		{"synscope, with the secrets inside", ownCapture, ""},
	} {
		want := l.tshark(l.path(c.file), c.keys)
		if diff := cmp.Diff(want, got); diff != "" {
			l.t.Errorf("tshark tells the capture of %s otherwise (-tshark +synscope):\n%s", c.by, diff)
		}
		if len(want) == 0 {
			l.t.Errorf("tshark saw no packets in the capture of %s: nothing was judged", c.by)
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
		want[uint64(l.number(f[0]))] = strings.Join(f[1:], " ")
	}
	got := make(map[uint64]string)
	for _, s := range l.stories() {
		for _, seg := range find[*event.Segment](s) {
			got[seg.Frame] = fmt.Sprint(seg.Seq, " ", seg.Len)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("sequence number and length by frame (-tshark +synscope):\n%s", diff)
	}
}

// tell adds what a connection's events say to the lines of each direction.
func (s story) tell(lines map[string][]string) {
	o := s[0].Body.(*event.Open)
	key := map[event.Side]string{
		event.Client: fmt.Sprintf("%v > %v", o.Client, o.Server),
		event.Server: fmt.Sprintf("%v > %v", o.Server, o.Client),
	}
	at := make(map[uint64]int) // frame: the line that its messages follow
	type note struct {
		frame uint64
		from  event.Side
		text  string
	}
	var notes []note
	for _, e := range s {
		switch b := e.Body.(type) {
		case *event.Segment:
			k := key[e.From]
			lines[k] = append(lines[k], segmentLine(b.Flags, b.SeqRel, b.AckRel, b.Len))
			at[b.Frame] = len(lines[k]) - 1
		case *event.Message:
			notes = append(notes, note{slices.Max(b.Frames), e.From, handshakeNote(uint8(b.Type))})
		case *event.Alert:
			notes = append(notes, note{slices.Max(b.Frames), e.From, fmt.Sprintf("alert %d", b.Code)})
		}
	}
	for _, n := range notes {
		lines[key[n.from]][at[n.frame]] += " " + n.text
	}
}

func segmentLine(flags event.Flags, seq, ack int64, length int) string {
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

// tshark returns its lines on a capture, by direction.
func (l *lab) tshark(file, keys string) map[string][]string {
	l.t.Helper()
	fields := []string{"ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport",
		"tcp.flags", "tcp.seq", "tcp.ack", "tcp.len", "tls.handshake.type", "tls.alert_message.desc"}
	args := []string{"-r", file, "-Y", "tcp", "-T", "fields", "-E", "separator=|",
		"-o", "tls.keylog_file:" + keys, "-o", "tcp.relative_sequence_numbers:TRUE",
		"-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tls.desegment_ssl_records:TRUE"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	// Any port may carry TLS here.
	args = append(args, "-d", "tcp.port==1-65535,tls")
	cmd := exec.Command("tshark", args...)
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("tshark: %v", err)
	}
	lines := make(map[string][]string)
	for row := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(row, "\n"), "|")
		if len(f) != len(fields) {
			l.t.Fatalf("tshark printed %q", row)
		}
		key := fmt.Sprintf("%v > %v", l.addr(f[0]+f[1], f[2]), l.addr(f[3]+f[4], f[5]))
		flags, _ := strconv.ParseUint(f[6], 0, 16)
		text := segmentLine(event.Flags(flags), l.number(f[7]), l.number(f[8]), int(l.number(f[9])))
		for _, n := range split(f[10]) {
			v, _ := strconv.ParseUint(n, 0, 8)
			text += " " + handshakeNote(uint8(v))
		}
		for _, n := range split(f[11]) {
			text += " alert " + n
		}
		lines[key] = append(lines[key], text)
	}
	return lines
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (l *lab) number(s string) int64 {
	l.t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		l.t.Fatalf("tshark printed the number %q", s)
	}
	return n
}

func (l *lab) addr(ip, port string) netip.AddrPort {
	l.t.Helper()
	a, err := netip.ParseAddrPort("[" + ip + "]:" + port)
	if err != nil {
		a, err = netip.ParseAddrPort(ip + ":" + port)
	}
	if err != nil {
		l.t.Fatalf("tshark printed the address %q, port %q", ip, port)
	}
	return a
}

package pcapng

import (
	"bufio"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// capture writes what f sends into a file in memory.
func capture(t *testing.T, cfg Config, f func(*link)) []byte {
	t.Helper()
	cfg.OnError = func(err error) { t.Errorf("OnError: %v", err) }
	cfg.OnLost = func(packets, secrets uint64) { t.Errorf("lost %d packets, %d secrets", packets, secrets) }
	out := &file{}
	w, err := New(out, cfg)
	if err != nil {
		t.Fatal(err)
	}
	f(newLink(t, w))
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if !out.closed {
		t.Error("the file is left open")
	}
	return out.Bytes()
}

// The handshake messages that crypto/tls sends, by their numbers (RFC 8446,
// section 4; RFC 5246, section 7.4).
const (
	handshake13 = "1,2,8,11,15,20,20"
	handshake12 = "1,2,11,12,14,16,20,20"
)

// Wireshark decrypts a capture with the secrets in it, numbers the packets as we
// do, and finds all checksums good. In TLS 1.2 the secret comes only after what
// it decrypts.
func TestDecryption(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version uint16
		partial bool
		want    string
	}{
		{"TLS 1.3", tls.VersionTLS13, false, handshake13},
		{"TLS 1.2, checksums left to the device", tls.VersionTLS12, true, handshake12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps := recordTLS(t, tt.version)
			var sent []string
			b := capture(t, Config{Device: "syn0"}, func(l *link) {
				first, second := l.open(), l.open()
				for _, c := range []*wire{first, second} {
					c.partial = tt.partial
					c.connect()
				}
				for _, s := range steps { // side by side
					first.play([]step{s})
					second.play([]step{s})
				}
				sent = l.sent
			})
			for _, stream := range []string{"tcp.stream == 0", "tcp.stream == 1"} {
				wantDecrypted(t, b, stream, tt.want)
			}
			packets := readFields(t, b, "", "frame.number", "frame.packet_id", "frame.interface_name",
				"frame.packet_flags_direction", "ip.checksum.status", "tcp.checksum.status")
			if diff := cmp.Diff(sent, packets); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
		})
	}
}

// wantDecrypted wants all handshake messages, HTTP and close_notify of a stream.
func wantDecrypted(t *testing.T, capture []byte, stream, handshake string) {
	t.Helper()
	// Wireshark lists the messages of one segment in an order of its own.
	if got := sorted(values(readFields(t, capture, stream, "tls.handshake.type"))); got != sorted(handshake) {
		t.Errorf("%s: handshake messages %s, want %s", stream, got, sorted(handshake))
	}
	if got := values(readFields(t, capture, stream+" && http", "http.request.method", "http.response.code")); got != "GET\t,\t200" {
		t.Errorf("%s: HTTP %q, want the request and its answer", stream, got)
	}
	if got := values(readFields(t, capture, stream, "tls.alert_message.desc")); got != "0" {
		t.Errorf("%s: alerts %q, want close_notify", stream, got)
	}
}

// sorted sorts a list of numbers.
func sorted(list string) string {
	vs := strings.Split(list, ",")
	slices.Sort(vs)
	return strings.Join(vs, ",")
}

// Without a secret nothing is decrypted, so that the other tests show what ours
// do; and a checksum that is left partial is found bad.
func TestWithoutSecrets(t *testing.T) {
	steps := slices.DeleteFunc(recordTLS(t, tls.VersionTLS13), func(s step) bool { return s.secret != nil })
	b := capture(t, Config{}, func(l *link) {
		c := l.open()
		c.connect()
		c.play(steps)
		c.partial = true
		ip := c.packet(event.Server, event.RST, nil)
		c.partial = false
		c.pass(event.Server, c.id, ip)
	})
	if got := values(readFields(t, b, "", "tls.handshake.type")); got != "1,2" {
		t.Errorf("handshake messages %s without secrets, want the hellos", got)
	}
	if got := values(readFields(t, b, "tcp.flags.reset == 1", "tcp.checksum.status")); got != "0" {
		t.Errorf("checksum status %s, want 0, bad", got)
	}
}

// The head of the file names the writer and the interface, and the end counts
// the packets.
func TestSection(t *testing.T) {
	b := capture(t, Config{Device: "syn0", SnapLen: 200}, func(l *link) { l.open().connect() })
	path := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("capinfos", "-M", path).CombinedOutput()
	if err != nil {
		t.Fatalf("capinfos: %v\n%s", err, out)
	}
	for _, want := range []string{
		"Capture application: synscope", "Raw IP", "Name = syn0", "Capture length = 200", "nanoseconds",
		"Number of stat entries = 1", "Strict time order:   True", "who has it can decrypt",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("capinfos does not say %q:\n%s", want, out)
		}
	}
}

// Of a long packet the beginning is kept, with its length, and with the
// checksum of all of it.
func TestSnapLength(t *testing.T) {
	b := capture(t, Config{SnapLen: 60}, func(l *link) {
		c := l.open()
		c.partial = true
		c.connect()
		c.segment = 1448
		c.send(event.Client, event.ACK, make([]byte, 50_000))
	})
	got := readFields(t, b, "frame.number == 4", "frame.cap_len", "frame.len", "frame.comment")
	want := []string{"60\t50040\tsuper-packet: stands for segments of 1448 bytes of payload"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A reader of a pipe gets each packet while the connection is still open.
func TestLive(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := tshark(t, "-i", "-", "-l", "-T", "fields", "-e", "frame.number", "-e", "tls.handshake.type")
	cmd.Stdin = r
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := New(pipe, Config{Device: "syn0"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t, w)
	c := l.open()
	c.connect()
	steps := recordTLS(t, tls.VersionTLS13)
	c.play(steps)
	var types []string
	lines := bufio.NewScanner(stdout)
	for len(types) < int(l.frame) && lines.Scan() { // the Writer is open
		_, handshake, _ := strings.Cut(lines.Text(), "\t")
		types = append(types, handshake)
	}
	if got := sorted(values(types)); got != sorted(handshake13) {
		t.Errorf("live, handshake messages %s, want %s", got, handshake13)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("tshark: %v", err)
	}
}

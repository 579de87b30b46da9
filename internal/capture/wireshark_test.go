package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// run runs a program of Wireshark's and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	return string(out)
}

// A datagramOf is what both readers are asked about a packet.
type datagramOf struct {
	Number, Time, Src, Payload string // the last two only of whole UDP datagrams
}

// wiresharks returns what tshark finds in a file.
func wiresharks(t *testing.T, name string) (all []datagramOf) {
	t.Helper()
	out := run(t, "tshark", "-r", name, "-o", "ip.defragment:TRUE", "-o", "ipv6.defragment:TRUE", "-T", "fields",
		"-e", "frame.number", "-e", "frame.time_epoch", "-e", "udp.payload", "-e", "ip.src", "-e", "ipv6.src")
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		d := datagramOf{Number: f[0], Time: f[1], Payload: f[2]}
		if d.Payload != "" {
			d.Src = f[3] + f[4]
		}
		all = append(all, d)
	}
	return all
}

// ours returns what this package finds in it.
func ours(t *testing.T, name string) (all []datagramOf) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	items, _ := mustRead(t, b)
	for _, p := range packets(items) {
		d := datagramOf{Number: fmt.Sprint(p.Number)}
		if !p.Time.IsZero() {
			d.Time = fmt.Sprintf("%d.%09d", p.Time.Unix(), p.Time.Nanosecond())
		}
		if len(p.IP) > 0 {
			first := layers.LayerTypeIPv4
			if p.IP[0]>>4 == 6 {
				first = layers.LayerTypeIPv6
			}
			packet := gopacket.NewPacket(p.IP, first, gopacket.NoCopy)
			if udp, ok := packet.TransportLayer().(*layers.UDP); ok && len(udp.Payload) > 0 {
				d.Src, d.Payload = packet.NetworkLayer().NetworkFlow().Src().String(), hex.EncodeToString(udp.Payload)
			}
		}
		all = append(all, d)
	}
	return all
}

// agree checks that both readers find the same in a file, but for the times of
// some packets: tshark reads those of journal entries from their text.
func agree(t *testing.T, name string, untimed ...int) {
	t.Helper()
	got, want := ours(t, name), wiresharks(t, name)
	if len(want) == 0 {
		t.Errorf("%s: tshark finds no packet", name)
	}
	for _, n := range untimed {
		want[n-1].Time = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-tshark +ours):\n%s", filepath.Base(name), diff)
	}
}

// text2pcap makes a pcapng file of frames, ten seconds apart.
func text2pcap(t *testing.T, dir string, linkType uint16, frames [][]byte) (name string) {
	t.Helper()
	var text bytes.Buffer
	for i, f := range frames {
		fmt.Fprintf(&text, "%d.123456\n000000", 1772600000+10*i)
		for _, c := range f {
			fmt.Fprintf(&text, " %02x", c)
		}
		text.WriteByte('\n')
	}
	name = filepath.Join(dir, fmt.Sprintf("link%d.pcapng", linkType))
	if err := os.WriteFile(name+".txt", text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "text2pcap", "-q", "-t", "%s.%f", "-l", fmt.Sprint(linkType), name+".txt", name)
	return name
}

// Files of Wireshark's tools hold for us what they hold for tshark: each link
// type by itself and all in one file, in each format, whole and cut.
func TestFilesOfWireshark(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	byLink := make(map[uint16][][]byte)
	for _, f := range frames {
		if f.name == "NULL, big-endian host" || f.name == "NULL, IPv6 of FreeBSD" {
			continue // tshark takes the host that it runs on
		}
		byLink[f.linkType] = append(byLink[f.linkType], append(unhex(f.header), f.ip...))
	}
	payload := udp(3000)
	for from := 0; from < len(payload); from += 1000 {
		to := min(from+1000, len(payload))
		byLink[linkRaw] = append(byLink[linkRaw], part4(9, payload, from, to), part6(9, payload, from, to))
		byLink[linkEthernet] = append(byLink[linkEthernet], append(unhex(macs+"0800"), part4(9, payload, from, to)...))
	}
	var all []string
	for linkType, frames := range byLink {
		all = append(all, text2pcap(t, dir, linkType, frames))
	}
	slices.Sort(all)
	ethernet := path("link1.pcapng")

	run(t, "mergecap", append([]string{"-a", "-w", path("appended.pcapng")}, all...)...)
	run(t, "mergecap", append([]string{"-w", path("merged.pcapng")}, all...)...)
	run(t, "editcap", "-F", "pcap", ethernet, path("micro.pcap"))
	run(t, "editcap", "-F", "nsecpcap", "-t", "0.000000789", ethernet, path("nano.pcap"))
	run(t, "editcap", "-s", "46", path("link113.pcapng"), path("snapped.pcapng"))
	for _, name := range []string{"appended.pcapng", "merged.pcapng", "micro.pcap", "nano.pcap", "snapped.pcapng"} {
		agree(t, path(name))
	}

	write := func(name string, b []byte) string {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	appended, err := os.ReadFile(path("appended.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	agree(t, write("appended.pcapng.gz", zip(appended)))
	agree(t, write("sections.pcapng", sections()), 5)
	ip := packet4(1, 0, udp(5))
	agree(t, write("big.pcap", newRecords(binary.BigEndian, magicNanosecond, linkRaw).packet(1e9, 123456789, ip).b))
}

// Secrets that editcap puts into a file come out of it.
func TestSecretsOfEditcap(t *testing.T) {
	dir := t.TempDir()
	lines := fmt.Sprintf("# SSL/TLS secrets log file\nCLIENT_RANDOM %064x %096x\nCLIENT_TRAFFIC_SECRET_0 %064x %064x\n", 1, 2, 3, 4)
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "secrets.pcapng")
	run(t, "editcap", "--inject-secrets", "tls,"+keys, text2pcap(t, dir, linkRaw, [][]byte{packet4(1, 0, udp(5))}), name)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	items, stats := mustRead(t, b)
	if len(items) != 2 || len(items[0].Secrets) != 2 || stats.MalformedSecrets != 0 {
		t.Fatalf("items %+v, %+v, want two secrets and the packet", items, stats)
	}
	if s := items[0].Secrets[1]; s.Label != "CLIENT_TRAFFIC_SECRET_0" || s.ClientRandom[31] != 3 || s.Secret[31] != 4 {
		t.Errorf("secret %+v", s)
	}
}

package integration

import (
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"synscope/event"
)

// dnsClient asks for the HTTPS record of a name over UDP, and for A over TCP,
// byte by byte, and prints code, number of answers and address.
const dnsClient = `
import socket, struct, sys
name = b"".join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split(".")) + b"\0"
def query(kind): return struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", kind, 1)
def show(m): print(m[3] & 15, struct.unpack(">H", m[6:8])[0], m[-4:].hex())
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(20)
udp.sendto(query(65), (sys.argv[2], 53))
show(udp.recv(2000))
tcp = socket.create_connection((sys.argv[2], 53))
tcp.sendall(struct.pack(">H", len(query(1))) + query(1))
f = tcp.makefile("rb")
show(f.read(struct.unpack(">H", f.read(2))[0]))
`

// Names resolve by libc and over both transports, whatever server is asked.
func TestRunNames(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		o := b.run("sh", "-c", "getent ahosts "+hostname+"; getent ahosts localhost; getent hosts $(getent ahostsv4 "+hostname+" | cut -d' ' -f1 | head -1)")
		for _, want := range []string{"2001:2::1:", "198.1", "STREAM " + hostname, "127.0.0.1"} {
			if o.status != 0 || !strings.Contains(o.stdout, want) {
				t.Errorf("status %#x, no %q:\n%s%s", int(o.status), want, o.stdout, o.stderr)
			}
		}
		for _, server := range []string{"198.18.0.1", "192.0.2.53"} {
			o := b.run("/usr/bin/python3", "-c", dnsClient, hostname, server)
			lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
			if o.status != 0 || len(lines) != 2 || !strings.HasPrefix(lines[0], "0 1 ") || !strings.HasPrefix(lines[1], "0 1 c61") {
				t.Errorf("asked of %s: status %#x, %q\n%s", server, int(o.status), lines, o.stderr)
			}
			if s := o.story(t); s[0].Body.(*event.Open).Server.Port() != 53 {
				t.Errorf("the connection is %s", s.open())
			}
		}
		// Plain HTTP has no name on the wire that the ladder could show.
		o = b.run("curl", "-sS", "-o", "/dev/null", "http://"+hostname+"/")
		if name := o.story(t)[0].Body.(*event.Open).Name; name != hostname {
			t.Errorf("conn.open: name %q", name)
		}
	})
}

// What is neither TCP nor DNS is refused, and told.
func TestRunUDP(t *testing.T) {
	asEachUser(t, func(t *testing.T, b *bench) {
		o := b.run("/usr/bin/python3", "-c", `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect(("192.0.2.7", 443))
s.send(b"QUIC?")
try:
	s.recv(1)
except ConnectionRefusedError:
	print("refused")
`)
		if o.stdout != "refused\n" {
			t.Errorf("it prints %q\n%s", o.stdout, o.stderr)
		}
		told := 0
		for _, e := range o.others {
			if u, ok := e.Body.(*event.Unreachable); ok && u.Dst == "192.0.2.7:443" && u.Answer == "icmp port unreachable" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("it is told %d times", told)
		}
	})
}

// The host's own loopback and its abstract sockets are not reachable.
func TestRunReachesNothingOfTheHost(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	name := "synscope-test-" + strconv.Itoa(tcp.Addr().(*net.TCPAddr).Port)
	abstract, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	const client = `
import socket, sys
for family, address in (socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))), (socket.AF_UNIX, "\0" + sys.argv[2]):
	try:
		socket.socket(family).connect(address)
		print("reached")
	except ConnectionRefusedError:
		print("refused")
`
	args := []string{"/usr/bin/python3", "-c", client, strings.TrimPrefix(tcp.Addr().String(), "127.0.0.1:"), name}
	if out, err := exec.Command(args[0], args[1:]...).Output(); string(out) != "reached\nreached\n" {
		t.Fatalf("without synscope: %q, %v", out, err)
	}
	for _, u := range users {
		if o := newBench(t, u).run(args...); o.stdout != "refused\nrefused\n" {
			t.Errorf("as %s: %q\n%s", u.name, o.stdout, o.stderr)
		}
	}
}

// Where /dev/net/tun is of no use there is a pair of interfaces, and where there
// can be no namespaces, one line says so.
func TestRunWithoutTUN(t *testing.T) {
	b := newBench(t, users[0])
	const hide = `mount --make-rprivate / && mount --bind /dev/null /dev/net/tun && `
	cmd := exec.Command("unshare", "-m", "sh", "-c", hide+"exec "+binary+" run --to mirror -- sh -c 'ls /sys/class/net; ip -o link show syn0; curl -sS -o /dev/null -w %{http_code} "+page+"'")
	cmd.Dir, cmd.Env = b.dir, b.environ()
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "syn0@syn0p") || !strings.HasSuffix(string(out), "200") {
		t.Errorf("%v\n%s", err, out)
	}
	// Whose own user is not known in its user namespace may not make another.
	cmd = exec.Command("unshare", "-U", binary, "run", "--", "true")
	cmd.Dir, cmd.Env = b.dir, b.environ()
	text, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 125 || !strings.HasPrefix(string(text), "synscope: sandbox: make the namespaces: operation not permitted\nhint: ") {
		t.Errorf("without namespaces: exit %d\n%s", code, text)
	}
}

package integration

import (
	"net"
	"strings"
	"testing"

	"synscope/event"
)

// datagramClient sends a datagram to each address, and prints what came back.
const datagramClient = `
import socket, sys
for a in sys.argv[1:]:
	host, port = a.rsplit(":", 1)
	family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
	s = socket.socket(family, kind)
	s.settimeout(20)
	s.connect(address)
	s.send(b"hello")
	try:
		print(a, s.recv(100).decode())
	except OSError as e:
		print(a, e.__class__.__name__)
`

// echoDatagrams answers datagrams with themselves, in a namespace, until the test ends.
func (l *lab) echoDatagrams(address string) {
	l.t.Helper()
	var c net.PacketConn
	var err error
	l.inside(func() { c, err = net.ListenPacket("udp", address) })
	if err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
	l.t.Cleanup(func() { c.Close(); <-done })
}

// Datagrams come to their destination and back, its refusal comes to the client,
// and each flow is told when it begins and when it ends.
func TestRunWorldUDP(t *testing.T) {
	o := newOutside(t)
	o.far.echoDatagrams(far4 + ":7")
	o.far.echoDatagrams("[" + far6 + "]:7")
	o.near.echoDatagrams("127.0.0.1:7")
	o.near.echoDatagrams("[::1]:7")
	o.asEachUser(t, func(t *testing.T, b *bench) {
		for _, c := range []struct {
			to, says string
			end      event.UDPEnd
		}{
			{hostname + ":7", "hello", event.UDPEnd{DatagramsServer: 1, BytesServer: 5}},
			{far4 + ":7", "hello", event.UDPEnd{DatagramsServer: 1, BytesServer: 5}},
			{far6 + ":7", "hello", event.UDPEnd{DatagramsServer: 1, BytesServer: 5}},
			{far4 + ":8", "ConnectionRefusedError", event.UDPEnd{Unreachable: 1}},
			{"192.0.2.8:7", "ConnectionRefusedError", event.UDPEnd{Unreachable: 1}}, // no route
		} {
			out := b.run("/usr/bin/python3", "-c", datagramClient, c.to)
			if out.stdout != c.to+" "+c.says+"\n" {
				t.Errorf("it prints %q, want %q\n%s", out.stdout, c.says, out.stderr)
			}
			var flows []*event.UDPFlow
			var ends []*event.UDPEnd
			for _, e := range out.others {
				switch u := e.Body.(type) {
				case *event.UDPFlow:
					flows = append(flows, u)
				case *event.UDPEnd:
					ends = append(ends, u)
				}
			}
			if len(flows) != 1 || len(ends) != 1 {
				t.Fatalf("%s: %d flows began, %d ended", c.to, len(flows), len(ends))
			}
			if named := flows[0].Name == hostname; named != strings.HasPrefix(c.to, hostname) {
				t.Errorf("%s: the server is told as %q", c.to, flows[0].Name)
			}
			c.end.DatagramsClient, c.end.BytesClient = 1, 5
			got := *ends[0]
			c.end.Client, c.end.Server, c.end.How, c.end.Error, c.end.Duration = flows[0].Client, flows[0].Server, got.How, got.Error, got.Duration
			if failed := c.to == "192.0.2.8:7"; got != c.end || (got.How == "failed") != failed || !failed && got.How != "shutdown" {
				t.Errorf("%s: it ended with %+v, want %+v", c.to, got, c.end)
			}
		}

		out := b.runFlags("--", "/usr/bin/python3", "-c", datagramClient, hostname+":7")
		for _, want := range []string{"> " + hostname + " (", ":7): forwarded as it is", "ended, shutdown: client 1 datagram, 5 bytes, server 1 datagram, 5 bytes"} {
			if !strings.Contains(strings.Join(strings.Fields(out.stderr), " "), want) { // lines are broken
				t.Errorf("the ladder has no %q:\n%s", want, out.stderr)
			}
		}
		out = b.runFlags("--block-udp", "--", "/usr/bin/python3", "-c", datagramClient, far4+":7")
		if out.stdout != far4+":7 ConnectionRefusedError\n" || !strings.Contains(out.stderr, "udp 198.18.0.2:") || strings.Contains(out.stderr, "forwarded") {
			t.Errorf("blocked, it prints %q\n%s", out.stdout, out.stderr)
		}
		out = b.runFlags("--host-loopback", "--", "/usr/bin/python3", "-c", datagramClient, "host.internal:7")
		if out.stdout != "host.internal:7 hello\n" || !strings.Contains(out.stderr, "> host.internal (") {
			t.Errorf("from the loopback of the host: %q\n%s", out.stdout, out.stderr)
		}
	})
}

package integration

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"synscope/event"
)

const (
	// lossTime is how long packets are lost at most.
	lossTime = 15 * time.Second
	// lossTimeout is when a client that saw loss is stuck.
	lossTimeout = 3 * time.Minute
)

// 30 % of the packets are lost, in both directions: TLS gets 200 KB through,
// and each retransmission that crosses the interface is told as one.
//
//	+-- client's namespace --+        +------------ the lab ------------+
//	|  client --- 192.0.2.2 --- veth --- forward --- syn0 --- synscope  |
//	+------------------------+        |     x          |                |
//	                                  |    nft      dumpcap             |
//	                                  +---------------------------------+
//
// The capture and the daemon see what the server sends, and what the client sends
// and is not lost. The client is on another host, as it were: a host notices
// when a packet is dropped within itself.
func TestLoss(t *testing.T) {
	t.Parallel()
	const conns, each = 4, 25_000 // bytes in each direction
	l := newLab(t, "--service", "echo", "--no-offload", "--time-wait", "60s", "--half-open-timeout", "3m", "--handshake-timeout", "3m")
	client := l.addClientNamespace()
	l.nft(`
		add table inet loss
		add chain inet loss forward { type filter hook forward priority 0; }
		add rule inet loss forward numgen random mod 100 < 30 drop
	`)
	config := l.tlsConfig()
	var clients sync.WaitGroup
	open := make(chan *tls.Conn, conns)
	for range conns {
		clients.Go(func() {
			conn, err := client.echoThroughLoss(config, each)
			if err != nil {
				t.Error(err)
				return
			}
			open <- conn
		})
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		clients.Wait()
	}()
	// One try in two fails, and each failure doubles the time to the next. So
	// the loss ends, at the latest, when most is through; and before the
	// closing, where a server that gets no answer in time resets.
	select {
	case <-all:
	case <-time.After(lossTime):
	}
	l.nft(`flush chain inet loss forward`)
	<-all
	close(open)
	for conn := range open {
		conn.SetDeadline(time.Now().Add(clientTimeout))
		if err := closeInOrder(conn); err != nil {
			t.Error(err)
		}
	}
	client.awaitNoSockets()
	l.awaitClose(conns)

	told := l.stories()
	if len(told) != conns {
		t.Errorf("%d connections told, want %d", len(told), conns)
	}
	sent := 0
	for _, s := range told {
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED
			tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
			tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`)
		s.wantRetransmitsCounted(t)
		l.judgeRetransmissions(s)
		sent += s.retransmits(event.Client)
	}
	if counted := client.retransmitted(); sent > counted {
		t.Errorf("%d retransmissions of the client's told, its kernel counts %d", sent, counted)
	}
	l.judge()
}

// echoThroughLoss sends n bytes and gets them back.
func (l *lab) echoThroughLoss(config *tls.Config, n int) (*tls.Conn, error) {
	raw, err := l.tryDial(netip.MustParseAddrPort(server4+":443"), lossTimeout)
	if err != nil {
		return nil, err
	}
	l.t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(lossTimeout))
	conn := tls.Client(raw, config)
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, n))
		sent <- err
	}()
	if got, err := io.CopyN(io.Discard, conn, int64(n)); err != nil {
		return nil, fmt.Errorf("received %d bytes, %v, want %d", got, err, n)
	}
	return conn, <-sent
}

// addClientNamespace makes a namespace whose route to the servers is the lab.
func (l *lab) addClientNamespace() *lab {
	l.t.Helper()
	c := newNamespace(l.t)
	l.must("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", c.ns)
	l.must("ip", "addr", "add", "192.0.2.1/24", "dev", "veth0")
	l.must("ip", "link", "set", "veth0", "up")
	l.must("sysctl", "-q", "net.ipv4.ip_forward=1")
	c.must("ip", "addr", "add", "192.0.2.2/24", "dev", "veth0")
	c.must("ip", "link", "set", "veth0", "up", "gso_max_segs", "1") // one segment a packet
	c.must("ip", "route", "add", "default", "via", "192.0.2.1")
	return c
}

// awaitNoSockets waits until the kernel of a namespace has ended its connections.
func (l *lab) awaitNoSockets() {
	l.t.Helper()
	left := ""
	for deadline := time.Now().Add(lossTimeout); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if left = l.run(nil, "ss", "-Htan").out; left == "" {
			return
		}
	}
	l.t.Fatalf("connections left after %v:\n%s", lossTimeout, left)
}

// retransmitted is how many segments the kernel of a namespace sent again.
func (l *lab) retransmitted() int {
	l.t.Helper()
	f := strings.Fields(l.run(nil, "nstat", "-asz", "TcpRetransSegs").out)
	if len(f) < 2 {
		l.t.Fatalf("nstat printed %q", f)
	}
	n, err := strconv.Atoi(f[len(f)-2])
	if err != nil {
		l.t.Fatalf("nstat printed %q", f)
	}
	return n
}

// wantRetransmitsCounted checks that conn.close counts the retransmissions that
// were told before it.
func (s story) wantRetransmitsCounted(t *testing.T) {
	t.Helper()
	told := uint64(0)
	for _, e := range s {
		switch b := e.Body.(type) {
		case *event.Segment:
			if b.Retransmit {
				told++
			}
		case *event.Close:
			if b.Retransmits != told {
				t.Errorf("conn.close of %s counts %d retransmissions, told were %d", s.open(), b.Retransmits, told)
			}
		}
	}
}

// judgeRetransmissions has tshark tell which segments are retransmissions, or out
// of order, where it cannot tell these two apart. It knows only what crossed
// the interface, as we do:
//
//   - a segment whose bytes have all crossed before is a retransmission, and both
//     must say so;
//   - one that brings a byte for the first time, behind others, fills a hole: it
//     was sent again or overtaken. We tell by its timestamp, and say nothing where
//     the sender's clock did not tick in between; tshark tells by the time and
//     the duplicate ACKs before it. What we call a retransmission, tshark
//     must call one, or out of order;
//   - any other is none.
func (l *lab) judgeRetransmissions(s story) {
	l.t.Helper()
	for _, from := range []event.Side{event.Client, event.Server} {
		judged, told := l.tsharkAnalysis(s, from), s.segments(from)
		if len(judged) != len(told) {
			l.t.Errorf("tshark saw %d segments of the %v in %s, told were %d", len(judged), from, s.open(), len(told))
			continue
		}
		crossed := make(map[int64]bool) // by relative sequence number
		for i, seg := range told {
			fresh := false
			for n := range end(seg) - seg.SeqRel {
				fresh = fresh || !crossed[seg.SeqRel+n]
				crossed[seg.SeqRel+n] = true
			}
			marked := judged[i] != ""
			again := end(seg) > seg.SeqRel && !fresh
			if again && !(seg.Retransmit && marked) || seg.Retransmit && !marked {
				l.t.Errorf("%s: segment %d of the %v, seq %d, len %d: crossed before %t, told as retransmitted %t, tshark: %q",
					s.open(), i, from, seg.SeqRel, seg.Len, again, seg.Retransmit, judged[i])
			}
			if from == event.Server && seg.Retransmit != again {
				l.t.Errorf("%s: segment %d of the server, seq %d, len %d: all that it sends crosses, so it was sent before or not: %t, told: %t",
					s.open(), i, seg.SeqRel, seg.Len, again, seg.Retransmit)
			}
		}
	}
}

// tsharkAnalysis returns what tshark makes of each segment of a side.
func (l *lab) tsharkAnalysis(s story, from event.Side) []string {
	l.t.Helper()
	o := s[0].Body.(*event.Open)
	filter := fmt.Sprintf("tcp.srcport == %d", o.Client.Port())
	if from == event.Server {
		filter = fmt.Sprintf("tcp.dstport == %d", o.Client.Port())
	}
	names := []string{"retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order"}
	args := []string{"-r", l.path("capture.pcapng"), "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, n := range names {
		args = append(args, "-e", "tcp.analysis."+n)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		l.t.Fatalf("tshark: %v", err)
	}
	var all []string
	for row := range strings.Lines(string(out)) {
		var marks []string
		for i, f := range strings.Split(strings.TrimSuffix(row, "\n"), "|") {
			if f != "" {
				marks = append(marks, names[i])
			}
		}
		all = append(all, strings.Join(marks, " "))
	}
	return all
}

package integration

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// 30 % of the packets are lost, in both directions: TLS gets its 200 KB through,
// and each retransmission that crosses the interface is told as one.
//
//	client --- x --- syn0 (TUN) --- synscope serve
//	         nft    |
//	             dumpcap: sees what the client loses no more, and what the
//	                      server loses still
func TestLoss(t *testing.T) {
	t.Parallel()
	const up, down = 150_000, 50_000
	l := newLab(t, "--service", fmt.Sprintf("chargen:%d", down))
	l.nft(`
		add table netdev loss
		add chain netdev loss sent { type filter hook egress device "syn0" priority 0; }
		add rule netdev loss sent numgen random mod 100 < 30 drop
		add table inet loss
		add chain inet loss received { type filter hook input priority 0; }
		add rule inet loss received iifname "syn0" numgen random mod 100 < 30 drop
	`)
	var raw net.Conn
	var err error
	l.inside(func() { raw, err = net.DialTimeout("tcp", server4+":443", 2*clientTimeout) })
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(2 * clientTimeout))
	conn := tls.Client(raw, l.tlsConfig())
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, up))
		sent <- err
	}()
	if n, err := io.CopyN(io.Discard, conn, down); err != nil {
		t.Fatalf("received %d bytes, %v, want %d", n, err, down)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	conn.CloseWrite()
	if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil {
		t.Errorf("then received %d bytes, %v, want EOF", n, err)
	}
	if n, err := raw.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("then received %d bytes, %v, want FIN", n, err)
	}
	raw.Close()
	l.awaitClose(1)

	s := l.story()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED
		tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
		tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`)
	told := s.retransmits(event.Client) + s.retransmits(event.Server)
	if c := s.wantClose(t, "fin", event.Server); c.Retransmits != uint64(told) || told == 0 {
		t.Errorf("conn.close counts %d retransmissions, told were %d", c.Retransmits, told)
	}
	l.judgeRetransmissions(s)
	l.judge()
}

// judgeRetransmissions has tshark tell which segments are retransmissions.
func (l *lab) judgeRetransmissions(s story) {
	l.t.Helper()
	var want []string
	for _, seg := range s.segments(event.Client) {
		want = append(want, fmt.Sprintf("seq %d ack %d len %d: %t", seg.SeqRel, seg.AckRel, seg.Len, seg.Retransmit))
	}
	_ = want
	for _, from := range []event.Side{event.Client, event.Server} {
		judged := l.tsharkAnalysis(s, from)
		segs := s.segments(from)
		if len(judged) != len(segs) {
			l.t.Fatalf("tshark saw %d segments of the %v, told were %d", len(judged), from, len(segs))
		}
		for i, seg := range segs {
			l.t.Logf("%v %d [%v] seq %d len %d: R=%t O=%t  %s", from, i, seg.Flags, seg.SeqRel, seg.Len, seg.Retransmit, seg.OutOfOrder, judged[i])
		}
	}
	_ = cmp.Diff
	_ = netip.Addr{}
}

// tsharkAnalysis returns what tshark makes of each segment of a side.
func (l *lab) tsharkAnalysis(s story, from event.Side) []string {
	l.t.Helper()
	o := s[0].Body.(*event.Open)
	port := o.Client.Port()
	if from == event.Server {
		port = o.Server.Port()
	}
	names := []string{"retransmission", "fast_retransmission", "spurious_retransmission", "rto", "out_of_order", "lost_segment", "keep_alive"}
	args := []string{"-r", l.path("capture.pcapng"), "-Y", fmt.Sprintf("tcp.srcport == %d", port), "-T", "fields", "-E", "separator=|"}
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

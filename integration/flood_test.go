package integration

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"synscope/event"
)

// 20,000 SYNs from addresses that do not exist, and a client that does: SYN
// cookies (RFC 4987, section 3.6) keep the port open for it.
//
//	spoofed 10.x.x.x --- \
//	                      syn0 (TUN) --- synscope serve
//	curl --------------- /
func TestSYNFlood(t *testing.T) {
	const flood = 20_000
	l := newNamespace(t)
	l.serve()
	l.nft(`
		add table inet flood
		add chain inet flood answers { type filter hook prerouting priority -300; }
		add rule inet flood answers iifname "syn0" ip daddr 10.0.0.0/8 drop
	`)
	if r := l.curl("https://" + hostname + "/"); r.code != 0 {
		t.Fatalf("curl before the flood: exit %d\n%s", r.code, r.out)
	}
	before := l.rss()

	half, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		l.flood(flood, half)
	}()
	<-half
	if r := l.curl("https://" + hostname + "/"); r.code != 0 {
		t.Errorf("curl during the flood: exit %d\n%s", r.code, r.out)
	}
	<-done
	if r := l.curl("https://" + hostname + "/"); r.code != 0 {
		t.Errorf("curl after the flood: exit %d\n%s", r.code, r.out)
	}
	if after := l.rss(); after > before+margin(100) {
		t.Errorf("%d MB resident after the flood, %d MB before", after, before)
	}
	full := l.txDropped()

	served, spoofed, how := 0, 0, make(map[string]int)
	for _, s := range l.stories() {
		o := s[0].Body.(*event.Open)
		ended := one[*event.Close](t, s).How
		if !spoofedNet.Contains(o.Client.Addr()) {
			if ended == "evicted" { // it sent its SYN again, later
				continue
			}
			served++
			halfOpen := " > SYN-RECEIVED"
			if s.segments(event.Server)[0].SYNCookie {
				halfOpen = "" // what the server knows is in the cookie
			}
			want := unindent(`
				tcp client  CLOSED > SYN-SENT > ESTABLISHED
				tcp server  LISTEN` + halfOpen + ` > ESTABLISHED
				tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
				tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`)
			if diff := cmp.Diff(want, s.opening()); diff != "" {
				t.Errorf("opening of %s (-want +got):\n%s", s.open(), diff)
			}
			continue
		}
		spoofed++
		how[ended]++
	}
	l.wantNoGap()
	if served != 3 {
		t.Errorf("%d connections of curl told, want 3", served)
	}
	if spoofed > flood || spoofed < flood-full {
		t.Errorf("%d spoofed connections told, want %d, of which %d did not get into the interface's queue", spoofed, flood, full)
	}
	if how["evicted"] == 0 {
		t.Errorf("they ended %v: none told as evicted, though they are more than the tracer follows", how)
	}
}

// txDropped is how many packets found no room in the interface's queue: what is
// sent faster than the daemon reads does not reach it.
func (l *lab) txDropped() int {
	l.t.Helper()
	out := l.run(nil, "cat", "/sys/class/net/syn0/statistics/tx_dropped").out
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// opening is the transitions without those of TCP after ESTABLISHED: curl and the
// server close at the same time, and who is first differs.
func (s story) opening() string {
	var b strings.Builder
	for line := range strings.Lines(s.transitions()) {
		if tcp, _, ok := strings.Cut(line, "ESTABLISHED"); ok {
			line = tcp + "ESTABLISHED\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

var spoofedNet = netip.MustParsePrefix("10.0.0.0/8")

// flood sends n SYNs for one port, and closes half at the half.
func (l *lab) flood(n int, half chan<- struct{}) {
	server := netip.MustParseAddrPort(server4 + ":443")
	fd, link := l.packetSocket(), l.linkAddress(server.Addr())
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		if i == n/2 {
			close(half)
		}
		// Each address once: the low bits count.
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(random.IntN(256)), byte(i >> 8), byte(i)}), uint16(1024+random.IntN(60000)))
		syn := packetOf(client, server, segment{flags: event.SYN, seq: random.Uint32(), window: rawWindow})
		for {
			err := unix.Sendto(fd, syn, 0, &link)
			if err == nil {
				break
			}
			if err != unix.ENOBUFS {
				l.t.Errorf("sending a SYN: %v", err)
				return
			}
			time.Sleep(time.Millisecond) // the interface's queue is full
		}
		if i%100 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

package integration

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"synscope/event"
)

// What is routed into the interface, but not served, is answered with ICMP: the
// client sees at once that nobody is there.
//
//	client --- syn0 (TUN) --- synscope serve, for 198.18.0.0/15 and 2001:2::/48
//	             ^
//	  routes of 203.0.113.0/24 and 2001:db8::/32
func TestAddressNotServed(t *testing.T) {
	for name, c := range map[string]struct{ route, server, answer string }{
		"IPv4": {"203.0.113.0/24", "203.0.113.5:80", "icmp net unreachable"},
		"IPv6": {"2001:db8::/32", "[2001:db8::5]:80", "icmp no route to destination"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.must("ip", "route", "add", c.route, "dev", "syn0")
			if _, err := l.tryDial(netip.MustParseAddrPort(c.server), clientTimeout); !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("connecting: %v, want %v", err, syscall.ENETUNREACH)
			}
			l.wantUnreachable("tcp", c.server, "address outside the served prefixes", c.answer)
			if all := l.stories(); len(all) != 0 {
				t.Errorf("%d connections told, want none: the first is\n%s", len(all), all[0].transitions())
			}
		})
	}
}

// There is no service for UDP: its ports are unreachable.
func TestUDP(t *testing.T) {
	bothVersions(t, func(t *testing.T, server netip.AddrPort) {
		l := newLab(t)
		var conn net.Conn
		var err error
		l.inside(func() { conn, err = net.Dial("udp", server.String()) })
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write([]byte("anybody?"))
		conn.SetDeadline(time.Now().Add(clientTimeout))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("reading: %v, want %v", err, syscall.ECONNREFUSED)
		}
		l.wantUnreachable("udp", server.String(), "no UDP service", "icmp port unreachable")
	})
}

// Every served address answers an ICMP echo request.
func TestPing(t *testing.T) {
	l := newLab(t)
	for _, server := range []string{server4, server6, "198.19.255.254", "2001:2:0:ffff::1"} {
		if r := l.run(nil, "ping", "-c", "2", "-i", "0.2", "-W", "10", server); r.code != 0 {
			t.Errorf("ping %s: exit %d\n%s", server, r.code, r.out)
		}
	}
	l.stop()
	if len(l.events) != 0 {
		t.Errorf("%d events told of echoes, want none", len(l.events))
	}
}

// wantUnreachable ends the daemon, which must have told of one packet so.
func (l *lab) wantUnreachable(protocol, dst, reason, answer string) {
	l.t.Helper()
	l.stop()
	n := 0
	for _, e := range l.events {
		u, ok := e.Body.(*event.Unreachable)
		if !ok {
			continue
		}
		n++
		if u.Protocol != protocol || u.Dst != dst || u.Reason != reason || u.Answer != answer {
			l.t.Errorf("told: %+v, want %s to %s: %s, answered with %s", u, protocol, dst, reason, answer)
		}
	}
	if n != 1 {
		l.t.Errorf("%d packets told as unreachable, want 1", n)
	}
}

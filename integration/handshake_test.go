package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// A handshakeCase is a full handshake of openssl s_client with a daemon of the
// service chargen: the server speaks first, and closes first.
type handshakeCase struct {
	name        string
	server      string   // its address; empty: server4
	flags       []string // of the daemon
	client      []string // arguments of s_client
	transitions string   // of TLS
	messages    string
	want        event.Established
}

func testHandshakes(t *testing.T, cases []handshakeCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.server == "" {
				c.server = server4
			}
			l := newTLSLab(t, append(c.flags, "--service", "chargen:100")...)
			l.openssl(c.server, c.client...)
			s := l.story()
			s.wantHandshake(t, c)
			s.wantClose(t, "fin", event.Server)
			l.judge()
		})
	}
}

// testResumed makes a connection and one that offers what the first left behind,
// over both IP versions.
func testResumed(t *testing.T, first, second handshakeCase) {
	t.Helper()
	for name, server := range map[string]string{"IPv4": server4, "IPv6": server6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t, "--service", "chargen:100")
			l.openssl(server, append(first.client, "-sess_out", l.path("session"))...)
			l.openssl(server, append(first.client, "-sess_in", l.path("session"))...)
			all := l.stories()
			if len(all) != 2 {
				t.Fatalf("%d connections, want 2", len(all))
			}
			all[0].wantHandshake(t, first)
			all[1].wantHandshake(t, second)
			l.judge()
		})
	}
}

// named returns the case under a name, for a server's address.
func (c handshakeCase) named(name, server string) handshakeCase {
	c.name, c.server = name, server
	return c
}

// wantHandshake compares what a story tells with the case.
func (s story) wantHandshake(t *testing.T, c handshakeCase) {
	t.Helper()
	s.wantTransitions(t, closedByServer+c.transitions)
	s.wantMessages(t, c.messages)
	s.wantEstablished(t, c.want)
}

// wantEstablished compares all but the fingerprints and the duration. The name
// is that of every client.
func (s story) wantEstablished(t *testing.T, want event.Established) {
	t.Helper()
	got := *one[*event.Established](t, s)
	got.JA3, got.JA4, got.Duration = "", "", 0
	want.ServerName = hostname
	if want.ClientAuth == "" {
		want.ClientAuth = "none"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tls.established of %s (-want +got):\n%s", s.open(), diff)
	}
	if failed := find[*event.Failed](s); len(failed) > 0 {
		t.Errorf("tls.failed of %s: %+v", s.open(), *failed[0])
	}
}

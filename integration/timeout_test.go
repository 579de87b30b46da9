package integration

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"synscope/event"
)

// The client sends a part of its ClientHello and then nothing: the server ends
// what does not become a handshake.
func TestHandshakeTimeout(t *testing.T) {
	l := newTLSLab(t, "--handshake-timeout", "1s")
	if out := l.exchange(clientHello(t)[:20]); out != "" {
		t.Errorf("the server sent %q to a part of a ClientHello", out)
	}
	s := l.story()
	s.wantTransitions(t, closedByServer+`
		tls client  START > FAILED
		tls server  START > FAILED`)
	s.wantMessages(t, "")
	f := s.wantFailed(t, event.Server, "handshake_timeout",
		"server closed the connection before any message, without an alert; only 20 bytes of the ClientHello came: the handshake timeout of 1s was over")
	if want := "the handshake timeout of 1s was over"; f.Error != want {
		t.Errorf("our endpoint says %q, want %q", f.Error, want)
	}
	l.judge()
}

// Nothing moves after the handshake: the server ends the session with
// close_notify, and then the connection.
func TestIdleTimeout(t *testing.T) {
	for _, service := range []string{"echo", "mirror"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t, "--service", service, "--idle-timeout", "1s")
			config := l.tlsConfig()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			l.goClient(l.dial(netip.MustParseAddrPort(server4+":443")), config)
			s := l.story()
			s.wantTransitions(t, closedByServer+tls13)
			s.wantMessages(t, messages13)
			steps := find[*event.TLSStep](s)
			if last := steps[len(steps)-1]; last.Step != "close" || last.Error != "nothing moved for 1s" {
				t.Errorf("the last step of our endpoint is %q, %q, want the reason for its close", last.Step, last.Error)
			}
			s.wantClose(t, "fin", event.Server)
			l.judge()
		})
	}
}

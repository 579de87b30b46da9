package integration

import (
	"strings"
	"testing"

	"synscope/event"
)

// curl fetches a page of the mirror, in one connection that it closes.
func (l *lab) curl(args ...string) run {
	l.t.Helper()
	return l.run(nil, "curl", append([]string{"-sS", "--max-time", "30", "--cacert", l.ca(),
		"--resolve", hostname + ":443:" + server4, "--http1.1", "-H", "Connection: close"}, args...)...)
}

func TestTLS13(t *testing.T) {
	l := newLab(t)
	r := l.curl("https://" + hostname + "/")
	if r.code != 0 || !strings.Contains(r.out, "ClientHello") {
		t.Fatalf("curl: exit %d, want the ladder of its own connection:\n%s", r.code, r.out)
	}
	s := l.story()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED
		tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
		tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`)
	s.wantMessages(t, `
		client client_hello
		server server_hello
		server change_cipher_spec
		server {encrypted_extensions}
		server {certificate}
		server {certificate_verify}
		server {finished}
		server {new_session_ticket}
		client change_cipher_spec
		client {finished}
		server {alert close_notify}
		client {alert close_notify}`)
	e := one[*event.Established](t, s)
	if e.Version != event.VersionTLS13 || e.ServerName != hostname || e.Resumed || e.ALPN != "http/1.1" {
		t.Errorf("established: %+v", e)
	}
	l.judge()
}

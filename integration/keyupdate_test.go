package integration

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synscope/event"
)

// The client goes on to its next application keys, alone or asking the server to
// do the same (RFC 8446, section 4.6.3). The request and the answer that follow
// under the new keys show that all three sides derived them: both endpoints, and
// the observer.
func TestKeyUpdate(t *testing.T) {
	for _, c := range []struct {
		name, command string // of s_client
		messages      string
		requested     []bool
	}{
		{"client alone", "k", "client {key_update}", []bool{false}},
		{"both", "K", "client {key_update}\nserver {key_update}", []bool{true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t)
			client := l.hold("openssl", append([]string{"s_client", "-connect", server4 + ":443",
				"-servername", hostname, "-CAfile", l.ca()}, sClient13...)...)
			client.until("Verify return code: 0 (ok)\n---")
			client.say(c.command)
			client.until("KEYUPDATE")
			client.say("GET / HTTP/1.1\r\nHost: " + hostname + "\r\nConnection: close\r\n\r")
			l.awaitStates(event.StateFinWait2, 1)
			if r := client.release(); r.code != 0 || !strings.Contains(r.out, "HTTP/1.1 200 OK") {
				t.Errorf("s_client: exit %d, want the answer of the mirror:\n%s", r.code, r.out)
			}
			l.awaitStates(event.StateClosed, 1)

			s := l.story()
			s.wantTransitions(t, closedByServer+tls13)
			const closed = "\nserver {alert close_notify}\nclient {alert close_notify}"
			s.wantMessages(t, strings.TrimSuffix(unindent(messages13), unindent(closed))+c.messages+closed)
			var requested []bool
			for _, m := range find[*event.Message](s) {
				if m.KeyUpdate != nil {
					requested = append(requested, m.KeyUpdate.UpdateRequested)
				}
			}
			if diff := cmp.Diff(c.requested, requested); diff != "" {
				t.Errorf("update_requested (-want +got):\n%s", diff)
			}
			l.judge()
		})
	}
}

package integration

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synscope/event"
)

// HTTP without TLS on the port of HTTPS: the mirror answers it too, with a story
// that has no TLS in it.
func TestPlainHTTP(t *testing.T) {
	l := newTLSLab(t)
	r := l.runHeld("curl", l.curlArgs("http://"+server4+":443/")...)
	if r.code != 0 || !strings.Contains(r.out, "ESTABLISHED") || strings.Contains(r.out, "ClientHello") {
		t.Fatalf("curl: exit %d, want the ladder of a connection without TLS:\n%s", r.code, r.out)
	}
	s := l.story()
	s.wantTransitions(t, closedByServer)
	s.wantMessages(t, "")
	if u := one[*event.Undecoded](t, s); u.Reason != "not tls" || !strings.HasPrefix(string(u.First), "GET / ") {
		t.Errorf("tls.undecoded: reason %q, first bytes %q", u.Reason, u.First)
	}
	if failed := find[*event.Failed](s); len(failed) > 0 {
		t.Errorf("tls.failed: %+v", *failed[0])
	}
	s.wantClose(t, "fin", event.Server)
	s.wantCause(t, "plain_http", "client sent HTTP in plain text to port 443, which is for TLS")
	l.judge()
}

// The mirror as JSON: the events of the very connection that the request came on,
// up to the request, the same as in the daemon's own output.
func TestMirrorJSON(t *testing.T) {
	for _, c := range []struct {
		name, url, transitions string
	}{
		{"TLS", "https://" + hostname + "/", tls13},
		{"plain", "http://" + server4 + "/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newTLSLab(t)
			r := l.runHeld("curl", l.curlArgs("-H", "Accept: application/json", c.url)...)
			var told story
			if err := json.Unmarshal([]byte(r.out), &told); err != nil {
				t.Fatalf("%v\n%s", err, r.out)
			}
			s := l.story()
			if len(told) == 0 || len(told) > len(s) {
				t.Fatalf("the mirror told %d events of %d", len(told), len(s))
			}
			if diff := cmp.Diff(s[:len(told)], told, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Errorf("the mirror tells otherwise (-daemon +mirror):\n%s", diff)
			}
			if request := find[*event.TLSStep](told); len(request) == 0 {
				t.Errorf("the mirror tells nothing of our endpoint in %d events", len(told))
			}
			s.wantTransitions(t, closedByServer+c.transitions)
			l.judge()
		})
	}
}

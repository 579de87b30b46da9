package integration

import (
	"strconv"
	"strings"
	"testing"

	"synscope/event"
)

// Many requests on some connections are all answered.
func TestRunWorldLoad(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	const conns = 50
	o.asEachUser(t, func(t *testing.T, b *bench) {
		out := b.run("h2load", "-n", "2000", "-c", strconv.Itoa(conns), page)
		if out.status != 0 || !strings.Contains(out.stdout, "2000 succeeded, 0 failed, 0 errored") {
			t.Errorf("status %#x\n%s%s", int(out.status), out.stdout, out.stderr)
		}
		if len(out.stories) != conns || len(out.legs) != conns {
			t.Errorf("%d connections, %d upstream legs are told, want %d of each", len(out.stories), len(out.legs), conns)
		}
	})
}

// Of many connections that are made at once none fails, and both legs of each are
// told in full.
func TestRunWorldManyAtOnce(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	const conns = 500
	o.asEachUser(t, func(t *testing.T, b *bench) {
		out := b.run("h2load", "-n", "500", "-c", "500", "-m", "1", page)
		if out.status != 0 || !strings.Contains(out.stdout, "500 succeeded, 0 failed, 0 errored, 0 timeout") {
			t.Fatalf("status %#x\n%s%s", int(out.status), out.stdout, out.stderr)
		}
		if len(out.stories) != conns || len(out.legs) != conns {
			t.Errorf("%d connections, %d upstream legs are told, want %d of each", len(out.stories), len(out.legs), conns)
		}
		for _, s := range out.stories {
			wantComplete(t, s)
		}
		have := make(map[uint64]bool) // a leg
		for _, s := range out.legs {
			have[s[0].Body.(*event.Open).UpstreamOf] = true
			if e := one[*event.Established](t, s); e.ServerName != hostname || e.ALPN != "h2" {
				t.Errorf("the leg's tls.established: server name %q, ALPN %q", e.ServerName, e.ALPN)
			}
			if end := one[*event.Close](t, s); end.Code != "" {
				t.Errorf("the leg ended by %q, %s: %s", end.How, end.Code, end.Cause)
			}
		}
		if len(have) != conns {
			t.Errorf("the legs are of %d connections, want %d", len(have), conns)
		}
		for _, e := range out.others {
			if gap, ok := e.Body.(*event.Gap); ok {
				t.Errorf("events are missing: %+v", gap)
			}
		}
	})
}

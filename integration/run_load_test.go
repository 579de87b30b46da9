package integration

import (
	"strings"
	"testing"

	"synscope/event"
)

// Under load nothing fails, and both legs of every connection are told in full:
// many requests on few connections, and one request on each of many that are made
// at once.
func TestRunWorldLoad(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	for _, c := range []struct {
		name                  string
		requests, connections string
		streams               string // of a connection at once
		want                  int    // connections
	}{
		{"requests", "2000", "20", "10", 20},
		{"connections", "500", "500", "1", 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.asEachUser(t, func(t *testing.T, b *bench) {
				out := b.run("h2load", "-n", c.requests, "-c", c.connections, "-m", c.streams, page)
				if want := c.requests + " succeeded, 0 failed, 0 errored, 0 timeout"; out.status != 0 || !strings.Contains(out.stdout, want) {
					t.Fatalf("status %#x, want 0 and %q:\n%s%s", int(out.status), want, out.stdout, out.stderr)
				}
				if len(out.stories) != c.want || len(out.legs) != c.want {
					t.Errorf("%d connections, %d legs, want %d of each", len(out.stories), len(out.legs), c.want)
				}
				for _, s := range out.stories {
					wantComplete(t, s)
				}
				of := make(map[uint64]bool) // connections that have a leg
				for _, s := range out.legs {
					of[s[0].Body.(*event.Open).UpstreamOf] = true
					if e := one[*event.Established](t, s); e.ServerName != hostname || e.ALPN != "h2" {
						t.Errorf("a leg's tls.established: server name %q, ALPN %q", e.ServerName, e.ALPN)
					}
					if end := one[*event.Close](t, s); end.Code != "" {
						t.Errorf("a leg ended by %q, %s: %s", end.How, end.Code, end.Cause)
					}
				}
				if len(of) != c.want {
					t.Errorf("the legs are of %d connections, want %d", len(of), c.want)
				}
				for _, e := range out.others {
					if g, ok := e.Body.(*event.Gap); ok {
						t.Errorf("events are missing: %+v", g)
					}
				}
			})
		})
	}
}

package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"synscope/event"
)

// Clients of all kinds fetch from servers of the world as if synscope were not
// there, trust what it shows them, and are told in full.
func TestRunWorldClients(t *testing.T) {
	o := newOutside(t)
	o.nginx()
	javaClass := filepath.Join(buildDir, "java")
	for _, c := range []struct {
		name    string
		command []string
		says    string
	}{
		{"curl", []string{"curl", "-sS", page}, "hello"},
		{"curl, IPv4", []string{"curl", "-4sS", page}, "hello"},
		{"curl, HTTP/1.1, by address", []string{"curl", "-sS", "--http1.1", "https://" + far4 + "/"}, "hello"},
		{"wget", []string{"wget", "-qO-", page}, "hello"},
		{"git", []string{"git", "ls-remote", page + "repo.git"}, "refs/heads/main"},
		{"Python", []string{"/usr/bin/python3", "-c", `import urllib.request; print(urllib.request.urlopen("` + page + `").status)`}, "200"},
		{"node", []string{"node", "-e", `require("https").get("` + page + `", {agent: false, headers: {Connection: "close"}}, (r) => { console.log(r.statusCode); r.resume() })`}, "200"},
		{"java", []string{"java", "-cp", javaClass, "Fetch", page}, "200"},
		{"Go", []string{filepath.Join(buildDir, "goclient"), page}, "200"},
		{"openssl s_client", []string{"openssl", "s_client", "-brief", "-verify_return_error", "-connect", hostname + ":443"}, "Verification: OK"},
		{"gnutls-cli", []string{"gnutls-cli", "--logfile=/dev/null", hostname}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.asEachUser(t, func(t *testing.T, b *bench) {
				out := b.run(c.command...)
				if out.status != 0 || !strings.Contains(out.stdout+out.stderr, c.says) {
					t.Fatalf("status %#x, want 0 and %q:\n%s%s", int(out.status), c.says, out.stdout, out.stderr)
				}
				for _, s := range out.stories {
					if strings.Contains(c.name, "by address") {
						one[*event.Established](t, s)
						continue
					}
					wantComplete(t, s)
				}
			})
		})
	}
}

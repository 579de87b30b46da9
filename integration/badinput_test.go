package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the user got wrong is said in one line, with what to do about it, and
// leaves nothing behind.
func TestBadInput(t *testing.T) {
	l := newNamespace(t)
	l.must("ip", "tuntap", "add", "taken", "mode", "tun")
	l.must("ip", "tuntap", "add", "other", "mode", "tun")
	l.must("ip", "addr", "add", "198.18.0.1/32", "dev", "other")
	write := func(name, content string, mode os.FileMode) string {
		path := l.path(name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("file", "", 0o600)
	readable := write("readable", "", 0o644)
	unknownKey := write("key.yaml", "tun:\n  mut: 9000\n", 0o644)
	wrongType := write("type.yaml", "timeouts:\n  idle: soon\n", 0o644)
	service := write("service.yaml", "services:\n  - port: 80\n    service: gopher\n", 0o644)
	serve := func(args ...string) []string {
		return append([]string{"serve", "--state-dir", l.state, "--address", "192.0.2.1/24"}, args...)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"unknown command":       {[]string{"sevre"}, 2, ``},
		"no command":            {nil, 2, ``},
		"unknown flag":          {serve("--prot", "80"), 2, ``},
		"argument":              {serve("now"), 2, ``},
		"malformed prefix":      {serve("--address", "198.18.0.1/40"), 2, ``},
		"MTU":                   {serve("--mtu", "5"), 2, ``},
		"MTU not a number":      {serve("--mtu", "big"), 2, ``},
		"duration":              {serve("--idle-timeout", "30"), 2, ``},
		"service":               {serve("--service", "gopher"), 2, ``},
		"user":                  {serve("--user", "nosuchuser"), 2, ``},
		"taken name":            {serve("--tun", "taken"), 1, ``},
		"long name":             {serve("--tun", "sixteen-byte-name"), 2, ``},
		"taken address":         {[]string{"serve", "--state-dir", l.state}, 1, ``},
		"events not writable":   {serve("--events", filepath.Join(l.dir, "none", "events")), 1, ``},
		"key log not writable":  {serve("--keylog", filepath.Join(l.dir, "none", "keys")), 1, ``},
		"key log readable":      {serve("--keylog", readable), 1, ``},
		"state dir is a file":   {[]string{"serve", "--state-dir", file}, 1, ``},
		"no configuration":      {serve("--config", l.path("none.yaml")), 2, ``},
		"unknown key":           {serve("--config", unknownKey), 2, ``},
		"wrong type":            {serve("--config", wrongType), 2, ``},
		"unknown service in it": {serve("--config", service), 2, ``},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.run(nil, binary, c.args...)
			got := strings.ReplaceAll(r.out, l.dir, "DIR")
			if r.code != c.code || got != unindent(c.want) {
				t.Errorf("exit %d, want %d:\n%swant:\n%s", r.code, c.code, got, unindent(c.want))
			}
			l.wantLinks("lo", "taken", "other")
		})
	}
}

// Without the privilege to make an interface it is said which one is missing.
func TestNoPrivilege(t *testing.T) {
	l := newNamespace(t)
	if err := os.Chmod(binary, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(l.state, 0o777); err != nil { // and to be written by anyone
		t.Fatal(err)
	}
	if err := os.Chmod(l.state, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	r := l.run(nil, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary, "serve", "--state-dir", l.state)
	const want = ``
	if got := strings.ReplaceAll(r.out, l.dir, "DIR"); r.code != 1 || got != unindent(want) {
		t.Errorf("exit %d, want 1:\n%swant:\n%s", r.code, got, unindent(want))
	}
	l.wantLinks("lo")
}

// wantLinks checks which interfaces the namespace has.
func (l *lab) wantLinks(want ...string) {
	l.t.Helper()
	var got []string
	for line := range strings.Lines(l.run(nil, "ip", "-br", "link").out) {
		name, _, _ := strings.Cut(line, " ")
		got = append(got, name)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			l.t.Errorf("interfaces %q, want %q", got, want)
			return
		}
	}
}

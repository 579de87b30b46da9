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
		return append([]string{"serve", "--control", "none", "--state-dir", l.state, "--address", "192.0.2.1/24"}, args...)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string // in place of the lab's directory: DIR
	}{
		"unknown command": {[]string{"sevre"}, 2, `
			synscope: unknown command "sevre"
			hint: synscope --help shows what there is`},
		"no command": {nil, 2, `
			synscope: no command given
			hint: synscope --help lists them`},
		"unknown flag": {serve("--prot", "80"), 2, `
			synscope: unknown flag: --prot
			hint: synscope serve --help lists the flags`},
		"argument": {serve("now"), 2, `
			synscope: unknown argument "now"
			hint: synscope serve --help shows what there is`},
		"malformed prefix": {serve("--address", "198.18.0.1/40"), 2, `
			synscope: invalid argument "198.18.0.1/40" for "--address" flag: want an address or a prefix such as 198.18.0.0/15 or 2001:2::/48
			hint: synscope serve --help lists the flags`},
		"MTU": {serve("--mtu", "5"), 2, `
			synscope: --mtu: want 576 to 65535, not 5`},
		"MTU not a number": {serve("--mtu", "big"), 2, `
			synscope: invalid argument "big" for "--mtu" flag: want an integer
			hint: synscope serve --help lists the flags`},
		"duration": {serve("--idle-timeout", "30"), 2, `
			synscope: invalid argument "30" for "--idle-timeout" flag: want a duration such as 30s or 5m; did you mean "30s"?
			hint: synscope serve --help lists the flags`},
		"service": {serve("--service", "gopher"), 2, `
			synscope: --service: unknown service "gopher": it is one of mirror, echo, discard, chargen and chargen:BYTES`},
		"user": {serve("--user", "nosuchuser"), 2, `
			synscope: there is no user "nosuchuser": create it (useradd --system nosuchuser), or name another`},
		"taken name": {serve("--tun", "taken"), 1, `
			synscope: tun: create: interface taken: an interface of this name exists: TUNSETIFF: device or resource busy
			hint: choose another name: an interface that is already there is never taken over or removed`},
		"long name": {serve("--tun", "sixteen-byte-name"), 2, `
			synscope: --tun: want an interface name of 1 to 15 bytes without /, :, % and spaces, not "sixteen-byte-name"`},
		"taken address": {[]string{"serve", "--control", "none", "--state-dir", l.state}, 1, `
			synscope: tun: add address 198.18.0.1/15: interface syn0: 198.18.0.1 is already an address of interface other: address already in use
			hint: give another address, or remove it there`},
		"capture exists": {serve("--pcap", file), 1, `
			synscope: capture file DIR/file: file exists
			hint: give another name, or remove it`},
		"capture and events on stdout": {serve("--pcap", "-"), 2, `
			synscope: --pcap: the standard output takes either packets or events; write the events to a file, with --events FILE`},
		"events not writable": {serve("--events", filepath.Join(l.dir, "none", "events")), 1, `
			synscope: events DIR/none/events: no such file or directory
			hint: give a file in a directory that you can write to, or - for the standard output`},
		"key log not writable": {serve("--keylog", filepath.Join(l.dir, "none", "keys")), 1, `
			synscope: key log DIR/none/keys: no such file or directory
			hint: give a file in a directory that you can write to`},
		"key log readable": {serve("--keylog", readable), 1, `
			synscope: key log DIR/readable: mode is 0644: others can read the secrets
			hint: chmod 600 DIR/readable`},
		"state dir is a file": {[]string{"serve", "--control", "none", "--state-dir", file}, 1, `
			synscope: state directory DIR/file: not a directory
			hint: give a directory that can be written with --state-dir`},
		"no configuration": {serve("--config", l.path("none.yaml")), 2, `
			synscope: configuration: open DIR/none.yaml: no such file or directory`},
		"unknown key": {serve("--config", unknownKey), 2, `
			synscope: DIR/key.yaml:2:3: tun: unknown key "mut"; did you mean "mtu"?`},
		"wrong type": {serve("--config", wrongType), 2, `
			synscope: DIR/type.yaml:2:9: timeouts.idle: want a duration such as 30s or 5m, not "soon"`},
		"unknown service in it": {serve("--config", service), 2, `
			synscope: DIR/service.yaml:3:14: services[0].service: unknown service "gopher": it is one of mirror, echo, discard, chargen and chargen:BYTES`},
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
	r := l.run(nil, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary, "serve", "--control", "none", "--state-dir", l.state)
	const want = `
		synscope: tun: create: interface syn0: open /dev/net/tun: permission denied
		hint: run as root, or let this user open /dev/net/tun; in a container, allow it with: --device /dev/net/tun`
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

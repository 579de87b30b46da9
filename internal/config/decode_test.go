package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseErrors(t *testing.T) {
	for _, test := range []struct {
		name, file string
		want       string // every line of the error
	}{
		{"unknown key", "service: mirror\nservise: echo\n",
			`f.yaml:2:1: unknown key "servise"; did you mean "service"?`},
		{"unknown key in a section", "tun:\n  name: syn0\n  mut: 9000\n",
			`f.yaml:3:3: tun: unknown key "mut"; did you mean "mtu"?`},
		{"a flag's name for a key", "state-dir: /tmp\n",
			`f.yaml:1:1: unknown key "state-dir"; did you mean "state_dir"?`},
		{"unknown key, nothing near", "tls:\n  colour: red\n",
			`f.yaml:2:3: tls: unknown key "colour"`},
		{"unknown key in a rule", "services:\n  - sevrer_name: a.example\n",
			`f.yaml:2:5: services[0]: unknown key "sevrer_name"; did you mean "server_name"?`},
		{"key given twice", "service: a\nservice: b\n",
			`f.yaml:2:1: mapping key "service" already defined at [1:1]`},

		{"text for a section", "tun: syn0\n",
			`f.yaml:1:6: tun: want a mapping, not "syn0"`},
		{"list for a section", "tun: [syn0]\n",
			`f.yaml:1:6: tun: want a mapping, not a list`},
		{"text for the file", "mirror\n",
			`f.yaml:1:1: want a mapping, not "mirror"`},
		{"mapping for a list", "tun:\n  addresses:\n    v4: 198.18.0.1/15\n",
			`f.yaml:3:5: tun.addresses: want a list, not a mapping`},
		{"text for a list of rules", "services: mirror\n",
			`f.yaml:1:11: services: want a list, not "mirror"`},
		{"list for a number", "tun:\n  mtu: [1500]\n",
			`f.yaml:2:8: tun.mtu: want one value, not a list`},
		{"mapping for text", "service:\n  name: mirror\n",
			`f.yaml:2:3: service: want one value, not a mapping`},
		{"nothing for text", "service:\n",
			`f.yaml:1:10: service: want one value, not nothing`},
		{"text for a number", "tun:\n  mtu: jumbo\n",
			`f.yaml:2:8: tun.mtu: want an integer, not "jumbo"`},
		{"fraction for a number", "tun:\n  mtu: 1500.7\n",
			`f.yaml:2:8: tun.mtu: want an integer, not "1500.7"`},
		{"number out of 64 bits", "limits: {connections: 99999999999999999999}\n",
			`f.yaml:1:23: limits.connections: want an integer, not "99999999999999999999"`},
		{"yes for a boolean", "output:\n  explain: yes\n",
			`f.yaml:2:12: output.explain: want true or false, not "yes"`},

		{"duration without a unit", "timeouts:\n  idle: 30\n",
			`f.yaml:2:9: timeouts.idle: want a duration such as 30s or 5m, not "30"; did you mean "30s"?`},
		{"bad duration", "timeouts:\n  idle: soon\n",
			`f.yaml:2:9: timeouts.idle: want a duration such as 30s or 5m, not "soon"`},
		{"bad prefix", "tun:\n  addresses: [198.18.0.1/15, 198.18.0.1/33]\n",
			`f.yaml:2:30: tun.addresses[1]: want an address or a prefix such as 198.18.0.0/15 or 2001:2::/48, not "198.18.0.1/33"`},
		{"address with a zone", "services:\n- prefix: fe80::1%eth0\n  service: mirror\n",
			`f.yaml:2:11: services[0].prefix[0]: want an address or a prefix such as 198.18.0.0/15 or 2001:2::/48, not "fe80::1%eth0"`},
		{"IPv4-mapped address", "accept:\n- prefix: ::ffff:198.18.0.1\n  policy: refuse\n",
			`f.yaml:2:11: accept[0].prefix[0]: want an IPv4 address in dotted form, not "::ffff:198.18.0.1"; the stack never sees IPv4-mapped addresses`},
		{"port 0", "accept:\n- port: 0\n  policy: refuse\n",
			`f.yaml:2:9: accept[0].port[0]: want a port from 1 to 65535, or a range such as 8000-8999, not "0"`},
		{"ports in the wrong order", "accept:\n- port: [1, 90-80]\n  policy: refuse\n",
			`f.yaml:2:13: accept[0].port[1]: want a port from 1 to 65535, or a range such as 8000-8999, not "90-80"`},
		{"unknown policy", "accept:\n- policy: reject\n",
			`f.yaml:2:11: accept[0].policy: want a policy (accept, refuse, silence), not "reject"`},
		{"unknown format", "output: {format: xml}\n",
			`f.yaml:1:18: output.format: want a format (ladder, json), not "xml"`},
		{"unknown TLS version", "tls:\n  min: 1.4\n",
			`f.yaml:2:8: tls.min: want a TLS version (1.0, 1.1, 1.2, 1.3), not "1.4"`},
		{"unknown client authentication", "tls:\n  client_auth: optional\n",
			`f.yaml:2:16: tls.client_auth: want a client authentication (none, request, require, verify), not "optional"`},
		{"unknown key type", "tls:\n  keys: [ecdsa, ed25519]\n",
			`f.yaml:2:17: tls.keys[1]: want a key type (ecdsa, rsa), not "ed25519"`},
		{"unknown cipher suite", "tls:\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265]\n",
			`f.yaml:2:19: tls.cipher_suites[0]: want a cipher suite of crypto/tls, not "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265"; did you mean "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"?`},
		{"cipher suite of TLS 1.3", "tls:\n  cipher_suites: TLS_AES_128_GCM_SHA256\n",
			`f.yaml:2:18: tls.cipher_suites[0]: want a cipher suite of TLS 1.2 or older, not "TLS_AES_128_GCM_SHA256"; crypto/tls does not let those of TLS 1.3 be chosen`},
		{"unknown group", "tls:\n  groups: [X25519]\n",
			`f.yaml:2:12: tls.groups[0]: want a group of crypto/tls, not "X25519"; did you mean "x25519"?`},
		{"bad server name", "services:\n- server_name: a..example\n  service: mirror\n",
			`f.yaml:2:16: services[0].server_name[0]: want a DNS name, or *. and a DNS name, not "a..example"`},
		{"asterisk inside", "services:\n- server_name: \"a.*.example\"\n  service: mirror\n",
			`f.yaml:2:16: services[0].server_name[0]: want a DNS name, or *. and a DNS name, not "a.*.example"`},
		{"every error is told, in order", "tls:\n  min: 9\ntun:\n  mtu: x\nfoo: 1\n",
			"f.yaml:2:8: tls.min: want a TLS version (1.0, 1.1, 1.2, 1.3), not \"9\"\n" +
				"f.yaml:4:8: tun.mtu: want an integer, not \"x\"\n" +
				"f.yaml:5:1: unknown key \"foo\""},

		{"asterisk without quotes", "services:\n- server_name: *.example.com\n",
			`f.yaml:2:16: aliases are not supported; quote a value that begins with *, as in "*.example.com"`},
		{"anchor", "service: &s mirror\n",
			`f.yaml:1:10: anchors are not supported; repeat the value`},
		{"tag", "service: !!str mirror\n",
			`f.yaml:1:10: tags and directives are not supported`},
		{"second document", "service: mirror\n---\nservice: echo\n",
			`f.yaml:2:1: more than one document`},
		{"open bracket", "tls:\n  keys: [rsa\n",
			`f.yaml:2:9: sequence end token ']' not found`},
		{"open quote", "service: \"mirror\n",
			`f.yaml:1:10: could not find end character of double-quoted text`},
		{"not UTF-8", "# caf\xe9\n",
			`f.yaml:1:6: not UTF-8`},
		{"deep brackets", strings.Repeat("[", 1<<16),
			`f.yaml:1:9: nested more than 8 deep`},
		{"deep list", strings.Repeat("- ", 1<<16),
			`f.yaml:1:17: nested more than 8 deep`},
		{"a long value is cut", "tun:\n  mtu: " + strings.Repeat("9", 1000) + "x\n",
			`f.yaml:2:8: tun.mtu: want an integer, not "` + strings.Repeat("9", 60) + `"…`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(test.file))
			wantErrors(t, err, test.want)
		})
	}
}

// wantErrors holds err, which must be an Errors, against every line of it.
func wantErrors(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want:\n%s", want)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	var all Errors
	if !errors.As(err, &all) {
		t.Errorf("the error is a %T, not an Errors", err)
	}
}

func TestParseBounds(t *testing.T) {
	entries := func(n int) []byte {
		return []byte("tls:\n  alpn:\n" + strings.Repeat("  - a\n", n))
	}
	if c, err := Parse("f.yaml", entries(MaxEntries)); err != nil || len(c.TLS.ALPN) != MaxEntries {
		t.Errorf("a list of %d entries: %v", MaxEntries, err)
	}
	_, err := Parse("f.yaml", entries(MaxEntries+1))
	wantErrors(t, err, "f.yaml:3:3: tls.alpn: more than 1024 entries")

	_, err = Parse("f.yaml", entries(maxTokens))
	wantErrors(t, err, "f.yaml:16385:3: more than 32768 tokens")

	comment := append([]byte("# "), make([]byte, MaxFileSize)...)
	for i := 2; i < len(comment); i++ {
		comment[i] = 'x'
	}
	if _, err := Parse("f.yaml", comment[:MaxFileSize]); err != nil {
		t.Errorf("a file of %d bytes: %v", MaxFileSize, err)
	}
	_, err = Parse("f.yaml", comment[:MaxFileSize+1])
	wantErrors(t, err, "f.yaml: larger than 1048576 bytes")

	// No more than 20 errors are told.
	_, err = Parse("f.yaml", []byte("tls:\n  keys:\n"+strings.Repeat("  - dsa\n", 100)))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "f.yaml: and 80 more errors" {
		t.Errorf("100 errors give %d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}

// A "billion laughs": nine aliases of nine aliases of … of a word.
func TestAliasBombIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for c := 'b'; c <= 'i'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 8), c-1)
	}
	_, err := Parse("bomb.yaml", []byte(b.String()))
	wantErrors(t, err, "bomb.yaml:1:4: anchors are not supported; repeat the value")
}

func TestParseSpellings(t *testing.T) {
	const want = "tun:\n  name: \"syn7\"\n  addresses: [\"10.9.0.1/16\"]\ntls:\n  min: \"1.0\"\n"
	for name, file := range map[string]string{
		"no quotes":         "tun:\n  name: syn7\n  addresses:\n    - 10.9.0.1/16\ntls:\n  min: 1.0\n",
		"one for a list":    "tun: {name: syn7, addresses: 10.9.0.1/16}\ntls: {min: 1.0}\n",
		"other quotes":      "tun: {name: 'syn7', addresses: ['10.9.0.1/16']}\ntls: {min: '1.0'}\n",
		"empty sections":    "tun: {name: syn7, addresses: 10.9.0.1/16}\nlimits:\ntls: {min: 1.0}\nservices:\n",
		"document markers":  "---\ntun: {name: syn7, addresses: 10.9.0.1/16}\ntls: {min: 1.0}\n",
		"Windows line ends": "tun:\r\n  name: syn7\r\n  addresses:\r\n    - 10.9.0.1/16\r\ntls:\r\n  min: 1.0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("f.yaml", []byte(file))
			if err != nil {
				t.Fatal(err)
			}
			reference, err := Parse("want.yaml", []byte(want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(reference, got, sameConfig); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEmptyFileIsDefault(t *testing.T) {
	for _, file := range []string{"", "\n", "# nothing\n", "---\n", "{}\n"} {
		c, err := Parse("f.yaml", []byte(file))
		if err != nil {
			t.Errorf("%q: %v", file, err)
			continue
		}
		if diff := cmp.Diff(Default(), c, sameConfig); diff != "" {
			t.Errorf("%q (-default +got):\n%s", file, diff)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.yaml")
	if _, err := Load(missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}

	// What Load returns is valid, not only well formed.
	path := filepath.Join(dir, "synscope.yaml")
	write(t, path, "tun:\n  mtu: 12\n")
	_, err := Load(path)
	wantErrors(t, err, path+":2:8: tun.mtu: want 1280 to 65535, not 12")

	write(t, path, strings.Repeat("#", 2*MaxFileSize))
	_, err = Load(path)
	wantErrors(t, err, path+": larger than 1048576 bytes")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	for _, seed := range []string{
		"", "tun:\n  mtu: 1500\n", "tls: {min: 1.2, keys: [rsa]}\n", "services:\n- server_name: \"*.a\"\n  service: x\n",
		"a: &a [*a]\n", "<<: {}\n", "? a\n: b\n", "- - - a\n", "service: |\n  x\n", "{", "[", "\"", "%YAML 1.2\n---\n", "a: 1\n---\nb: 2\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f.yaml", data)
		if err != nil {
			var all Errors
			if !errors.As(err, &all) || len(all) == 0 {
				t.Fatalf("the error is a %T: %v", err, err)
			}
			for _, e := range all {
				if e.File != "f.yaml" || e.Msg == "" || strings.ContainsAny(e.Error(), "\n\r\x1b") {
					t.Errorf("bad error %#v", e)
				}
			}
			return
		}
		if err := c.Validate(); err != nil && !errors.As(err, new(Errors)) {
			t.Errorf("the error of Validate is a %T: %v", err, err)
		}
	})
}

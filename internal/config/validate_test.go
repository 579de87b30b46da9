package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestValidateErrors(t *testing.T) {
	for _, test := range []struct {
		name, file string
		want       string // every line of the error
	}{
		{"MTU below IPv6's", "tun:\n  mtu: 1279\n",
			`f.yaml:2:8: tun.mtu: want 1280 to 65535, not 1279`},
		{"MTU below IPv4's", "tun:\n  mtu: 575\n  addresses: 10.9.0.1/16\n",
			`f.yaml:2:8: tun.mtu: want 576 to 65535, not 575`},
		{"long interface name", "tun:\n  name: sixteen-letters-\n",
			`f.yaml:2:9: tun.name: want an interface name of 1 to 15 bytes without /, :, % and spaces, not "sixteen-letters-"`},
		{"interface name pattern", "tun:\n  name: syn%d\n",
			`f.yaml:2:9: tun.name: want an interface name of 1 to 15 bytes without /, :, % and spaces, not "syn%d"`},
		{"no address", "tun:\n  addresses: []\n",
			`f.yaml:2:14: tun.addresses: want at least one address`},
		{"address without prefix", "tun:\n  addresses: 198.18.0.1\n",
			`f.yaml:2:14: tun.addresses[0]: want the host's address and the prefix served behind it, such as 198.18.0.1/15, not 198.18.0.1/32`},
		{"prefix without address", "tun:\n  addresses: 198.18.0.0/15\n",
			`f.yaml:2:14: tun.addresses[0]: want the address of the host in the prefix, not that of the prefix, 198.18.0.0/15; did you mean "198.18.0.1/15"?`},
		{"all addresses there are", "tun:\n  addresses: 198.18.0.1/0\n",
			`f.yaml:2:14: tun.addresses[0]: want a prefix that can be routed to the interface, not 198.18.0.1/0; take a prefix for tests, such as 198.18.0.1/15 (RFC 2544) or 2001:2::1/48 (RFC 5180)`},
		{"loopback", "tun:\n  addresses: 127.0.0.1/8\n",
			`f.yaml:2:14: tun.addresses[0]: want a prefix that can be routed to the interface, not 127.0.0.1/8; take a prefix for tests, such as 198.18.0.1/15 (RFC 2544) or 2001:2::1/48 (RFC 5180)`},
		{"overlapping addresses", "tun:\n  addresses:\n  - 10.9.0.1/16\n  - 10.9.8.1/24\n",
			`f.yaml:4:5: tun.addresses[1]: 10.9.8.1/24 overlaps 10.9.0.1/16`},
		{"empty service", "service: \"\"\n",
			`f.yaml:1:10: service: want the name of a service, not ""`},
		{"no state directory", "state_dir: \"\"\n",
			`f.yaml:1:12: state_dir: want a directory`},
		{"path with a newline", "state_dir: \"/a\\nb\"\n",
			`f.yaml:1:12: state_dir: want a path of at most 4095 bytes without control characters, not "/a\nb"`},
		{"user with a colon", "user: a:b\n",
			`f.yaml:1:7: user: want the name of a user, not "a:b"`},
		{"socket path of 108 bytes", "control: /" + strings.Repeat("x", 107) + "\n",
			`f.yaml:1:10: control: want a path of at most 107 bytes, as those of sockets, not 108`},
		{"history of nothing", "limits: {history: -1, history_bytes: 0}\n",
			"f.yaml:1:19: limits.history: want 0 to 1000000, not -1\n" +
				`f.yaml:1:38: limits.history_bytes: want 1048576 to 1099511627776, not 0`},
		{"no events", "output:\n  events: \"\"\n",
			`f.yaml:2:11: output.events: want a file, - for the standard output, or none`},
		{"key log to the standard output", "output: {events: e.json, keylog: \"-\"}\n",
			`f.yaml:1:34: output.keylog: want a file: secrets are not written to the standard output`},
		{"key log into the events", "output: {events: a, keylog: a}\n",
			`f.yaml:1:29: output.keylog: want another file than output.events`},
		{"packets and events to the standard output", "output: {pcap: \"-\"}\n",
			`f.yaml:1:16: output.pcap: the standard output takes either packets or events; write the events to a file, with --events FILE`},
		{"packets into the events", "output: {events: a, pcap: a}\n",
			`f.yaml:1:27: output.pcap: want another file than output.events and output.keylog`},
		{"series on the standard output", "output: {events: a, pcap: \"-\", pcap_age: 1h}\n",
			`f.yaml:1:27: output.pcap: the standard output is one stream: leave pcap_size and pcap_age out`},
		{"short snap length", "output: {pcap: a, snap_len: 10}\n",
			`f.yaml:1:29: output.snap_len: want 96 to 262144, not 10`},
		{"small files", "output: {pcap: a, pcap_size: 10}\n",
			`f.yaml:1:30: output.pcap_size: want 65536 to 9223372036854775807, not 10`},
		{"negative age", "output: {pcap: a, pcap_age: -1s}\n",
			`f.yaml:1:29: output.pcap_age: want a positive duration, or 0 for never`},
		{"no connections", "limits:\n  connections: 0\n",
			`f.yaml:2:16: limits.connections: want 1 to 1000000, not 0`},
		{"negative limit", "limits:\n  connections_per_source: -1\n",
			`f.yaml:2:27: limits.connections_per_source: want 1 to 1000000, not -1`},
		{"no handshake timeout", "timeouts:\n  handshake: 0s\n",
			`f.yaml:2:14: timeouts.handshake: want 10ms to 24h0m0s, not 0s`},
		{"negative drain timeout", "timeouts:\n  drain: -1s\n",
			`f.yaml:2:10: timeouts.drain: want 0s to 24h0m0s, not -1s`},
		{"TLS versions in the wrong order", "tls:\n  min: 1.3\n  max: 1.2\n",
			`f.yaml:2:8: tls.min: the oldest version, 1.3, is newer than the newest, 1.2`},
		{"TLS version against a default", "tls:\n  max: 1.1\n",
			`f.yaml:2:3: tls.min: the oldest version, 1.2, is newer than the newest, 1.1`},
		{"verify without authorities", "tls:\n  client_auth: verify\n",
			`f.yaml:2:16: tls.client_auth: verify needs authorities to verify against; set tls.client_ca`},
		{"no keys", "tls:\n  keys: []\n",
			`f.yaml:2:9: tls.keys: want at least one type of key`},
		{"key type twice", "tls:\n  keys: [rsa, rsa]\n",
			`f.yaml:2:15: tls.keys[1]: rsa stands in the list twice`},
		{"suite twice", "tls:\n  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA, TLS_RSA_WITH_RC4_128_SHA]\n",
			`f.yaml:2:45: tls.cipher_suites[1]: TLS_RSA_WITH_RC4_128_SHA stands in the list twice`},
		{"empty protocol", "tls:\n  alpn: [h2, \"\"]\n",
			`f.yaml:2:14: tls.alpn[1]: want a protocol of 1 to 255 bytes, not ""`},
		{"rule without a service", "services:\n- port: 443\n",
			`f.yaml:2:3: services[0].service: want the name of a service, not ""`},
		{"rule against the defaults", "tls:\n  min: 1.3\nservices:\n- service: old\n  tls:\n    max: 1.1\n",
			`f.yaml:6:5: services[0].tls.min: the oldest version, 1.3, is newer than the newest, 1.1`},
		{"prefix of a rule with host bits", "services:\n- prefix: 198.18.3.1/24\n  service: a\n",
			`f.yaml:2:11: services[0].prefix[0]: want a prefix without bits of a host, not 198.18.3.1/24; did you mean "198.18.3.0/24"?`},
		{"rule after one for everything", "services:\n- service: a\n- port: 443\n  service: b\n",
			`f.yaml:3:3: services[1]: never matches: the rule with index 0 matches everything; move it before that rule`},
		{"policy missing", "accept:\n- port: 443\n",
			`f.yaml:2:3: accept[0].policy: want a policy (accept, refuse, silence), not ""`},
		{"accept rule after one for everything", "accept:\n- policy: refuse\n- port: 443\n  policy: accept\n",
			`f.yaml:3:3: accept[1]: never matches: the rule with index 0 matches everything; move it before that rule`},
		{"what is wrong with the defaults is told once",
			"tls:\n  max: 1.1\nservices:\n- {port: 1, service: a}\n- {port: 2, service: b}\n",
			`f.yaml:2:3: tls.min: the oldest version, 1.2, is newer than the newest, 1.1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse("f.yaml", []byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			wantErrors(t, c.Validate(), test.want)
		})
	}
}

// A Config need not come from a file.
func TestValidateGoValues(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"output.format: want a format (ladder, json), not \"\"":                                         func(c *Config) { c.Output.Format = "" },
		"tls.min: want a TLS version (1.0, 1.1, 1.2, 1.3), not \"0x0300\"":                              func(c *Config) { c.TLS.MinVersion = 0x0300 },
		"tls.client_auth: want a client authentication (none, request, require, verify), not \"maybe\"": func(c *Config) { c.TLS.ClientAuth = "maybe" },
		"tls.groups[0]: want a group of crypto/tls, not \"0x1234\"":                                     func(c *Config) { c.TLS.Groups = []Group{0x1234} },
		"tls.cipher_suites[0]: want a cipher suite of crypto/tls, not \"0x1234\"":                       func(c *Config) { c.TLS.CipherSuites = []CipherSuite{0x1234} },
		"tls.keys[0]: want a key type (ecdsa, rsa), not \"dsa\"":                                        func(c *Config) { c.TLS.Keys = []KeyType{"dsa"} },
		"tun.addresses[0]: want the host's address and the prefix served behind it, such as 198.18.0.1/15, not invalid Prefix": func(c *Config) {
			c.TUN.Addresses = make([]netip.Prefix, 1)
		},
	} {
		c := Default()
		change(c)
		if err := c.Validate(); err == nil || err.Error() != name {
			t.Errorf("got  %v\nwant %s", err, name)
		}
	}
}

// Errorf finds the nearest place of the file for a key.
func TestErrorf(t *testing.T) {
	c := parseValid(t, "tun:\n  name: syn0\nservices:\n- port: 1\n  service: nosuch\n")
	for key, want := range map[string]string{
		"tun.name":               "f.yaml:2:9: tun.name: bad 7",
		"tun.mtu":                "f.yaml:2:3: tun.mtu: bad 7",
		"services[0].service":    "f.yaml:5:12: services[0].service: bad 7",
		"services[0].port[0]":    "f.yaml:4:9: services[0].port[0]: bad 7",
		"services[0].tls.min":    "f.yaml:4:3: services[0].tls.min: bad 7",
		"timeouts.idle":          "f.yaml:1:1: timeouts.idle: bad 7",
		"services[7].no.such[1]": "f.yaml:4:1: services[7].no.such[1]: bad 7",
	} {
		if got := c.Errorf(key, "bad %d", 7).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestReloadable(t *testing.T) {
	old := Default()
	if err := old.Reloadable(Default()); err != nil {
		t.Errorf("no change: %v", err)
	}

	next := parseValid(t, `
service: echo
limits: {connections: 5}
timeouts: {drain: 1s}
output: {explain: true}
tls: {min: 1.3, groups: x25519}
services: [{port: 1, service: a}]
accept: [{port: 2, policy: refuse}]
`)
	if err := old.Reloadable(next); err != nil {
		t.Errorf("what can change: %v", err)
	}

	next = parseValid(t, `
service: echo
tun: {name: syn1, addresses: 10.9.0.1/16, mtu: 9000, offload: false}
user: daemon
state_dir: /srv
output: {events: e.json, format: json, filter: "true", keylog: k.txt, pcap: c.pcapng, snap_len: 200, pcap_size: 1000000, pcap_age: 1h, pcap_files: 3}
`)
	err := old.Reloadable(next)
	var restart *RestartError
	if !errors.As(err, &restart) {
		t.Fatalf("got %v, want a RestartError", err)
	}
	want := "tun.name, tun.addresses, tun.mtu, tun.offload, state_dir, user, output.events, output.format, output.filter, output.keylog, " +
		"output.pcap, output.snap_len, output.pcap_size, output.pcap_age, output.pcap_files"
	if got := strings.Join(restart.Keys, ", "); got != want {
		t.Errorf("keys %s\nwant %s", got, want)
	}
	if !strings.HasSuffix(err.Error(), ": "+want) {
		t.Errorf("the error does not name the keys: %v", err)
	}
}

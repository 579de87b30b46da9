package config

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// newFlags returns a flag set as the command has it, with one flag that is not
// ours, and what its flags are bound to.
func newFlags() (*pflag.FlagSet, *Config) {
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.String("config", "", "")
	c := Default()
	BindFlags(fs, c)
	return fs, c
}

func TestFlagsWithoutArguments(t *testing.T) {
	fs, c := newFlags()
	if err := fs.Parse(nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c, sameConfig); diff != "" {
		t.Errorf("binding changed the defaults (-want +got):\n%s", diff)
	}
}

// The same values by flags and by a file are the same configuration.
func TestFlagsEqualFile(t *testing.T) {
	const file = `
tun: {name: syn7, addresses: [10.9.0.1/16, "fd00:9::1/64"], mtu: 9000, offload: false}
service: echo
state_dir: /srv/synscope
user: daemon
control: /srv/synscope/socket
output: {events: events.json, format: json, filter: tls.resumed, keylog: keys.txt, explain: true,
  pcap: run.pcapng, snap_len: 128, pcap_size: 1000000, pcap_age: 1h, pcap_files: 3}
limits: {connections: 7, connections_per_source: 3, history: 9, history_bytes: 2000000}
timeouts: {drain: 1s, half_open: 2s, idle: 3m, handshake: 4s, time_wait: 500ms}
tls:
  min: 1.0
  max: 1.2
  client_auth: verify
  client_ca: ca.pem
  keys: rsa
  alpn: []
  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  groups: [secp256r1, X25519MLKEM768]
`
	args := strings.Fields(`--tun syn7 --address 10.9.0.1/16 --address fd00:9::1/64 --mtu 9000 --no-offload
		--service echo --state-dir /srv/synscope --user daemon --control /srv/synscope/socket
		--events events.json --format json --filter tls.resumed --keylog keys.txt --explain
		--pcap run.pcapng --snap-len 128 --pcap-size 1000000 --pcap-age 1h --pcap-files 3
		--max-connections 7 --max-connections-per-source 3 --history 9 --history-bytes 2000000
		--drain-timeout 1s --half-open-timeout 2s --idle-timeout 3m --handshake-timeout 4s --time-wait 500ms
		--tls-min 1.0 --tls-max 1.2 --client-auth verify --client-ca ca.pem --keys rsa --alpn=
		--cipher-suites TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
		--groups secp256r1 --groups X25519MLKEM768`)
	fs, bound := newFlags()
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if !fs.Changed(s.flag) {
			t.Errorf("the test does not set --%s", s.flag)
		}
	}
	byFile, err := Parse("f.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	byFlags, err := LoadWithFlags("", fs)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Config{"bound": bound, "over the defaults": byFlags} {
		if diff := cmp.Diff(byFile, c, sameConfig); diff != "" {
			t.Errorf("%s (-file +flags):\n%s", name, diff)
		}
	}
}

func TestFlagsOverrideFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "synscope.yaml")
	write(t, path, `
tun: {addresses: [10.9.0.1/16, 10.10.0.1/16], mtu: 9000}
tls: {client_auth: verify}
`)
	fs, _ := newFlags()
	// The file alone would not be valid: verify needs authorities.
	err := fs.Parse(strings.Fields("--config ignored --address 10.11.0.1/16 --idle-timeout 1m --client-ca ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // at the start, and again at a reload
		c, err := LoadWithFlags(path, fs)
		if err != nil {
			t.Fatal(err)
		}
		want := Default()
		want.TUN.Addresses = want.TUN.Addresses[:0]
		want.TUN.Addresses = append(want.TUN.Addresses, prefix("10.11.0.1/16"))
		want.TUN.MTU = 9000
		want.Timeouts.Idle = time.Minute
		want.TLS.ClientAuth, want.TLS.ClientCA = ClientAuthVerify, "ca.pem"
		if diff := cmp.Diff(want, c, sameConfig); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestFlagErrors(t *testing.T) {
	for _, test := range []struct{ arg, want string }{
		{"--mtu=jumbo", `invalid argument "jumbo" for "--mtu" flag: want an integer`},
		{"--address=198.18.0.1/15,x", `invalid argument "198.18.0.1/15,x" for "--address" flag: want an address or a prefix such as 198.18.0.0/15 or 2001:2::/48`},
		{"--idle-timeout=30", `invalid argument "30" for "--idle-timeout" flag: want a duration such as 30s or 5m; did you mean "30s"?`},
		{"--no-offload=maybe", `invalid argument "maybe" for "--no-offload" flag: want true or false`},
		{"--tls-min=1.4", `invalid argument "1.4" for "--tls-min" flag: want a TLS version (1.0, 1.1, 1.2, 1.3)`},
		{"--groups=x25518", `invalid argument "x25518" for "--groups" flag: want a group of crypto/tls; did you mean "x25519"?`},
	} {
		fs, _ := newFlags()
		err := fs.Parse([]string{test.arg})
		if err == nil || err.Error() != test.want {
			t.Errorf("%s:\ngot  %v\nwant %s", test.arg, err, test.want)
		}
	}
}

// A mistake that only validation finds names the flag, not the file, if the
// value is from the flag.
func TestFlagErrorsOfValidation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "synscope.yaml")
	write(t, path, "tun:\n  mtu: 1500\n  addresses: [10.9.0.1/16]\nlimits:\n  connections: 0\n")
	fs, _ := newFlags()
	if err := fs.Parse([]string{"--mtu=12", "--address=10.9.0.1/32"}); err != nil {
		t.Fatal(err)
	}
	_, err := LoadWithFlags(path, fs)
	wantErrors(t, err, "--address: want the host's address and the prefix served behind it, such as 198.18.0.1/15, not 10.9.0.1/32\n"+
		"--mtu: want 576 to 65535, not 12\n"+
		path+":5:16: limits.connections: want 1 to 1000000, not 0")
	var first *Error
	if !errors.As(err, &first) || first.Flag != "--address" || first.Key != "tun.addresses[0]" {
		t.Errorf("first error %#v", first)
	}
}

func TestUsageShowsDefaults(t *testing.T) {
	fs, _ := newFlags()
	usage := fs.FlagUsages()
	for _, want := range []string{
		"--tun NAME ", "(default syn0)", "--address CIDR ", "(default 198.18.0.1/15,2001:2::1/48)",
		"--no-offload   ", "--format ladder|json ", "(default 5m0s)", "(default ecdsa,rsa)",
	} {
		if !strings.Contains(usage, want) {
			t.Errorf("the usage does not have %q:\n%s", want, usage)
		}
	}
}

package tun

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func TestConfigIsValid(t *testing.T) {
	for name, c := range map[string]Config{
		"zero":            {},
		"both families":   {Name: "syn0", Addresses: prefixes("198.18.0.1/15", "2001:2::1/48")},
		"longest name":    {Name: "fifteen-bytes.0"},
		"least MTU":       {MTU: 68, Addresses: prefixes("198.18.0.1/15")},
		"least IPv6 MTU":  {MTU: 1280, Addresses: prefixes("2001:2::1/48")},
		"greatest MTU":    {MTU: 65535},
		"no network":      {Addresses: prefixes("198.18.0.0/32", "2001:2::/128")}, // the address alone
		"point to point":  {Addresses: prefixes("198.18.0.0/31", "2001:2::/127")}, // RFC 3021, RFC 6164
		"same prefix":     {Addresses: prefixes("198.18.0.1/15", "198.18.0.2/15")},
		"private":         {Addresses: prefixes("10.0.0.1/8", "fd00::1/64")},
		"IPv4 link-local": {Addresses: prefixes("169.254.7.1/16")},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Validate(); err != nil {
				t.Errorf("Validate() = %v", err)
			}
		})
	}
}

func TestConfigIsNotValid(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string // in the error
		hint   string // in the hint
	}{
		{"long name", Config{Name: "sixteen-bytes.00"}, "longer than 15 bytes", ""},
		{"dot", Config{Name: ".."}, "reserved", ""},
		{"sysctl directory", Config{Name: "default"}, "reserved", ""},
		{"slash", Config{Name: "a/b"}, "slash", ""},
		{"colon", Config{Name: "eth0:1"}, "colon", ""},
		{"space", Config{Name: "a b"}, "space", ""},
		{"zero byte", Config{Name: "syn\x000"}, `"syn\x000"`, ""},
		{"outside ASCII", Config{Name: "synø"}, "outside ASCII", ""},
		{"numbered by the kernel", Config{Name: "syn%d"}, "percent", ""},

		{"no address", Config{Addresses: []netip.Prefix{{}}}, "not valid", "198.18.0.1/15"},
		{"prefix alone", Config{Addresses: prefixes("198.18.0.0/15")}, "prefix alone", "198.18.0.1/15"},
		{"IPv6 prefix alone", Config{Addresses: prefixes("2001:2::/48")}, "prefix alone", "2001:2::1/48"},
		{"broadcast", Config{Addresses: prefixes("198.19.255.255/15")}, "broadcast", "198.18.0.1/15"},
		{"limited broadcast", Config{Addresses: prefixes("255.255.255.255/32")}, "not a unicast", ""},
		{"unspecified", Config{Addresses: prefixes("0.0.0.0/8")}, "not a unicast", ""},
		{"loopback", Config{Addresses: prefixes("::1/128")}, "not a unicast", ""},
		{"multicast", Config{Addresses: prefixes("224.0.0.1/4")}, "not a unicast", ""},
		{"link-local", Config{Addresses: prefixes("fe80::1/64")}, "link-local", "2001:2::/48"},
		{"IPv4 as IPv6", Config{Addresses: prefixes("::ffff:198.18.0.1/111")}, "written as IPv6", "198.18.0.1"},
		{"everything", Config{Addresses: prefixes("198.18.0.1/0")}, "everything", "narrower"},
		{"twice", Config{Addresses: prefixes("198.18.0.1/15", "198.18.0.1/16")}, "twice", ""},
		{"too many", Config{Addresses: make([]netip.Prefix, maxAddresses+1)}, "65 addresses", ""},

		{"negative MTU", Config{MTU: -1}, "MTU -1", ""},
		{"small MTU", Config{MTU: 67}, "MTU 67", ""},
		{"large MTU", Config{MTU: 65536}, "MTU 65536", ""},
		{"small MTU for IPv6", Config{MTU: 1279, Addresses: prefixes("198.18.0.1/15", "2001:2::1/48")}, "below 1280", "raise"},
		{"negative queue", Config{TxQueueLen: -1}, "length -1", ""},
		{"huge queue", Config{TxQueueLen: 1<<20 + 1}, "length 1048577", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.config.Validate()
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Validate() = %v, want an *Error", err)
			}
			if !strings.Contains(e.Error(), tt.want) {
				t.Errorf("error %q does not say %q", e, tt.want)
			}
			if !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("hint %q does not say %q", e.Hint, tt.hint)
			}
			if _, openErr := Open(tt.config); openErr == nil || openErr.Error() != err.Error() {
				t.Errorf("Open() = %v, want what Validate says", openErr)
			}
		})
	}
}

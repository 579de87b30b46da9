package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The ranges of numbers.
const (
	minMTU     = 576  // RFC 791, section 3.1
	minMTUIPv6 = 1280 // RFC 8200, section 5
	maxMTU     = 65535

	maxConnections  = 1_000_000 // more than memory will hold
	minHistoryBytes = 1 << 20
	maxHistoryBytes = 1 << 40

	minTimeout = 10 * time.Millisecond
	maxTimeout = 24 * time.Hour

	maxInterfaceName = 15 // IFNAMSIZ less the final zero
	maxPath          = 4095
	maxSocketPath    = 107    // sun_path less the final zero (unix(7))
	minSnapLen       = 96     // the headers of TCP over IPv6, with options
	maxSnapLen       = 262144 // that of dumpcap
	minPCAPSize      = 65536
	maxServiceName   = 255
	maxALPN          = 255 // RFC 7301, section 3.1
)

// Validate holds the values against what they mean and against each other. It
// returns nil or an [Errors].
func (c *Config) Validate() error {
	v := validator{c: c}
	v.tun()
	v.service("service", c.Service)
	v.paths()
	v.limits()
	v.tls("tls", c.TLS)
	v.services()
	v.accept()
	return v.errs.orNil()
}

// A validator collects what is wrong with a Config.
type validator struct {
	c    *Config
	errs Errors
}

// fail tells of a mistake in the value of a key.
func (v *validator) fail(key, hint, format string, args ...any) {
	e := v.c.Errorf(key, format, args...)
	e.Hint = hint
	v.errs = append(v.errs, e)
}

// text tells of a value that its own text form does not allow. The file and
// flags cannot give one; Go code can.
func (v *validator) text(key string, p interface{ UnmarshalText([]byte) error }, text string) {
	if err := p.UnmarshalText([]byte(text)); err != nil {
		v.fail(key, "", "%v, not %s", err, quote(text))
	}
}

func (v *validator) tun() {
	t := &v.c.TUN
	bad := func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}
	if t.Name == "" || t.Name == "." || t.Name == ".." || len(t.Name) > maxInterfaceName || strings.ContainsFunc(t.Name, bad) {
		v.fail("tun.name", "", "want an interface name of 1 to %d bytes without /, :, %% and spaces, not %s", maxInterfaceName, quote(t.Name))
	}
	lowest := minMTU
	for i, p := range t.Addresses {
		v.address(fmt.Sprintf("tun.addresses[%d]", i), p, t.Addresses[:i])
		if p.Addr().Is6() {
			lowest = minMTUIPv6
		}
	}
	if len(t.Addresses) == 0 {
		v.fail("tun.addresses", "", "want at least one address")
	}
	v.inRange("tun.mtu", t.MTU, lowest, maxMTU)
}

// address validates one address of the interface, given those before it.
func (v *validator) address(key string, p netip.Prefix, others []netip.Prefix) {
	a := p.Addr()
	switch {
	case !p.IsValid() || p.IsSingleIP():
		v.fail(key, "", "want the host's address and the prefix served behind it, such as 198.18.0.1/15, not %s", p)
	case p.Bits() == 0 || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || a.IsLinkLocalUnicast():
		v.fail(key, "take a prefix for tests, such as 198.18.0.1/15 (RFC 2544) or 2001:2::1/48 (RFC 5180)",
			"want a prefix that can be routed to the interface, not %s", p)
	case a == p.Masked().Addr():
		v.fail(key, fmt.Sprintf("did you mean %q?", netip.PrefixFrom(a.Next(), p.Bits())),
			"want the address of the host in the prefix, not that of the prefix, %s", p)
	}
	for _, o := range others {
		if p.IsValid() && p.Overlaps(o) {
			v.fail(key, "", "%s overlaps %s", p, o)
		}
	}
}

func (v *validator) service(key, name string) {
	bad := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if name == "" || len(name) > maxServiceName || strings.ContainsFunc(name, bad) {
		v.fail(key, "", "want the name of a service, not %s", quote(name))
	}
}

// paths validates files, directories and the user.
func (v *validator) paths() {
	o := &v.c.Output
	v.path("state_dir", v.c.StateDir)
	if v.c.StateDir == "" {
		v.fail("state_dir", "", "want a directory")
	}
	if strings.ContainsFunc(v.c.User, unicode.IsSpace) || strings.ContainsAny(v.c.User, ":\x00") {
		v.fail("user", "", "want the name of a user, not %s", quote(v.c.User))
	}
	v.path("control", v.c.Control)
	if len(v.c.Control) > maxSocketPath {
		v.fail("control", "", "want a path of at most %d bytes, as those of sockets, not %d", maxSocketPath, len(v.c.Control))
	}
	v.path("output.events", o.Events)
	if o.Events == "" {
		v.fail("output.events", "", "want a file, - for the standard output, or none")
	}
	v.text("output.format", new(Format), string(o.Format))
	v.path("output.keylog", o.KeyLog)
	switch {
	case o.KeyLog == "-":
		v.fail("output.keylog", "", "want a file: secrets are not written to the standard output")
	case o.KeyLog != "" && o.KeyLog == o.Events:
		v.fail("output.keylog", "", "want another file than output.events")
	}
	v.capture()
}

// capture validates where the packets go.
func (v *validator) capture() {
	o := &v.c.Output
	v.path("output.pcap", o.PCAP)
	switch {
	case o.PCAP == "":
	case o.PCAP == "-" && o.Events == "-":
		v.fail("output.pcap", "write the events to a file, with --events FILE", "the standard output takes either packets or events")
	case o.PCAP != "-" && (o.PCAP == o.Events || o.PCAP == o.KeyLog):
		v.fail("output.pcap", "", "want another file than output.events and output.keylog")
	case o.PCAP == "-" && (o.PCAPSize > 0 || o.PCAPAge > 0):
		v.fail("output.pcap", "", "the standard output is one stream: leave pcap_size and pcap_age out")
	}
	if o.SnapLen != 0 {
		v.inRange("output.snap_len", o.SnapLen, minSnapLen, maxSnapLen)
	}
	if o.PCAPSize != 0 {
		v.inRange("output.pcap_size", o.PCAPSize, minPCAPSize, math.MaxInt)
	}
	if o.PCAPAge < 0 {
		v.fail("output.pcap_age", "", "want a positive duration, or 0 for never")
	}
	v.inRange("output.pcap_files", o.PCAPFiles, 0, 1_000_000)
}

func (v *validator) path(key, path string) {
	if len(path) > maxPath || strings.ContainsFunc(path, unicode.IsControl) {
		v.fail(key, "", "want a path of at most %d bytes without control characters, not %s", maxPath, quote(path))
	}
}

func (v *validator) limits() {
	l, t := &v.c.Limits, &v.c.Timeouts
	v.inRange("limits.connections", l.Connections, 1, maxConnections)
	v.inRange("limits.connections_per_source", l.ConnectionsPerSource, 1, maxConnections)
	v.inRange("limits.history", l.History, 0, maxConnections)
	v.inRange("limits.history_bytes", l.HistoryBytes, minHistoryBytes, maxHistoryBytes)
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"timeouts.half_open", t.HalfOpen}, {"timeouts.idle", t.Idle},
		{"timeouts.handshake", t.Handshake}, {"timeouts.time_wait", t.TimeWait},
	} {
		if d.value < minTimeout || d.value > maxTimeout {
			v.fail(d.key, "", "want %v to %v, not %v", minTimeout, maxTimeout, d.value)
		}
	}
	if t.Drain < 0 || t.Drain > maxTimeout {
		v.fail("timeouts.drain", "", "want 0s to %v, not %v", maxTimeout, t.Drain)
	}
}

func (v *validator) inRange(key string, n, low, high int) {
	if n < low || n > high {
		v.fail(key, "", "want %d to %d, not %d", low, high, n)
	}
}

// tls validates complete TLS settings, which stand at key.
func (v *validator) tls(key string, t TLS) {
	v.text(key+".min", new(Version), t.MinVersion.String())
	v.text(key+".max", new(Version), t.MaxVersion.String())
	if t.MinVersion > t.MaxVersion {
		v.fail(key+".min", "", "the oldest version, %v, is newer than the newest, %v", t.MinVersion, t.MaxVersion)
	}
	v.text(key+".client_auth", new(ClientAuth), string(t.ClientAuth))
	v.path(key+".client_ca", t.ClientCA)
	if t.ClientAuth == ClientAuthVerify && t.ClientCA == "" {
		v.fail(key+".client_auth", "set "+key+".client_ca", "verify needs authorities to verify against")
	}
	if len(t.Keys) == 0 {
		v.fail(key+".keys", "", "want at least one type of key")
	}
	for i, k := range t.Keys {
		v.text(fmt.Sprintf("%s.keys[%d]", key, i), new(KeyType), string(k))
	}
	for i, p := range t.ALPN {
		if p == "" || len(p) > maxALPN {
			v.fail(fmt.Sprintf("%s.alpn[%d]", key, i), "", "want a protocol of 1 to %d bytes, not %s", maxALPN, quote(p))
		}
	}
	for i, s := range t.CipherSuites {
		v.text(fmt.Sprintf("%s.cipher_suites[%d]", key, i), new(CipherSuite), s.String())
	}
	for i, g := range t.Groups {
		v.text(fmt.Sprintf("%s.groups[%d]", key, i), new(Group), g.String())
	}
	unique(v, key+".keys", t.Keys)
	unique(v, key+".alpn", t.ALPN)
	unique(v, key+".cipher_suites", t.CipherSuites)
	unique(v, key+".groups", t.Groups)
}

// unique tells of the entries of a list that stand in it before.
func unique[T comparable](v *validator, key string, list []T) {
	for i, item := range list {
		if slices.Contains(list[:i], item) {
			v.fail(fmt.Sprintf("%s[%d]", key, i), "", "%v stands in the list twice", item)
		}
	}
}

func (v *validator) services() {
	all := -1 // the first rule that matches everything
	for i, r := range v.c.Services {
		key := fmt.Sprintf("services[%d]", i)
		v.reachable(key, all)
		v.prefixes(key, r.Prefix)
		v.service(key+".service", r.Service)
		if !reflect.ValueOf(r.TLS).IsZero() { // what is wrong with the defaults is told once
			v.tls(key+".tls", r.TLS.over(v.c.TLS))
		}
		if all < 0 && len(r.Prefix) == 0 && len(r.Port) == 0 && len(r.ServerName) == 0 {
			all = i
		}
	}
}

func (v *validator) accept() {
	all := -1
	for i, r := range v.c.Accept {
		key := fmt.Sprintf("accept[%d]", i)
		v.reachable(key, all)
		v.prefixes(key, r.Prefix)
		v.text(key+".policy", new(Policy), string(r.Policy))
		if all < 0 && len(r.Prefix) == 0 && len(r.Port) == 0 {
			all = i
		}
	}
}

func (v *validator) reachable(key string, all int) {
	if all >= 0 {
		v.fail(key, "move it before that rule", "never matches: the rule with index %d matches everything", all)
	}
}

func (v *validator) prefixes(rule string, prefixes []netip.Prefix) {
	for i, p := range prefixes {
		if !p.IsValid() || p != p.Masked() {
			v.fail(fmt.Sprintf("%s.prefix[%d]", rule, i), fmt.Sprintf("did you mean %q?", p.Masked()),
				"want a prefix without bits of a host, not %s", p)
		}
	}
}

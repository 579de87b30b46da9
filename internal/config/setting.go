package config

import "reflect"

// A setting is one value of a [Config] that has both a key in the file and a
// flag.
type setting struct {
	key     string
	flag    string
	usage   string              // of the flag; the word in back quotes names its value
	field   func(c *Config) any // a pointer to the value, which setText can parse, or to a slice of such
	restart bool                // the value is used once, before privileges are dropped
	negated bool                // the flag, a boolean, says the opposite of the key
}

// value returns the value of the setting in c. It can be set.
func (s *setting) value(c *Config) reflect.Value { return reflect.ValueOf(s.field(c)).Elem() }

// settings is every setting, in the order of the documentation. What is a
// setting stands here and nowhere else; a test holds it against the fields of
// Config and against docs/config.md.
var settings = []setting{
	{key: "tun.name", flag: "tun", restart: true,
		usage: "`NAME` of the TUN interface",
		field: func(c *Config) any { return &c.TUN.Name }},
	{key: "tun.addresses", flag: "address", restart: true,
		usage: "address of the host on the interface and the prefix served behind it, as a `CIDR` (repeatable)",
		field: func(c *Config) any { return &c.TUN.Addresses }},
	{key: "tun.mtu", flag: "mtu", restart: true,
		usage: "largest packet, in `BYTES`",
		field: func(c *Config) any { return &c.TUN.MTU }},
	{key: "tun.offload", flag: "no-offload", restart: true, negated: true,
		usage: "do not let the kernel pass segments larger than the MTU",
		field: func(c *Config) any { return &c.TUN.Offload }},
	{key: "service", flag: "service",
		usage: "`NAME` of the service that answers where no rule of the configuration file matches",
		field: func(c *Config) any { return &c.Service }},
	{key: "state_dir", flag: "state-dir", restart: true,
		usage: "`DIR` of the certificate authority and the ticket keys",
		field: func(c *Config) any { return &c.StateDir }},
	{key: "user", flag: "user", restart: true,
		usage: "`NAME` of the user to become after set-up (default synscope, or nobody where there is none)",
		field: func(c *Config) any { return &c.User }},
	{key: "output.events", flag: "events", restart: true,
		usage: "`FILE` to write events to; - is the standard output",
		field: func(c *Config) any { return &c.Output.Events }},
	{key: "output.format", flag: "format", restart: true,
		usage: "how events are written: `ladder|json`",
		field: func(c *Config) any { return &c.Output.Format }},
	{key: "output.filter", flag: "filter", restart: true,
		usage: "write only the events that match a CEL `EXPRESSION` over them and their connection",
		field: func(c *Config) any { return &c.Output.Filter }},
	{key: "output.keylog", flag: "keylog", restart: true,
		usage: "`FILE` to write TLS secrets to, in the format of RFC 9850",
		field: func(c *Config) any { return &c.Output.KeyLog }},
	{key: "output.pcap", flag: "pcap", restart: true,
		usage: "new `FILE` to capture the packets in, as pcapng with their TLS secrets; - is the standard output",
		field: func(c *Config) any { return &c.Output.PCAP }},
	{key: "output.snap_len", flag: "snap-len", restart: true,
		usage: "`BYTES` of each packet that are captured, 0 for all",
		field: func(c *Config) any { return &c.Output.SnapLen }},
	{key: "output.pcap_size", flag: "pcap-size", restart: true,
		usage: "`BYTES` after which a capture goes on in the next file, 0 for never",
		field: func(c *Config) any { return &c.Output.PCAPSize }},
	{key: "output.pcap_age", flag: "pcap-age", restart: true,
		usage: "`DURATION` after which a capture goes on in the next file, 0 for never",
		field: func(c *Config) any { return &c.Output.PCAPAge }},
	{key: "output.pcap_files", flag: "pcap-files", restart: true,
		usage: "`NUMBER` of files that a capture keeps, 0 for all",
		field: func(c *Config) any { return &c.Output.PCAPFiles }},
	{key: "output.explain", flag: "explain",
		usage: "add to each step of the ladder what it is for",
		field: func(c *Config) any { return &c.Output.Explain }},
	{key: "limits.connections", flag: "max-connections",
		usage: "most connections at once, a `NUMBER`",
		field: func(c *Config) any { return &c.Limits.Connections }},
	{key: "limits.connections_per_source", flag: "max-connections-per-source",
		usage: "most connections at once from one address, a `NUMBER`",
		field: func(c *Config) any { return &c.Limits.ConnectionsPerSource }},
	{key: "timeouts.drain", flag: "drain-timeout",
		usage: "`DURATION` that connections have to end by themselves at shutdown",
		field: func(c *Config) any { return &c.Timeouts.Drain }},
	{key: "timeouts.half_open", flag: "half-open-timeout",
		usage: "longest `DURATION` in SYN-RECEIVED",
		field: func(c *Config) any { return &c.Timeouts.HalfOpen }},
	{key: "timeouts.idle", flag: "idle-timeout",
		usage: "longest `DURATION` without a segment from the client",
		field: func(c *Config) any { return &c.Timeouts.Idle }},
	{key: "timeouts.handshake", flag: "handshake-timeout",
		usage: "longest `DURATION` of a TLS handshake",
		field: func(c *Config) any { return &c.Timeouts.Handshake }},
	{key: "timeouts.time_wait", flag: "time-wait",
		usage: "`DURATION` of TIME-WAIT",
		field: func(c *Config) any { return &c.Timeouts.TimeWait }},
	{key: "tls.min", flag: "tls-min",
		usage: "oldest `VERSION` of TLS, 1.0 to 1.3",
		field: func(c *Config) any { return &c.TLS.MinVersion }},
	{key: "tls.max", flag: "tls-max",
		usage: "newest `VERSION` of TLS, 1.0 to 1.3",
		field: func(c *Config) any { return &c.TLS.MaxVersion }},
	{key: "tls.client_auth", flag: "client-auth",
		usage: "what is asked of the client's certificate: `none|request|require|verify`",
		field: func(c *Config) any { return &c.TLS.ClientAuth }},
	{key: "tls.client_ca", flag: "client-ca",
		usage: "PEM `FILE` of the authorities that client certificates are verified against",
		field: func(c *Config) any { return &c.TLS.ClientCA }},
	{key: "tls.keys", flag: "keys",
		usage: "`TYPES` of the certificates' keys, the preferred first: ecdsa,rsa",
		field: func(c *Config) any { return &c.TLS.Keys }},
	{key: "tls.alpn", flag: "alpn",
		usage: "application `PROTOCOLS` of ALPN, the preferred first; empty for none",
		field: func(c *Config) any { return &c.TLS.ALPN }},
	{key: "tls.cipher_suites", flag: "cipher-suites",
		usage: "cipher suites of TLS 1.2 and older, by their IANA `NAMES`; empty for those of crypto/tls",
		field: func(c *Config) any { return &c.TLS.CipherSuites }},
	{key: "tls.groups", flag: "groups",
		usage: "key exchange groups, by their IANA `NAMES`; empty for those of crypto/tls",
		field: func(c *Config) any { return &c.TLS.Groups }},
}

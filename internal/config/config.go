package config

import (
	"net/netip"
	"time"
)

// A Config is one whole configuration. [Default] is a valid one; a Config that
// [Load] or [LoadWithFlags] returned has been validated. It is not changed after
// that and may be shared between goroutines.
//
// The keys of the file are in the tags. What each means is told by its usage in
// the table of setting.go and in docs/config.md.
type Config struct {
	TUN      TUN           `yaml:"tun"`
	Service  string        `yaml:"service"`   // of connections that no rule matches
	StateDir string        `yaml:"state_dir"` // authority and ticket keys
	User     string        `yaml:"user"`      // to become after set-up; empty: see internal/privilege
	Control  string        `yaml:"control"`   // the control socket; empty or NoControl: none
	Output   Output        `yaml:"output"`
	Limits   Limits        `yaml:"limits"`
	Timeouts Timeouts      `yaml:"timeouts"`
	TLS      TLS           `yaml:"tls"`
	Services []ServiceRule `yaml:"services"` // the first that matches decides
	Accept   []AcceptRule  `yaml:"accept"`   // the first that matches decides

	// origins tells where the value of a key was read, for error messages.
	// It is complete when parsing and overriding are over.
	origins map[string]origin
}

// TUN is the interface that the traffic to serve is routed into.
type TUN struct {
	Name string `yaml:"name"`
	// Addresses are the interface's own address and the prefix served behind
	// it, so the host bits matter: 198.18.0.1/15 is the host's 198.18.0.1.
	Addresses []netip.Prefix `yaml:"addresses"`
	MTU       int            `yaml:"mtu"`
	Offload   bool           `yaml:"offload"` // super-packets, where the kernel has them
}

// NoControl is the Control of a Config without a control socket, as is "".
const NoControl = "none"

// NoEvents is the Output.Events of a Config that has no events written.
const NoEvents = "none"

// Output says where events and secrets go.
type Output struct {
	Events string `yaml:"events"` // a file, "-" for the standard output, or NoEvents
	Format Format `yaml:"format"`
	// Filter is an expression that events have to match, empty for all. It
	// is compiled by who uses it: see docs/filter.md.
	Filter string `yaml:"filter"`
	KeyLog string `yaml:"keylog"` // RFC 9850; empty: none
	// PCAP is a new file for the packets with their secrets, or "-" for the
	// standard output; empty: none. SnapLen is how many bytes of each are
	// kept, 0 for all.
	PCAP    string `yaml:"pcap"`
	SnapLen int    `yaml:"snap_len"`
	// With PCAPSize (bytes) or PCAPAge the capture is a series of files, of
	// which the newest PCAPFiles are kept, 0 for all.
	PCAPSize  int           `yaml:"pcap_size"`
	PCAPAge   time.Duration `yaml:"pcap_age"`
	PCAPFiles int           `yaml:"pcap_files"`
	Explain   bool          `yaml:"explain"`
}

// Limits bounds what clients can make the process hold.
type Limits struct {
	Connections          int `yaml:"connections"`            // at once
	ConnectionsPerSource int `yaml:"connections_per_source"` // at once, from one address
	History              int `yaml:"history"`                // connections that ended and are kept for the control socket
	HistoryBytes         int `yaml:"history_bytes"`          // of the events kept, those of open connections included
}

// Timeouts ends what does not end by itself.
type Timeouts struct {
	Drain     time.Duration `yaml:"drain"`     // between SIGTERM and aborting what is left
	HalfOpen  time.Duration `yaml:"half_open"` // in SYN-RECEIVED (RFC 9293, section 3.3.2)
	Idle      time.Duration `yaml:"idle"`      // without a segment from the client
	Handshake time.Duration `yaml:"handshake"` // of TLS, from ESTABLISHED
	TimeWait  time.Duration `yaml:"time_wait"` // in TIME-WAIT (RFC 9293, section 3.6.1)
}

// TLS is how the server speaks TLS. In a [ServiceRule] of the file a zero field,
// and a nil list, means that of [Config.TLS]; what [Config.Match] returns is
// complete.
type TLS struct {
	MinVersion   Version       `yaml:"min"`
	MaxVersion   Version       `yaml:"max"`
	ClientAuth   ClientAuth    `yaml:"client_auth"`
	ClientCA     string        `yaml:"client_ca"`     // PEM file of the authorities that clients are verified against
	Keys         []KeyType     `yaml:"keys"`          // of the certificates, the preferred first
	ALPN         []string      `yaml:"alpn"`          // RFC 7301, the preferred first; empty: none is chosen
	CipherSuites []CipherSuite `yaml:"cipher_suites"` // of TLS 1.2 and older; empty: the defaults of crypto/tls
	Groups       []Group       `yaml:"groups"`        // empty: the defaults of crypto/tls
}

// A ServiceRule says which service answers some connections, and how it speaks
// TLS. A list that is empty matches every connection; one that is not, those
// that one of its entries matches. All lists have to match.
type ServiceRule struct {
	Prefix []netip.Prefix `yaml:"prefix"` // of the server's address
	Port   []PortRange    `yaml:"port"`   // of the server
	// ServerName matches the server name of the ClientHello (RFC 6066,
	// section 3): a name, or *.name for all names below it. A connection
	// without one matches none.
	ServerName []ServerName `yaml:"server_name"`
	Service    string       `yaml:"service"`
	TLS        TLS          `yaml:"tls"`
}

// An AcceptRule says what is done with a SYN to some addresses and ports of the
// server. Lists match as in [ServiceRule].
type AcceptRule struct {
	Prefix []netip.Prefix `yaml:"prefix"`
	Port   []PortRange    `yaml:"port"`
	Policy Policy         `yaml:"policy"`
}

// Default returns the configuration of an empty file without flags: the
// benchmarking prefixes of RFC 2544 and RFC 5180, where every address and port
// answers with the service mirror.
func Default() *Config {
	return &Config{
		TUN: TUN{
			Name:      "syn0",
			Addresses: []netip.Prefix{netip.MustParsePrefix("198.18.0.1/15"), netip.MustParsePrefix("2001:2::1/48")},
			MTU:       1500,
			Offload:   true,
		},
		Service:  "mirror",
		StateDir: "/var/lib/synscope",
		Control:  "/run/synscope/control.sock",
		Output:   Output{Events: "-", Format: FormatLadder},
		Limits:   Limits{Connections: 10_000, ConnectionsPerSource: 1_000, History: 1_000, HistoryBytes: 64 << 20},
		Timeouts: Timeouts{
			Drain:     10 * time.Second,
			HalfOpen:  30 * time.Second,
			Idle:      5 * time.Minute,
			Handshake: 30 * time.Second,
			TimeWait:  time.Minute,
		},
		TLS: TLS{
			MinVersion: VersionTLS12,
			MaxVersion: VersionTLS13,
			ClientAuth: ClientAuthNone,
			Keys:       []KeyType{KeyECDSA, KeyRSA},
			ALPN:       []string{"h2", "http/1.1"},
		},
	}
}

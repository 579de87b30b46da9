package diff

import (
	"fmt"
	"strings"

	"synscope/event"
)

// sections compares all that is compared field by field.
func sections(x, y *conn) []Section {
	return []Section{
		{"tcp", pairs(x.tcp(), y.tcp())},
		{"client_hello", pairs(x.offers(), y.offers())},
		{"agreed", pairs(x.agreed(), y.agreed())},
		{"certificate", pairs(x.certificates(), y.certificates())},
	}
}

// An attribute is a field of one connection.
type attribute struct {
	name   string
	list   bool
	values []string
}

// pairs compares the attributes of two connections, which have the same names
// in the same order. What both lack is left out.
func pairs(as, bs []attribute) []Field {
	fs := make([]Field, 0, len(as))
	for i, a := range as {
		if b := bs[i]; len(a.values)+len(b.values) > 0 {
			if a.list {
				fs = append(fs, list(a.name, a.values, b.values))
			} else {
				fs = append(fs, value(a.name, a.values, b.values))
			}
		}
	}
	return fs
}

func (c *conn) tcp() []attribute {
	end := c.TCP.How
	switch {
	case end == "fin" && c.TCP.By != event.NoSide:
		end = "FIN, the " + c.TCP.By.String() + " first"
	case end == "rst" && c.TCP.By != event.NoSide:
		end = "RST from the " + c.TCP.By.String()
	}
	return []attribute{
		{"syn_options", true, options(c.syn)},
		{"syn_window", false, window(c.syn)},
		{"syn_ecn", false, yes(c.ecn)},
		{"syn_ack_options", true, options(c.synAck)},
		{"syn_ack_window", false, window(c.synAck)},
		{"syn_cookie", false, yes(c.TCP.SYNCookie)},
		{"retransmits", false, amount(c.TCP.Retransmits, "")},
		{"out_of_order", false, amount(c.TCP.OutOfOrder, "")},
		{"ignored", false, amount(c.TCP.Drops, "")},
		{"ended", false, one(end)},
	}
}

func window(s *event.Segment) []string {
	if s == nil {
		return nil
	}
	return amount(s.Window, "bytes")
}

// options are those of a SYN, in a fixed order: the events do not tell the
// order on the wire.
func options(s *event.Segment) []string {
	if s == nil {
		return nil
	}
	o, os := s.Options, []string(nil)
	say := func(is bool, format string, args ...any) {
		if is {
			os = append(os, fmt.Sprintf(format, args...))
		}
	}
	say(o.MSS != 0, "mss %d", o.MSS)
	if o.WindowScale != nil {
		say(true, "ws %d", *o.WindowScale)
	}
	say(o.SACKPermitted, "sack")
	say(o.Timestamps != nil, "ts")
	say(o.FastOpen, "fast open")
	for _, k := range o.Unknown {
		say(true, "kind %d", k)
	}
	say(o.Malformed, "malformed")
	return os
}

func (c *conn) offers() []attribute {
	h, in := c.hello, c.helloIn
	if h == nil {
		h, in = &event.ClientHello{}, &event.Message{}
	}
	return []attribute{
		{"server_name", false, one(h.ServerName)},
		{"versions", true, c.versions()},
		{"cipher_suites", true, names(h.CipherSuites)},
		{"supported_groups", true, names(h.SupportedGroups)},
		{"key_shares", true, names(h.KeyShares)},
		{"signature_schemes", true, names(h.SignatureSchemes)},
		{"signature_schemes_cert", true, names(h.CertSignatures)},
		{"alpn", true, texts(h.ALPN)},
		{"psk_modes", true, names(h.PSKModes)},
		{"psk_identities", false, amount(h.PSKIdentities, "")},
		{"session_ticket", false, amount(h.SessionTicket, "bytes")},
		{"session_id", false, amount(len(h.SessionID), "bytes")},
		{"early_data", false, yes(h.EarlyData)},
		{"cookie", false, amount(h.Cookie, "bytes")},
		{"status_request", false, yes(h.StatusRequest)},
		{"extended_master_secret", false, yes(h.ExtendedMaster)},
		{"ech", false, one(h.ECH)},
		{"record_size_limit", false, amount(h.RecordSizeLimit, "bytes")},
		{"point_formats", true, numbers(h.PointFormats)},
		{"compression_methods", true, numbers(h.CompressionMethods)},
		{"compress_certificate", true, numbers(h.CertificateCompress)},
		{"extensions", true, names(h.Extensions)},
		{"size", false, amount(in.Len, "bytes")},
		{"records", false, amount(in.Records, "")},
		{"segments", false, amount(len(in.Frames), "")},
		{"malformed", false, one(in.Malformed)},
	}
}

// versions are those that the client offers. Without the extension it names its
// newest only (RFC 8446, section 4.2.1).
func (c *conn) versions() []string {
	switch {
	case c.hello == nil:
		return nil
	case len(c.hello.SupportedVersions) > 0:
		return names(c.hello.SupportedVersions)
	}
	return one("up to " + c.hello.LegacyVersion.String())
}

// agreed are the choices of the server and what the handshake came to.
func (c *conn) agreed() []attribute {
	h, e := c.serverHello, c.encrypted
	if h == nil {
		h = &event.ServerHello{}
	}
	if e == nil {
		e = &event.EncryptedExtensions{}
	}
	var asked event.Group
	if c.retry != nil {
		asked = c.retry.Group
	}
	return []attribute{
		{"version", false, code(h.Version)},
		{"cipher_suite", false, code(h.CipherSuite)},
		{"group", false, code(c.group())},
		{"signature_scheme", false, code(c.scheme())},
		{"alpn", false, texts(append(h.ALPN[:len(h.ALPN):len(h.ALPN)], e.ALPN...))},
		{"hello_retry", false, code(asked)},
		{"resumed", false, yes(c.resumed())},
		{"early_data", false, yes(e.EarlyData)},
		{"client_auth", false, one(c.clientAuth())},
		{"ech", false, yes(c.TLS.ECH)},
		{"extended_master_secret", false, yes(h.ExtendedMaster)},
		{"status_request", false, yes(h.StatusRequest)},
		{"downgrade", false, one(h.Downgrade)},
		{"tickets", false, amount(c.tickets, "")},
		{"server_hello_extensions", true, names(h.Extensions)},
		{"encrypted_extensions", true, names(e.Extensions)},
		{"ja4s", false, one(h.JA4S)},
	}
}

func (c *conn) group() event.Group {
	switch {
	case c.keyExchange != nil:
		return c.keyExchange.Group
	case c.serverHello != nil:
		return c.serverHello.Group
	}
	return 0
}

// scheme is that of the server's signature.
func (c *conn) scheme() event.SignatureScheme {
	switch {
	case c.verify != nil:
		return c.verify.SignatureScheme
	case c.keyExchange != nil:
		return c.keyExchange.SignatureScheme
	}
	return 0
}

// clientAuth is "given" or "requested", or "" where the client was not asked for
// a certificate.
func (c *conn) clientAuth() string {
	switch {
	case c.leaf(event.Client) != nil:
		return "given"
	case c.request != nil:
		return "requested"
	}
	return ""
}

func (c *conn) resumed() bool {
	return c.established != nil && c.established.Resumed || c.serverHello != nil && c.serverHello.PSK != nil
}

func (c *conn) certificates() []attribute {
	as := make([]attribute, 0, 16)
	for _, side := range []event.Side{event.Server, event.Client} {
		x, chain := c.leaf(side), []event.X509(nil)
		if x == nil {
			x = &event.X509{}
		} else {
			chain = c.chains[side].Chain[1:]
		}
		issuers := make([]string, len(chain))
		for i := range chain {
			issuers[i] = chain[i].Subject
		}
		as = append(as,
			attribute{side.String() + "_subject", false, one(x.Subject)},
			attribute{side.String() + "_names", true, texts(x.Names)},
			attribute{side.String() + "_issuer", false, one(x.Issuer)},
			attribute{side.String() + "_not_before", false, date(x.NotBefore)},
			attribute{side.String() + "_not_after", false, date(x.NotAfter)},
			attribute{side.String() + "_public_key", false, one(x.PublicKey)},
			attribute{side.String() + "_signature", false, one(x.Signature)},
			attribute{side.String() + "_sha256", false, one(x.SHA256.String())},
			attribute{side.String() + "_chain", true, texts(issuers)},
			attribute{side.String() + "_ocsp", false, amount(x.OCSP, "bytes")},
			attribute{side.String() + "_malformed", false, one(x.Malformed)},
		)
	}
	if c.request != nil {
		return append(as, attribute{"requested_of", true, texts(c.request.Authorities)})
	}
	return append(as, attribute{"requested_of", true, nil})
}

// label is the name of a field for a person.
func label(name string) string {
	name = strings.Replace(name, "syn_ack", "SYN-ACK", 1)
	words := strings.Split(name, "_")
	for i, w := range words {
		switch w {
		case "syn", "ecn", "psk", "id", "alpn", "ech", "ocsp", "ja4s":
			words[i] = strings.ToUpper(w)
		case "sha256":
			words[i] = "SHA-256"
		}
	}
	return strings.Join(words, " ")
}

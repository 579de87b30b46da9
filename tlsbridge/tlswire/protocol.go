package tlswire

import (
	"bytes"

	"synscope/event"
)

// A Protocol is one that the first bytes of a side look like; "" is none that is
// known.
type Protocol string

// The protocols that are told apart by who speaks them to whom; the others are
// names only.
const (
	ProtocolTLS   Protocol = "TLS"
	ProtocolSSL2  Protocol = "SSL 2.0"
	ProtocolHTTP  Protocol = "HTTP"
	ProtocolPROXY Protocol = "the PROXY protocol"
)

// protocols are known by what a side says first.
var protocols = []struct {
	begins string
	is     Protocol
}{
	{"GET ", ProtocolHTTP}, {"HEAD ", ProtocolHTTP}, {"POST ", ProtocolHTTP}, {"PUT ", ProtocolHTTP},
	{"DELETE ", ProtocolHTTP}, {"CONNECT ", ProtocolHTTP}, {"OPTIONS ", ProtocolHTTP}, {"TRACE ", ProtocolHTTP},
	{"PATCH ", ProtocolHTTP}, {"HTTP/", ProtocolHTTP}, {"PRI * HTTP/2", ProtocolHTTP},
	{"PROXY ", ProtocolPROXY}, {"\r\n\r\n\x00\r\nQUIT\n", ProtocolPROXY},
	{"SSH-", "SSH"},
	{"220 ", "SMTP or FTP"}, {"220-", "SMTP or FTP"}, {"EHLO ", "SMTP"}, {"HELO ", "SMTP"}, {"554 ", "SMTP"}, {"421 ", "SMTP or FTP"},
	{"500 ", "SMTP or FTP"},
	{"+OK", "POP3"}, {"* OK", "IMAP"}, {"* PREAUTH", "IMAP"}, {"USER ", "FTP or POP3"},
	{"RFB ", "VNC"}, {"AMQP", "AMQP"}, {"<?xml", "XMPP"}, {"<stream", "XMPP"}, {"-ERR", "Redis or POP3"}, {"*1\r\n$", "Redis"},
	{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "PostgreSQL"}, {"\x03\x00\x00", "RDP"},
}

// Recognize names the protocol that the first bytes of a side look like. Five of
// them are enough for what it knows.
func Recognize(first []byte) Protocol {
	if len(first) >= headerLen {
		h := [headerLen]byte(first)
		switch {
		case contentType(h[0]) && h[1] == 3:
			return ProtocolTLS
		case sslv2(h):
			return ProtocolSSL2
		case h[1] == 0 && h[2] == 0 && h[3] == 0 && h[4] == 10:
			return "MySQL"
		}
	}
	for _, p := range protocols {
		begins := []byte(p.begins)
		if bytes.HasPrefix(first, begins) || len(first) >= headerLen && bytes.HasPrefix(begins, first) {
			return p.is
		}
	}
	return ""
}

// PlainCode says what it means that a side begins with a protocol that is not
// TLS where the other side takes or speaks TLS.
func PlainCode(from event.Side, p Protocol) event.CauseCode {
	if from == event.Server {
		return event.CauseTLSToPlainPort
	}
	switch p {
	case ProtocolHTTP:
		return event.CausePlainHTTP
	case ProtocolPROXY:
		return event.CauseProxyHeader
	case ProtocolSSL2:
		return event.CauseSSL2
	case "":
		return event.CauseNotTLS
	}
	return event.CausePlainText
}

package event

import (
	"net/netip"
	"time"
)

// A Summary is what the events of one connection say of it as a whole: a row of
// a list, and what expressions select connections by. Its zero value is of a
// connection of which nothing was told yet; Add takes the events in order. It is
// owned by one goroutine; a copy of it is independent.
type Summary struct {
	Conn   uint64         `json:"conn"`
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
	Device string         `json:"device,omitempty"`
	Opened time.Time      `json:"opened"`
	// Open is set until conn.close.
	Open      bool `json:"open"`
	MidStream bool `json:"mid_stream,omitempty"`
	// Upstream and UpstreamOf are those of conn.open.
	Upstream   bool   `json:"upstream,omitempty"`
	UpstreamOf uint64 `json:"upstream_of,omitempty"`
	Scenario   string `json:"scenario,omitempty"`
	Events     uint64 `json:"events"`
	// Alert is the description of the first fatal alert, or, where there was
	// none, of the first warning that is not close_notify; AlertFrom sent it.
	Alert     string `json:"alert,omitempty"`
	AlertFrom Side   `json:"alert_from,omitzero"`
	// Code, Cause and Hint say why the connection failed, if it did: those of
	// tls.failed, or else of conn.close.
	Code  CauseCode `json:"code,omitempty"`
	Cause string    `json:"cause,omitempty"`
	Hint  string    `json:"hint,omitempty"`
	// Lost counts what trace.gap said was lost of the connection.
	Lost uint64     `json:"lost,omitempty"`
	TCP  TCPSummary `json:"tcp"`
	TLS  TLSSummary `json:"tls"`

	fatal bool // Alert is a fatal one
}

// A TCPSummary is the TCP side of a Summary.
type TCPSummary struct {
	ClientState State `json:"client_state,omitzero"`
	ServerState State `json:"server_state,omitzero"`
	// How is that of conn.close, "" while the connection is open; By is who
	// ended it.
	How           string        `json:"how,omitempty"`
	By            Side          `json:"by,omitzero"`
	HandshakeDone bool          `json:"handshake_done"`
	Segments      uint64        `json:"segments"`
	BytesClient   uint64        `json:"bytes_client"` // at conn.close
	BytesServer   uint64        `json:"bytes_server"`
	Retransmits   uint64        `json:"retransmits"`
	OutOfOrder    uint64        `json:"out_of_order"`
	Drops         uint64        `json:"drops"` // segments that the stack ignored
	SYNCookie     bool          `json:"syn_cookie"`
	RTT           time.Duration `json:"rtt,omitempty"`
	Handshake     time.Duration `json:"handshake,omitempty"`
	Duration      time.Duration `json:"duration"` // first event to the last so far
}

// A TLSSummary is the TLS side of a Summary.
type TLSSummary struct {
	// State is "" before the first byte, "plain" where the bytes are not TLS,
	// "handshake", "established" or "failed".
	State           string        `json:"state,omitempty"`
	Version         string        `json:"version,omitempty"`
	CipherSuite     string        `json:"cipher_suite,omitempty"`
	Group           string        `json:"group,omitempty"`
	SignatureScheme string        `json:"signature_scheme,omitempty"`
	ALPN            string        `json:"alpn,omitempty"`
	ServerName      string        `json:"server_name,omitempty"`
	Resumed         bool          `json:"resumed"`
	HelloRetry      bool          `json:"hello_retry"`
	ClientAuth      string        `json:"client_auth,omitempty"`
	ECH             bool          `json:"ech"`
	JA3             string        `json:"ja3,omitempty"`
	JA3S            string        `json:"ja3s,omitempty"`
	JA4             string        `json:"ja4,omitempty"`
	JA4S            string        `json:"ja4s,omitempty"`
	RoundTrips      int           `json:"round_trips,omitempty"`
	Handshake       time.Duration `json:"handshake,omitempty"`
	Undecoded       uint64        `json:"undecoded"` // tls.undecoded events
	FailedBy        Side          `json:"failed_by,omitzero"`
}

// Values of TLSSummary.State.
const (
	TLSPlain       = "plain"
	TLSHandshake   = "handshake"
	TLSEstablished = "established"
	TLSBroken      = "failed"
)

// Add takes the next event of the connection.
func (s *Summary) Add(e *Event) {
	s.Conn = e.Conn
	s.Events++
	if e.T > s.TCP.Duration {
		s.TCP.Duration = e.T
	}
	switch b := e.Body.(type) {
	case *Open:
		s.Client, s.Server, s.Device, s.Opened = b.Client, b.Server, b.Device, e.Time
		s.Open, s.MidStream, s.Scenario = true, b.MidStream, b.Scenario
		s.Upstream, s.UpstreamOf = b.Upstream, b.UpstreamOf
	case *Segment:
		s.TCP.add(b)
	case *TCPState:
		switch b.Side {
		case Client:
			s.TCP.ClientState = b.New
		case Server:
			s.TCP.ServerState = b.New
		}
		s.TCP.HandshakeDone = s.TCP.HandshakeDone || b.New == StateEstablished && b.Side == Server
	case *Dialed:
		s.TCP.HandshakeDone = b.OK
	case *Drop:
		s.TCP.Drops++
	case *Message:
		s.TLS.message(b)
	case *Alert:
		s.alert(e.From, b)
	case *Undecoded:
		s.TLS.Undecoded++
		if b.Reason == "not tls" && s.TLS.State == "" {
			s.TLS.State = TLSPlain
		}
	case *Established:
		s.TLS.established(b)
	case *Failed:
		s.TLS.State, s.TLS.FailedBy = TLSBroken, b.Side
		s.Code, s.Cause, s.Hint = b.Code, b.Cause, b.Hint
	case *Gap:
		s.Lost += b.Lost
	case *Close:
		s.close(e, b)
	}
}

func (s *TCPSummary) add(b *Segment) {
	s.Segments++
	if b.Retransmit {
		s.Retransmits++
	}
	if b.OutOfOrder {
		s.OutOfOrder++
	}
	s.SYNCookie = s.SYNCookie || b.SYNCookie
}

// close takes the end, whose numbers are exact.
func (s *Summary) close(e *Event, b *Close) {
	s.Open = false
	if s.Cause == "" {
		s.Code, s.Cause, s.Hint = b.Code, b.Cause, b.Hint
	}
	t := &s.TCP
	t.How, t.By, t.HandshakeDone = b.How, e.From, b.HandshakeDone
	t.Segments, t.BytesClient, t.BytesServer = b.SegmentsSeen, b.BytesClient, b.BytesServer
	t.Retransmits, t.OutOfOrder = b.Retransmits, b.OutOfOrder
	t.RTT, t.Handshake, t.Duration = b.RTT, b.TCPHandshake, b.Duration
	if b.TLSHandshake > 0 {
		s.TLS.Handshake = b.TLSHandshake
	}
}

// alert keeps the first fatal alert, or else the first one that is no goodbye.
func (s *Summary) alert(from Side, b *Alert) {
	const fatal = "fatal"
	name := b.Description.String()
	if s.fatal || b.Level != fatal && (s.Alert != "" || name == "close_notify") {
		return
	}
	s.Alert, s.AlertFrom, s.fatal = name, from, b.Level == fatal
}

func (s *TLSSummary) message(b *Message) {
	if s.State == "" || s.State == TLSPlain { // a protocol may go over to TLS late
		s.State = TLSHandshake
	}
	switch {
	case b.ClientHello != nil:
		if b.ClientHello.ServerName != "" {
			s.ServerName = b.ClientHello.ServerName
		}
		s.JA3, s.JA4 = b.ClientHello.JA3, b.ClientHello.JA4
	case b.ServerHello != nil:
		s.Version, s.CipherSuite = b.ServerHello.Version.String(), b.ServerHello.CipherSuite.String()
		s.JA3S, s.JA4S = b.ServerHello.JA3S, b.ServerHello.JA4S
	}
}

func (s *TLSSummary) established(b *Established) {
	*s = TLSSummary{
		State: TLSEstablished, Version: b.Version.String(), CipherSuite: b.CipherSuite.String(),
		ALPN: b.ALPN, ServerName: b.ServerName, Resumed: b.Resumed, HelloRetry: b.HelloRetry,
		ClientAuth: b.ClientAuth, ECH: b.ECH, JA3: b.JA3, JA3S: s.JA3S, JA4: b.JA4, JA4S: s.JA4S,
		RoundTrips: b.RoundTrips, Handshake: b.Duration, Undecoded: s.Undecoded,
	}
	if b.Group != 0 {
		s.Group = b.Group.String()
	}
	if b.SignatureScheme != 0 {
		s.SignatureScheme = b.SignatureScheme.String()
	}
}

package diff

import (
	"slices"
	"strings"

	"synscope/event"
)

// A conn is what the events of a connection say, by what they say it of. The
// pointers are nil where it was not seen.
type conn struct {
	event.Summary
	name string

	syn, synAck *event.Segment // the first of each
	ecn         bool           // the SYN asks for it
	helloIn     *event.Message // the first ClientHello
	hello       *event.ClientHello
	retry       *event.ServerHello // a HelloRetryRequest
	serverHello *event.ServerHello
	encrypted   *event.EncryptedExtensions
	keyExchange *event.ServerKeyExchange
	verify      *event.CertificateVerify // of the server
	chains      [3]*event.Certificate    // by who sent it
	request     *event.CertificateRequest
	tickets     int
	established *event.Established
	completedAt uint64 // the ordinal of established
	failed      *event.Failed
	close       event.Close // zero while the connection is open

	steps []Moment
}

// lookAt takes two connections apart, as far as they compare: of an upstream leg no
// segment was seen.
func lookAt(a, b Subject) (x, y *conn) {
	x, y = look(a), look(b)
	if x.Upstream != y.Upstream {
		x.leaveOutSegments()
		y.leaveOutSegments()
	}
	return x, y
}

// look takes the events of a connection apart.
func look(s Subject) *conn {
	c := &conn{name: s.Name}
	for _, e := range s.Events {
		if !Uses(e) {
			continue
		}
		c.Add(e)
		c.step(e)
		switch b := e.Body.(type) {
		case *event.Segment:
			c.segment(e.From, b)
		case *event.Message:
			c.message(e.From, b)
		case *event.Established:
			c.established, c.completedAt = b, e.N
		case *event.Failed:
			c.failed = b
		case *event.Close:
			c.close = *b
		}
	}
	return c
}

// leaveOutSegments forgets what only segments show.
func (c *conn) leaveOutSegments() {
	c.syn, c.synAck = nil, nil
	c.steps = slices.DeleteFunc(c.steps, func(m Moment) bool { return m.segment })
}

func (c *conn) segment(from event.Side, b *event.Segment) {
	switch {
	case !b.Flags.Has(event.SYN):
	case from == event.Client && c.syn == nil:
		c.syn, c.ecn = b, b.Flags.Has(event.ECE|event.CWR)
	case from == event.Server && c.synAck == nil:
		c.synAck = b
	}
}

func (c *conn) message(from event.Side, b *event.Message) {
	switch {
	case b.ClientHello != nil && c.hello == nil:
		c.helloIn, c.hello = b, b.ClientHello
	case b.ServerHello != nil && b.Type == event.HelloRetryRequest:
		c.retry = b.ServerHello
	case b.ServerHello != nil:
		c.serverHello = b.ServerHello
	case b.EncryptedExtensions != nil:
		c.encrypted = b.EncryptedExtensions
	case b.ServerKeyExchange != nil:
		c.keyExchange = b.ServerKeyExchange
	case b.CertificateVerify != nil && from == event.Server:
		c.verify = b.CertificateVerify
	case b.Certificate != nil && from <= event.Server:
		c.chains[from] = b.Certificate
	case b.CertificateRequest != nil:
		c.request = b.CertificateRequest
	case b.NewSessionTicket != nil:
		c.tickets++
	}
}

// leaf returns the certificate of a side, nil where it sent none.
func (c *conn) leaf(side event.Side) *event.X509 {
	if chain := c.chains[side]; chain != nil && len(chain.Chain) > 0 {
		return &chain.Chain[0]
	}
	return nil
}

func (c *conn) head() Head {
	return Head{
		Name: c.name, Conn: c.Conn, Client: c.Client, Server: c.Server, ServerName: c.TLS.ServerName, JA4: c.TLS.JA4,
		Opened: c.Opened, Outcome: Outcome(&c.Summary), Completed: c.completed(), Lost: c.Lost,
	}
}

// completed reports whether the TLS handshake was, and was not refused after
// all, as a client certificate may be in TLS 1.3.
func (c *conn) completed() bool { return c.established != nil && c.failed == nil }

// Outcome says in one line what came of a connection. It holds text of the
// peers, not escaped.
func Outcome(s *event.Summary) string {
	switch {
	case s.TLS.State == event.TLSBroken && s.Cause != "":
		return "TLS failed: " + s.Cause
	case s.TLS.State == event.TLSBroken:
		return "TLS failed"
	case s.Cause != "":
		return "failed: " + s.Cause
	case s.TLS.State == event.TLSEstablished:
		return session(&s.TLS)
	case s.TCP.How == "refused":
		return "TCP refused: the SYN was answered with RST"
	case s.TCP.How == "dropped":
		return "TCP not answered: the SYN was ignored"
	case !s.TCP.HandshakeDone && !s.MidStream:
		return "TCP handshake not completed"
	case s.TLS.State == event.TLSHandshake:
		return "TLS handshake not completed"
	case s.TLS.State == event.TLSPlain:
		return "TCP, not TLS"
	}
	return "TCP, no TLS seen"
}

func session(s *event.TLSSummary) string {
	var ds []string
	for _, d := range []string{s.Version, s.CipherSuite, s.Group, s.ALPN} {
		if d != "" {
			ds = append(ds, d)
		}
	}
	if s.HelloRetry {
		ds = append(ds, "hello retry")
	}
	if s.ClientAuth == "given" {
		ds = append(ds, "client certificate")
	}
	if s.Resumed {
		return strings.Join(append(ds, "resumed"), ", ")
	}
	return strings.Join(append(ds, "not resumed"), ", ")
}

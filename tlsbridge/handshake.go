package tlsbridge

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"synscope/event"
)

// A handshake is our side of one TLS handshake. It belongs to the goroutine of
// its connection, on which crypto/tls calls back.
type handshake struct {
	conn *conn

	// Set when the ClientHello is read.
	hello    *tls.ClientHelloInfo
	endpoint Endpoint
	config   *tls.Config
	name     string // what the certificate is for

	offer offer
}

// handshake performs the TLS handshake and tells how it went.
func (c *conn) handshake() (*tls.Conn, Endpoint, error) {
	h := &handshake{conn: c}
	c.watch.start()
	start := time.Now()
	conn := tls.Server(c.transport, &tls.Config{GetConfigForClient: h.configure})
	err := conn.Handshake()
	err = c.config.explain(err)
	h.tellTicket(false) // if it failed before that was told
	detail := ""
	if err != nil {
		h.tellUnverified(err)
		if accepts := h.accepts(err); accepts != "" {
			detail = "accepts " + accepts
		}
	} else if c.watch.to != nil {
		detail = describe(conn.ConnectionState())
	}
	c.watch.timed(stepHandshake, detail, start, err)
	c.watch.end(err)
	endpoint := h.endpoint
	*h = handshake{} // crypto/tls keeps the functions that refer to it
	return conn, endpoint, err
}

// explain says of a handshake that was not over in time so.
func (c *Config) explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return timeoutError(fmt.Sprintf("the handshake timeout of %v was over", c.HandshakeTimeout))
	}
	return err
}

// configure is the GetConfigForClient of the connection: it selects the endpoint
// and returns a configuration for this handshake alone, so that its secrets
// and its verdicts are known to be its own.
func (h *handshake) configure(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	h.hello = hello
	h.endpoint = h.conn.config.endpoint(h.conn.watch.flow, hello.ServerName)
	if err := h.endpoint.TLS.Validate(); err != nil {
		h.conn.watch.failed(stepClientHello, err.Error())
		return nil, err
	}
	h.chooseName()
	h.config = h.newConfig()
	return h.config, nil
}

// chooseName decides whom the certificate is for, and tells that the hello was
// accepted.
func (h *handshake) chooseName() {
	asked := h.hello.ServerName
	_, canonical, err := parseName(asked)
	if err == nil {
		h.name = canonical
		h.conn.watch.ok(stepClientHello, canonical)
		return
	}
	h.name = "localhost" // for a connection without addresses
	if addr := h.conn.watch.flow.Server.Addr(); addr.IsValid() {
		h.name = addr.String()
	}
	if asked == "" {
		h.conn.watch.ok(stepClientHello, "")
		return
	}
	h.conn.watch.ok(stepClientHello, fmt.Sprintf("server_name %v; the certificate is for %s", err, h.name))
}

// newConfig translates the endpoint's TLSConfig.
func (h *handshake) newConfig() *tls.Config {
	t, watch := h.endpoint.TLS, h.conn.watch
	c := h.conn.config.tickets.Clone()
	c.GetCertificate = h.certificate
	c.CipherSuites = t.CipherSuites
	c.CurvePreferences = t.Curves
	c.ClientAuth = t.ClientAuth
	c.ClientCAs = t.ClientCAs
	c.NextProtos = t.ALPN
	c.SessionTicketsDisabled = !t.SessionTickets
	c.MinVersion, c.MaxVersion = t.versions()
	if s, ok := h.endpoint.Service.(interface{ ALPN() []string }); ok && t.ALPN == nil {
		c.NextProtos = s.ALPN()
	}
	if watch.to != nil { // these three only tell
		c.VerifyConnection = h.verified
		c.UnwrapSession = h.unwrap
		c.KeyLogWriter = keyLog(func(label string, random, secret []byte) { watch.secret(label, random, secret, false) })
	}
	return c
}

// certificate is the GetCertificate of the connection.
func (h *handshake) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// Only the key is to be judged: a minted certificate fits the name, and
	// for a name that no certificate can fit one is needed all the same.
	nameless := *hello
	nameless.ServerName = ""
	var chosen *tls.Certificate
	for cert, err := range h.certificates() {
		if err != nil {
			return nil, err
		}
		supported := nameless.SupportsCertificate(cert) == nil
		if chosen == nil || supported {
			chosen = cert
		}
		if supported {
			break
		}
	}
	if h.conn.watch.to == nil {
		return chosen, nil
	}
	cert := *chosen
	cert.PrivateKey = timed(cert.PrivateKey, h.conn.watch)
	return &cert, nil
}

// certificates yields those there are to choose from, at least one, the
// preferred first; minted ones only when they are asked for.
func (h *handshake) certificates() func(yield func(*tls.Certificate, error) bool) {
	t := h.endpoint.TLS
	return func(yield func(*tls.Certificate, error) bool) {
		for i := range t.Certificates {
			if !yield(&t.Certificates[i], nil) {
				return
			}
		}
		if len(t.Certificates) > 0 {
			return
		}
		for _, k := range t.keyTypes() {
			if !yield(h.conn.config.Authority.Leaf(h.name, k)) {
				return
			}
		}
	}
}

// verified is the VerifyConnection of the connection, if somebody watches.
// crypto/tls calls it when it has nothing to object to the client's certificate,
// resumed or not.
func (h *handshake) verified(cs tls.ConnectionState) error {
	h.tellTicket(cs.DidResume)
	if h.endpoint.TLS.ClientAuth == tls.NoClientCert {
		return nil
	}
	detail := "the client gave no certificate"
	if len(cs.PeerCertificates) > 0 {
		detail = cs.PeerCertificates[0].Subject.String()
		if len(cs.VerifiedChains) == 0 {
			detail = "not verified: " + detail
		}
	}
	if cs.DidResume {
		detail = "from the ticket: " + detail
	}
	h.conn.watch.ok(stepVerify, detail)
	return nil
}

// errNoCertificate is the text of crypto/tls for a missing client certificate.
const errNoCertificate = "tls: client didn't provide a certificate"

// tellUnverified tells that the client's certificate was the reason for which
// the handshake failed, if it was.
func (h *handshake) tellUnverified(err error) {
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unverified):
		h.conn.watch.step(event.TLSStep{
			Step:   stepVerify,
			Detail: unverified.UnverifiedCertificates[0].Subject.String(),
			Error:  unverified.Err.Error(),
		})
	case err.Error() == errNoCertificate:
		h.conn.watch.failed(stepVerify, "the client gave no certificate")
	}
}

// describe sums up what was negotiated.
func describe(cs tls.ConnectionState) string {
	s := tls.VersionName(cs.Version) + " " + event.CipherSuite(cs.CipherSuite).String()
	if cs.NegotiatedProtocol != "" {
		s += " " + cs.NegotiatedProtocol
	}
	if cs.DidResume {
		s += " resumed"
	}
	return s
}

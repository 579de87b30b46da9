package tlsbridge

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"synscope/event"
)

// An opening is the handshakes of a bridge: that with the destination is made
// while crypto/tls waits for what to answer the client, so that the client is
// answered as the destination did. It belongs to the goroutine of its
// connection, on which crypto/tls calls back.
type opening struct {
	*bridge
	begun bool // TLS is opened
	hello *tls.ClientHelloInfo

	client  *tls.Conn // ours, on the far span
	head    *headReader
	state   tls.ConnectionState // of client
	judged  judgement           // of the destination's certificate
	failure error               // why the handshake with the destination failed

	secret []byte // SERVER_TRAFFIC_SECRET_0 of the near span
}

// configure is the GetConfigForClient of the near span.
func (o *opening) configure(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	proposal, ok := propose(hello)
	if !ok || !o.to.Open(hello.ServerName) {
		return nil, errUntouched
	}
	o.begun, o.hello = true, hello
	o.transport.forget()
	o.watch.start()
	o.watch.ok(stepClientHello, hello.ServerName)
	if err := o.handshakeFar(proposal); err != nil {
		o.failure = fmt.Errorf("the destination: %w", err)
		o.refuse(err)
		return nil, err
	}
	start := time.Now()
	cert, err := o.config.Authority.imitate(o.state.PeerCertificates, o.judged)
	if err != nil {
		o.watch.timed(stepLikeness, "", start, err)
		return nil, err
	}
	o.watch.timed(stepLikeness, keyName(cert.Leaf.PublicKey)+", "+o.judged.String(), start, nil)
	cert.PrivateKey = timed(cert.PrivateKey, o.watch)
	return o.nearConfig(cert), nil
}

// nearConfig has the near span be as the far one is.
func (o *opening) nearConfig(cert *tls.Certificate) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{*cert},
		MinVersion:   o.state.Version, MaxVersion: o.state.Version,
		CipherSuites:           []uint16{o.state.CipherSuite},
		SessionTicketsDisabled: true,
		KeyLogWriter: keyLog(func(label string, random, secret []byte) {
			if label == "SERVER_TRAFFIC_SECRET_0" {
				o.secret = slices.Clone(secret)
			}
			o.watch.secret(label, random, secret, false)
		}),
	}
	if p := o.state.NegotiatedProtocol; p != "" {
		c.NextProtos = []string{p}
	}
	return c
}

// A proposal is what of a client's offer can be made to the destination.
type proposal struct {
	versions [2]uint16 // lowest and highest
	suites   []uint16
	groups   []tls.CurveID
}

// groups are those that crypto/tls has.
var groups = []tls.CurveID{
	tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
}

// propose returns the offer of a client, and false if there is nothing in it that
// crypto/tls could do.
func propose(hello *tls.ClientHelloInfo) (p proposal, ok bool) {
	for _, v := range hello.SupportedVersions {
		if v < tls.VersionTLS10 || v > tls.VersionTLS13 {
			continue
		}
		if p.versions[0] == 0 || v < p.versions[0] {
			p.versions[0] = v
		}
		p.versions[1] = max(p.versions[1], v)
	}
	p.suites, p.groups = []uint16{}, nil
	for _, s := range hello.CipherSuites {
		if implemented[s] {
			p.suites = append(p.suites, s)
		}
	}
	for _, g := range groups {
		if slices.Contains(hello.SupportedCurves, g) {
			p.groups = append(p.groups, g)
		}
	}
	return p, p.versions[1] != 0 && len(p.suites) > 0 && (len(p.groups) > 0 || len(hello.SupportedCurves) == 0)
}

// handshakeFar makes the handshake with the destination.
func (o *opening) handshakeFar(p proposal) error {
	to := o.to.Conn.to
	o.head = &headReader{span: o.far}
	o.client = tls.Client(o.head, &tls.Config{
		ServerName: o.hello.ServerName,
		NextProtos: o.hello.SupportedProtos,
		MinVersion: p.versions[0], MaxVersion: p.versions[1],
		CipherSuites: p.suites, CurvePreferences: p.groups,
		// Whatever the certificate, it is the client that is to judge.
		InsecureSkipVerify: true,
		VerifyConnection:   o.verify,
		KeyLogWriter:       keyLog(to.Secret),
	})
	to.TLSStart()
	start := time.Now()
	o.client.SetDeadline(start.Add(o.config.HandshakeTimeout))
	err := o.config.explain(o.client.Handshake())
	step := event.TLSStep{Step: stepHandshake, OK: err == nil, Duration: time.Since(start)}
	o.head.over = true
	if err == nil {
		o.head.read = nil
		o.state = o.client.ConnectionState()
		step.Detail = describe(o.state)
		o.client.SetDeadline(time.Time{})
	} else {
		step.Error = bounded(err.Error())
	}
	to.Step(step)
	to.TLSEnd(err)
	return err
}

// verify is the VerifyConnection of the far span. It finds out what the client is
// to think of the certificate that it will be shown, and objects to nothing.
func (o *opening) verify(state tls.ConnectionState) error {
	chain := state.PeerCertificates
	leaf := chain[0]
	step := event.TLSStep{Step: stepVerify, OK: true, Detail: bounded(leaf.Subject.String())}
	opts := x509.VerifyOptions{Roots: o.to.Roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(opts)
	if err != nil {
		o.judged = judge(chain, o.to.Roots)
	} else {
		err = leaf.VerifyHostname(cmp.Or(o.hello.ServerName, o.to.Name, o.watch.flow.Server.Addr().String()))
	}
	if err != nil {
		step.OK, step.Error = false, bounded(err.Error())
	}
	o.to.Conn.to.Step(step)
	return nil
}

// refuse has the client meet the failure of the destination in kind. The client
// was sent nothing yet, and crypto/tls is to send it nothing.
func (o *opening) refuse(err error) {
	var notTLS tls.RecordHeaderError
	alert, alerted := alertOf(err)
	switch {
	case alerted:
	case resets(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), timedOut(err), errors.As(err, &notTLS):
		o.transport.muted = true
		return // see end
	case strings.Contains(err.Error(), "unsupported protocol version"), strings.Contains(err.Error(), "unsupported versions"):
		alert = alertProtocolVersion
	case strings.Contains(err.Error(), "certificate"):
		alert = alertBadCertificate
	default:
		alert = alertHandshakeFailure
	}
	highest := slices.Max(o.hello.SupportedVersions)
	o.transport.Write(plainAlert(highest, alert))
	o.transport.muted = true
}

// end ends both spans after the handshake failed, by err, on the near or, where
// there is a failure, on the far one.
func (o *opening) end(err error) {
	var notTLS tls.RecordHeaderError
	var op *net.OpError
	switch {
	case o.failure == nil && errors.As(err, &op) && op.Op == "read" && !op.Timeout():
		o.far.abort("") // as the client has reset its own
	case o.failure == nil:
		o.client.Close()
		o.close(nil) // crypto/tls has sent its alert, or was sent one
	case errors.As(err, &notTLS):
		// What it said is for the client to see.
		o.transport.muted = false
		o.far.ahead = o.head.read
		o.far.SetDeadline(time.Time{})
		o.transport.begin(0)
		down := o.passDown()
		o.bridge.end(pass(o.far, o.near), <-down)
	case resets(err):
		o.near.abort("the destination reset the connection in the handshake")
	default:
		o.to.Conn.Close()
		o.close(nil)
	}
}

func resets(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// A headReader is the far span during its handshake: it keeps what is read, to be
// passed on if it is not TLS. That is little: crypto/tls looks at the first bytes.
type headReader struct {
	*span
	read []byte
	over bool
}

const maxNotTLS = 64 << 10

func (h *headReader) Read(b []byte) (int, error) {
	n, err := h.span.Read(b)
	if !h.over && len(h.read) < maxNotTLS {
		h.read = append(h.read, b[:n]...)
	}
	return n, err
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A job is what the client is to do, in a process of its own in the client's
// namespace. It comes as JSON on the standard input.
type job struct {
	Kind    string        // handshake, connect, download, upload, echo, idle or ready
	Port    int           // of the server, on each of its addresses
	TLS     bool          // of download, upload and echo
	Version uint16        // of TLS, exactly; 0: TLS 1.3
	Group   tls.CurveID   // that must be chosen, the first offered; 0: the first of the defaults of crypto/tls
	Resume  bool          // every connection resumes the one before
	Byte    bool          // of connect: a byte is echoed before the end
	AtOnce  int           // connections at a time; of idle: in all
	Warmup  time.Duration // before the window
	Window  time.Duration // what is measured
	Settle  time.Duration // of idle: from the last handshake to the reading of memory
	Lenient bool          // count operations that fail, and go on
	Roots   string        // PEM file of the authority that the server must have
	Servers []int         // process ids, whose CPU time and memory are told
	Below   bool          // the parent is one of them
	Resets  bool          // of handshake: the server may answer its end by RST
	Control string        // socket that tells the number of the server's goroutines; "": there is none
}

// A result is what one job measured.
type result struct {
	Count      float64 `json:"count"`                // operations that ended in the window, or bytes moved in it
	Seconds    float64 `json:"seconds"`              // of the window
	ClientCPU  float64 `json:"clientCPU"`            // CPU seconds in the window
	ServerCPU  float64 `json:"serverCPU"`            // CPU seconds in the window, of all processes of the server and of a bridge
	P50        float64 `json:"p50,omitempty"`        // of the operations' latency, µs
	P99        float64 `json:"p99,omitempty"`        // µs
	Resident   float64 `json:"resident,omitempty"`   // bytes of the server after idle
	Goroutines float64 `json:"goroutines,omitempty"` // of the server after idle
	Failed     int     `json:"failed,omitempty"`     // operations
	Failure    string  `json:"failure,omitempty"`    // of the first of them
	Group      string  `json:"group,omitempty"`      // of the key exchange
	SentSYNs   int     `json:"sentSYNs,omitempty"`   // by the flood meanwhile
	Rejected   string  `json:"rejected,omitempty"`   // why there is no such measurement of this server
}

// opTimeout bounds one operation, a whole handshake say.
const opTimeout = 10 * time.Second

// runClient is the main program of the client.
func runClient() error {
	var c client
	if err := json.NewDecoder(os.Stdin).Decode(&c.job); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	r, err := c.run()
	var other otherGroup
	if errors.As(err, &other) {
		r, err = result{Rejected: other.Error()}, nil
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// A client does one job.
type client struct {
	job
	roots *x509.CertPool
	next  atomic.Uint32 // counts connections, for the server's address
	group atomic.Uint32 // tls.CurveID of the last handshake
}

func (c *client) run() (result, error) {
	if c.Kind == "ready" {
		return result{}, c.awaitServer()
	}
	if c.Below {
		c.Servers = append(c.Servers, os.Getppid())
	}
	if c.Roots != "" {
		pem, err := os.ReadFile(c.Roots)
		if err != nil {
			return result{}, err
		}
		c.roots = x509.NewCertPool()
		if !c.roots.AppendCertsFromPEM(pem) {
			return result{}, fmt.Errorf("%s: no certificate", c.Roots)
		}
	}
	switch c.Kind {
	case "handshake":
		return c.repeat(c.handshakes)
	case "connect":
		return c.repeat(c.connects)
	case "echo":
		return c.repeat(c.echoes)
	case "download", "upload":
		return c.transfer()
	case "idle":
		return c.idle()
	}
	return result{}, fmt.Errorf("unknown kind of job %q", c.Kind)
}

// dial connects to the server's next address: with many, ephemeral ports do not
// run out.
func (c *client) dial() (*net.TCPConn, error) {
	n := c.next.Add(1)
	d := net.Dialer{Timeout: opTimeout, KeepAlive: -1}
	conn, err := d.Dial("tcp4", fmt.Sprintf("%s.%d:%d", serverNet, 1+n%serverAddresses, c.Port))
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// awaitServer returns when the server accepts connections.
func (c *client) awaitServer() error {
	deadline := time.Now().Add(startTimeout)
	for {
		d := net.Dialer{Timeout: 200 * time.Millisecond}
		conn, err := d.Dial("tcp4", fmt.Sprintf("%s.1:%d", serverNet, c.Port))
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server is not ready after %v: %w", startTimeout, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *client) tlsConfig() *tls.Config {
	t := &tls.Config{ServerName: serverName, RootCAs: c.roots, MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS13}
	if c.Version != 0 {
		t.MinVersion, t.MaxVersion = c.Version, c.Version
	}
	if c.Group != 0 {
		// P-256 is offered for the certificate: of TLS 1.2, OpenSSL wants it.
		t.CurvePreferences = []tls.CurveID{c.Group, tls.CurveP256}
	}
	if c.Resume {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return t
}

// otherGroup is the error of a server that chose another key exchange group
// than the one to be measured.
type otherGroup struct{ got, want tls.CurveID }

func (e otherGroup) Error() string { return fmt.Sprintf("%v, it has no %v", e.got, e.want) }

// shake makes a TLS connection and verifies that it is of the kind asked for.
func (c *client) shake(config *tls.Config) (*tls.Conn, error) {
	raw, err := c.dial()
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(opTimeout))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	s, want := conn.ConnectionState(), c.Group
	c.group.Store(uint32(s.CurveID))
	if want == 0 {
		want = tls.X25519MLKEM768
	}
	if s.CurveID != want {
		raw.Close()
		return nil, otherGroup{s.CurveID, want}
	}
	return conn, nil
}

// open returns a connection that outlives opTimeout.
func (c *client) open() (net.Conn, error) {
	if !c.TLS {
		return c.dial()
	}
	conn, err := c.shake(c.tlsConfig())
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

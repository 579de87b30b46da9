package integration

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"synscope/event"
)

// Thousands of connections, 64 at a time: a full TLS handshake each, an echo,
// and an end in order. Each is told completely, and nothing of them stays.
func TestManyConnections(t *testing.T) {
	const warmUp, many, atOnce = 1000, 2000, 64
	l := newNamespace(t)
	// With a limit below what garbage would take, what is resident is what is
	// in use.
	l.serveUnder([]string{"env", "GOMEMLIMIT=32MiB"}, "--service", "echo", "--time-wait", "200ms")

	l.handshakes(warmUp, atOnce)
	l.awaitStates(event.StateClosed, warmUp)
	before, files := l.rss(), len(l.descriptors())
	l.handshakes(many, atOnce)
	l.awaitStates(event.StateClosed, warmUp+many)
	if after := l.rss(); after > before+margin(32) { // what leaks 16 KB a connection is found
		t.Errorf("%d MB resident after %d connections, %d MB before", after, many, before)
	}
	if n := len(l.descriptors()); n != files {
		t.Errorf("%d open files, %d before", n, files)
	}

	all := l.stories()
	l.wantNoGap()
	if len(all) != warmUp+many {
		t.Errorf("%d connections told, want %d", len(all), warmUp+many)
	}
	for _, s := range all {
		s.wantTransitions(t, `
			tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
			tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED
			tls client  START > WAIT_SH > WAIT_EE > WAIT_CERT_CR > WAIT_CV > WAIT_FINISHED > CONNECTED > CLOSED
			tls server  START > RECVD_CH > NEGOTIATED > WAIT_FLIGHT2 > WAIT_FINISHED > CONNECTED > CLOSED`)
		s.wantClose(t, "fin", event.Server)
		if t.Failed() {
			t.FailNow() // one is enough to read
		}
	}
}

// A download of 200 MB: the trace keeps up, or tells what it missed.
func TestDownload(t *testing.T) {
	const size = 200_000_000
	l := newNamespace(t)
	l.serve("--service", fmt.Sprintf("chargen:%d", size))
	conn := l.dial(netip.MustParseAddrPort(server4 + ":19"))
	conn.Write([]byte("x"))
	if n, err := io.Copy(io.Discard, conn); n != size || err != nil {
		t.Errorf("received %d bytes, %v, want %d", n, err, size)
	}
	conn.Close()
	l.awaitClose(1)

	s := l.story()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT > CLOSED`)
	if c := s.wantClose(t, "fin", event.Server); c.BytesServer != size {
		t.Errorf("conn.close counts %d bytes of the server's, want %d", c.BytesServer, size)
	}
	told := 0
	for _, seg := range s.segments(event.Server) {
		if !seg.Retransmit {
			told += seg.Len
		}
	}
	if told != size && len(l.gaps()) == 0 {
		t.Errorf("segments of %d bytes told, want %d, or a gap", told, size)
	}
	if n := len(s); n > size/1000 {
		t.Errorf("%d events of one download", n)
	}
}

// What is discarded is acknowledged, and nothing comes back but the end.
func TestUpload(t *testing.T) {
	const size = 20_000_000
	l := newNamespace(t)
	l.serve("--service", "discard")
	conn := l.dial(netip.MustParseAddrPort(server4 + ":9"))
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Error(err)
	}
	conn.CloseWrite()
	if n, err := io.Copy(io.Discard, conn); n != 0 || err != nil {
		t.Errorf("received %d bytes, %v, want EOF", n, err)
	}
	l.awaitClose(1)

	s := l.story()
	s.wantTransitions(t, `
		tcp client  CLOSED > SYN-SENT > ESTABLISHED > FIN-WAIT-1 > FIN-WAIT-2 > TIME-WAIT
		tcp server  LISTEN > SYN-RECEIVED > ESTABLISHED > CLOSE-WAIT > LAST-ACK > CLOSED`)
	if c := s.wantClose(t, "fin", event.Client); c.BytesClient != size || c.BytesServer != 0 {
		t.Errorf("conn.close counts %d and %d bytes, want %d and 0", c.BytesClient, c.BytesServer, size)
	}
}

// margin is an allowance of memory in MB. The race detector takes several times
// what the program does.
func margin(mb int) int {
	if raceFlags != nil {
		return 4 * mb
	}
	return mb
}

// handshakes makes n connections, some at once.
func (l *lab) handshakes(n, atOnce int) {
	l.t.Helper()
	config := l.tlsConfig()
	var left atomic.Int64
	left.Store(int64(n))
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			l.inside(func() {
				for left.Add(-1) >= 0 {
					if err := echoOnce(config); err != nil {
						l.t.Error(err)
						return
					}
				}
			})
		})
	}
	workers.Wait()
	if l.t.Failed() {
		l.t.FailNow()
	}
}

// tlsConfig is that of a client which trusts the daemon's authority.
func (l *lab) tlsConfig() *tls.Config {
	l.t.Helper()
	pem, err := os.ReadFile(l.ca())
	if err != nil {
		l.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		l.t.Fatalf("%s: no certificate", l.ca())
	}
	return &tls.Config{ServerName: hostname, RootCAs: roots, MinVersion: tls.VersionTLS13}
}

// echoOnce connects, shakes hands, has a word echoed, and closes in order: the
// client sends close_notify, the server answers it and closes first.
func echoOnce(config *tls.Config) error {
	raw, err := net.DialTimeout("tcp", server4+":443", clientTimeout)
	if err != nil {
		return err
	}
	defer raw.Close()
	conn := tls.Client(raw, config)
	const word = "hello"
	if _, err := conn.Write([]byte(word)); err != nil {
		return err
	}
	b := make([]byte, len(word))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != word {
		return fmt.Errorf("echo sent %q, %v", b, err)
	}
	return closeInOrder(conn)
}

// closeInOrder sends close_notify, and closes after the server has.
func closeInOrder(conn *tls.Conn) error {
	defer conn.NetConn().Close()
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	b := make([]byte, 1)
	if _, err := conn.Read(b); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after close_notify: %v, want EOF", err)
	}
	if _, err := conn.NetConn().Read(b); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the server's close_notify: %v, want FIN", err)
	}
	return nil
}

// awaitStates waits until our endpoints have entered a state n times.
func (l *lab) awaitStates(s event.State, n int) {
	l.t.Helper()
	l.await(fmt.Sprintf("%v, %d times", s, n), func(e *event.Event) bool {
		if b, ok := e.Body.(*event.TCPState); ok && b.Side == event.Server && b.New == s {
			n--
		}
		return n == 0
	})
}

// gaps returns what the ended daemon told to have lost.
func (l *lab) gaps() []*event.Gap { return find[*event.Gap](l.events) }

// wantNoGap checks that the ended daemon lost nothing.
func (l *lab) wantNoGap() {
	l.t.Helper()
	for _, g := range l.gaps() {
		l.t.Errorf("lost %d %s: %s", g.Lost, g.What, g.Reason)
	}
}

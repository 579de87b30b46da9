package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"time"
)

// The ports on which a server offers its services, as the configuration of
// synscope serve in contestants.go has them.
const (
	portEcho       = 7
	portDiscard    = 9
	portChargen    = 19
	portTLSEcho    = 443
	portTLSDiscard = 444
	portTLSChargen = 445

	portBridge = 8443 // of a bridge in the server's place
)

// runServer is the main program of the kernel's server: net.Listen and
// crypto/tls with their defaults, and the services of package tlsbridge.
// At the control socket it tells, as synscope serve does, how many goroutines it
// has. Once it listens, it starts the bridge to it, a command line, if there is
// one.
func runServer(certFile, keyFile, control string, bridge []string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	failed := make(chan error)
	socket, err := net.Listen("unix", control)
	if err != nil {
		return err
	}
	go func() { // until the process ends
		failed <- http.Serve(socket, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"goroutines": %d}`, runtime.NumGoroutine())
		}))
	}()
	for _, l := range []struct {
		port    int
		tls     bool
		service func(net.Conn)
	}{
		{portEcho, false, serveEcho}, {portTLSEcho, true, serveEcho},
		{portDiscard, false, serveDiscard}, {portTLSDiscard, true, serveDiscard},
		{portChargen, false, serveChargen}, {portTLSChargen, true, serveChargen},
	} {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", l.port))
		if err != nil {
			return err
		}
		if l.tls {
			listener = tls.NewListener(listener, config)
		}
		go func() { failed <- serve(listener, l.service) }() // until the process ends
	}
	if len(bridge) > 0 {
		go func() { failed <- runBridge(bridge) }() // until the process ends
	}
	return <-failed
}

func serve(l net.Listener, service func(net.Conn)) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if t, ok := conn.(*tls.Conn); ok {
				t.SetDeadline(time.Now().Add(30 * time.Second))
				if t.Handshake() != nil {
					return
				}
				t.SetDeadline(time.Time{})
			}
			service(conn)
		}()
	}
}

// serveEcho has a small buffer while little comes, as the one of tlsbridge.
func serveEcho(conn net.Conn) {
	b := make([]byte, 2<<10)
	for {
		n, err := conn.Read(b)
		if n > 0 {
			if _, err := conn.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func serveDiscard(conn net.Conn) {
	b := make([]byte, 64<<10)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// serveChargen writes until the client closes its side.
func serveChargen(conn net.Conn) {
	go func() {
		io.Copy(io.Discard, conn)
		conn.SetWriteDeadline(time.Now())
	}()
	for {
		if _, err := conn.Write(chargenBlock); err != nil {
			return
		}
	}
}

// chargenBlock is as large as the one of tlsbridge.
var chargenBlock = make([]byte, 9*95*74)

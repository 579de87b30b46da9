package integration

import (
	"context"
	"crypto/tls"
	"io"
	"path/filepath"
	"testing"

	"golang.org/x/net/quic"

	"synscope/event"
)

// echoQUIC sends each stream to a port of the far namespace back.
func (o *outside) echoQUIC(address string) {
	o.t.Helper()
	var endpoint *quic.Endpoint
	var err error
	o.far.inside(func() {
		endpoint, err = quic.Listen("udp", address, &quic.Config{TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{"echo"}, Certificates: []tls.Certificate{o.pki.pair("good")},
		}})
	})
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.t.Cleanup(func() { cancel(); endpoint.Close(ctx) })
	go func() { // ends with ctx
		for {
			conn, err := endpoint.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				if stream, err := conn.AcceptStream(ctx); err == nil {
					io.Copy(stream, stream)
					stream.Close()
				}
			}()
		}
	}()
}

// QUIC works, and is told as a flow of datagrams with its version.
func TestRunWorldQUIC(t *testing.T) {
	o := newOutside(t)
	o.echoQUIC(":1002")
	o.asEachUser(t, func(t *testing.T, b *bench) {
		out := b.run(filepath.Join(buildDir, "quicclient"), hostname+":1002")
		if out.status != 0 || out.stdout != "hello\n" {
			t.Fatalf("status %#x, %q\n%s", int(out.status), out.stdout, out.stderr)
		}
		begun, ended := find[*event.UDPFlow](story(out.others)), find[*event.UDPEnd](story(out.others))
		if len(begun) != 1 || len(ended) != 1 {
			t.Fatalf("%d flows began, %d ended, want 1 each", len(begun), len(ended))
		}
		if begun[0].QUIC != "1" || begun[0].Name != hostname {
			t.Errorf("it began with %+v", begun[0])
		}
		// A hello of the client fills a datagram (RFC 9000, section 14.1), and
		// certificates take the server another.
		if end := ended[0]; end.DatagramsClient < 3 || end.DatagramsServer < 2 || end.BytesServer < 1200 {
			t.Errorf("it ended with %+v", end)
		}
	})
}

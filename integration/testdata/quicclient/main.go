// Quicclient sends a word on a stream of QUIC with the roots of the system, and
// prints what comes back.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/net/quic"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	endpoint, err := quic.Listen("udp", ":0", nil)
	if err != nil {
		return err
	}
	defer endpoint.Close(ctx)
	conn, err := endpoint.Dial(ctx, "udp", address, &quic.Config{TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"echo"}, ServerName: "shop.example",
	}})
	if err != nil {
		return err
	}
	stream, err := conn.NewStream(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(stream, "hello")
	stream.CloseWrite()
	b, err := io.ReadAll(stream)
	fmt.Println(string(b))
	return err
}

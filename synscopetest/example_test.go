package synscopetest_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	"synscope/synscopetest"
	"synscope/tlsbridge"
	"synscope/tun/tuntest"
)

// A test gives the program under test a client, and looks at what it did.
func Example() {
	s := synscopetest.New(t, synscopetest.Config{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }),
	})
	defer s.Close()

	resp, err := s.Client().Get("https://shop.example/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Printf("%s: %s\n", resp.Proto, body)

	s.Expect(`tls.version == "TLS 1.3" && tls.server_name == "shop.example"`)
	s.Expect(`conns.size() == 1`)
	for _, c := range s.Conns() {
		fmt.Println(c.TLS.Version, c.TLS.ALPN, c.TLS.State)
	}
	// Output:
	// HTTP/2.0: hello
	// TLS 1.3 h2 established
}

// The failure of an expectation says what happened instead.
func ExampleNetwork_Expect() {
	s := synscopetest.New(t, synscopetest.Config{TLS: &tlsbridge.TLSConfig{MaxVersion: tls.VersionTLS12}})
	defer s.Close()

	resp, err := s.Client().Get("https://old.example/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.Expect(`tls.version == "TLS 1.3"`)
	// Output:
	// Error: expected tls.version == "TLS 1.3": #1 old.example has tls.version "TLS 1.2"
}

// A client that does not trust the endpoint says so with an alert.
func ExampleNetwork_DialContext() {
	s := synscopetest.New(t, synscopetest.Config{})
	defer s.Close()

	raw, err := s.DialContext(t.Context(), "tcp", "shop.example:443")
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{ServerName: "shop.example"}) // not s.TLSConfig()
	fmt.Println(conn.Handshake() != nil)
	conn.Close()

	s.Expect(`alert == "bad_certificate" && tls.failed_by == "client"`)
	fmt.Println(s.Conns()[0].Code)
	// Output:
	// true
	// certificate_refused
}

// What is lost on the way is sent again.
func ExampleConfig_faults() {
	packets := 0
	s := synscopetest.New(t, synscopetest.Config{
		FromServer: func([]byte) tuntest.Verdict {
			if packets++; packets == 1 {
				return tuntest.Drop // the SYN-ACK
			}
			return tuntest.Pass
		},
	})
	defer s.Close()

	conn, err := s.DialContext(t.Context(), "tcp", "198.18.3.4:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.Expect(`tcp.retransmits > 0 && tcp.handshake_done`)
	fmt.Println(s.Conns()[0].TCP.Handshake >= time.Second) // the timeout of RFC 6298
	// Output:
	// true
}

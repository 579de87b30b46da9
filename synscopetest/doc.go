// Package synscopetest has a TCP and TLS endpoint for Go tests, whose timeline
// a test asserts on. It is all in memory: it takes no privileges, no ports and
// no certificates, and tests may run in parallel.
//
// [New] starts an endpoint that answers every name, address and port, and at the
// other end of a cable a host whose TCP is a netstack's, too: the handshakes
// are real ones, segment by segment. What the program under test is given is the
// host's side: an [http.Client], a DialContext as [net.Dialer] has it, or a
// [tls.Config] that trusts the endpoint. What the test then looks at is what
// package synscope tells: the [event.Summary] of each connection, every
// [event.Event], or an expression as `synscope run --expect` takes it:
//
//	func TestResumes(t *testing.T) {
//		s := synscopetest.New(t, synscopetest.Config{})
//		c := myclient.New(s.DialContext, s.TLSConfig())
//		c.Fetch("https://shop.example/")
//		c.Fetch("https://shop.example/")
//		s.Expect(`conns.exists(c, c.tls.resumed)`)
//	}
//
// The test fails as well if it leaves a connection open.
//
// # Limitations
//
//   - Time is that of the clock: a test for a timeout waits for it.
//   - The program under test has to take a dial function or a client: one that
//     dials by itself meets the network that there is. For whole programs there
//     is [synscope.Run].
//   - UDP is not answered, so neither is QUIC.
package synscopetest

// Package tlsbridge turns an accepted connection into TLS, or leaves it plain,
// and hands it to a service.
//
// A [Server] takes any [net.Conn]. The first byte tells a TLS record of type
// handshake (0x16) from plain text, so one port answers both. TLS is spoken by
// crypto/tls, with a certificate minted by an [Authority] for the server name
// of the ClientHello, or for the address that was dialled. Behind it a
// [Service] talks to the client: [Mirror] answers any HTTP request with the
// story of the very connection it came on; [Echo], [Discard] and [Chargen] are
// the services of RFC 862, 863 and 864; [HTTP] takes any handler.
//
// A connection that has a [Destination] is relayed to it instead. Its TLS is
// opened, and made anew to the destination inside the client's handshake, so
// that the client meets what the destination chose, or how it failed; or it
// passes untouched. The certificate that is shown is a likeness of the
// destination's, for the client to judge.
//
// What the TLS endpoint does and thinks is told to an [Observer]: the secrets
// of the connection by their names of RFC 9850, and steps such as "the ticket
// was refused, because". What is on the wire is not this package's business:
// the observer's owner decodes it with the secrets.
//
// A connection is closed in order: close_notify, FIN, reading until the client
// is done too, and only then close; so that neither the last answer nor an
// alert is lost to a RST. A client that half-closes before it reads still gets
// its answer.
//
// # Limitations
//
//   - The client speaks first to a service: also [Chargen] starts after the
//     first byte. A destination may speak first.
//   - Versions and features are those of crypto/tls: no SSL 3.0, no
//     renegotiation, no finite field Diffie-Hellman, no 0-RTT.
//   - Opened TLS is not resumed, and no client certificate is passed on.
//   - The root certificate is ECDSA. A client that cannot verify ECDSA
//     signatures at all cannot verify an RSA leaf either.
//   - An HTTP/2 client that half-closes TCP before it reads loses its answer:
//     net/http takes the end of the frames for the end of the client. HTTP/1.1
//     is not affected.
package tlsbridge

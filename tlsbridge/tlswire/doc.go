// Package tlswire decodes TLS from the bytes of a connection, as an observer
// who may have been given its secrets: records, handshake messages, alerts, and
// what they mean for the state of both sides.
//
// A [Decoder] takes the bytes of each direction in order ([Decoder.Feed]), what
// happened to the transport ([Decoder.Gap], [Decoder.End]) and the secrets of a
// key log ([Decoder.Secret]), and tells bodies of package event. It is a pure
// function of these: it has no goroutine, no clock and no I/O, and what it tells
// does not depend on how the bytes are cut into packets or, while secrets are
// expected, on when they come.
//
// # Terms
//
// A record is the unit of the record protocol; a message is one of the handshake
// protocol, which may span records or share one. An epoch is the time that one
// direction uses one kind of key. A side is client or server; a direction is
// named by the side that sends. Names are those of RFC 8446, its appendix A for
// states, and of the IANA registries.
//
// # What is told
//
//   - Message, Alert and ChangeCipherSpec for each, stamped when the last byte of
//     the record came that completed it, with the packets of all its records (at
//     most 64: the first and the last).
//   - ApplicationData for the first record of each side and epoch; then it is
//     only counted ([Decoder.Application]). It is not opened: in TLS 1.3 one
//     block of key stream tells the inner type (see peek.go), in older versions
//     the type is in clear. Two exceptions, whose content is discarded: a padded
//     record, whose inner type cannot be peeked at, and early data, where only
//     authentication tells which key it was sealed with.
//   - TLSState for each step of both sides, after the message that causes it,
//     the sender's step first. The machines are drawn in state13.go and
//     state12.go.
//   - Established when the last Finished was seen, once. In TLS 1.3 the server
//     may still refuse the client's certificate after it: then Failed follows.
//   - Failed, once, when the handshake cannot complete: a fatal alert, the end
//     of the transport before that, or bytes that are not TLS.
//     Its code and its sentence rest on the evidence of the messages: the alert,
//     what the hellos offer, and what is wrong with the certificate refused. If
//     one end is ours, [Decoder.Diagnose] takes its word as well.
//   - Undecoded for what could not be decoded, and why. Of each reason the first
//     record of a direction is told at once, and all further ones together when
//     the direction ends; the numbers of both events add up.
//
// The reasons are those of event.Undecoded, and "no cipher": the cipher suite is
// not implemented.
//
// # What is never told
//
// Nothing is guessed. If something of a handshake could not be decoded (no key,
// a gap, a damaged record), the states of a side that was not connected are not
// told any more, except where a message in clear proves them: a fatal alert in
// clear is of a side that has not completed its handshake. After a record that
// does not decrypt, or a gap, its direction is not decoded any more.
//
// # Secrets
//
// Secrets are matched by label and client random. A TLS 1.2 session that is
// resumed has no line in most key logs: its master secret, taken from the ticket,
// is given as a candidate. The early traffic secret is never waited for, since a
// server that refuses early data does not have it.
//
// # Limits
//
//   - Ciphers: AES-GCM, AES-CCM, ChaCha20-Poly1305, and with TLS 1.0 to 1.2 AES,
//     3DES and DES in CBC mode (also with encrypt_then_mac), RC4 and NULL. Not
//     Camellia, ARIA, SEED, IDEA, export ciphers, GOST, SM4; and of SSL 3.0 only
//     what is in clear.
//   - Extensions that change records are not supported: max_fragment_length is
//     harmless, truncated_hmac and heartbeat are not decoded. Neither is
//     compression.
//   - Encrypted Client Hello: the outer hello is told, as the wire shows it.
//   - Compressed certificates are read with zlib only.
//   - Signatures, Finished and certificates are shown and not verified.
//   - DTLS and QUIC are other protocols.
package tlswire

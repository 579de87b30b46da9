// Package capture reads the IP packets and the TLS secrets of a capture file.
//
// A [Reader] takes a pcap or pcapng file, told by its content and gzipped or
// not, and gives one [Item] for each packet of the file, in the order of the
// file: the IP packet in it, or the reason why there is none. The secrets of a
// Decryption Secrets Block come where the file has them, before the packets
// that need them.
//
// # Terms
//
// The names are those of the formats: a pcap file holds records
// (draft-ietf-opsawg-pcap), a pcapng file blocks in sections
// (draft-ietf-opsawg-pcapng). A link type says what a packet begins with
// (draft-ietf-opsawg-pcaplinktype). A datagram is what its fragments make.
//
// # What is read
//
//   - pcap with microseconds or nanoseconds, in both byte orders; pcapng with
//     any number of sections and interfaces, in both byte orders, with the
//     resolution and offset of each interface's clock.
//   - Ethernet with any VLAN tags, raw IP, Linux cooked v1 and v2, and the
//     loopback types NULL and LOOP.
//   - IPv4 and IPv6. Fragments are put together (RFC 791, RFC 8200, RFC 5722,
//     RFC 6946); the packet that completes a datagram carries it whole.
//
// # What is not
//
// No other link type is read, no tunnel is opened, no checksum is verified, no
// packet is put in the order of time. Secrets of other protocols than TLS are
// passed over, and so are names, statistics and comments.
//
// # Bounds
//
// A file is hostile. A Reader holds one window of it, of maxBlock bytes,
// whatever the lengths in the file say, the interfaces of a section, and the
// fragments that wait. Each bound is a constant; that one is hit is told, in
// the Skipped of a packet, in [Stats] or by a [DamageError].
//
// # Why not pcapgo
//
// The library gopacket/pcapgo writes captures well, and writes some for the
// tests. Its reader of pcapng gives no access to Decryption Secrets Blocks, nor
// to offsets in the file, and takes clocks of 2^-n s and of 1 s wrong; its
// reader of pcap takes a file that is cut behind a record header for a whole one.
package capture

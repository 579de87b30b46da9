// Package pcapng writes captures that Wireshark decrypts: the packets of a run,
// in pcapng (draft-ietf-opsawg-pcapng), with the TLS secrets in Decryption
// Secrets Blocks before the packets that need them, and with comments on what
// packets do not say.
//
// A capture holds the secrets of its connections: who has it can read what was
// said on them. [Create] makes files that only their owner can read.
//
// # Order
//
// Packets are written in the order of their frames. Wireshark decrypts in one
// pass, so that the secrets of a connection must come before its handshake.
// Therefore all packets wait in one queue. From the first bytes of a client
// that look like a TLS record of the handshake until [Writer.Ready], the
// packets of a connection, and all behind them, stay in it, but at most for two
// seconds and while it is not longer than 32 MiB. Then they are written, with a
// comment that says so, and secrets that come later are written before what
// follows. Other packets wait for 50 ms, in which the comments on them come.
//
// In TLS 1.3 the secrets come with the ServerHello, in TLS 1.2 with the client's
// Finished (RFC 8446, section 7.1; RFC 5246, section 8.1), so that Ready is due
// at the end of the handshake, when it failed, or when the bytes are not TLS.
//
// # What a packet carries besides its bytes
//
//   - epb_packetid is its frame: the number that the events give. It is
//     Wireshark's frame.number as well while no packet is missing and the
//     capture has one file.
//   - epb_flags says its direction: inbound is from the client.
//   - epb_dropcount and a comment count the packets that are missing before it.
//   - Comments tell the state changes of our endpoint, why the stack dropped a
//     segment, faults, why TLS failed, gaps, and the size of the segments that a
//     super-packet stands for.
//
// A comment is on the packet that it belongs to, if that is not written yet;
// else on the connection's next packet, and if there is none, on the next
// packet of any connection, which it says.
//
// # When things go wrong
//
// The data path never waits for the disk: a goroutine writes. What finds no
// room in the queue is lost and counted. A write that fails ends the capture,
// with one call of OnError; everything else goes on. Only whole blocks are
// written, several in one call, so that a file is readable to its last whole
// block after a crash; a block that the end of the disk cut is the last one.
//
// The package does not capture, decode or read anything.
package pcapng

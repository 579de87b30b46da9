package tlsbridge

import "golang.org/x/crypto/cryptobyte"

const (
	recordHandshake       = 0x16 // content type handshake (RFC 8446, section 5.1)
	recordAlert           = 0x15
	recordApplicationData = 0x17

	// maxHead bounds the bytes kept from the start of a connection. A random
	// ends at byte 43, or at 228 if each of its bytes has its own record.
	maxHead = 512
)

// clientRandom returns the random of the ClientHello that head, the first bytes
// of a TLS connection, begins with; nil if it is not within. crypto/tls does not
// tell it (RFC 8446, section 4.1.2).
func clientRandom(head []byte) []byte {
	in := cryptobyte.String(message(head))
	var kind uint8
	var length uint32
	var random []byte
	const clientHello = 1
	if !in.ReadUint8(&kind) || kind != clientHello || !in.ReadUint24(&length) ||
		!in.Skip(2) || !in.ReadBytes(&random, 32) {
		return nil
	}
	return random
}

// message joins the handshake fragments of the records in stream, the last of
// which may be cut. Alerts before the hello are skipped, as crypto/tls does.
func message(stream []byte) []byte {
	var m []byte
	in := cryptobyte.String(stream)
	for {
		var kind uint8
		var length uint16
		if !in.ReadUint8(&kind) || !in.Skip(2) || !in.ReadUint16(&length) {
			return m
		}
		var fragment []byte
		in.ReadBytes(&fragment, min(int(length), len(in)))
		switch kind {
		case recordHandshake:
			m = append(m, fragment...)
		case recordAlert:
		default:
			return m
		}
	}
}

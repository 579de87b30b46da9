package stack

import (
	"synscope/tun/tuntest"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

var _ = tuntest.New

// echoRequest4 makes an ICMP echo request.
func echoRequest4(data []byte) []byte {
	b := append(make([]byte, header.ICMPv4MinimumSize), data...)
	h := header.ICMPv4(b)
	h.SetType(header.ICMPv4Echo)
	h.SetIdent(7)
	h.SetSequence(8)
	h.SetChecksum(^checksum.Checksum(b, 0))
	return b
}

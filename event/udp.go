package event

import (
	"net/netip"
	"time"
)

// UDPFlow tells of the first datagram of a client to a server that is forwarded.
// What follows between the two is not told, until UDPEnd.
type UDPFlow struct {
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
	Name   string         `json:"name,omitempty"` // the host name that the server's address was given for
	To     string         `json:"to,omitempty"`   // the address that it is forwarded to, if that is another
	// QUIC is the version of the QUIC connection that the datagram begins (RFC
	// 8999, section 5.1): "1" (RFC 9000), "2" (RFC 9369) or "draft-29" and
	// the like.
	QUIC string `json:"quic,omitempty"`
}

// Kind returns "udp.flow".
func (*UDPFlow) Kind() Kind { return "udp.flow" }

// UDPEnd tells that the datagrams between a client and a server are no longer
// forwarded, and how much it was. Further ones begin another flow.
type UDPEnd struct {
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
	// How is "idle" (nothing came for a while), "evicted" (no room), "failed"
	// (Error says why) or "shutdown".
	How             string        `json:"how"`
	Error           string        `json:"error,omitempty"`
	DatagramsClient uint64        `json:"datagrams_client"` // from the client
	DatagramsServer uint64        `json:"datagrams_server"`
	BytesClient     uint64        `json:"bytes_client"` // of payload
	BytesServer     uint64        `json:"bytes_server"`
	Unreachable     uint64        `json:"unreachable,omitempty"` // ICMP errors, passed on to the client
	Lost            uint64        `json:"lost,omitempty"`        // datagrams that could not be passed on, either way
	Duration        time.Duration `json:"duration"`              // nanoseconds, from the first datagram to the last
}

// Kind returns "udp.end".
func (*UDPEnd) Kind() Kind { return "udp.end" }

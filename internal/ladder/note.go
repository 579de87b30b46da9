package ladder

import (
	"fmt"

	"synscope/event"
	"synscope/internal/typeset"
)

// noteText is what an event that is no part of either protocol tells, not yet
// escaped.
func noteText(b event.Body) string {
	switch b := b.(type) {
	case *event.Dialed:
		if b.OK {
			return "the kernel dials, and is connected after " + typeset.Duration(b.Duration)
		}
		return "the kernel dials, and is not connected after " + typeset.Duration(b.Duration) + ": " + b.Error
	case *event.Fault:
		return fmt.Sprintf("FAULT %s at %s: %s", b.Scenario, b.At, b.Action)
	case *event.Gap:
		return fmt.Sprintf("GAP %d %s lost: %s", b.Lost, b.What, b.Reason)
	case *event.Unreachable:
		s := fmt.Sprintf("unreachable: %s %s > %s, %s", b.Protocol, b.Src, b.Dst, b.Reason)
		if b.Answer != "" {
			return s + "; answered with " + b.Answer
		}
		return s + "; not answered"
	case *event.UDPFlow:
		s := fmt.Sprintf("UDP %v > %s", b.Client, udpServer(b))
		if b.QUIC != "" {
			return s + ": QUIC version " + b.QUIC + ", forwarded as it is"
		}
		return s + ": forwarded as it is"
	case *event.UDPEnd:
		return udpEnd(b)
	case *event.Device:
		return fmt.Sprintf("device %s is %s", b.Name, b.Change)
	case *event.CaptureEnd:
		return fmt.Sprintf("the capture %s ended: %s", b.File, b.Reason)
	}
	return string(b.Kind())
}

func udpServer(b *event.UDPFlow) string {
	s := b.Server.String()
	if b.Name != "" {
		s = fmt.Sprintf("%s (%s)", b.Name, s)
	}
	if b.To != "" {
		s += " at " + b.To
	}
	return s
}

func udpEnd(b *event.UDPEnd) string {
	s := fmt.Sprintf("UDP %v > %v ended, %s: client %s, %s, server %s, %s", b.Client, b.Server, b.How,
		typeset.Count(b.DatagramsClient, "datagram"), typeset.Count(b.BytesClient, "byte"),
		typeset.Count(b.DatagramsServer, "datagram"), typeset.Count(b.BytesServer, "byte"))
	if b.Unreachable > 0 {
		s += "; " + typeset.Count(b.Unreachable, "ICMP error")
	}
	if b.Lost > 0 {
		s += "; " + typeset.Count(b.Lost, "datagram") + " lost"
	}
	if b.Error != "" {
		s += "; " + b.Error
	}
	return s
}

package trace

import (
	"bytes"
	"fmt"
	"time"

	"synscope/event"
	"synscope/stack/tcptrack"
	"synscope/tlsbridge/tlswire"
)

// evidence is what the segments of a connection have shown so far, as much of it
// as the cause of conn.close rests on. Its lists are by Side.
type evidence struct {
	syns, synAcks int
	unheard       int  // SYNs that came again after a SYN-ACK: the client did not get it
	acked         bool // the client acknowledged a SYN-ACK
	untaken       int  // SYN-ACKs sent again after that: the server did not get the ACK
	serverWentOn  bool // it sent something after the handshake

	fin     [3]bool
	again   [3]int           // segments that it sent again since the other side last sent one
	at      [3]time.Duration // of its last segment
	dropped [3]string        // why a segment of it was last dropped

	first     [3][]byte // what it said first; nil: nothing, or it was not seen
	spoke     [3]bool
	complains bool // the server's first words say that it takes TLS only
}

// segment takes a segment of a side.
func (e *evidence) segment(from event.Side, s *event.Segment, t time.Duration) {
	e.at[from] = t
	e.again[from.Peer()] = 0
	if s.Retransmit {
		e.again[from]++
	}
	e.fin[from] = e.fin[from] || s.Flags.Has(event.FIN)
	switch {
	case s.Flags.Has(event.RST):
	case s.Flags.Has(event.SYN | event.ACK):
		e.synAcks++
		if e.acked {
			e.untaken++
		}
	case s.Flags.Has(event.SYN):
		e.syns++
		if e.synAcks > 0 {
			e.unheard++
		}
	case from == event.Client:
		e.acked = true
	default:
		e.serverWentOn = true
	}
}

// lost says that what a side sent last seems not to have arrived, "" if it did.
func (e *evidence) lost(side event.Side) string {
	if e.again[side] == 0 {
		return ""
	}
	return fmt.Sprintf("; the %s sent its last segments again, %s, and nothing acknowledged them", side, count(e.again[side], "time"))
}

// data takes what a side said next.
func (e *evidence) data(d tcptrack.Chunk) {
	if e.spoke[d.From] {
		return
	}
	e.spoke[d.From] = true
	if d.Gap > 0 {
		return
	}
	e.first[d.From] = bytes.Clone(d.B[:min(len(d.B), firstBytes)])
	e.complains = e.complains || d.From == event.Server && complaint(d.B)
}

func (e *evidence) drop(from event.Side, reason string) { e.dropped[from] = reason }

// protocol names what a side seems to speak.
func (e *evidence) protocol(side event.Side) tlswire.Protocol {
	return tlswire.Recognize(e.first[side])
}

// complaint reports whether a server answers that it wants TLS: with an alert, or
// as HTTP servers do.
func complaint(b []byte) bool {
	const recordAlert = 21
	if len(b) > 1 && b[0] == recordAlert && b[1] == 3 {
		return true
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		return false
	}
	for _, words := range []string{
		"to HTTPS port", "to an HTTPS server", "to an SSL-enabled server", // nginx, Go, Apache
	} {
		if bytes.Contains(b, []byte(words)) {
			return true
		}
	}
	return false
}

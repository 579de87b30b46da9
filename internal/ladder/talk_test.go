package ladder

import (
	"net/netip"
	"time"

	"synscope/event"
)

// A talk writes the events of a connection as an observer would, keeping the
// sequence numbers of both sides.
type talk struct {
	events []*event.Event
	now    time.Duration
	frame  uint64
	lastN  uint64 // ordinal of the last segment
	isn    [3]uint32
	sent   [3]int64 // next relative sequence number
	tcp    [3]event.State
	tls    [3]event.HandshakeState
	bytes  [3]uint64
	rexmit uint64
}

var began = time.Date(2026, 11, 24, 9, 26, 53, 589_000_000, time.UTC)

const (
	client = event.Client
	server = event.Server
)

// newTalk begins connection 7 with its conn.open.
func newTalk(serverPort uint16) *talk {
	k := &talk{isn: [3]uint32{0, 2876105334, 1193046471}}
	k.tcp[client], k.tcp[server] = event.StateClosed, event.StateListen
	k.tls[client], k.tls[server] = event.TLSStart, event.TLSStart
	k.say(client, &event.Open{
		Client: netip.MustParseAddrPort("198.18.0.1:51234"),
		Server: netip.AddrPortFrom(netip.MustParseAddr("198.18.3.4"), serverPort), Device: "syn0",
	})
	return k
}

func (k *talk) say(from event.Side, b event.Body) *event.Event {
	e := &event.Event{Time: began.Add(k.now), T: k.now, Conn: 7, N: uint64(len(k.events) + 1), View: event.Wire, From: from, Body: b}
	k.events = append(k.events, e)
	return e
}

// at moves the clock to a time in microseconds.
func (k *talk) at(us int) *talk {
	k.now = time.Duration(us) * time.Microsecond
	return k
}

// segment sends the next segment of a side.
func (k *talk) segment(from event.Side, flags event.Flags, n int) *event.Segment {
	k.frame++
	peer := from.Peer()
	s := &event.Segment{
		Flags: flags, SeqRel: k.sent[from], Len: n, Window: 502, Frame: k.frame,
		Seq: k.isn[from] + uint32(k.sent[from]),
	}
	if flags.Has(event.ACK) {
		s.AckRel, s.Ack = k.sent[peer], k.isn[peer]+uint32(k.sent[peer])
	}
	k.sent[from] += int64(n)
	k.bytes[from] += uint64(n)
	if flags&(event.SYN|event.FIN) != 0 {
		k.sent[from]++
	}
	if flags.Has(event.SYN) {
		ws := uint8(7)
		s.Options = event.TCPOptions{MSS: 1460, WindowScale: &ws, SACKPermitted: true, Timestamps: &event.Timestamps{Val: 77}}
	}
	k.lastN = k.say(from, s).N
	return s
}

// again sends a segment a second time.
func (k *talk) again(from event.Side, s *event.Segment) *event.Segment {
	k.frame++
	k.rexmit++
	r := *s
	r.Retransmit, r.Frame = true, k.frame
	k.lastN = k.say(from, &r).N
	return &r
}

// comesTo is a TCP transition caused by the last segment.
func (k *talk) comesTo(side event.Side, to ...event.State) {
	for _, s := range to {
		k.say(side, &event.TCPState{Side: side, Old: k.tcp[side], New: s, Cause: event.Cause{By: event.BySegment, N: k.lastN}})
		k.tcp[side] = s
	}
}

// waits is a TLS transition caused by a message.
func (k *talk) waits(side event.Side, cause string, to ...event.HandshakeState) {
	for _, s := range to {
		k.say(side, &event.TLSState{Side: side, Old: k.tls[side], New: s, Cause: cause})
		k.tls[side] = s
	}
}

// handshake is the TCP three-way handshake.
func (k *talk) handshake() {
	k.at(0).segment(client, event.SYN, 0)
	k.comesTo(client, event.StateSynSent)
	k.comesTo(server, event.StateSynReceived)
	k.at(41).segment(server, event.SYN|event.ACK, 0)
	k.comesTo(client, event.StateEstablished)
	k.at(83).segment(client, event.ACK, 0)
	k.comesTo(server, event.StateEstablished)
}

func (k *talk) data(from event.Side, n int) { k.segment(from, event.PSH|event.ACK, n) }

func (k *talk) ack(from event.Side) { k.segment(from, event.ACK, 0) }

// message is carried by the last segment.
func (k *talk) message(from event.Side, typ event.HandshakeType, epoch event.Epoch, n int, body any) {
	m := &event.Message{Type: typ, Len: n, Epoch: epoch, Encrypted: epoch != event.EpochPlain, Records: 1, Frames: []uint64{k.frame}}
	switch b := body.(type) {
	case *event.ClientHello:
		m.ClientHello = b
	case *event.ServerHello:
		m.ServerHello = b
	case *event.EncryptedExtensions:
		m.EncryptedExtensions = b
	case *event.Certificate:
		m.Certificate = b
	case *event.ServerKeyExchange:
		m.ServerKeyExchange = b
	case *event.CertificateRequest:
		m.CertificateRequest = b
	case *event.CertificateVerify:
		m.CertificateVerify = b
	case *event.ClientKeyExchange:
		m.ClientKeyExchange = b
	case *event.Finished:
		m.Finished = b
	case *event.NewSessionTicket:
		m.NewSessionTicket = b
	}
	k.say(from, m)
}

func (k *talk) ccs(from event.Side, dummy bool) {
	k.say(from, &event.ChangeCipherSpec{Dummy: dummy, Frames: []uint64{k.frame}})
}

func (k *talk) alert(from event.Side, level string, d event.AlertDescription, epoch event.Epoch) {
	k.say(from, &event.Alert{Level: level, Description: d, Code: uint8(d), Encrypted: epoch != event.EpochPlain, Epoch: epoch, Frames: []uint64{k.frame}})
}

func (k *talk) applicationData(from event.Side, n int, epoch event.Epoch) {
	k.say(from, &event.ApplicationData{Len: n, Epoch: epoch, Frames: []uint64{k.frame}})
}

// closes is the orderly end: close_notify and FIN of both, the client first.
func (k *talk) closes(us int, tls bool, epoch event.Epoch) {
	n := 0
	if tls {
		n = 24
	}
	k.at(us)
	if tls {
		k.data(client, n)
		k.alert(client, "warning", 0, epoch)
		k.waits(client, "alert close_notify", event.TLSClosed)
	}
	k.at(us+15).segment(client, event.FIN|event.ACK, 0)
	k.comesTo(client, event.StateFinWait1)
	k.comesTo(server, event.StateCloseWait)
	k.at(us + 31).ack(server)
	k.comesTo(client, event.StateFinWait2)
	if tls {
		k.at(us+80).data(server, n)
		k.alert(server, "warning", 0, epoch)
		k.waits(server, "alert close_notify", event.TLSClosed)
	}
	k.at(us+94).segment(server, event.FIN|event.ACK, 0)
	k.comesTo(server, event.StateLastAck)
	k.comesTo(client, event.StateTimeWait)
	k.at(us + 118).ack(client)
	k.comesTo(server, event.StateClosed)
}

// end is the conn.close.
func (k *talk) end(how string, c event.Close) []*event.Event {
	c.How = how
	c.BytesClient, c.BytesServer = k.bytes[client], k.bytes[server]
	c.SegmentsSeen, c.Retransmits, c.Duration = k.frame, k.rexmit, k.now
	k.say(event.NoSide, &c)
	return k.events
}

const us = time.Microsecond

package ladder

import (
	"net/netip"
	"strings"
	"testing"

	"synscope/event"
)

func newOpen(server string) *event.Open {
	return &event.Open{Client: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort(server)}
}

func wantLine(t *testing.T, out, why string, parts ...string) {
	t.Helper()
next:
	for _, l := range strings.Split(out, "\n") {
		for _, p := range parts {
			if !strings.Contains(l, p) {
				continue next
			}
		}
		return
	}
	t.Errorf("%s: no line with %q in\n%s", why, parts, out)
}

func TestStatesStandWhereTheSegmentIs(t *testing.T) {
	out := string(render(t, tls13Full(), Options{}))
	wantLine(t, out, "the SYN moves both sides", "SYN-SENT |- SYN", "SYN-RECEIVED")
	wantLine(t, out, "the SYN-ACK moves the client", "ESTABLISHED |<", "SYN ACK")
	wantLine(t, out, "the ACK moves the server", "|- ACK  seq 1, ack 1", "| ESTABLISHED")
	wantLine(t, out, "ClientHello moves both", "WAIT_SH |  ClientHello", "| RECVD_CH")
	wantLine(t, out, "Finished of the client ends the handshake", "CONNECTED |  {Finished}", "| CONNECTED")
}

func TestBothViewsOfOneTransitionAreDrawnOnce(t *testing.T) {
	k := newTalk(443)
	k.segment(client, event.SYN, 0)
	for _, view := range []event.View{event.Wire, event.Endpoint} {
		k.say(server, &event.TCPState{Side: server, Old: event.StateListen, New: event.StateSynReceived,
			Cause: event.Cause{By: event.BySegment, N: 2}}).View = view
	}
	out := string(render(t, k.events, Options{}))
	if n := strings.Count(out, "SYN-RECEIVED"); n != 1 {
		t.Errorf("SYN-RECEIVED is drawn %d times:\n%s", n, out)
	}
	if strings.Contains(out, "?") {
		t.Errorf("a transition that both views agree on is doubted:\n%s", out)
	}
}

func TestWhatTheEndpointDidNotSayIsMarked(t *testing.T) {
	k := newTalk(443)
	k.segment(client, event.SYN, 0)
	k.comesTo(server, event.StateSynReceived)
	k.events[len(k.events)-1].View = event.Endpoint
	k.segment(server, event.SYN|event.ACK, 0)
	k.segment(client, event.ACK, 0)
	k.comesTo(server, event.StateEstablished) // by the wire's view only
	out := string(render(t, k.events, Options{}))
	wantLine(t, out, "the third segment did not move the endpoint", "ACK  seq 1, ack 1", "ESTABLISHED?")
	wantLine(t, out, "and the mark is explained", "states with ? are implied by the segments")
}

func TestALongChainOfSegmentsIsFoldedAndCounted(t *testing.T) {
	k := newTalk(443)
	frames := []uint64{}
	for range 5 {
		k.segment(server, event.ACK, 1448)
		frames = append(frames, k.frame)
	}
	k.say(server, &event.Message{Type: event.CertificateType, Epoch: event.EpochHandshake, Frames: frames})
	out := string(render(t, k.events, Options{}))
	wantLine(t, out, "the segments that did not end it", ".. 4 segments, 5,792 bytes")
	wantLine(t, out, "what they were", "part of {Certificate}")
}

func TestAConversationOfManyTurnsIsFolded(t *testing.T) {
	k := newTalk(80)
	for range 50 {
		k.data(client, 10)
		k.data(server, 20)
		k.ack(client)
	}
	out := string(render(t, k.events, Options{}))
	wantLine(t, out, "the client's side", ".. 50 segments, 500 bytes", "and 50 ACKs")
	wantLine(t, out, "the server's side", ".. 50 segments, 1,000 bytes")
	if n := strings.Count(out, "\n"); n > 12 {
		t.Errorf("%d lines:\n%s", n, out)
	}
}

func TestAcknowledgementsAreCountedNotDrawn(t *testing.T) {
	k := newTalk(80)
	for range 3 {
		k.ack(client)
	}
	wantLine(t, string(render(t, k.events, Options{})), "three in a row", "3 ACKs")
}

func TestRecordsWithoutSegmentsAreDrawn(t *testing.T) {
	k := newTalk(443)
	k.message(client, event.ClientHelloType, event.EpochPlain, 500, hello13(29))
	k.message(server, event.ServerHelloType, event.EpochPlain, 90, serverHello13())
	k.ccs(server, true)
	out := string(render(t, k.events, Options{}))
	wantLine(t, out, "an arrow from the client", "|--------", "->|")
	wantLine(t, out, "an arrow from the server", "|<-------")
	wantLine(t, out, "below it the message", "ServerHello")
}

func TestHostileText(t *testing.T) {
	evil := "\x1b]0;owned\x07\u202e\r\n" + strings.Repeat("A", 5000)
	h := hello13(29)
	h.ServerName, h.ALPN = evil, []string{evil, evil}
	h.CipherSuites, h.SupportedGroups = make([]event.CipherSuite, 30_000), make([]event.Group, 30_000)
	k := newTalk(443)
	k.handshake()
	k.clientHello13(100, 900, h)
	k.data(server, 900)
	k.message(server, event.CertificateType, event.EpochHandshake, 900, &event.Certificate{Chain: []event.X509{
		{Subject: evil, Issuer: evil, Names: []string{evil}, PublicKey: evil}, {Malformed: evil}}})
	k.say(client, &event.Failed{Cause: evil, Error: evil, Hint: evil})
	k.say(server, &event.TLSStep{Step: evil, Detail: evil, Error: evil})
	for _, o := range []Options{{}, {Unicode: true, Explain: true}} {
		out := string(render(t, k.events, o))
		checkText(t, out, o)
		if n := strings.Count(out, "\n"); n > 400 {
			t.Errorf("a peer made the ladder %d lines long", n)
		}
	}
}

func TestASecondClientHelloTellsOnlyWhatIsNew(t *testing.T) {
	out := string(render(t, tls13HelloRetry(), Options{}))
	if n := strings.Count(out, "suites (13)"); n != 1 {
		t.Errorf("the suites are listed %d times:\n%s", n, out)
	}
	wantLine(t, out, "the share that was asked for", "key shares", "secp256r1")
	wantLine(t, out, "the rest is as it was", "as before, but")
}

func TestWhatCouldNotBeDecodedIsNotCalledAFailure(t *testing.T) {
	k := newTalk(443)
	k.handshake()
	k.clientHello13(320, 500, hello13(29))
	k.data(server, 1200)
	k.message(server, event.ServerHelloType, event.EpochPlain, 90, serverHello13())
	k.say(server, &event.Undecoded{Reason: "no key", Records: 4, Len: 1100, Frames: []uint64{k.frame}})
	out := string(render(t, k.events, Options{}))
	wantLine(t, out, "the header says what is known", "TLS 1.3, TLS_AES_128_GCM_SHA256, not all of it decoded")
	wantLine(t, out, "the step says why not", "not decoded: no key", "4 records, 1,100 bytes")
}

func TestSuitesOfOneKeyExchangeStandTogether(t *testing.T) {
	p := newPrinter(Options{Width: 140})
	text := func(suites ...event.CipherSuite) string {
		s := ""
		for _, l := range p.suites(suites) {
			for _, x := range l {
				s += x.text
			}
			s += "\n"
		}
		return s
	}
	wantLine(t, text(0x1301, 0xc02f, 0xc030), "the key exchange is written once", "TLS_ECDHE_RSA_WITH_ AES_128_GCM_SHA256, AES_256_GCM_SHA384")
	if s := text(0x1301, 0xc02f, 0xc030); strings.Contains(s, "grouped") {
		t.Errorf("they stood together already:\n%s", s)
	}
	wantLine(t, text(0xc02b, 0xc02f, 0xc02c), "an order that is not the client's says so", "(grouped; the client mixes the groups)")
}

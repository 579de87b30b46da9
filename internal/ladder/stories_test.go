package ladder

import (
	"time"

	"synscope/event"
)

// suites as Go's client offers them, with those of RSA key exchange.
var (
	goSuites = []event.CipherSuite{
		0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a, 0xc014, 0x1301, 0x1302, 0x1303,
	}
	goGroups  = []event.Group{4588, 29, 23, 24, 25}
	goSchemes = []event.SignatureScheme{0x0804, 0x0403, 0x0807, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0503, 0x0603}
)

func hello13(shares ...event.Group) *event.ClientHello {
	return &event.ClientHello{
		LegacyVersion: event.VersionTLS12, CipherSuites: goSuites, ServerName: "shop.example",
		Extensions:        []event.Extension{0, 5, 10, 11, 13, 16, 18, 23, 43, 51, 0xff01},
		SupportedVersions: []event.Version{event.VersionTLS13, event.VersionTLS12},
		SupportedGroups:   goGroups, KeyShares: shares, SignatureSchemes: goSchemes, ALPN: []string{"h2", "http/1.1"},
		StatusRequest: true, ExtendedMaster: true, JA4: "t13d1311h2_f57a46bbacb6_ab7e3b40a677",
	}
}

func hello12() *event.ClientHello {
	h := hello13()
	h.SupportedVersions, h.KeyShares, h.JA4 = nil, nil, "t12d1008h2_c866b44c5a26_b5b8faed2b99"
	h.CipherSuites = append(append([]event.CipherSuite(nil), goSuites[:10]...), 0x009c, 0x009d)
	return h
}

func serverHello13() *event.ServerHello {
	return &event.ServerHello{LegacyVersion: event.VersionTLS12, Version: event.VersionTLS13, CipherSuite: 0x1301, Group: 4588, Extensions: []event.Extension{43, 51}}
}

func chain() *event.Certificate {
	year := func(y int) time.Time { return time.Date(y, 9, 1, 0, 0, 0, 0, time.UTC) }
	return &event.Certificate{Chain: []event.X509{
		{Len: 551, Subject: "CN=shop.example", Issuer: "CN=synscope intermediate", Names: []string{"shop.example", "www.shop.example"},
			NotBefore: year(2026), NotAfter: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC), PublicKey: "ECDSA P-256", Signature: "ECDSA-SHA256"},
		{Len: 473, Subject: "CN=synscope intermediate", Issuer: "CN=synscope root", NotBefore: year(2025), NotAfter: year(2035),
			PublicKey: "ECDSA P-256", Signature: "ECDSA-SHA256", CA: true},
	}}
}

func (k *talk) clientHello13(at, n int, h *event.ClientHello) {
	k.at(at).data(client, n)
	k.message(client, event.ClientHelloType, event.EpochPlain, n-9, h)
}

// serverFlight13 is all that the server of TLS 1.3 sends first.
func (k *talk) serverFlight13(at int, certificates, request bool) {
	n := 1338
	if certificates {
		n += 1210
	}
	seg := k.at(at)
	seg.data(server, n)
	k.events[len(k.events)-1].Body.(*event.Segment).Offload = 1448
	k.message(server, event.ServerHelloType, event.EpochPlain, 1206, serverHello13())
	k.waits(client, "server_hello", event.TLSWaitEE)
	k.waits(server, "server_hello", event.TLSNegotiated)
	k.ccs(server, true)
	k.message(server, event.EncryptedExts, event.EpochHandshake, 11, &event.EncryptedExtensions{ALPN: []string{"h2"}, Extensions: []event.Extension{16}})
	if !certificates {
		k.waits(client, "encrypted_extensions", event.TLSWaitFinished)
	} else {
		k.waits(client, "encrypted_extensions", event.TLSWaitCertCR)
	}
	if request {
		k.message(server, event.CertRequestType, event.EpochHandshake, 80, &event.CertificateRequest{
			SignatureSchemes: goSchemes, Authorities: []string{"CN=synscope clients"}})
		k.waits(client, "certificate_request", event.TLSWaitCert)
	}
	if certificates {
		k.message(server, event.CertificateType, event.EpochHandshake, 1036, chain())
		k.waits(client, "certificate", event.TLSWaitCV)
		k.message(server, event.CertVerifyType, event.EpochHandshake, 75, &event.CertificateVerify{SignatureScheme: 0x0403, Len: 71})
		k.waits(client, "certificate_verify", event.TLSWaitFinished)
	}
	k.message(server, event.FinishedType, event.EpochHandshake, 32, &event.Finished{VerifyData: make([]byte, 32)})
	k.waits(server, "finished", event.TLSWaitFlight2)
	if request {
		k.waits(server, "finished", event.TLSWaitCert)
	} else {
		k.waits(server, "finished", event.TLSWaitFinished)
	}
	if certificates {
		k.say(server, &event.TLSStep{Step: "sign", OK: true, Duration: 110 * us}).View = event.Endpoint
	}
}

func (k *talk) clientFinished13(at int) {
	k.at(at).data(client, 64)
	k.ccs(client, true)
	k.message(client, event.FinishedType, event.EpochHandshake, 32, &event.Finished{VerifyData: make([]byte, 32)})
	k.waits(client, "finished", event.TLSConnected)
	k.waits(server, "finished", event.TLSConnected)
}

func established13() *event.Established {
	return &event.Established{Version: event.VersionTLS13, CipherSuite: 0x1301, Group: 4588, SignatureScheme: 0x0403, ALPN: "h2",
		ServerName: "shop.example", ClientAuth: "none", RoundTrips: 1, Duration: 1830 * us}
}

// talks13 is what is said after a TLS 1.3 handshake: a ticket, a request, an answer.
func (k *talk) talks13(at int) {
	k.at(at).data(server, 116)
	k.message(server, event.NewSessionTicketType, event.EpochApplication, 98, &event.NewSessionTicket{Lifetime: 604800, Len: 74})
	k.at(at+62).data(client, 133)
	k.applicationData(client, 128, event.EpochApplication)
	k.at(at + 90).ack(server)
	k.at(at+310).data(server, 1187)
	k.applicationData(server, 1182, event.EpochApplication)
	k.at(at + 350).ack(client)
}

func closed13() event.Close {
	return event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us, TLSHandshake: 1830 * us,
		WaitingClient: 1448 * us, WaitingServer: 382 * us, Signing: 110 * us}
}

func tls13Full() []*event.Event {
	k := newTalk(443)
	k.handshake()
	k.clientHello13(320, 1530, hello13(4588, 29))
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.at(361).ack(server)
	k.serverFlight13(702, true, false)
	k.at(744).ack(client)
	k.clientFinished13(2150)
	k.say(event.NoSide, established13())
	k.say(server, &event.TLSStep{Step: "handshake", OK: true}).View = event.Endpoint
	k.talks13(2410)
	k.closes(3105, true, event.EpochApplication)
	return k.end("fin", closed13())
}

func tls13HelloRetry() []*event.Event {
	k := newTalk(443)
	k.handshake()
	h := hello13(29)
	h.SupportedGroups = []event.Group{29, 23}
	k.clientHello13(320, 272, h)
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.at(505).data(server, 99)
	k.message(server, event.HelloRetryRequest, event.EpochPlain, 84, &event.ServerHello{
		LegacyVersion: event.VersionTLS12, Version: event.VersionTLS13, CipherSuite: 0x1301, Group: 23})
	k.waits(client, "hello_retry_request", event.TLSStart)
	k.waits(server, "hello_retry_request", event.TLSStart)
	k.ccs(server, true)
	k.at(700).data(client, 311)
	k.ccs(client, true)
	again := hello13(23)
	again.SupportedGroups = h.SupportedGroups
	k.message(client, event.ClientHelloType, event.EpochPlain, 300, again)
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.serverFlight13(1120, true, false)
	for _, e := range k.events {
		if m, ok := e.Body.(*event.Message); ok && m.Type == event.ServerHelloType {
			m.ServerHello.Group = 23
		}
	}
	k.clientFinished13(2350)
	e := established13()
	e.HelloRetry, e.RoundTrips, e.Group = true, 2, 23
	k.say(event.NoSide, e)
	return k.end("shutdown", closed13())
}

func tls13Resumed() []*event.Event {
	k := newTalk(443)
	k.handshake()
	h := hello13(4588)
	h.PSKIdentities, h.PSKModes = 1, []event.PSKMode{1}
	k.clientHello13(290, 1712, h)
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.say(server, &event.TLSStep{Step: "ticket", OK: true}).View = event.Endpoint
	k.serverFlight13(480, false, false)
	for _, e := range k.events {
		if m, ok := e.Body.(*event.Message); ok && m.ServerHello != nil {
			m.ServerHello.PSK = new(uint16)
		}
	}
	k.clientFinished13(910)
	e := established13()
	e.Resumed, e.SignatureScheme = true, 0
	k.say(event.NoSide, e)
	k.talks13(1010)
	k.closes(1700, true, event.EpochApplication)
	c := closed13()
	c.Signing, c.WaitingClient, c.WaitingServer, c.TLSHandshake = 0, 430*us, 190*us, 620*us
	return k.end("fin", c)
}

func clientCertificate() []*event.Event {
	k := newTalk(443)
	k.handshake()
	k.clientHello13(320, 1530, hello13(4588, 29))
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.serverFlight13(702, true, true)
	k.at(2150).data(client, 802)
	k.ccs(client, true)
	k.message(client, event.CertificateType, event.EpochHandshake, 590, &event.Certificate{Chain: []event.X509{
		{Len: 583, Subject: "CN=till 3,O=shop.example", Issuer: "CN=synscope clients", PublicKey: "RSA 2048",
			NotBefore: began.AddDate(0, -1, 0), NotAfter: began.AddDate(1, 0, 0)}}})
	k.waits(server, "certificate", event.TLSWaitCV)
	k.message(client, event.CertVerifyType, event.EpochHandshake, 264, &event.CertificateVerify{SignatureScheme: 0x0804, Len: 256})
	k.waits(server, "certificate_verify", event.TLSWaitFinished)
	k.say(server, &event.TLSStep{Step: "verify", OK: true, Duration: 190 * us}).View = event.Endpoint
	k.message(client, event.FinishedType, event.EpochHandshake, 32, &event.Finished{})
	k.waits(client, "finished", event.TLSConnected)
	k.waits(server, "finished", event.TLSConnected)
	e := established13()
	e.ClientAuth = "given"
	k.say(event.NoSide, e)
	k.closes(3105, true, event.EpochApplication)
	return k.end("fin", closed13())
}

func unknownCA() []*event.Event {
	k := newTalk(443)
	k.events[0].Body.(*event.Open).Scenario = "untrusted-root"
	k.handshake()
	k.clientHello13(320, 1530, hello13(4588, 29))
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.say(server, &event.Fault{Scenario: "untrusted-root", At: "certificate", Action: "the chain ends in a root that nobody trusts"})
	k.serverFlight13(702, true, false)
	k.at(1130).data(client, 30)
	k.ccs(client, true)
	k.alert(client, "fatal", 48, event.EpochHandshake)
	k.waits(client, "alert unknown_ca", event.TLSFailed)
	k.waits(server, "alert unknown_ca", event.TLSFailed)
	k.say(client, &event.Failed{Side: client, Cause: "client refused our certificate: alert unknown_ca, 0.428 ms after Certificate",
		Error: "remote error: tls: unknown certificate authority",
		Hint:  "make the client trust the root certificate: synscope ca prints it, with how to install it"})
	k.at(1142).segment(client, event.FIN|event.ACK, 0)
	k.comesTo(client, event.StateFinWait1)
	k.comesTo(server, event.StateCloseWait)
	k.at(1190).segment(server, event.FIN|event.ACK, 0)
	k.comesTo(server, event.StateLastAck)
	k.comesTo(client, event.StateTimeWait)
	k.at(1213).ack(client)
	k.comesTo(server, event.StateClosed)
	return k.end("fin", event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us, WaitingClient: 428 * us, WaitingServer: 382 * us, Signing: 110 * us})
}

// tls12Full is a full handshake of TLS 1.2, with ECDHE or RSA key exchange.
func tls12Full(suite event.CipherSuite) []*event.Event {
	ecdhe := suite != 0x009c
	k := newTalk(443)
	k.handshake()
	k.clientHello13(320, 214, hello12())
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.at(720).data(server, 1297)
	k.message(server, event.ServerHelloType, event.EpochPlain, 61, &event.ServerHello{
		LegacyVersion: event.VersionTLS12, Version: event.VersionTLS12, CipherSuite: suite, ALPN: []string{"h2"}, SessionTicket: true})
	k.waits(client, "server_hello", event.TLSWaitCert)
	k.waits(server, "server_hello", event.TLSNegotiated)
	c := chain()
	if !ecdhe {
		c.Chain[0].PublicKey = "RSA 2048"
	}
	k.message(server, event.CertificateType, event.EpochPlain, 1036, c)
	if ecdhe {
		k.waits(client, "certificate", event.TLSWaitSKE)
		k.message(server, event.ServerKeyExchangeType, event.EpochPlain, 144, &event.ServerKeyExchange{Group: 29, SignatureScheme: 0x0403})
		k.waits(client, "server_key_exchange", event.TLSWaitSHD)
		k.say(server, &event.TLSStep{Step: "sign", OK: true, Duration: 96 * us}).View = event.Endpoint
	} else {
		k.waits(client, "certificate", event.TLSWaitSHD)
	}
	k.message(server, event.ServerHelloDone, event.EpochPlain, 0, nil)
	k.waits(server, "server_hello_done", event.TLSWaitCKE)
	exchange := &event.ClientKeyExchange{Exchange: "ECDHE", Len: 32}
	if !ecdhe {
		exchange = &event.ClientKeyExchange{Exchange: "RSA", Len: 256}
	}
	k.at(1810).data(client, 61+exchange.Len)
	k.message(client, event.ClientKeyExchangeType, event.EpochPlain, exchange.Len+1, exchange)
	k.waits(server, "client_key_exchange", event.TLSWaitCCS)
	k.ccs(client, false)
	k.waits(server, "change_cipher_spec", event.TLSWaitFinished)
	k.message(client, event.FinishedType, event.EpochEncrypted, 12, &event.Finished{})
	k.waits(client, "finished", event.TLSWaitCCS)
	k.at(2060).data(server, 258)
	k.message(server, event.NewSessionTicketType, event.EpochPlain, 191, &event.NewSessionTicket{Lifetime: 7200, Len: 185})
	k.ccs(server, false)
	k.waits(client, "change_cipher_spec", event.TLSWaitFinished)
	k.message(server, event.FinishedType, event.EpochEncrypted, 12, &event.Finished{})
	k.waits(server, "finished", event.TLSConnected)
	k.waits(client, "finished", event.TLSConnected)
	e := &event.Established{Version: event.VersionTLS12, CipherSuite: suite, ALPN: "h2", ServerName: "shop.example", ClientAuth: "none", RoundTrips: 2}
	if ecdhe {
		e.Group, e.SignatureScheme = 29, 0x0403
	}
	k.say(event.NoSide, e)
	k.closes(2900, true, event.EpochEncrypted)
	end := event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us, TLSHandshake: 1740 * us,
		WaitingClient: 1090 * us, WaitingServer: 650 * us}
	if ecdhe {
		end.Signing = 96 * us
	}
	return k.end("fin", end)
}

func tls12Resumed() []*event.Event {
	k := newTalk(443)
	k.handshake()
	h := hello12()
	h.SessionTicket = 185
	k.clientHello13(320, 399, h)
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.at(512).data(server, 149)
	k.message(server, event.ServerHelloType, event.EpochPlain, 61, &event.ServerHello{
		LegacyVersion: event.VersionTLS12, Version: event.VersionTLS12, CipherSuite: 0xc02b, ALPN: []string{"h2"}})
	k.waits(client, "server_hello", event.TLSWaitCCS)
	k.waits(server, "server_hello", event.TLSNegotiated)
	k.ccs(server, false)
	k.waits(client, "change_cipher_spec", event.TLSWaitFinished)
	k.message(server, event.FinishedType, event.EpochEncrypted, 12, &event.Finished{})
	k.waits(server, "finished", event.TLSWaitCCS)
	k.at(730).data(client, 51)
	k.ccs(client, false)
	k.waits(server, "change_cipher_spec", event.TLSWaitFinished)
	k.message(client, event.FinishedType, event.EpochEncrypted, 12, &event.Finished{})
	k.waits(client, "finished", event.TLSConnected)
	k.waits(server, "finished", event.TLSConnected)
	k.say(event.NoSide, &event.Established{Version: event.VersionTLS12, CipherSuite: 0xc02b, ALPN: "h2", Resumed: true, ClientAuth: "none", RoundTrips: 1})
	k.closes(1400, true, event.EpochEncrypted)
	return k.end("fin", event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us, WaitingClient: 218 * us, WaitingServer: 192 * us})
}

func refusedPort() []*event.Event {
	k := newTalk(8443)
	k.tcp[server] = event.StateClosed
	k.segment(client, event.SYN, 0)
	k.comesTo(client, event.StateSynSent)
	k.at(38).segment(server, event.RST|event.ACK, 0)
	k.comesTo(client, event.StateClosed)
	return k.end("refused", event.Close{Code: event.CauseRefused, Cause: "server refused the connection: it answered the SYN with RST",
		Hint: "nothing listens on this port, a policy refuses it, or a firewall rejects it: check the port, and whether the server runs"})
}

func plainHTTP() []*event.Event {
	k := newTalk(80)
	k.handshake()
	k.at(210).data(client, 78)
	k.say(client, &event.Undecoded{Reason: "not tls", Len: 78, First: []byte("GET / HTTP/1.1\r\n"), Frames: []uint64{k.frame}})
	k.at(248).ack(server)
	k.at(611).data(server, 1834)
	k.say(server, &event.Undecoded{Reason: "not tls", Len: 1834, First: []byte("HTTP/1.1 200 OK\r"), Frames: []uint64{k.frame}})
	k.at(640).ack(client)
	k.closes(900, false, event.EpochPlain)
	return k.end("fin", event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us})
}

func lostSynAck() []*event.Event {
	k := newTalk(443)
	k.events[0].Body.(*event.Open).Scenario = "lost-syn-ack"
	k.segment(client, event.SYN, 0)
	syn := k.events[len(k.events)-1].Body.(*event.Segment)
	k.comesTo(client, event.StateSynSent)
	k.comesTo(server, event.StateSynReceived)
	synAck := k.at(41).segment(server, event.SYN|event.ACK, 0)
	k.say(server, &event.Fault{Scenario: "lost-syn-ack", At: "syn-ack", Action: "dropped"})
	k.at(1_000_310).again(server, synAck)
	k.comesTo(client, event.StateEstablished)
	k.at(1_000_352).segment(client, event.ACK, 0)
	k.comesTo(server, event.StateEstablished)
	k.at(1_027_900).again(client, syn)
	k.say(client, &event.Drop{N: k.lastN, Reason: "an old SYN, outside the window"})
	k.closes(1_028_400, false, event.EpochPlain)
	return k.end("fin", event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 1_000_352 * us})
}

func bulk() []*event.Event {
	k := newTalk(80)
	k.handshake()
	k.at(210).data(client, 78)
	k.say(client, &event.Undecoded{Reason: "not tls", Len: 78, First: []byte("GET /disk.img HTTP"), Frames: []uint64{k.frame}})
	for i := range 214 {
		s := k.at(400+i*55).segment(server, event.ACK, 14480)
		s.Offload = 1448
		if i%2 == 1 {
			k.at(410 + i*55).ack(client)
		}
		if i == 100 {
			k.again(server, s)
		}
	}
	k.closes(12900, false, event.EpochPlain)
	return k.end("fin", event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us})
}

func resetMidHandshake() []*event.Event {
	k := newTalk(443)
	k.events[0].Body.(*event.Open).Scenario = "reset-after-hello"
	k.handshake()
	k.clientHello13(320, 1530, hello13(4588, 29))
	k.waits(client, "client_hello", event.TLSWaitSH)
	k.waits(server, "client_hello", event.TLSRecvdCH)
	k.at(371).say(server, &event.Fault{Scenario: "reset-after-hello", At: "client_hello", Action: "RST sent"})
	k.at(380).segment(server, event.RST|event.ACK, 0)
	k.comesTo(client, event.StateClosed)
	k.comesTo(server, event.StateClosed)
	k.waits(client, "rst", event.TLSFailed)
	k.waits(server, "rst", event.TLSFailed)
	k.say(server, &event.Failed{Side: server, Cause: "server reset the connection 0.060 ms after ClientHello", Hint: "this was scenario reset-after-hello"})
	c := event.Close{HandshakeDone: true, RTT: 42 * us, TCPHandshake: 83 * us, WaitingServer: 60 * us}
	events := k.end("rst", c)
	events[len(events)-1].From = server
	return events
}

func halfOpen() []*event.Event {
	k := newTalk(443)
	k.segment(client, event.SYN, 0)
	k.comesTo(client, event.StateSynSent)
	k.comesTo(server, event.StateSynReceived)
	synAck := k.at(41).segment(server, event.SYN|event.ACK, 0)
	for _, s := range []int{1, 3, 7} {
		k.at(s*1_000_000+300).again(server, synAck)
	}
	k.at(10_000_000).say(server, &event.TCPState{Side: server, Old: event.StateSynReceived, New: event.StateClosed,
		Cause: event.Cause{By: event.ByTimer, What: "half-open deadline"}})
	return k.end("timeout", event.Close{Code: event.CauseHandshakeACKMissing,
		Cause: "the ACK of the SYN-ACK never came, though the server sent 4 SYN-ACKs in 7s",
		Hint:  "a firewall or a route that loses one direction, a client that went away, or a SYN with a false source (scan, flood)"})
}

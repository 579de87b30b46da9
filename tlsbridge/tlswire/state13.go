package tlswire

import "synscope/event"

// The machines of TLS 1.3, RFC 8446, appendix A. "send" and "recv" are the
// side's own; a message on the wire is a send of one side, then a recv of the
// other.
//
// Client (A.1):
//
//	                          START <----+
//	       send ClientHello     |        | recv HelloRetryRequest
//	                            v        |
//	                         WAIT_SH ----+
//	       recv ServerHello     |
//	                            v
//	                         WAIT_EE
//	 recv EncryptedExtensions   |
//	                   +--------+--------+
//	          with PSK |                 | with a certificate
//	                   |                 v
//	                   |          WAIT_CERT_CR
//	                   |  recv      |       | recv CertificateRequest
//	                   |  Certificate       v
//	                   |            |   WAIT_CERT
//	                   |            |       | recv Certificate
//	                   |            v       v
//	                   |             WAIT_CV
//	                   |                | recv CertificateVerify
//	                   +> WAIT_FINISHED <+
//	                            | recv Finished, send [Certificate
//	                            | [CertificateVerify]] Finished
//	                            v
//	                        CONNECTED
//
// Server (A.2):
//
//	                          START <-----+
//	       recv ClientHello     |         | send HelloRetryRequest
//	                            v         |
//	                         RECVD_CH ----+
//	       send ServerHello     |
//	                            v
//	                        NEGOTIATED
//	 send EncryptedExtensions,  |
//	 [CertificateRequest],      |
//	 [Certificate,              |
//	 CertificateVerify],        |
//	 Finished          +--------+--------+
//	         no 0-RTT  |                 | 0-RTT accepted
//	                   |                 v
//	                   |             WAIT_EOED
//	                   |                 | recv EndOfEarlyData
//	                   +> WAIT_FLIGHT2 <-+
//	                            | (at once)
//	                   +--------+--------+
//	       no request  |                 | CertificateRequest sent
//	                   |                 v
//	                   |             WAIT_CERT
//	                   |  recv empty |       | recv Certificate
//	                   |  Certificate|       v
//	                   |             |   WAIT_CV
//	                   |             |       | recv CertificateVerify
//	                   +-> WAIT_FINISHED <---+
//	                            | recv Finished
//	                            v
//	                        CONNECTED

// client13 returns the client's next state, "" if the step changes nothing.
func (k *handshake) client13(s event.HandshakeState, t step) event.HandshakeState {
	if t.from == event.Client {
		if s == event.TLSWaitFinished && t.typ == event.FinishedType {
			return event.TLSConnected
		}
		return ""
	}
	switch s {
	case event.TLSWaitSH:
		switch t.typ {
		case event.HelloRetryRequest:
			return event.TLSStart
		case event.ServerHelloType:
			return event.TLSWaitEE
		}
	case event.TLSWaitEE:
		switch {
		case t.typ != event.EncryptedExts:
		case k.psk:
			return event.TLSWaitFinished
		default:
			return event.TLSWaitCertCR
		}
	case event.TLSWaitCertCR:
		switch t.typ {
		case event.CertRequestType:
			return event.TLSWaitCert
		case event.CertificateType, event.CompressedCertificate:
			return event.TLSWaitCV
		}
	case event.TLSWaitCert:
		if t.typ == event.CertificateType || t.typ == event.CompressedCertificate {
			return event.TLSWaitCV
		}
	case event.TLSWaitCV:
		if t.typ == event.CertVerifyType {
			return event.TLSWaitFinished
		}
	}
	return ""
}

// server13 returns the server's next state, "" if the step changes nothing.
func (k *handshake) server13(s event.HandshakeState, t step) event.HandshakeState {
	if t.from == event.Server {
		switch {
		case s == event.TLSRecvdCH && t.typ == event.HelloRetryRequest:
			return event.TLSStart
		case s == event.TLSRecvdCH && t.typ == event.ServerHelloType:
			return event.TLSNegotiated
		case s == event.TLSNegotiated && t.typ == event.FinishedType:
			if k.earlyAccepted {
				return event.TLSWaitEOED
			}
			return event.TLSWaitFlight2
		}
		return ""
	}
	switch s {
	case event.TLSWaitEOED:
		if t.typ == event.EndOfEarlyData {
			return event.TLSWaitFlight2
		}
	case event.TLSWaitCert:
		switch {
		case t.typ == event.CompressedCertificate, t.typ == event.CertificateType && k.clientCertificate:
			return event.TLSWaitCV
		case t.typ == event.CertificateType:
			return event.TLSWaitFinished
		}
	case event.TLSWaitCV:
		if t.typ == event.CertVerifyType {
			return event.TLSWaitFinished
		}
	case event.TLSWaitFinished:
		if t.typ == event.FinishedType {
			return event.TLSConnected
		}
	}
	return ""
}

// flight2 returns what the server waits for once it is in WAIT_FLIGHT2, which
// it leaves without a message.
func (k *handshake) flight2() event.HandshakeState {
	if k.certificateRequested {
		return event.TLSWaitCert
	}
	return event.TLSWaitFinished
}

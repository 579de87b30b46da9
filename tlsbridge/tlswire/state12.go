package tlswire

import "synscope/event"

// The machines of TLS 1.2 and older. RFC 5246 has none; these follow its
// figures 1 and 2, and a state is named after the message waited for.
//
// Client:
//
//	                          START
//	       send ClientHello     |
//	                            v
//	                         WAIT_SH
//	       recv ServerHello     |
//	                   +--------+--------+
//	     full handshake|                 | abbreviated
//	                   v                 |
//	               WAIT_CERT             |     without certificates (anon, PSK) at
//	  recv Certificate |                 |     once to WAIT_SKE or WAIT_SHD
//	                   v                 |
//	               WAIT_SKE              |     only if the key exchange needs it
//	  recv ServerKey-  |                 |
//	  Exchange         v                 |
//	               WAIT_SHD              |
//	  recv [CertificateRequest]          |
//	  ServerHelloDone, |                 |
//	  send [Certificate] ClientKeyExchange
//	  [CertificateVerify] CCS Finished   |
//	                   |                 |
//	                   +--> WAIT_CCS <---+
//	  recv ChangeCipherSpec     |
//	                            v
//	                      WAIT_FINISHED
//	  full: recv Finished       |
//	  abbreviated: recv, then   |
//	  send Finished             v
//	                        CONNECTED
//
// Server:
//
//	                          START
//	       recv ClientHello     |
//	                            v
//	                         RECVD_CH
//	       send ServerHello     |
//	                            v
//	                        NEGOTIATED
//	  send ServerHelloDone,     |         abbreviated: send Finished
//	  a certificate requested   |
//	         +---------+--------+--------+
//	     yes |      no |                 |
//	         v         |                 |
//	     WAIT_CERT     |                 |
//	  recv   |         |                 |
//	  Certificate      |                 |
//	         +-> WAIT_CKE                |
//	  recv ClientKeyExchange             |
//	      +------------+                 |
//	      | certificate| no certificate  |
//	      | received   |                 |
//	      v            |                 |
//	   WAIT_CV         |                 |
//	      | recv CertificateVerify       |
//	      +------------+--> WAIT_CCS <---+
//	  recv ChangeCipherSpec     |
//	                            v
//	                      WAIT_FINISHED
//	  full: recv, then send     |
//	  Finished                  |
//	  abbreviated: recv         v
//	                        CONNECTED
//
// That a server resumes is known at its ServerHello if it returns the client's
// session ID. If the client offered a ticket and no session ID, only the next
// message tells (RFC 5077, section 3.4), and until then the client stays in
// WAIT_SH. A renegotiation starts from CONNECTED as from START.

// client12 returns the client's next state, "" if the step changes nothing.
func (k *handshake) client12(s event.HandshakeState, t step) event.HandshakeState {
	if t.from == event.Client {
		switch {
		case t.typ != event.FinishedType || t.ccs:
		case s == event.TLSWaitSHD && !k.abbreviated:
			return event.TLSWaitCCS
		case s == event.TLSWaitFinished && k.abbreviated:
			return event.TLSConnected
		}
		return ""
	}
	switch s {
	case event.TLSWaitSH:
		return k.afterServerHello(t)
	case event.TLSWaitCert:
		if !t.ccs && t.typ == event.CertificateType {
			return k.afterCertificate()
		}
	case event.TLSWaitSKE:
		if !t.ccs && t.typ == event.ServerKeyExchangeType {
			return event.TLSWaitSHD
		}
	case event.TLSWaitCCS:
		if t.ccs {
			return event.TLSWaitFinished
		}
	case event.TLSWaitFinished:
		if !t.ccs && t.typ == event.FinishedType && !k.abbreviated {
			return event.TLSConnected
		}
	}
	return ""
}

// afterServerHello is where WAIT_SH leads: at the ServerHello if that says
// whether the session is resumed, else at the message after it.
func (k *handshake) afterServerHello(t step) event.HandshakeState {
	switch {
	case t.ccs, t.typ == event.NewSessionTicketType:
		return event.TLSWaitCCS
	case t.typ == event.ServerHelloType && k.echoed:
		return event.TLSWaitCCS
	case t.typ == event.ServerHelloType && k.ticketOffered && len(k.sessionID) == 0:
		return ""
	case k.suite.serverCertificate():
		return event.TLSWaitCert
	}
	return k.afterCertificate()
}

func (k *handshake) afterCertificate() event.HandshakeState {
	if k.suite.serverKeyExchange() {
		return event.TLSWaitSKE
	}
	return event.TLSWaitSHD
}

// server12 returns the server's next state, "" if the step changes nothing.
func (k *handshake) server12(s event.HandshakeState, t step) event.HandshakeState {
	if t.ccs {
		if s == event.TLSWaitCCS && t.from == event.Client {
			return event.TLSWaitFinished
		}
		return ""
	}
	if t.from == event.Server {
		switch {
		case s == event.TLSRecvdCH && t.typ == event.ServerHelloType:
			return event.TLSNegotiated
		case s == event.TLSNegotiated && t.typ == event.ServerHelloDone && k.certificateRequested:
			return event.TLSWaitCert
		case s == event.TLSNegotiated && t.typ == event.ServerHelloDone:
			return event.TLSWaitCKE
		case s == event.TLSNegotiated && t.typ == event.FinishedType:
			return event.TLSWaitCCS
		case s == event.TLSWaitFinished && t.typ == event.FinishedType:
			return event.TLSConnected
		}
		return ""
	}
	switch s {
	case event.TLSWaitCert:
		switch t.typ {
		case event.CertificateType:
			return event.TLSWaitCKE
		case event.ClientKeyExchangeType: // SSL 3.0: a warning in place of the Certificate
			return event.TLSWaitCCS
		}
	case event.TLSWaitCKE:
		switch {
		case t.typ != event.ClientKeyExchangeType:
		case k.clientCertificate:
			return event.TLSWaitCV
		default:
			return event.TLSWaitCCS
		}
	case event.TLSWaitCV:
		if t.typ == event.CertVerifyType {
			return event.TLSWaitCCS
		}
	case event.TLSWaitFinished:
		if t.typ == event.FinishedType && k.abbreviated {
			return event.TLSConnected
		}
	}
	return ""
}

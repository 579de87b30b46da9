package explain

var tls12Steps = []Step{
	{
		Name: "tls-1.2", Title: "The full handshake", Spec: "RFC 5246, section 7.3, figure 1",
		Text: `Two round trips. First both say what they can and choose; then the key exchange; then each side switches to the new keys
			(ChangeCipherSpec) and confirms (Finished). Everything but the two Finished messages is in the clear, the certificates too.
			Certificate, ServerKeyExchange, CertificateRequest, the client's Certificate and CertificateVerify depend on the key
			exchange and on whether the client is asked to authenticate.`,
	},
	{
		Name: "client_hello-1.2", Title: "ClientHello", Spec: "RFC 5246, section 7.4.1.2",
		Text: `The client's offer: the highest version, a random, the cipher suites in order of preference, and extensions: groups,
			signature algorithms, server name, ALPN. A cipher suite names all of it: key exchange, authentication, cipher and hash.
			There is no key share: the key exchange waits for the server's choice, which is why TLS 1.2 needs another round trip. A
			session id or a ticket asks for resumption.`,
	},
	{
		Name: "server_hello-1.2", Title: "ServerHello", Spec: "RFC 5246, section 7.4.1.3",
		Text: `The server's choice: the version, one cipher suite of those offered, its own random, and its answers to extensions (the
			application protocol too, in the clear). If it repeats the client's session id, the session is resumed. A server that
			could do TLS 1.3 ends its random with a fixed value, so that a client which offered 1.3 notices a forced downgrade
			(RFC 8446, section 4.1.3).`,
	},
	{
		Name: "certificate-1.2", Title: "Certificate", Spec: "RFC 5246, sections 7.4.2 and 7.4.6",
		Text: `The sender's certificate first, then each that certifies the one before. In TLS 1.2 it is in the clear: an observer
			reads the server's identity, and the client's if it sends one. Its key must fit the cipher suite: to sign in ECDHE and
			DHE, to decrypt in RSA key exchange.`,
	},
	{
		Name: "certificate_status", Title: "CertificateStatus", Spec: "RFC 6066, section 8",
		Text: `Optional, if the client asked with status_request: an OCSP response by which the authority says that the certificate is
			not revoked, stapled to the handshake so that the client need not ask. TLS 1.3 carries it inside Certificate.`,
	},
	{
		Name: "server_key_exchange", Title: "ServerKeyExchange", Spec: "RFC 5246, section 7.4.3; RFC 8422, section 5.4",
		Text: `The server's fresh (ephemeral) public key for ECDHE or DHE, with the group it is in, and a signature over it and both
			randoms by the certificate's key. The signature proves who the server is. It is absent with RSA key exchange, where the
			certificate's own key is used.`,
	},
	{
		Name: "rsa-key-exchange", Title: "RSA key exchange", Spec: "RFC 5246, sections 7.4.3 and 7.4.7.1",
		Text: `With RSA key exchange ServerKeyExchange is absent: there is nothing to send, for the client encrypts the secret with the
			public key of the certificate. Whoever gets that private key later can decrypt all recorded connections: there is no
			forward secrecy. TLS 1.3 has removed it.`,
	},
	{
		Name: "certificate_request-1.2", Title: "CertificateRequest", Spec: "RFC 5246, section 7.4.4",
		Text: `Optional: the server asks the client for a certificate, and says which types, signature algorithms and authorities it
			takes. If it is absent, the client sends neither Certificate nor CertificateVerify.`,
	},
	{
		Name: "server_hello_done", Title: "ServerHelloDone", Spec: "RFC 5246, section 7.4.5",
		Text: `An empty message: the server has said all it has to say, it is the client's turn. It is needed because the messages
			before it are optional, and the client could not know otherwise whether another follows.`,
	},
	{
		Name: "client_key_exchange", Title: "ClientKeyExchange", Spec: "RFC 5246, section 7.4.7; RFC 8422, section 5.7",
		Text: `The client's part of the key exchange: its fresh public key (ECDHE, DHE), or the premaster secret encrypted with the
			server's public key (RSA). From the premaster secret and both randoms both sides compute the master secret, and from
			that the keys.`,
	},
	{
		Name: "certificate_verify-1.2", Title: "CertificateVerify", Spec: "RFC 5246, section 7.4.8",
		Text: `Only from a client that sent a certificate which can sign: a signature over all handshake messages so far, by which it
			proves that it owns the certificate. The server needs none: it signed ServerKeyExchange, or shows by its Finished that
			it could decrypt the premaster secret.`,
	},
	{
		Name: "change_cipher_spec-1.2", Title: "ChangeCipherSpec", Spec: "RFC 5246, section 7.1",
		Text: `"From my next record on, I use the new keys." It is not a handshake message but a protocol of its own, content type 20,
			one byte long: so it is not part of the transcript that Finished covers. Each direction changes on its own.`,
	},
	{
		Name: "finished-1.2", Title: "Finished", Spec: "RFC 5246, section 7.4.9",
		Text: `The first message under the new keys: 12 bytes computed from the master secret and a hash of all handshake messages. Who
			changed an earlier message, to weaken the choice of cipher suite perhaps, is found out here, because the two hashes then
			differ.`,
	},
	{
		Name: "new_session_ticket-1.2", Title: "NewSessionTicket", Spec: "RFC 5077, section 3.3",
		Text: `The server's session state, encrypted with a key that only the server has, for the client to keep and to bring back.
			In TLS 1.2 it is sent before the server's ChangeCipherSpec, in the clear: an observer can link this connection with
			those that resume it.`,
	},
	{
		Name: "abbreviated", Title: "The abbreviated handshake", Spec: "RFC 5246, section 7.3, figure 2",
		Text: `Resumption in TLS 1.2: one round trip instead of two. The server accepts the client's session id or ticket, and both take the master secret of
			the earlier session. No certificate, no key exchange: after ServerHello the server sends ChangeCipherSpec and Finished
			first, and the client answers with its own. The randoms are new, so the keys are.`,
	},
	{
		Name: "hello_request", Title: "HelloRequest", Spec: "RFC 5246, section 7.4.1.1",
		Text: `The server asks the client to start a new handshake on this connection (renegotiation). A client may ignore it. TLS 1.3
			has no renegotiation.`,
	},
}

package explain

var tls13Steps = []Step{
	{
		Name: "tls-1.3", Title: "The TLS 1.3 handshake", Spec: "RFC 8446, section 2",
		Text: `One round trip. The client sends its key shares with its first message and so guesses what the server will choose; the
			server's answer completes the key exchange, and everything after ServerHello is encrypted. Three jobs, in this order:
			agree on keys (the hellos), agree on parameters (EncryptedExtensions, CertificateRequest), prove who one is
			(Certificate, CertificateVerify, Finished).`,
	},
	{
		Name: "client_hello", Title: "ClientHello", Spec: "RFC 8446, section 4.1.2",
		Text: `The client's offer: the versions (supported_versions), the cipher suites in order of preference, the groups for the key
			exchange with a public key (key share) for some of them, the signature algorithms it can verify, the server's name (SNI)
			and the application protocols (ALPN). It is in the clear: an observer reads all of it, the server's name included,
			unless Encrypted Client Hello is used. legacy_version says TLS 1.2 and the session id is often a random value: a
			disguise for middleboxes.`,
	},
	{
		Name: "hello_retry_request", Title: "HelloRetryRequest", Spec: "RFC 8446, section 4.1.4",
		Text: `The server could go on with a group that the client supports, but the client sent no key share for it (or the server
			wants a cookie returned, to prove the client's address without keeping state). It costs a round trip: the client sends
			ClientHello again with the share asked for. On the wire it is a ServerHello whose random is a fixed value, the SHA-256 of
			"HelloRetryRequest". A second HelloRetryRequest is an error.`,
	},
	{
		Name: "server_hello", Title: "ServerHello", Spec: "RFC 8446, section 4.1.3",
		Text: `The server's choice: version, cipher suite, and its key share for one group, or which pre-shared key it takes. Now both
			sides can compute the same secret and from it the handshake keys. It is the last message in the clear; an observer reads
			the choice, but cannot compute the secret from the two public keys.`,
	},
	{
		Name: "change_cipher_spec", Title: "ChangeCipherSpec", Spec: "RFC 8446, section 5 and appendix D.4",
		Text: `ChangeCipherSpec is a protocol of its own, content type 20, beside handshake (22), alert (21) and application data
			(23). In TLS 1.3 it means nothing and is ignored: it is sent so that middleboxes which know only TLS 1.2 believe
			that they see a resumption. The keys change without it, after ServerHello and after Finished.`,
	},
	{
		Name: "encrypted_extensions", Title: "EncryptedExtensions", Spec: "RFC 8446, section 4.3.1",
		Text: `The server's answers to the client's extensions that are not needed to agree on keys, first of all the application
			protocol it chose (ALPN). It is the first encrypted message; an observer sees that a record of some length passes. It is
			always sent, even if empty.`,
	},
	{
		Name: "certificate_request", Title: "CertificateRequest", Spec: "RFC 8446, section 4.3.2",
		Text: `Optional: the server asks the client for a certificate and says which signature algorithms and, if it likes, which
			authorities it takes. The client must then answer with a Certificate message, which may be empty. Without this message
			only the server proves who it is.`,
	},
	{
		Name: "certificate", Title: "Certificate", Spec: "RFC 8446, section 4.4.2",
		Text: `The sender's certificate, then those that lead from it towards an authority that the receiver trusts; the root itself
			may be left out. It is public and proves nothing yet. In TLS 1.3 it is encrypted, so an observer does not learn who the
			server is from it. A resumed handshake has none. If it is not trusted, the receiver answers with an alert such as
			unknown_ca or certificate_expired.`,
	},
	{
		Name: "certificate_verify", Title: "CertificateVerify", Spec: "RFC 8446, section 4.4.3",
		Text: `A signature over all messages so far (their transcript hash), with the private key of the certificate. This is what
			proves that the sender owns the certificate, and that nobody changed or replayed the messages before it. It follows
			Certificate at once, unless that was empty.`,
	},
	{
		Name: "finished", Title: "Finished", Spec: "RFC 8446, section 4.4.4",
		Text: `A MAC over all messages so far, under a key that only the two ends of this key exchange have: each side confirms that it
			has the same keys and saw the same handshake. After its Finished the server may send application data; after both, each
			direction uses the application traffic keys.`,
	},
	{
		Name: "end_of_early_data", Title: "EndOfEarlyData", Spec: "RFC 8446, section 4.5",
		Text: `Only after early data (0-RTT) that the server accepted: the client says that no more of it follows and that it changes
			from the early keys to the handshake keys. A server that refuses early data skips it, and this message is not sent.`,
	},
	{
		Name: "application_data", Title: "Application data", Spec: "RFC 8446, section 5.2",
		Text: `What the connection is for. In TLS 1.3 every encrypted record, a handshake message too, looks like application data from
			outside (content type 23); the true type is encrypted with the content. An observer sees lengths and times, and no more.`,
	},
	{
		Name: "new_session_ticket", Title: "NewSessionTicket", Spec: "RFC 8446, section 4.6.1",
		Text: `The server gives the client a ticket for a later connection: with it and a secret that both derive from this handshake,
			the next one is resumed without certificates. It comes after the handshake, under the application keys, so an observer
			cannot link the ticket with this connection. A server may send several or none.`,
	},
	{
		Name: "key_update", Title: "KeyUpdate", Spec: "RFC 8446, section 4.6.3",
		Text: `The sender changes to the next generation of its own traffic key, derived from the one before; with update_requested it
			asks the peer to do the same in the other direction. It bounds how much is encrypted under one key.`,
	},
	{
		Name: "resumption", Title: "Resumption", Spec: "RFC 8446, section 2.2",
		Text: `A full handshake authenticates with certificates. A resumed one authenticates with a secret from an earlier
			connection: the client names its ticket in pre_shared_key and proves with a binder that it has the secret; the server
			that takes it says so in ServerHello. Certificate and CertificateVerify are absent. With psk_dhe_ke a fresh key exchange
			still takes place, so that the old secret, if it leaks later, does not open this connection.`,
	},
	{
		Name: "alert", Title: "Alert", Spec: "RFC 8446, section 6",
		Text: `A message about the session itself, content type 21: close_notify and user_canceled announce an end; all others are
			errors, after which both sides close the connection and forget its keys. An alert under encryption is for the peer alone:
			an observer of TLS 1.3 sees a short record and then the end of the connection, not the reason.`,
	},
	{
		Name: "observer", Title: "What an observer can read", Spec: "RFC 8446, sections 2 and 4; appendix E",
		Text: `Of what passes, an observer on the path reads always: addresses, ports, TCP flags and numbers, record
			types and lengths, times. TLS 1.3: both hellos, and so the
			server's name, the offers and the choice of version, cipher suite and group, but no certificate, no ALPN choice, no
			ticket, no alert after the keys. TLS 1.2: also the certificates of both sides, the chosen protocol and the tickets.
			Never, without keys: the application data. Whoever changes packets can break the connection, but not unnoticed.`,
	},
}

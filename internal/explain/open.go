package explain

var openSteps = []Step{
	{
		Name: "syn", Title: "SYN", Spec: "RFC 9293, section 3.5",
		Text: `The client asks for a connection. SYN=1 says that the sequence number of this segment is the client's initial
			sequence number; ACK=0, because nothing has been received that could be acknowledged: of the three
			segments it is the only one without ACK. The SYN itself takes one sequence number, so it can be acknowledged and
			retransmitted as data can. The options are offers for the whole connection: the largest segment that this side can
			receive (MSS), window scaling, selective acknowledgements (SACK), timestamps.`,
	},
	{
		Name: "syn-ack", Title: "SYN-ACK", Spec: "RFC 9293, section 3.5",
		Text: `The server answers with both bits set. ACK=1 acknowledges the client's SYN; SYN=1 announces the server's own initial
			sequence number. These are two statements, one for each direction, and could be two segments; the acknowledgement is
			piggybacked on the SYN, and so three segments do the work of four.`,
	},
	{
		Name: "ack", Title: "ACK", Spec: "RFC 9293, section 3.5",
		Text: `SYN=0, ACK=1: the client acknowledges the server's SYN. Now each side knows that the other has its initial sequence
			number. Had the SYN been an old duplicate, the client would have answered the SYN-ACK with RST instead: that is what
			the third segment is for. An ACK without data takes no sequence number, and so it is never acknowledged itself. From here on every
			segment has ACK=1; only a RST may lack it.`,
	},
	{
		Name: "sequence-numbers", Title: "Sequence numbers", Spec: "RFC 9293, section 3.4",
		Text: `Each direction numbers its bytes. seq is the number of the first byte in the segment, ack the number of the next byte
			expected from the other side: everything below it has arrived. SYN and FIN take one number each, as if they were a byte;
			a bare ACK takes none. So the next seq of a side is seq + len, plus one for a SYN or a FIN. The real numbers start at an
			unpredictable value (section 3.4.1); the ladder shows them relative to it, so that the SYN is 0 and the first byte of
			data is 1.`,
	},
	{
		Name: "refused", Title: "Connection refused", Spec: "RFC 9293, sections 3.5.2 and 3.10.7.1",
		Text: `Nobody listens on the port: the state is CLOSED, and every segment that is not a RST is answered with one. For a SYN it
			is RST=1, ACK=1, seq 0 and ack = the SYN's sequence number + 1; by that acknowledgement the client knows that the answer
			is to its own SYN. No answer at all would leave the client to retransmit until it gives up.`,
	},
	{
		Name: "retransmission", Title: "Retransmission", Spec: "RFC 9293, section 3.8.1; RFC 6298",
		Text: `What takes a sequence number and is not acknowledged within the retransmission timeout is sent again, with the same
			numbers. Before the first round trip has been measured the timeout is one second, and it doubles with each attempt. A
			sender cannot know whether its segment or the acknowledgement of it was lost; a receiver that already has the data
			acknowledges it again.`,
	},
	{
		Name: "half-open", Title: "Half-open connection", Spec: "RFC 9293, section 3.3.2; RFC 4987",
		Text: `In SYN-RECEIVED the server has answered a SYN and waits for the ACK of its own. Until then it must remember the client
			and repeat the SYN-ACK, and the source address may be forged: a flood of SYNs fills its memory. It therefore gives up
			after a deadline, or keeps no state at all (SYN cookie).`,
	},
	{
		Name: "syn-cookie", Title: "SYN cookie", Spec: "RFC 4987, section 3.6",
		Text: `The server keeps nothing of the SYN. Its initial sequence number is computed from the addresses, the ports, a clock and
			a secret, so that the client's ACK, which repeats it, proves that the SYN-ACK was received; only then is the connection
			made. The few bits left in the number hold the MSS; window scaling and SACK are lost, unless timestamps carry them.`,
	},
	{
		Name: "upstream-leg", Title: "Upstream leg", Spec: "RFC 9293, section 3.9.1 (OPEN)",
		Text: `Synscope stands between the client and the destination: the client's connection ends here, and this one, to the real
			destination, is synscope's own. It is dialled before the client's SYN is answered, so that the client meets what the
			destination does: it accepts, refuses or is silent. The kernel makes it, so its segments are not seen; the kernel
			tells how long the handshake took, and at the end what it counted.`,
	},
	{
		Name: "simultaneous-open", Title: "Simultaneous open", Spec: "RFC 9293, section 3.5, figure 7",
		Text: `Both sides send a SYN before either has received one. Each goes from SYN-SENT to SYN-RECEIVED, answers with SYN-ACK, and
			both come to ESTABLISHED: one connection, not two. It is rare, since both must know the other's port.`,
	},
}

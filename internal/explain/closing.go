package explain

var closeSteps = []Step{
	{
		Name: "close_notify", Title: "Alert close_notify", Spec: "RFC 8446, section 6.1",
		Text: `"I send no more data." The end of a TLS session must be said under its keys, because a FIN can be forged by anyone on the
			path: without close_notify the receiver cannot tell an end from a cut. In TLS 1.3 it closes one direction only; in TLS
			1.2 the peer must answer with its own at once.`,
	},
	{
		Name: "fin", Title: "FIN", Spec: "RFC 9293, section 3.6",
		Text: `"I send no more data." A FIN takes a sequence number after the last byte, so it is acknowledged, retransmitted and kept
			in order like data. Who closes first goes to FIN-WAIT-1, and to FIN-WAIT-2 when its FIN is acknowledged; who receives the
			FIN goes to CLOSE-WAIT.`,
	},
	{
		Name: "half-close", Title: "Half-closed connection", Spec: "RFC 9293, section 3.6.1",
		Text: `A connection is two streams, and each is closed on its own. After the FIN of one side the other may still send; the
			side that closed, in FIN-WAIT-2 once its FIN is acknowledged, still receives and acknowledges. The connection ends when both have sent FIN and both are
			acknowledged.`,
	},
	{
		Name: "second-fin", Title: "The other side's FIN", Spec: "RFC 9293, section 3.6, figure 12",
		Text: `The side that received the first FIN (CLOSE-WAIT) has finished as well; it sends its own FIN and goes to LAST-ACK, until
			the ACK of it arrives. If its ACK of the first FIN had not been sent before, it is piggybacked here, and closing takes
			three segments.`,
	},
	{
		Name: "time-wait", Title: "TIME-WAIT", Spec: "RFC 9293, sections 3.3.2 and 3.6",
		Text: `Who closed first and acknowledged the peer's FIN waits for twice the maximum segment lifetime. Should its last ACK be
			lost, the peer sends its FIN again and someone must answer; and old segments must die before the same ports are used
			again. Many systems wait 60 seconds.`,
	},
	{
		Name: "closing", Title: "Simultaneous close", Spec: "RFC 9293, section 3.6, figure 13",
		Text: `Both send FIN before either has received one. Each goes from FIN-WAIT-1 to CLOSING when the peer's FIN arrives, to
			TIME-WAIT when its own is acknowledged.`,
	},
	{
		Name: "rst", Title: "RST", Spec: "RFC 9293, sections 3.5.2 and 3.5.3",
		Text: `The connection is aborted, not closed: the sender has forgotten it or wants no more of it, and data on the way is lost.
			It takes effect at once, is not acknowledged and not retransmitted. It is believed only if its sequence number is the
			one expected (RFC 5961), so that it cannot be forged blindly.`,
	},
}

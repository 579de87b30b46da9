package tlswire

import (
	"time"

	"synscope/event"
)

// A Summary is what is known of a connection so far.
type Summary struct {
	// Facts are those of the Established event, as far as they are known,
	// which may be before it and without it. Of a renegotiation, the last.
	Facts      event.Established
	JA3S, JA4S string

	ClientState, ServerState event.HandshakeState // the last ones known
	// StatesKnown is false if something of the handshake could not be
	// decoded, so that the states may have gone on unseen.
	StatesKnown bool
	Established bool          // the last Finished was seen
	Failure     *event.Failed // nil if the handshake did not fail

	ClientCloseNotify, ServerCloseNotify bool // sent

	// Start is when the first byte of the first record came; End when the
	// last Finished did. Zero if not seen.
	Start, End Stamp
	// WaitClient and WaitServer are the time from Start to End (or to the
	// last record, before it), each part counted for the side that sent the
	// record which ended it.
	WaitClient, WaitServer time.Duration

	// SecretsRefused counts secrets that came when there were too many.
	SecretsRefused int
}

// Summary returns what is known so far. It may be called at any time.
func (d *Decoder) Summary() Summary {
	client, server := d.half(event.Client), d.half(event.Server)
	s := Summary{
		Facts: d.settled(), JA3S: d.ja3s, JA4S: d.ja4s,
		ClientState: client.state, ServerState: server.state,
		StatesKnown: !d.blind || d.established, Established: d.established,
		ClientCloseNotify: client.closeNotify, ServerCloseNotify: server.closeNotify,
		Start: d.start, End: d.end, WaitClient: d.waitClient, WaitServer: d.waitServer,
		SecretsRefused: d.secretsLost,
	}
	if d.failure != nil {
		f := *d.failure
		s.Failure = &f
	}
	return s
}

// ClientRandom returns the random of the ClientHello on the wire, nil if none
// was seen: the key under which a key log lists the secrets.
func (d *Decoder) ClientRandom() []byte { return append([]byte(nil), d.shake.clientRandom...) }

package trace

import (
	"slices"

	"synscope/tlsbridge/tlswire"
)

// A keyRing holds the secrets of a recording by their client random, and gives
// them to the connections that have it. It is owned by the goroutine of its
// engine.
type keyRing struct {
	max      int // of randoms; the oldest gives way
	byRandom map[clientRandom]*ringKeys
	order    []clientRandom // of those with secrets, oldest first
	dropped  uint64         // randoms that gave way, not told yet
}

type clientRandom [32]byte

// ringKeys are the secrets of one client random, and the connections in which it
// was seen: one, or the two legs of a relay.
type ringKeys struct {
	secrets []tlswire.Secret
	conns   []*conn
}

// maxKeys bounds the secrets of one client random: more than any handshake has.
const maxKeys = 16

func newKeyRing(max int) *keyRing {
	return &keyRing{max: max, byRandom: make(map[clientRandom]*ringKeys)}
}

// add takes a secret, for the connections that have its client random and for
// those that will. The secret is the ring's from then on.
func (r *keyRing) add(s tlswire.Secret) {
	label, ok := tlswire.Label(s.Label)
	if !ok || len(s.ClientRandom) != len(clientRandom{}) {
		return
	}
	s.Label = label // the other may hold on to a whole key log
	random := clientRandom(s.ClientRandom)
	k := r.byRandom[random]
	if k == nil {
		k = &ringKeys{}
		r.byRandom[random] = k
	}
	if len(k.secrets) == 0 {
		r.makeRoom()
		r.order = append(r.order, random)
	}
	if len(k.secrets) == maxKeys || slices.ContainsFunc(k.secrets, func(o tlswire.Secret) bool {
		return o.Label == s.Label && slices.Equal(o.Secret, s.Secret)
	}) {
		return
	}
	k.secrets = append(k.secrets, s)
	for _, c := range k.conns {
		c.tls.decoder.Secret(s)
	}
}

// makeRoom drops the oldest secrets if there are too many.
func (r *keyRing) makeRoom() {
	if len(r.order) < r.max {
		return
	}
	random := r.order[0]
	r.order = r.order[1:]
	k := r.byRandom[random]
	k.secrets = nil
	r.dropped++
	r.tidy(random, k)
}

// of returns the secrets of a client random, and notes that a connection has it,
// which is to get those that come later.
func (r *keyRing) of(c *conn, random []byte) []tlswire.Secret {
	if len(random) != len(clientRandom{}) {
		return nil
	}
	key := clientRandom(random)
	k := r.byRandom[key]
	if k == nil {
		k = &ringKeys{}
		r.byRandom[key] = k
	}
	if !slices.Contains(k.conns, c) {
		k.conns = append(k.conns, c)
		c.tls.randoms = append(c.tls.randoms, key)
	}
	return k.secrets
}

// forget ends that for a connection.
func (r *keyRing) forget(c *conn) {
	for _, random := range c.tls.randoms {
		k := r.byRandom[random]
		if i := slices.Index(k.conns, c); i >= 0 {
			k.conns = slices.Delete(k.conns, i, i+1)
		}
		r.tidy(random, k)
	}
	c.tls.randoms = nil
}

func (r *keyRing) tidy(random clientRandom, k *ringKeys) {
	if len(k.secrets) == 0 && len(k.conns) == 0 {
		delete(r.byRandom, random)
	}
}

// takeDropped returns what gave way since it was called last.
func (r *keyRing) takeDropped() uint64 {
	n := r.dropped
	r.dropped = 0
	return n
}

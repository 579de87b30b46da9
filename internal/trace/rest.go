package trace

// Most connections that are open for long are so without a word, and they may be
// many. What is kept of one that rests is made small, until it is heard of again.

// restAtOnce bounds the connections that are seen to in one go: what is observed
// meanwhile waits.
const restAtOnce = 64

// again is a channel to receive from without waiting.
var again = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// wake notes that a connection was heard of.
func (t *engine) wake(c *conn) {
	switch {
	case t.histories == nil || c.closed: // a recording is soon over
	case c.awake != nil:
		t.awake.MoveToBack(c.awake)
	default:
		c.awake = t.awake.PushBack(c)
	}
}

// stopWatching takes a connection off the list of those that do not rest.
func (t *engine) stopWatching(c *conn) {
	if c.awake != nil {
		t.awake.Remove(c.awake)
		c.awake = nil
	}
}

// packResting makes small what is kept of connections that rest. If it is to be
// called again soon, for others, it returns a channel that says so at once, and
// else nil.
func (t *engine) packResting() <-chan struct{} {
	t.flush() // a keeper packs what it has
	for range restAtOnce {
		e := t.awake.Front()
		if e == nil {
			return nil
		}
		c := e.Value.(*conn)
		if t.now.Sub(c.heard) < restAfter {
			return nil
		}
		t.stopWatching(c)
		c.rest()
	}
	return again
}

// rest makes small what is kept of a connection of which nothing is heard.
func (c *conn) rest() {
	if len(c.held) > 0 || c.tls.blocked() {
		return // it goes on by itself
	}
	if c.tls.decoder != nil {
		c.tls.decoder.Rest()
	}
	if c.hist == nil {
		return
	}
	p := c.t.histories.pack(c.hist)
	if p == nil {
		return
	}
	for _, s := range c.t.cfg.Sinks {
		if k, ok := s.(Keeper); ok {
			k.Packed(c.id, p)
		}
	}
}

package capture

import (
	"bytes"
	"fmt"

	"synscope/tlsbridge/tlswire"
)

// secretsTLS is the type of secrets that are lines of a TLS key log, "TLSK".
const secretsTLS = 0x544c534b

// secretsHeaderLen is that of what precedes the secrets in their block: its
// header, the type and the length.
const secretsHeaderLen = blockHeaderLen + 8

// A secretsLeft is what is left to read of a Decryption Secrets Block. Such a
// block may hold a whole key log, so that it is read in pieces.
type secretsLeft struct {
	block   block // its body is nil
	start   int64 // its offset
	payload int64 // bytes of lines left
}

// startSecrets begins a Decryption Secrets Block, and passes over one that is
// not of TLS.
func (p *pcapng) startSecrets(b block) error {
	if b.total < secretsHeaderLen+blockTrailerLen {
		return p.in.damage(p.in.offset, p.unfit(b))
	}
	h, err := p.in.need(b.name(), secretsHeaderLen)
	if err != nil {
		return err
	}
	kind, n := p.order.Uint32(h[blockHeaderLen:]), int64(p.order.Uint32(h[blockHeaderLen+4:]))
	if n > b.total-secretsHeaderLen-blockTrailerLen {
		return p.in.damage(p.in.offset, fmt.Errorf("%d bytes of secrets in the %s with %d", n, b.name(), b.total))
	}
	if kind != secretsTLS || n == 0 {
		return p.passRest(b, p.in.offset)
	}
	b.body = nil // not valid behind what skip passes over
	p.secrets = secretsLeft{block: b, start: p.in.offset, payload: n}
	_, err = p.in.skip(secretsHeaderLen)
	return err
}

// readSecrets reads the next lines of the block, as many as the window holds.
func (p *pcapng) readSecrets(rec *record) error {
	n := min(p.secrets.payload, maxBlock)
	lines, err := p.in.window.Peek(int(n))
	if err != nil {
		have := p.in.offset - p.secrets.start + int64(len(lines))
		return p.in.damage(p.secrets.start, cut(err, p.secrets.block.name(), have, p.secrets.block.total))
	}
	if n < p.secrets.payload {
		// The last line may be cut by the window. One that is longer than it
		// is no secret, and its pieces are not either.
		if end := bytes.LastIndexByte(lines, '\n'); end >= 0 {
			lines = lines[:end+1]
		}
	}
	for line := range bytes.Lines(lines) {
		secret, ok, err := tlswire.ParseKeyLogLine(string(line))
		switch {
		case err != nil:
			*p.malformed++
		case ok:
			rec.secrets = append(rec.secrets, secret)
		}
	}
	p.secrets.payload -= int64(len(lines))
	if _, err := p.in.skip(int64(len(lines))); err != nil {
		return err
	}
	if p.secrets.payload > 0 {
		return nil
	}
	return p.passRest(p.secrets.block, p.secrets.start)
}

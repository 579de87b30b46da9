package tlswire

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synscope/event"
)

// recordings are conversations of every kind that the decoder knows.
func recordings(t *testing.T) map[string]*recording {
	c12, s12, masters := resumable12(t)
	converse(c12, s12)
	resumed := converse(c12, s12)
	resumed.ops = append([]op{{secret: &Secret{
		Label: "CLIENT_RANDOM", ClientRandom: resumed.clientRandom(), Secret: (*masters)[0], Candidate: true,
	}}}, resumed.ops...)
	return map[string]*recording{
		"TLS 1.3":    converse(configs(nil)),
		"early data": rfc8448Recording(t),
		"KeyUpdate":  keyUpdates(t),
		"resumed":    resumed,
		"TLS 1.0": converse(configs(func(c, s *tls.Config) {
			c.MaxVersion, s.ClientAuth = tls.VersionTLS10, tls.RequestClientCert
			c.Certificates = []tls.Certificate{identities().client}
		})),
		"refused": converse(configs(func(c, s *tls.Config) { s.ClientAuth = tls.RequireAnyClientCert })),
		"not TLS": {ops: []op{
			{from: event.Server, bytes: []byte("220 mail.test ESMTP\r\n")}, {from: event.Client, bytes: []byte("EHLO\r\n")},
			{from: event.Client, end: "fin"}, {from: event.Server, end: "rst"},
		}},
	}
}

// What is told does not depend on how the bytes are cut into packets, nor on
// when the secrets come, as long as they are expected, nor on rests: not even the
// stamps do.
func TestSplitsAndSecretsChangeNothing(t *testing.T) {
	for name, rec := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			want := decode(rec, expecting)
			rapid.Check(t, func(r *rapid.T) {
				got := decodeShuffled(r, rec)
				if d := cmp.Diff(want.lines, got.lines); d != "" {
					r.Fatalf("another story (-whole +split):\n%s", d)
				}
				if d := cmp.Diff(want.bodies, got.bodies); d != "" {
					r.Fatalf("other fields (-whole +split):\n%s", d)
				}
				if d := cmp.Diff(want.stamps, got.stamps); d != "" {
					r.Fatalf("other stamps (-whole +split):\n%s", d)
				}
				if d := cmp.Diff(want.decoder.Summary(), got.decoder.Summary()); d != "" {
					r.Fatalf("another summary (-whole +split):\n%s", d)
				}
				if want, got := want.decoder.Doubt(), got.decoder.Doubt(); want != got {
					r.Fatalf("doubts %q, want %q", got, want)
				}
			})
		})
	}
}

// decodeShuffled is decode with each write cut at random places, or into single
// bytes, some of the pieces given together, with a rest after them or none, and
// each secret delayed by a random number of steps.
func decodeShuffled(r *rapid.T, rec *recording) *transcript {
	tr := new(transcript)
	d := NewDecoder(tr.emit)
	tr.decoder = d
	d.ExpectSecrets(true)
	oneByte := rapid.Bool().Draw(r, "one byte pieces")
	rests := rapid.Bool().Draw(r, "rests")
	late := map[int][]Secret{} // by the operation before which they come
	for i, o := range rec.ops {
		if o.secret != nil {
			n := i
			if o.secret.Label != labelEarly { // which is not waited for
				n += rapid.IntRange(0, len(rec.ops)-i).Draw(r, "delay of a secret")
			}
			late[n] = append(late[n], *o.secret)
		}
	}
	give := func(i int) {
		for _, s := range late[i] {
			d.Secret(s)
		}
	}
	for i, o := range rec.ops {
		give(i)
		at := rec.at(i)
		if o.end != "" {
			d.End(at, o.from, o.end)
		}
		for b := o.bytes; len(b) > 0; {
			var pieces [][]byte
			for range rapid.IntRange(1, 4).Draw(r, "pieces") {
				n := min(1, len(b))
				if !oneByte {
					n = rapid.IntRange(n, len(b)).Draw(r, "piece")
				}
				pieces = append(pieces, bytes.Clone(b[:n]))
				b = b[n:]
			}
			d.Feed(at, o.from, pieces[0], pieces[1:]...)
			for _, p := range pieces {
				clear(p) // the decoder must not have kept it
			}
			if rests {
				d.Rest()
			}
		}
	}
	give(len(rec.ops))
	d.ExpectSecrets(false)
	return tr
}

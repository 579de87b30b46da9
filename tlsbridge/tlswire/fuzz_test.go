package tlswire

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"synscope/event"
)

// script turns fuzz data into operations: a byte that says what, a byte or two
// of length, and the bytes.
func script(b []byte) (ops []op) {
	s := cryptobyte.String(b)
	labels := []string{labelMaster, labelEarly, labelClientHandshake, labelServerHandshake, labelClientTraffic, labelServerTraffic}
	for len(ops) < 1000 {
		var what uint8
		var data cryptobyte.String
		if !s.ReadUint8(&what) || !s.ReadUint16LengthPrefixed(&data) {
			return ops
		}
		from := event.Client + event.Side(what&1)
		switch {
		case what < 128:
			ops = append(ops, op{from: from, bytes: data})
		case what < 192 && len(data) > randomLen:
			ops = append(ops, op{secret: &Secret{
				Label: labels[int(what)%len(labels)], ClientRandom: data[:randomLen], Secret: data[randomLen:], Candidate: what&64 != 0,
			}})
		case what < 250:
			ops = append(ops, op{from: from, end: []string{"fin", "rst"}[what>>1&1]})
		}
	}
	return ops
}

// unscript is the inverse of script, for seeds.
func unscript(tb testing.TB, ops []op) []byte {
	var b cryptobyte.Builder
	labels := map[string]uint8{labelMaster: 132, labelEarly: 133, labelClientHandshake: 128, labelServerHandshake: 129,
		labelClientTraffic: 130, labelServerTraffic: 131}
	for _, o := range ops {
		what, data := uint8(o.from-event.Client), o.bytes
		switch {
		case o.secret != nil && labels[o.secret.Label] == 0:
			continue
		case o.secret != nil:
			what, data = labels[o.secret.Label], slices.Concat(o.secret.ClientRandom, o.secret.Secret)
		case o.end == "fin":
			what += 192
		case o.end == "rst":
			what += 194
		}
		b.AddUint8(what)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
	}
	seed, err := b.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return seed
}

// FuzzDecoder checks that what is told is consistent, and the same for the same
// bytes in pieces of one.
func FuzzDecoder(f *testing.F) {
	f.Add(unscript(f, rfc8448Recording(f).ops), true)
	for _, name := range []string{"renegotiation-tls12", "etm-tls10", "early-rejected-tls13", "psk-tls12", "unknown-ca-tls13", "post-handshake-tls13"} {
		f.Add(unscript(f, openssl(f, name).ops), true)
	}
	f.Add([]byte("\x00\x00\x05GET /"), false)
	f.Fuzz(func(t *testing.T, b []byte, expect bool) {
		ops := script(b)
		prepare := func(d *Decoder) { d.ExpectSecrets(expect) }
		whole := decode(&recording{ops: ops}, prepare)
		var pieces []op
		for _, o := range ops {
			if o.bytes == nil {
				pieces = append(pieces, o)
			}
			for _, c := range o.bytes {
				pieces = append(pieces, op{from: o.from, bytes: []byte{c}})
			}
		}
		split := decode(&recording{ops: pieces}, prepare)
		if !slices.Equal(whole.lines, split.lines) {
			t.Errorf("in pieces:\n%s\nwhole:\n%s", strings.Join(split.lines, "\n"), strings.Join(whole.lines, "\n"))
		}
		consistent(t, whole)
		if whole.decoder.Blocked() || whole.decoder.held != 0 {
			t.Errorf("after the end %d bytes are held", whole.decoder.held)
		}
	})
}

// consistent checks what must hold of every transcript.
func consistent(t *testing.T, tr *transcript) {
	t.Helper()
	state := map[event.Side]event.HandshakeState{event.Client: event.TLSStart, event.Server: event.TLSStart}
	established, failed := 0, 0
	for _, b := range tr.bodies {
		switch b := b.(type) {
		case *event.TLSState:
			if b.Old != state[b.Side] || b.New == b.Old {
				t.Errorf("%v: %s > %s, but the state was %s", b.Side, b.Old, b.New, state[b.Side])
			}
			state[b.Side] = b.New
		case *event.Established:
			established++
		case *event.Failed:
			failed++
		}
	}
	if established > 1 || failed > 1 {
		t.Errorf("established %d times, failed %d times", established, failed)
	}
	s := tr.decoder.Summary()
	if s.ClientState != state[event.Client] || s.ServerState != state[event.Server] || s.Established != (established == 1) || (s.Failure != nil) != (failed == 1) {
		t.Errorf("the summary contradicts what was told: %+v", s)
	}
}

func fuzzMessage(f *testing.F, types ...event.HandshakeType) {
	for _, s := range samples(f) {
		if slices.Contains(types, s.typ) || len(types) == 0 {
			f.Add(uint8(s.typ), uint16(s.context.version), uint16(0xc02f), s.body)
		}
	}
	f.Fuzz(func(t *testing.T, typ uint8, version, suite uint16, body []byte) {
		if len(types) > 0 {
			typ = uint8(types[0])
		}
		c := messageContext{from: event.Client + event.Side(version&1), version: event.Version(version), suite: suiteOf(event.CipherSuite(suite))}
		m := &event.Message{Type: event.HandshakeType(typ)}
		if err := c.parse(m, body); err != nil && (m.ClientHello != nil || m.ServerHello != nil || m.Certificate != nil || m.CertificateRequest != nil) {
			t.Errorf("malformed (%v), but with fields: %+v", err, m)
		}
	})
}

func FuzzMessage(f *testing.F)     { fuzzMessage(f) }
func FuzzClientHello(f *testing.F) { fuzzMessage(f, event.ClientHelloType) }
func FuzzServerHello(f *testing.F) { fuzzMessage(f, event.ServerHelloType) }
func FuzzCertificate(f *testing.F) { fuzzMessage(f, event.CertificateType) }

func FuzzKeyLogLine(f *testing.F) {
	f.Add("CLIENT_RANDOM " + randomHex + " 0011")
	f.Add("# comment")
	f.Fuzz(func(t *testing.T, line string) {
		s, ok, err := ParseKeyLogLine(line)
		if ok && (err != nil || len(s.ClientRandom) != randomLen || len(s.Secret) == 0 || s.Label == "") {
			t.Errorf("accepted as %+v, error %v", s, err)
		}
	})
}

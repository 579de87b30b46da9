package tlswire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"reflect"
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

// FuzzDecoder checks that what is told is consistent, that memory is bounded,
// and that the same is told of the same bytes in pieces of one.
func FuzzDecoder(f *testing.F) {
	f.Add(unscript(f, rfc8448Recording(f).ops), true)
	for _, name := range []string{"renegotiation-tls12", "etm-tls10", "early-rejected-tls13", "psk-tls12", "unknown-ca-tls13", "post-handshake-tls13"} {
		f.Add(unscript(f, openssl(f, name).ops), true)
	}
	f.Add([]byte("\x00\x00\x05GET /"), false)
	f.Fuzz(func(t *testing.T, b []byte, expect bool) {
		ops := script(b)
		prepare := func(d *Decoder) {
			d.ExpectSecrets(expect)
			emit := d.emitTo
			d.emitTo = func(at Stamp, from event.Side, body event.Body) {
				bounded(t, d)
				emit(at, from, body)
			}
		}
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

// bounded checks that a decoder holds no more than its bounds.
func bounded(t *testing.T, d *Decoder) {
	t.Helper()
	held := 0
	for _, u := range d.queue {
		held += u.size + heldOverhead
	}
	if held > d.held || d.held > maxHeld || len(d.secrets) > maxSecrets {
		t.Fatalf("%d bytes held, counted %d, and %d secrets", held, d.held, len(d.secrets))
	}
	for i := range d.halves {
		a := &d.halves[i].messages
		if len(a.buf) > maxMessage+4+maxBody || len(a.frames) > maxFrames || len(d.framers[i].frames) > maxFrames {
			t.Fatalf("%d bytes of a message in %d frames", len(a.buf), len(a.frames))
		}
	}
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

// fuzzMessage checks the messages of a type: that what is parsed is malformed
// if it is cut or lengthened, that it has no fields then, and that its fields
// are bounded. The messages of its corpus are of real handshakes.
func fuzzMessage(f *testing.F, typ event.HandshakeType) {
	f.Fuzz(func(t *testing.T, version, suite uint16, body []byte) {
		c := messageContext{version: event.Version(version), suite: suiteOf(event.CipherSuite(suite))}
		if wantFields(t, c, typ, body) && len(body) > 0 && c.delimited(typ) {
			if wantFields(t, c, typ, body[:len(body)-1]) {
				t.Error("well-formed, and also without its last byte")
			}
			if wantFields(t, c, typ, append(bytes.Clone(body), 0)) {
				t.Error("well-formed, and also with another byte")
			}
		}
	})
}

// delimited reports whether the end of a message can be told from its content.
func (c messageContext) delimited(typ event.HandshakeType) bool {
	switch typ {
	case event.FinishedType:
		return false
	case event.ServerKeyExchangeType:
		return slices.Contains([]string{"ECDHE", "ECDH", "DHE", "DH"}, c.suite.kx)
	case event.ClientKeyExchangeType:
		return slices.Contains([]string{"ECDHE", "ECDH", "DHE", "DH", "PSK"}, c.suite.kx) ||
			c.suite.kx == "RSA" && c.version != event.VersionSSL30
	}
	return true
}

// wantFields parses a message, and checks that it has fields that are bounded,
// or none. It reports whether it is well-formed.
func wantFields(t *testing.T, c messageContext, typ event.HandshakeType, body []byte) bool {
	t.Helper()
	m := &event.Message{Type: typ}
	if err := c.parse(m, body); err != nil {
		if !reflect.DeepEqual(m, &event.Message{Type: typ}) {
			t.Errorf("malformed (%v), but with fields: %+v", err, m)
		}
		if len(err.Error()) > 200 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		return false
	}
	if h := m.ClientHello; h != nil && (len(h.ServerName) > maxServerName || len(h.Random) != randomLen || len(h.SessionID) > 32) {
		t.Errorf("ClientHello %+v", h)
	}
	if h := m.ServerHello; h != nil && (len(h.Random) != randomLen || len(h.SessionID) > 32) {
		t.Errorf("ServerHello %+v", h)
	}
	if m.Certificate != nil {
		for i, x := range m.Certificate.Chain {
			if n := len(x.Subject + x.Issuer); i >= maxCertificates && n > 0 || n > 2*(maxName+len("…")) || len(x.Malformed) > maxName+len("…") {
				t.Errorf("certificate %d with names of %d bytes", i, n)
			}
			boundedNames(t, x.Names)
		}
	}
	if m.CertificateRequest != nil {
		boundedNames(t, m.CertificateRequest.Authorities)
	}
	return true
}

// boundedNames checks a list that clipList made.
func boundedNames(t *testing.T, names []string) {
	t.Helper()
	if len(names) > maxNames+1 || slices.ContainsFunc(names, func(s string) bool { return len(s) > maxName+len("…") }) {
		t.Errorf("%d names, the longest of them: %q", len(names), slices.MaxFunc(names, func(a, b string) int { return len(a) - len(b) }))
	}
}

func FuzzClientHello(f *testing.F)           { fuzzMessage(f, event.ClientHelloType) }
func FuzzServerHello(f *testing.F)           { fuzzMessage(f, event.ServerHelloType) }
func FuzzEncryptedExtensions(f *testing.F)   { fuzzMessage(f, event.EncryptedExts) }
func FuzzCertificate(f *testing.F)           { fuzzMessage(f, event.CertificateType) }
func FuzzCompressedCertificate(f *testing.F) { fuzzMessage(f, event.CompressedCertificate) }
func FuzzServerKeyExchange(f *testing.F)     { fuzzMessage(f, event.ServerKeyExchangeType) }
func FuzzCertificateRequest(f *testing.F)    { fuzzMessage(f, event.CertRequestType) }
func FuzzCertificateVerify(f *testing.F)     { fuzzMessage(f, event.CertVerifyType) }
func FuzzCertificateStatus(f *testing.F)     { fuzzMessage(f, event.CertStatusType) }
func FuzzClientKeyExchange(f *testing.F)     { fuzzMessage(f, event.ClientKeyExchangeType) }
func FuzzFinished(f *testing.F)              { fuzzMessage(f, event.FinishedType) }
func FuzzNewSessionTicket(f *testing.F)      { fuzzMessage(f, event.NewSessionTicketType) }
func FuzzKeyUpdate(f *testing.F)             { fuzzMessage(f, event.KeyUpdateType) }

// FuzzKeyLog checks that a key log read as a whole has the secrets and the
// errors of its lines.
func FuzzKeyLog(f *testing.F) {
	f.Add("CLIENT_RANDOM " + randomHex + " 0011\n# comment\n\nSERVER_TRAFFIC_SECRET_0 " + randomHex + " 22\r\n")
	f.Add("CLIENT_RANDOM  " + randomHex + " 0011\nCLIENT_RANDOM " + randomHex[1:] + " 0011\n" + strings.Repeat("x", 100))
	f.Fuzz(func(t *testing.T, text string) {
		r := NewKeyLogReader(strings.NewReader(text))
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") // as the reader does
			want, ok, wantErr := ParseKeyLogLine(line)
			if ok && (wantErr != nil || len(want.ClientRandom) != randomLen || len(want.Secret) == 0 || want.Label == "") {
				t.Fatalf("%q: %+v, %v", line, want, wantErr)
			}
			if !ok && wantErr == nil {
				continue // a comment
			}
			got, err := r.Read()
			if errors.Is(err, bufio.ErrTooLong) && len(line) > maxKeyLogLine-3 { // with its end
				return
			}
			if malformed, ok := errors.AsType[*KeyLogError](err); ok {
				err = malformed.Err
			}
			if !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Fatalf("%q: %+v, %v, by itself %+v, %v", line, got, err, want, wantErr)
			}
		}
		if s, err := r.Read(); err != io.EOF {
			t.Errorf("%+v, %v behind the last line", s, err)
		}
	})
}

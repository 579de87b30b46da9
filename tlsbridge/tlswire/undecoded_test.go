package tlswire

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"synscope/event"
)

// withoutSecrets returns the recording without its secrets.
func (r *recording) withoutSecrets() *recording {
	n := new(recording)
	for _, o := range r.ops {
		if o.secret == nil {
			n.ops = append(n.ops, o)
		}
	}
	return n
}

func TestTLS13WithoutKeys(t *testing.T) {
	tr := decode(converse(configs(nil)).withoutSecrets())
	// The server's first encrypted record is told at once; all else is
	// counted. No state is claimed that the wire does not show.
	var plain []string
	for _, l := range tr.lines {
		if !strings.Contains(l, "undecoded") {
			plain = append(plain, l)
		}
	}
	tr.lines = plain
	tr.want(t, hello13+serverCCS+clientCCS)
	records := 0
	for _, b := range tr.bodies {
		if u, ok := b.(*event.Undecoded); ok {
			records += u.Records
			if u.Reason != "no key" {
				t.Errorf("reason %q, want no key", u.Reason)
			}
		}
	}
	const want = 4 + 1 + 2 + 2 // the server's messages, the client's Finished, data and close_notify of both
	if records != want {
		t.Errorf("%d undecoded records were told, want %d", records, want)
	}
}

func TestTLS12WithoutKeys(t *testing.T) {
	decode(converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 })).withoutSecrets()).want(t,
		hello12+ephemeral12+done12+`
		c ccs
		server WAIT_CCS > WAIT_FINISHED
		c undecoded no key: 1 records, 40 bytes
		s ccs
		s undecoded no key: 1 records, 40 bytes
		s <application_data>
		c <application_data>
		s undecoded no key: 1 records, 26 bytes
		c undecoded no key: 1 records, 26 bytes`)
}

func TestHeldUntilTheSecretComes(t *testing.T) {
	rec := converse(configs(nil))
	d := NewDecoder(nil)
	d.ExpectSecrets(true)
	for _, o := range rec.withoutSecrets().ops {
		d.Feed(Stamp{}, o.from, o.bytes)
	}
	if !d.Blocked() {
		t.Fatal("nothing is held although no secret came")
	}
	for _, o := range rec.ops {
		if o.secret != nil {
			d.Secret(*o.secret)
		}
	}
	if d.Blocked() || !d.Summary().Established {
		t.Errorf("with all secrets: blocked %t, summary %+v", d.Blocked(), d.Summary())
	}
}

func TestHoldingIsBounded(t *testing.T) {
	tr := new(transcript)
	d := NewDecoder(tr.emit)
	d.ExpectSecrets(true)
	rec := converse(configs(nil)).withoutSecrets()
	for _, o := range rec.ops {
		d.Feed(Stamp{}, o.from, o.bytes)
	}
	record := append([]byte{23, 3, 3, 0x40, 0}, make([]byte, 0x4000)...)
	for range maxHeld / len(record) {
		d.Feed(Stamp{}, event.Server, record)
		if !d.Blocked() {
			break
		}
	}
	d.Feed(Stamp{}, event.Server, record)
	if d.Blocked() {
		t.Fatalf("more than %d bytes are held", maxHeld)
	}
	if u := first[*event.Undecoded](tr); u == nil || !strings.Contains(u.Detail, "did not come before 131072 bytes were held") {
		t.Errorf("the bound was told as %+v", u)
	}
}

func TestWrongKey(t *testing.T) {
	rec := converse(configs(nil))
	for i := range rec.ops {
		if s := rec.ops[i].secret; s != nil && s.Label == labelServerHandshake {
			wrong := *s
			wrong.Secret = make([]byte, 32)
			rec.ops[i].secret = &wrong
		}
	}
	tr := decode(rec, expecting)
	if u := first[*event.Undecoded](tr); u == nil || u.Reason != "decrypt failed" {
		t.Errorf("got %+v, want decrypt failed", u)
	}
	if tr.decoder.Summary().StatesKnown {
		t.Error("the states are not known")
	}
}

func TestDamagedRecord(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		rec := converse(configs(func(c, s *tls.Config) {
			c.MaxVersion = version
			c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}))
		for i, o := range rec.ops { // ChangeCipherSpec and Finished end the client's second flight
			if o.from == event.Client && o.bytes != nil && i > 0 {
				rec.ops[i].bytes[len(o.bytes)-1] ^= 1
				break
			}
		}
		if u := first[*event.Undecoded](decode(rec, expecting)); u == nil || u.Reason != "decrypt failed" {
			t.Errorf("%v: got %+v, want decrypt failed", event.Version(version), u)
		}
	}
}

func TestGap(t *testing.T) {
	tr := new(transcript)
	d := NewDecoder(tr.emit)
	for i, o := range converse(configs(nil)).ops {
		switch {
		case o.secret != nil:
			d.Secret(*o.secret)
		case o.from == event.Server && len(tr.lines) > 0 && len(o.bytes) > 100:
			d.Feed(Stamp{}, o.from, o.bytes[:200])
			d.Gap(Stamp{}, o.from, 100)
			d.Feed(Stamp{}, o.from, o.bytes[300:])
		default:
			d.Feed(Stamp{Frame: uint64(i)}, o.from, o.bytes)
		}
	}
	d.End(Stamp{}, event.Server, "fin")
	var gaps []*event.Undecoded
	for _, b := range tr.bodies {
		if u, ok := b.(*event.Undecoded); ok {
			gaps = append(gaps, u)
		}
	}
	if len(gaps) != 2 || gaps[0].Reason != "gap" || gaps[0].Len != 100 || !strings.Contains(gaps[0].Detail, "bytes of a record") ||
		gaps[1].Reason != "gap" || gaps[1].Len == 0 {
		t.Errorf("the gap was told as %+v", gaps)
	}
	if s := d.Summary(); s.Established || s.StatesKnown {
		t.Errorf("after a gap the summary claims %+v", s)
	}
}

func handshakeRecordOf(messages ...[]byte) []byte {
	b := bytes.Join(messages, nil)
	return append(binary.BigEndian.AppendUint16([]byte{22, 3, 3}, uint16(len(b))), b...)
}

func TestBoundsAndMalformedRecords(t *testing.T) {
	hello := converse(configs(nil)).ops[0].bytes
	for _, test := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"record too long", append(bytes.Clone(hello), 22, 3, 3, 0x48, 1), "c undecoded too long: 0 records, 5 bytes"},
		{"version changes", append(bytes.Clone(hello), 22, 4, 0, 0, 1), "c undecoded malformed: 0 records, 5 bytes"},
		{"unknown content type", append(bytes.Clone(hello), 99, 3, 3, 0, 1, 0), "c undecoded unknown content type: 1 records, 1 bytes"},
		{"heartbeat", append(bytes.Clone(hello), 24, 3, 3, 0, 3, 1, 0x40, 0), "c undecoded unknown content type: 1 records, 3 bytes"},
		{"alert of three bytes", append(bytes.Clone(hello), 21, 3, 3, 0, 3, 2, 40, 0), "c undecoded malformed: 1 records, 3 bytes"},
		{"empty handshake record", append(bytes.Clone(hello), 22, 3, 3, 0, 0), "c undecoded malformed: 1 records, 0 bytes"},
		{"wrong ChangeCipherSpec", append(bytes.Clone(hello), 20, 3, 3, 0, 1, 2), "c undecoded malformed: 1 records, 1 bytes"},
		{"message too long", append(bytes.Clone(hello), handshakeRecordOf([]byte{11, 4, 0, 1})...), "c undecoded too long: 1 records, 4 bytes"},
		{"trailing bytes", append(bytes.Clone(hello), handshakeRecordOf([]byte{14, 0, 0, 1, 0})...), "c server_hello_done malformed: trailing bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			decode(&recording{ops: []op{{from: event.Client, bytes: test.bytes}}}).want(t, `
				c client_hello
				client START > WAIT_SH
				server START > RECVD_CH
				`+test.want)
		})
	}
}

func TestTruncatedAtTheEnd(t *testing.T) {
	hello := converse(configs(nil)).ops[0].bytes
	end := op{from: event.Client, end: "fin"}
	const failed = `
		client START > FAILED
		server START > FAILED
		failed, incomplete_client_hello: client closed the connection before any message, without an alert; only %d bytes of the ClientHello came`
	decode(&recording{ops: []op{{from: event.Client, bytes: hello[:100]}, end}}).want(t, "c undecoded truncated: 0 records, 100 bytes"+fmt.Sprintf(failed, 100))
	decode(&recording{ops: []op{{from: event.Client, bytes: hello[:3]}, end}}).want(t, "c undecoded truncated: 0 records, 3 bytes"+fmt.Sprintf(failed, 3))
	half := handshakeRecordOf(hello[5:105])
	decode(&recording{ops: []op{{from: event.Client, bytes: half}, end}}).want(t, "c undecoded truncated: 1 records, 100 bytes"+fmt.Sprintf(failed, 100))
}

// A message that comes in many records, and packets, is one message.
func TestMessageAcrossRecordsAndPackets(t *testing.T) {
	hello := converse(configs(nil)).ops[0].bytes[5:]
	tr := new(transcript)
	d := NewDecoder(tr.emit)
	for i, b := range hello {
		d.Feed(Stamp{Frame: uint64(i + 1)}, event.Client, handshakeRecordOf([]byte{b}))
	}
	m := first[*event.Message](tr)
	if m == nil || m.ClientHello == nil || m.Records != len(hello) {
		t.Fatalf("got %+v", m)
	}
	if len(m.Frames) != maxFrames || m.Frames[0] != 1 || m.Frames[maxFrames-1] != uint64(len(hello)) {
		t.Errorf("frames %v, want the first ones and the last, %d in all", m.Frames, maxFrames)
	}
}

func TestUnimplementedCipher(t *testing.T) {
	rec := converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))
	for _, o := range rec.ops {
		if o.from == event.Server {
			i := 5 + 4 + 2 + 32
			i += 1 + int(o.bytes[i])
			binary.BigEndian.PutUint16(o.bytes[i:], 0xc072) // TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256
			break
		}
	}
	u := first[*event.Undecoded](decode(rec, expecting))
	if u == nil || u.Reason != "no cipher" || !strings.Contains(u.Detail, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256") {
		t.Errorf("got %+v, want no cipher", u)
	}
}

func TestTooManySecrets(t *testing.T) {
	d := NewDecoder(nil)
	for range maxSecrets + 3 {
		d.Secret(Secret{Label: labelMaster, ClientRandom: make([]byte, 32), Secret: make([]byte, 48)})
	}
	if n := d.Summary().SecretsRefused; n != 3 {
		t.Errorf("%d secrets refused, want 3", n)
	}
}

// With Encrypted Client Hello the key log names the inner random.
func TestSecretsOfAnotherClientRandom(t *testing.T) {
	rec := converse(configs(nil))
	for _, o := range rec.ops {
		if o.secret != nil {
			o.secret.ClientRandom = make([]byte, 32)
		}
	}
	if decode(rec).decoder.Summary().Established {
		t.Error("secrets of another connection were used")
	}
	tr := decode(rec, func(d *Decoder) { d.AcceptAnyClientRandom(true) })
	if s := tr.decoder.Summary(); !s.Established || s.Facts.ECH {
		t.Errorf("with AcceptAnyClientRandom: %+v; the ClientHello offered no ECH", s)
	}
}

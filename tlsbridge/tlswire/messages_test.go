package tlswire

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"synscope/event"
)

// A sample is a message of a real handshake.
type sample struct {
	context messageContext
	typ     event.HandshakeType
	body    []byte
}

// samples returns messages of every type: those of a TLS 1.2 handshake, where
// all are in clear, and plaintexts of RFC 8448 for TLS 1.3.
func samples(tb testing.TB) []sample {
	rec := converse(configs(func(c, s *tls.Config) {
		c.MaxVersion, c.ClientSessionCache = tls.VersionTLS12, tls.NewLRUClientSessionCache(1)
		s.ClientAuth, s.Certificates = tls.RequireAndVerifyClientCert, []tls.Certificate{identities().rsa}
		s.Certificates[0].OCSPStaple = []byte("a stapled response")
		c.Certificates = []tls.Certificate{identities().client}
	}))
	var all []sample
	for _, o := range rec.ops {
		c := messageContext{from: o.from, version: event.VersionTLS12, suite: suiteOf(0xc02f)}
		for b := o.bytes; len(b) > headerLen; {
			n := int(binary.BigEndian.Uint16(b[3:]))
			record := b[headerLen : headerLen+n]
			if b[0] == recordChangeCipherSpec {
				break
			}
			for b[0] == recordHandshake && len(record) >= 4 {
				n := int(binary.BigEndian.Uint32(record) & 0xffffff)
				all = append(all, sample{c, event.HandshakeType(record[0]), record[4 : 4+n]})
				record = record[4+n:]
			}
			b = b[headerLen+n:]
		}
	}
	c13 := messageContext{from: event.Server, version: event.VersionTLS13, suite: suiteOf(0x1301)}
	for _, h := range []string{
		"080000280026000a00140012001d00170018001901000101010201030104001c0002400100000000002a0000",
		`040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c
		09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4da
		fcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621a79141ef5f7de650
		5e5bfbc388e93343694093934ae4d3570008002a000400000400`,
		"1400002048d3e0e1b3d907c6acff145e16090388c77b05c050b634ab1a88bbd0dd1a34b2",
		"1800000101",
		"0d00001b000018000d00140012040305030603020308040805080604010501",
		"0f00000804030004deadbeef",
	} {
		b := unhex(tb, h)
		all = append(all, sample{c13, event.HandshakeType(b[0]), b[4:]})
	}
	return append(all, sample{c13, event.CertificateType, certificate13Body(identities().ecdsa.Certificate[0])},
		sample{c13, event.CompressedCertificate, compressedBody(certificate13Body(identities().ecdsa.Certificate[0]))})
}

// certificate13Body is a TLS 1.3 Certificate with a stapled OCSP response.
func certificate13Body(ders ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddUint8(0)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range ders {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint16(uint16(extStatusRequest))
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					b.AddUint8(1)
					b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("ocsp")) })
				})
			})
		}
	})
	return b.BytesOrPanic()
}

func compressedBody(certificate []byte) []byte {
	var compressed bytes.Buffer
	w := zlib.NewWriter(&compressed)
	w.Write(certificate)
	w.Close()
	var b cryptobyte.Builder
	b.AddUint16(1)
	b.AddUint24(uint32(len(certificate)))
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(compressed.Bytes()) })
	return b.BytesOrPanic()
}

// Each message parses whole. Cut anywhere, or with a byte more, it is malformed
// and has no fields, unless its format cannot show that.
func TestMessagesWholeCutAndLengthened(t *testing.T) {
	shorter := map[event.HandshakeType]int{ // lengths that are valid too
		event.ClientHelloType: 1, event.ServerHelloType: 1, // without extensions
	}
	seen := map[event.HandshakeType]bool{}
	for _, s := range samples(t) {
		m := &event.Message{Type: s.typ}
		if err := s.context.parse(m, s.body); err != nil {
			t.Errorf("%v of %v: %v", s.typ, s.context.version, err)
			continue
		}
		seen[m.Type] = true
		if s.typ == event.FinishedType { // verify_data has no length
			continue
		}
		valid := 0
		for i := range s.body {
			if err := s.context.parse(&event.Message{Type: s.typ}, s.body[:i]); err == nil {
				valid++
			}
		}
		if valid != shorter[s.typ] {
			t.Errorf("%v: %d shorter messages were accepted, want %d", s.typ, valid, shorter[s.typ])
		}
		longer := &event.Message{Type: s.typ, Len: 1}
		if err := s.context.parse(longer, append(bytes.Clone(s.body), 0)); err == nil {
			t.Errorf("%v: a trailing byte was accepted", s.typ)
		} else if longer.ClientHello != nil || longer.Certificate != nil || longer.Len != 1 {
			t.Errorf("%v: fields of a malformed message were kept", s.typ)
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d types were tried, want 14: %v", len(seen), seen)
	}
}

func TestClientHelloFields(t *testing.T) {
	tr := decode(converse(configs(nil)))
	c := tr.message(event.ClientHelloType).ClientHello
	if c.ServerName != "shop.test" || strings.Join(c.ALPN, " ") != "h2 http/1.1" || len(c.KeyShares) != 1 || c.KeyShares[0] != 29 ||
		len(c.SessionID) != 32 || c.CompressionMethods != nil || !c.ExtendedMaster || !c.StatusRequest {
		t.Errorf("ClientHello: %+v", c)
	}
	if !bytes.Equal(c.Random, tr.decoder.ClientRandom()) {
		t.Error("ClientRandom is not that of the ClientHello")
	}
	s := tr.decoder.Summary()
	if s.Facts.JA4 != c.JA4 || s.Facts.ServerName != "shop.test" || s.Facts.ALPN != "h2" || s.Facts.SignatureScheme.String() != "ecdsa_secp256r1_sha256" {
		t.Errorf("summary: %+v", s.Facts)
	}
	if sh := tr.message(event.ServerHelloType).ServerHello; s.JA3S != sh.JA3S || s.JA4S != sh.JA4S || sh.JA4S == "" {
		t.Errorf("server fingerprints %q and %q, of the message %q and %q", s.JA3S, s.JA4S, sh.JA3S, sh.JA4S)
	}
}

func TestCertificateFields(t *testing.T) {
	c := decode(converse(configs(nil))).message(event.CertificateType).Certificate
	x := c.Chain[0]
	if x.Subject != "CN=shop.test" || x.Issuer != "CN=root.test" || strings.Join(x.Names, " ") != "shop.test 192.0.2.1" ||
		x.PublicKey != "ECDSA P-256" || x.Signature != "ECDSA-SHA256" || x.CA || x.SelfSigned || len(x.SHA256) != 32 || x.Malformed != "" {
		t.Errorf("certificate: %+v", x)
	}
}

func TestLongChainIsBounded(t *testing.T) {
	der := identities().ecdsa.Certificate[0]
	var chain [][]byte
	for range maxCertificates + 2 {
		chain = append(chain, der)
	}
	body := cryptobyte.String(certificate13Body(chain...))
	c, err := messageContext{version: event.VersionTLS13}.parseCertificate(&body)
	if err != nil || len(c.Chain) != maxCertificates+2 {
		t.Fatalf("%d certificates, error %v", len(c.Chain), err)
	}
	last := c.Chain[maxCertificates]
	if c.Chain[0].OCSP != 4 || last.Len != len(der) || last.Subject != "" || !strings.Contains(last.Malformed, "only the first 32") {
		t.Errorf("first %+v, last %+v", c.Chain[0], last)
	}
}

func TestCompressedCertificateIsBounded(t *testing.T) {
	bomb := compressedBody(make([]byte, 200<<10))
	binary.BigEndian.PutUint32(bomb[1:], 10) // says it is short; the algorithm's low byte is overwritten
	bomb[1] = 1
	s := cryptobyte.String(bomb)
	if c, err := (messageContext{version: event.VersionTLS13}).parseCompressedCertificate(&s); err == nil {
		t.Errorf("a wrong length was accepted: %+v", c)
	}
}

func TestDowngradeSentinel(t *testing.T) {
	s := decode(converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))).message(event.ServerHelloType).ServerHello
	if s.Downgrade != "TLS 1.2" {
		t.Errorf("downgrade %q, want TLS 1.2", s.Downgrade)
	}
	s = decode(converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS10 }))).message(event.ServerHelloType).ServerHello
	if s.Downgrade != "TLS 1.1" {
		t.Errorf("downgrade %q, want TLS 1.1", s.Downgrade)
	}
}

func TestMalformedFields(t *testing.T) {
	for _, test := range []struct {
		name string
		typ  event.HandshakeType
		hex  string
		want string
	}{
		{"KeyUpdate with an unknown request", event.KeyUpdateType, "07", "request_update is 7"},
		{"ServerKeyExchange with an explicit curve", event.ServerKeyExchangeType, "01", "not named_curve"},
		{"empty Finished", event.FinishedType, "", "verify_data is truncated"},
		{"EndOfEarlyData with content", event.EndOfEarlyData, "00", "trailing bytes"},
		{"a session ID of 33 bytes", event.ServerHelloType, "0303" + strings.Repeat("00", 32) + "21" + strings.Repeat("00", 33), "session_id is longer"},
		{"an extension past the end", event.EncryptedExts, "0004000a0001", "extension list is truncated"},
		{"a server name past its list", event.EncryptedExts, "00060010000200ff", "application_layer_protocol_negotiation"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := messageContext{from: event.Server, version: event.VersionTLS12, suite: suiteOf(0xc02f)}
			err := c.parse(&event.Message{Type: test.typ}, unhex(t, test.hex))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
		})
	}
}

// A name that would take long to spell is told by its length.
func TestLongNamesAreNotSpelled(t *testing.T) {
	var long pkix.Name
	for range 1000 { // of a type that pkix.Name keeps each of
		long.ExtraNames = append(long.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: "x"})
	}
	raw, err := asn1.Marshal(long.ToRDNSequence())
	must(err)
	want := fmt.Sprintf("name of %d bytes", len(raw))
	key := identities().ecdsa.PrivateKey.(crypto.Signer)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: long}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	if x := summarize(der); x.Subject != want || x.Issuer != want || x.Malformed != "" || !x.SelfSigned {
		t.Errorf("certificate %+v, want it of the %s", x, want)
	}
	if got := distinguishedName(raw); got != want {
		t.Errorf("authority %q, want %q", got, want)
	}
}

package event

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// reflected is the encoding of an event that encoding/json makes of the types.
func reflected(t *testing.T, e *Event) string {
	t.Helper()
	h, err := json.Marshal(header{e.Time, int64(e.T), e.Conn, e.N, e.Kind(), e.View, e.From.String()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e.Body)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) == "{}" {
		return string(h)
	}
	return string(h[:len(h)-1]) + "," + string(b[1:])
}

// hostile are strings that need care.
var hostile = []string{
	"", "x", "\"\\/", "<script>&amp;</script>", "\x00\x01\b\t\n\v\f\r\x1b\x1f\x7f", "\u2028\u2029\u2027\u202a",
	"\xff", "a\xc3", "\xe2\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\ufffd", "é€😀", "x\xffy\xfe\u2028z<",
}

var (
	times = []time.Time{
		{}, time.Unix(0, 0), time.Unix(1, 2).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Date(2026, 1, 2, 3, 4, 5, 600, time.FixedZone("", -5*3600-30*60)),
	}
	addresses = []netip.AddrPort{
		{}, netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"), netip.MustParseAddrPort("[2001:2::5]:65535"),
		netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone("<\x00\u2028\xff\">"), 7),
	}
	sizes = []uint64{0, 1, 9, 255, 0x2a2a, 0x1301, math.MaxUint16, math.MaxUint32, math.MaxInt64, math.MaxUint64}
)

// pick sets v, and everything in it, to values taken at random, zero ones among
// them.
func pick(r *rand.Rand, v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = times[r.IntN(len(times))]
		return
	case *netip.AddrPort:
		*x = addresses[r.IntN(len(addresses))]
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if r.IntN(4) == 0 {
			return // all of it zero
		}
		for i := range v.NumField() {
			pick(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			pick(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n < 3 { // else nil
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				pick(r, v.Index(i))
			}
		}
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.String:
		v.SetString(hostile[r.IntN(len(hostile))])
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(sizes[r.IntN(len(sizes))]))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(sizes[r.IntN(len(sizes))] & (math.MaxUint64 >> (64 - v.Type().Bits())))
	default:
		panic("no value for " + v.Type().String())
	}
}

// Events are encoded as encoding/json encodes their types, whatever is in them.
func TestAppendJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var es []Event
	for _, k := range Kinds() {
		es = append(es, Event{Body: NewBody(k)})
		for range 1000 {
			body := NewBody(k)
			pick(r, reflect.ValueOf(body).Elem())
			e := Event{View: Wire, Body: body}
			pick(r, reflect.ValueOf(&e.Time).Elem())
			pick(r, reflect.ValueOf(&e.T).Elem())
			pick(r, reflect.ValueOf(&e.Conn).Elem())
			pick(r, reflect.ValueOf(&e.N).Elem())
			e.From = Side(r.IntN(4))
			es = append(es, e)
		}
	}
	for _, e := range append(es, filled()...) {
		const before = "what was in the buffer"
		got, ok := bytes.CutPrefix(e.AppendJSON([]byte(before)), []byte(before))
		if want := reflected(t, &e); string(got) != want || !ok {
			t.Fatalf("%s\n got %s\nwant %s", e.Kind(), got, want)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString(nil, s); !bytes.Equal(got, want) {
			t.Errorf("%q\n got %s\nwant %s", s, got, want)
		}
	})
}

// A time that RFC 3339 cannot express does not keep the rest from being told.
func TestTimeOutOfRange(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 24*3600)),
	} {
		if got := string(appendTime([]byte("x"), at)); got != "xnull" {
			t.Errorf("%v is encoded as %s", at, got)
		}
	}
	var e Event
	if err := json.Unmarshal([]byte(`{"time":null,"kind":"device"}`), &e); err != nil || !e.Time.IsZero() {
		t.Errorf("%v, %v", e.Time, err)
	}
}

// Encoding allocates nothing but names for numbers that are not registered.
func TestAllocations(t *testing.T) {
	b := make([]byte, 0, 64<<10)
	for _, e := range append(samples(), filled()[:4]...) {
		if n := testing.AllocsPerRun(100, func() { e.AppendJSON(b) }); n > 0 {
			t.Errorf("%s: %v allocations", e.Kind(), n)
		}
	}
}

// samples are events as a real handshake has them.
func samples() []Event {
	h := Event{Time: time.Unix(1767323045, 600123456).UTC(), T: time.Millisecond, Conn: 1, N: 2, View: Wire, From: Client}
	frames := []uint64{4}
	hash := bytes.Repeat(Hex{0xa5}, 32)
	with := func(b Body) Event { e := h; e.Body = b; return e }
	return []Event{
		with(&Segment{Flags: ACK | PSH, Seq: 1, Ack: 2, SeqRel: 1, AckRel: 1, Len: 1460, Window: 65535, Frame: 3,
			Options: TCPOptions{Timestamps: &Timestamps{Val: 1, Ecr: 2}}}),
		with(&TCPState{Side: Client, Old: StateClosed, New: StateSynSent, Cause: Cause{By: ByCall, What: "connect", N: 2}}),
		with(&Message{Type: ClientHelloType, Len: 1530, Epoch: EpochPlain, Records: 1, Frames: frames, ClientHello: &ClientHello{
			LegacyVersion: VersionTLS12, Random: hash, SessionID: hash,
			CipherSuites:      []CipherSuite{0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35},
			Extensions:        []Extension{0x1a1a, 51, 0, 10, 65281, 11, 27, 43, 16, 45, 5, 13, 17613, 23, 18, 35, 65037, 0x2a2a},
			ServerName:        "www.example.com",
			SupportedVersions: []Version{0x0a0a, VersionTLS13, VersionTLS12}, SupportedGroups: []Group{0x0a0a, 4588, 29, 23, 24}, KeyShares: []Group{0x0a0a, 4588, 29},
			SignatureSchemes: []SignatureScheme{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
			ALPN:             []string{"h2", "http/1.1"}, PointFormats: Codes{0}, PSKModes: []PSKMode{1}, StatusRequest: true, ExtendedMaster: true,
			JA3: "773906b0efdefa24a7f2b8eb6985bf37", JA4: "t13d1516h2_8daaf6152771_02713d6af862",
		}}),
		with(&Message{Type: CertificateType, Len: 1530, Encrypted: true, Epoch: EpochHandshake, Records: 1, Frames: frames, Certificate: &Certificate{Chain: []X509{
			{Len: 500, Subject: "CN=www.example.com", Issuer: "CN=Authority", Names: []string{"www.example.com"}, NotBefore: h.Time, NotAfter: h.Time, PublicKey: "ECDSA P-256", Signature: "ECDSA-SHA256", SHA256: hash},
			{Len: 500, Subject: "CN=Authority", Issuer: "CN=Root", NotBefore: h.Time, NotAfter: h.Time, PublicKey: "ECDSA P-256", Signature: "ECDSA-SHA256", CA: true, SHA256: hash},
		}}}),
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for _, e := range samples() {
		name := string(e.Kind())
		if m, ok := e.Body.(*Message); ok {
			name = m.Type.String()
		}
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				e.AppendJSON(buf)
			}
		})
	}
}

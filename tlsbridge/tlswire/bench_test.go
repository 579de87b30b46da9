package tlswire

import (
	"crypto/tls"
	"fmt"
	"testing"

	"synscope/event"
)

// midSession13 returns a decoder in the middle of a session and the server's next
// record of application data, of the longest size.
func midSession13(tb testing.TB, suite event.CipherSuite) (*Decoder, func() []byte) {
	only13(tb, suite)
	rec := converse(configs(nil))
	cut := rec.upTo(3, event.Client, op{from: event.Server, bytes: nil})
	cut.ops = cut.ops[:len(cut.ops)-1]
	d := NewDecoder(nil)
	for _, o := range cut.ops {
		if o.secret != nil {
			d.Secret(*o.secret)
			continue
		}
		d.Feed(Stamp{}, o.from, o.bytes)
	}
	if !d.Summary().Established {
		tb.Fatal("not established")
	}
	server := newSealer(tb, suite, rec.find(labelServerTraffic))
	server.key.seq = 1
	content := make([]byte, 1<<14)
	return d, func() []byte { return server.seal(recordApplicationData, content, 0) }
}

// midSession12 is the same for TLS 1.2, where the content does not matter.
func midSession12(tb testing.TB) (*Decoder, []byte) {
	d := NewDecoder(nil)
	for _, o := range converse(configs(func(c, s *tls.Config) { c.MaxVersion = tls.VersionTLS12 })).ops {
		switch {
		case o.secret != nil:
			d.Secret(*o.secret)
		case o.end == "":
			d.Feed(Stamp{}, o.from, o.bytes)
		}
	}
	return d, append([]byte{23, 3, 3, 0x40, 0x18}, make([]byte, 0x4018)...)
}

// The steady state costs no allocation, whether a record comes whole or in
// packets.
func TestApplicationDataAllocatesNothing(t *testing.T) {
	for _, suite := range []event.CipherSuite{0x1301, 0x1303} {
		d, next := midSession13(t, suite)
		const runs = 20
		records := make([][]byte, 2*(runs+1))
		for i := range records {
			records[i] = next()
		}
		i := 0
		whole := testing.AllocsPerRun(runs, func() {
			d.Feed(Stamp{Frame: uint64(i + 1)}, event.Server, records[i])
			i++
		})
		packets := testing.AllocsPerRun(runs, func() {
			feedInPackets(d, uint64(i+1), records[i])
			i++
		})
		if whole > 0 || packets > 0 {
			t.Errorf("%v: %v allocations for a whole record, %v in packets", suite, whole, packets)
		}
		if n := d.Application(event.Server).Records; n != uint64(len(records)+1) {
			t.Errorf("%v: %d records of application data, want %d", suite, n, len(records)+1)
		}
	}
	d, record := midSession12(t)
	if n := testing.AllocsPerRun(20, func() { d.Feed(Stamp{}, event.Server, record) }); n > 0 {
		t.Errorf("TLS 1.2: %v allocations for a record", n)
	}
}

func feedInPackets(d *Decoder, frame uint64, b []byte) {
	const mss = 1448
	for len(b) > 0 {
		n := min(mss, len(b))
		d.Feed(Stamp{Frame: frame}, event.Server, b[:n])
		b = b[n:]
		frame++
	}
}

// The decoder's own cost: the record is the same each time, and the sequence
// number of its key is set back.
func benchmarkRecord(b *testing.B, suite event.CipherSuite, feed func(*Decoder, []byte)) {
	d, next := midSession13(b, suite)
	record := next()
	key := d.half(event.Server).k13
	seq := key.seq
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		key.seq = seq
		feed(d, record)
	}
}

func feedWhole(d *Decoder, b []byte) { d.Feed(Stamp{}, event.Server, b) }

func BenchmarkRecordAES(b *testing.B)      { benchmarkRecord(b, 0x1301, feedWhole) }
func BenchmarkRecordChaCha20(b *testing.B) { benchmarkRecord(b, 0x1303, feedWhole) }
func BenchmarkRecordPackets(b *testing.B) {
	benchmarkRecord(b, 0x1301, func(d *Decoder, r []byte) { feedInPackets(d, 1, r) })
}

func BenchmarkRecordTLS12(b *testing.B) {
	d, record := midSession12(b)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		d.Feed(Stamp{}, event.Server, record)
	}
}

// A whole TLS 1.3 connection, from ClientHello to both close_notify.
func BenchmarkHandshake(b *testing.B) {
	rec := converse(configs(nil))
	b.ReportAllocs()
	for b.Loop() {
		d := NewDecoder(nil)
		d.ExpectSecrets(true)
		for _, o := range rec.ops {
			if o.secret != nil {
				d.Secret(*o.secret)
			} else if o.end == "" {
				d.Feed(Stamp{}, o.from, o.bytes)
			}
		}
	}
}

// A peer may send a message in records of one byte each: a byte of a long
// message costs what one of a short message does.
func BenchmarkTinyRecords(b *testing.B) {
	for _, size := range []int{16 << 10, maxMessage} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			for b.Loop() {
				d := NewDecoder(nil)
				d.Feed(Stamp{}, event.Client, []byte{recordHandshake, 3, 1, 0, 4, uint8(event.CertificateType), byte(size >> 16), byte(size >> 8), byte(size)})
				for range size - 1 {
					d.Feed(Stamp{}, event.Client, []byte{recordHandshake, 3, 1, 0, 1, 0})
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/byte")
		})
	}
}

// A ClientHello has room for 16,383 extensions without content.
func BenchmarkManyExtensions(b *testing.B) {
	for _, n := range []int{1000, 1<<14 - 1} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			body := append(make([]byte, 2+randomLen+1), 0, 2, 0x13, 1, 1, 0, byte(n*4>>8), byte(n*4))
			for i := range n { // all that have no meaning here
				body = append(body, 0x40|byte(i>>8), byte(i), 0, 0)
			}
			for b.Loop() {
				if err := (messageContext{}).parse(&event.Message{Type: event.ClientHelloType}, body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/extension")
		})
	}
}

// The steps of a connection's first flights, one by one.

func BenchmarkPeek(b *testing.B) {
	for _, suite := range []event.CipherSuite{0x1301, 0x1303} {
		b.Run(suite.String(), func(b *testing.B) {
			d, next := midSession13(b, suite)
			key, body := d.half(event.Server).k13, next()[headerLen:]
			record := &unit{size: len(body), pieces: [][]byte{body}}
			key.seq = 1
			if typ := key.peek(record); typ != recordApplicationData {
				b.Fatalf("peeked type %d", typ)
			}
			b.ReportAllocs()
			for b.Loop() {
				key.peek(record)
			}
		})
	}
}

func BenchmarkKey13(b *testing.B) {
	for _, suite := range []event.CipherSuite{0x1301, 0x1302, 0x1303} {
		b.Run(suite.String(), func(b *testing.B) {
			s := suiteOf(suite)
			secret := make([]byte, s.hash().Size())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := newKey13(s, secret); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Each message that there is, with its fingerprints, hashes and names.
func BenchmarkMessage(b *testing.B) {
	for _, sample := range samples(b) {
		b.Run(sample.context.version.String()+" "+sample.typ.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m := event.Message{Type: sample.typ}
				if err := sample.context.parse(&m, sample.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

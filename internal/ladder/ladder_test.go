package ladder

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"synscope/event"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// stories are complete connections, one for each thing that a ladder has to
// tell.
var stories = []struct {
	name   string
	events func() []*event.Event
}{
	{"tls13-full", tls13Full},
	{"tls13-hello-retry", tls13HelloRetry},
	{"tls13-resumed", tls13Resumed},
	{"tls13-client-certificate", clientCertificate},
	{"tls12-ecdhe", func() []*event.Event { return tls12Full(0xc02b) }},
	{"tls12-rsa", func() []*event.Event { return tls12Full(0x009c) }},
	{"tls12-resumed", tls12Resumed},
	{"unknown-ca", unknownCA},
	{"refused", refusedPort},
	{"plain-http", plainHTTP},
	{"lost-syn-ack", lostSynAck},
	{"bulk", bulk},
	{"reset-mid-handshake", resetMidHandshake},
	{"half-open", halfOpen},
	{"upstream-tls13", upstream13},
	{"upstream-expired", upstreamExpired},
	{"upstream-refused", upstreamRefused},
	{"upstream-reset", upstreamReset},
	{"upstream-gap", upstreamGap},
	{"upstream-failed", upstreamFailed},
}

func render(t *testing.T, events []*event.Event, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, events, o); err != nil {
		t.Fatalf("Render: %v", err)
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, d)
	}
}

func TestGolden(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			golden(t, s.name, render(t, s.events(), Options{Unicode: true}))
		})
	}
}

func TestGoldenVariants(t *testing.T) {
	for _, v := range []struct {
		name   string
		events []*event.Event
		o      Options
	}{
		{"tls13-full.ascii", tls13Full(), Options{}},
		{"tls13-full.72", tls13Full(), Options{Unicode: true, Width: 72}},
		{"tls13-full.140", tls13Full(), Options{Unicode: true, Width: 140}},
		{"tls13-full.explain", tls13Full(), Options{Unicode: true, Explain: true}},
		{"tls12-rsa.explain", tls12Full(0x009c), Options{Unicode: true, Explain: true}},
		{"tls12-resumed.explain", tls12Resumed(), Options{Explain: true}},
		{"half-open.explain", halfOpen(), Options{Explain: true}},
		{"refused.explain", refusedPort(), Options{Explain: true}},
		{"upstream-expired.explain", upstreamExpired(), Options{Explain: true}},
		{"unknown-ca.color", unknownCA(), Options{Unicode: true, Color: true}},
		{"unknown-ca.ascii", unknownCA(), Options{}},
	} {
		t.Run(v.name, func(t *testing.T) { golden(t, v.name, render(t, v.events, v.o)) })
	}
}

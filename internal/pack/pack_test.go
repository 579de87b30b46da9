package pack

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synscope/event"
	"synscope/internal/jsonlines"
)

// recorded returns the events of a recording of real clients, by connection.
func recorded(t testing.TB, name string) (conns [][]*event.Event) {
	t.Helper()
	f, err := os.Open(filepath.Join("../diff/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for e, err := range jsonlines.Read(f) {
		if err != nil {
			t.Fatal(err)
		}
		if e.N == 1 {
			conns = append(conns, nil)
		}
		conns[len(conns)-1] = append(conns[len(conns)-1], e)
	}
	return conns
}

// What is packed comes out as it was, whatever was packed before.
func TestRoundTrip(t *testing.T) {
	names, err := filepath.Glob("../diff/testdata/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var p Packer
	type pair struct {
		packed *Packed
		want   []*event.Event
	}
	var all []pair
	for _, name := range names {
		for _, es := range recorded(t, filepath.Base(name)) {
			k := 1 + rand.IntN(len(es))
			for _, part := range [][]*event.Event{es[:k], es[k:], es} {
				if len(part) > 0 {
					all = append(all, pair{p.Pack(part), part})
				}
			}
		}
	}
	for _, x := range all {
		if x.packed == nil {
			t.Fatal("not packed")
		}
		if diff := cmp.Diff(x.want, x.packed.Events(), cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		first, last := x.want[0].N, x.want[len(x.want)-1].N
		if p := x.packed; p.First() != first || p.Last() != last || p.Len() != len(x.want) {
			t.Errorf("%d events, %d to %d, want %d, %d to %d", p.Len(), p.First(), p.Last(), len(x.want), first, last)
		}
	}
	if p.made > maxDictionaries || len(p.dictionary) > maxDictionary {
		t.Errorf("%d dictionaries, the last of %d bytes", p.made, len(p.dictionary))
	}
}

// The second connection of a kind takes a fifth of its JSON at most.
func TestSize(t *testing.T) {
	es := recorded(t, "go-twice.jsonl")
	var p Packer
	p.Pack(es[0])
	packed := p.Pack(es[1])
	var json []byte
	for _, e := range es[1] {
		json = append(e.AppendJSON(json), '\n')
	}
	if packed.Size()*fitting > len(json) {
		t.Errorf("%d events of %d bytes of JSON take %d", packed.Len(), len(json), packed.Size())
	}
}

// A name that JSON cannot tell is not packed, and one that only looks so may be.
func TestNoUTF8(t *testing.T) {
	var p Packer
	for name, ok := range map[string]bool{"shop\xff": false, "caf\u00e9": true, "\ufffd": true} {
		es := []*event.Event{{N: 1, View: event.Wire, Body: &event.Open{Name: name}}}
		packed := p.Pack(es)
		if (packed != nil) != ok {
			t.Errorf("%q is packed: %v", name, packed != nil)
		} else if ok && packed.Events()[0].Body.(*event.Open).Name != name {
			t.Errorf("%q is unpacked as %q", name, packed.Events()[0].Body.(*event.Open).Name)
		}
	}
}

// Dictionaries are bounded, however little the connections have in common.
func TestDictionariesAreBounded(t *testing.T) {
	var p Packer
	noise := rand.New(rand.NewPCG(1, 2))
	for range 3 * maxDictionaries {
		name := make([]byte, 8<<10)
		for i := range name {
			name[i] = byte('!' + noise.IntN(90))
		}
		es := []*event.Event{{N: 1, View: event.Wire, Body: &event.Open{Name: string(name)}}}
		if diff := cmp.Diff(es, p.Pack(es).Events(), cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	}
	if p.made != maxDictionaries {
		t.Errorf("%d dictionaries, want %d", p.made, maxDictionaries)
	}
}

func BenchmarkPack(b *testing.B) {
	es := recorded(b, "go-twice.jsonl")
	var p Packer
	p.Pack(es[0])
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		size = p.Pack(es[1]).Size()
	}
	b.ReportMetric(float64(size), "bytes")
}

func BenchmarkUnpack(b *testing.B) {
	var p Packer
	packed := p.Pack(recorded(b, "go-twice.jsonl")[1])
	for b.Loop() {
		packed.Events()
	}
}

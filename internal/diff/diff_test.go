package diff

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"synscope/event"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// recorded returns the events of a connection in testdata. They were recorded
// with the clients that the files are named after, against synscope serve; of
// the segments only those with SYN, FIN or RST were kept. The upstream legs are
// of crypto/tls on both ends.
func recorded(t testing.TB, name string) Subject {
	t.Helper()
	file, want, _ := strings.Cut(name, "#")
	f, err := os.Open(filepath.Join("testdata", file+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := Subject{Name: name}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e := new(event.Event)
		if err := json.Unmarshal(lines.Bytes(), e); err != nil {
			t.Fatalf("%s: %v", f.Name(), err)
		}
		if want == "" || want == strconv.FormatUint(e.Conn, 10) {
			s.Events = append(s.Events, e)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(s.Events) == 0 {
		t.Fatalf("no events of %s", name)
	}
	return s
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
	for _, c := range []struct {
		name, a, b string
		o          Options
	}{
		{"two-libraries-alike", "curl", "openssl-tls13", Options{}},
		{"two-libraries", "curl", "java", Options{}},
		{"unknown-ca", "curl", "curl-without-ca", Options{}},
		{"unknown-ca.color", "curl", "curl-without-ca", Options{Unicode: true, Color: true}},
		{"certificate-unknown", "curl", "java-without-ca", Options{}},
		{"versions", "openssl-tls13", "openssl-tls12", Options{}},
		{"no-common-suite", "curl", "openssl-dhe", Options{}},
		{"no-common-suite.72", "curl", "openssl-dhe", Options{Width: 72}},
		{"no-common-suite.all", "curl", "openssl-dhe", Options{All: true}},
		{"both-fail", "curl-without-ca", "openssl-imap", Options{}},
		{"same", "curl", "curl-again", Options{}},
		{"same.all", "curl", "curl-again", Options{All: true}},
		{"resumed", "go-twice#13", "go-twice#14", Options{}},
		{"upstream-legs", "upstream", "upstream-expired", Options{}},
		{"upstream-leg-and-client", "curl", "upstream", Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Render(&b, Compare(recorded(t, c.a), recorded(t, c.b)), c.o); err != nil {
				t.Fatal(err)
			}
			golden(t, c.name, b.Bytes())
		})
	}
}

func TestGoldenJSON(t *testing.T) {
	b, err := json.MarshalIndent(Compare(recorded(t, "openssl-tls13"), recorded(t, "openssl-tls12")), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "versions.json", append(b, '\n'))
}

func TestLists(t *testing.T) {
	const grease1, grease2 = 0x0a0a, 0xfafa
	for _, c := range []struct {
		why   string
		a, b  []event.CipherSuite
		want  Field
		equal bool
	}{
		{"the same", []event.CipherSuite{0x1301, 0x1302}, []event.CipherSuite{0x1301, 0x1302}, Field{}, true},
		{"which value of GREASE is chance", []event.CipherSuite{grease1, 0x1301}, []event.CipherSuite{grease2, 0x1301}, Field{}, true},
		{"whether there is GREASE is not", []event.CipherSuite{grease1, 0x1301}, []event.CipherSuite{0x1301},
			Field{OnlyA: []string{"GREASE"}}, false},
		{"order", []event.CipherSuite{0x1301, 0x1302}, []event.CipherSuite{0x1302, 0x1301}, Field{Reordered: true}, false},
		{"what only one has does not change the order of the rest", []event.CipherSuite{0x1301, 0x1303, 0x1302}, []event.CipherSuite{0x1301, 0x1302},
			Field{OnlyA: []string{"TLS_CHACHA20_POLY1305_SHA256"}}, false},
		{"twice is not once", []event.CipherSuite{0x1301}, []event.CipherSuite{0x1301, 0x1301},
			Field{OnlyB: []string{"TLS_AES_128_GCM_SHA256"}}, false},
		{"absent", nil, []event.CipherSuite{0x1301}, Field{OnlyB: []string{"TLS_AES_128_GCM_SHA256"}}, false},
	} {
		f := list("", names(c.a), names(c.b))
		got := Field{OnlyA: f.OnlyA, OnlyB: f.OnlyB, Reordered: f.Reordered}
		if d := cmp.Diff(c.want, got); d != "" || f.Differs() == c.equal {
			t.Errorf("%s: differs %v (-want +got):\n%s", c.why, f.Differs(), d)
		}
	}
	if n := len(names(make([]event.CipherSuite, 30000))); n != maxValues+1 {
		t.Errorf("of 30000 values, %d are kept", n)
	}
}

// talk makes steps of words: "c SYN" is the client's.
func talk(words ...string) []Moment {
	ms := make([]Moment, len(words))
	for i, w := range words {
		from := map[string]event.Side{"c": event.Client, "s": event.Server}[w[:1]]
		ms[i] = Moment{N: uint64(i + 1), From: from, What: w[2:], id: strings.Trim(w[2:], "{}[]()")}
	}
	return ms
}

func TestAlign(t *testing.T) {
	for _, c := range []struct {
		why  string
		a, b []Moment
		want string
	}{
		{"the same", talk("c SYN", "s SYN ACK"), talk("c SYN", "s SYN ACK"), "=SYN =SYN ACK"},
		{"encrypted or not, it is the same message", talk("s Certificate"), talk("s {Certificate}"), "=Certificate"},
		{"one stops", talk("c SYN", "s SYN ACK", "c Hello"), talk("c SYN"), "=SYN <SYN ACK <Hello"},
		{"the same word from the other side is another step", talk("c FIN"), talk("s FIN"), "<FIN >FIN"},
		{"two sides pass each other", talk("c FIN", "s Bye", "s FIN"), talk("s Bye", "s FIN", "c FIN"), "=FIN =Bye =FIN"},
		{"unless a side did something else", talk("c FIN", "s Bye", "s FIN"), talk("s Bye", "s FIN", "c RST"), "<FIN =Bye =FIN >RST"},
		{"a step between", talk("s Hello", "s Done"), talk("s Hello", "s Certificate", "s Done"), "=Hello >Certificate =Done"},
		{"what both lack is where it belongs", talk("c A", "s B", "c C"), talk("c A", "s X", "c C"), "=A <B >X =C"},
	} {
		var got []string
		for _, s := range alignPart(c.a, c.b) {
			switch {
			case s.Common():
				got = append(got, "="+s.A.What)
			case s.A != nil:
				got = append(got, "<"+s.A.What)
			default:
				got = append(got, ">"+s.B.What)
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s: %s, want %s", c.why, g, c.want)
		}
	}
}

func TestTooManyStepsAreCounted(t *testing.T) {
	many := recorded(t, "curl")
	update := &event.Event{N: 1 << 20, From: event.Client, Body: &event.Message{Type: event.KeyUpdateType}}
	for range 3000 {
		many.Events = append(many.Events, update)
	}
	r := Compare(many, recorded(t, "curl"))
	if r.Uncompared < 3000-maxSteps || r.Same {
		t.Errorf("%d steps were not compared, same: %v", r.Uncompared, r.Same)
	}
	var b bytes.Buffer
	if err := Render(&b, r, Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "further steps not compared") {
		t.Errorf("not told:\n%s", &b)
	}
}

func TestBulkDataIsNotCompared(t *testing.T) {
	bulk := recorded(t, "curl")
	for n := range 100 {
		bulk.Events = append(bulk.Events, &event.Event{T: time.Hour, N: uint64(1000 + n), From: event.Server,
			Body: &event.Segment{Flags: event.ACK | event.PSH, Len: 1448}})
	}
	if d := cmp.Diff(Compare(recorded(t, "curl"), recorded(t, "java")), Compare(bulk, recorded(t, "java")), cmpopts.IgnoreUnexported(Moment{}),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Errorf("segments of data change the report:\n%s", d)
	}
}

package explain

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"synscope/event"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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

func TestStepsAreComplete(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range Steps() {
		if s.Name == "" || s.Title == "" || s.Part == "" || s.Text == "" || !strings.HasPrefix(s.Spec, "RFC ") {
			t.Errorf("incomplete: %+v", s)
		}
		if names[fold(s.Name)] {
			t.Errorf("two steps have the name %s", s.Name)
		}
		names[fold(s.Name)] = true
		if len(s.Text) > 600 {
			t.Errorf("%s: %d bytes are too long to be read beside a connection", s.Name, len(s.Text))
		}
		for _, r := range s.Name + s.Title + s.Spec + s.Text {
			if r < ' ' || r > '~' {
				t.Errorf("%s: %q is not printable ASCII", s.Name, r)
			}
		}
		if base, ok := strings.CutSuffix(s.Name, suffix12); ok && base != "tls" {
			if _, ok := Lookup(base); !ok {
				t.Errorf("%s has no namesake in TLS 1.3", s.Name)
			}
		}
	}
}

func TestStepsAreInTheOrderOfTheStory(t *testing.T) {
	var parts []string
	for _, s := range Steps() {
		if len(parts) == 0 || parts[len(parts)-1] != s.Part {
			parts = append(parts, s.Part)
		}
	}
	if want := []string{PartOpen, PartTLS13, PartTLS12, PartClose}; !slices.Equal(parts, want) {
		t.Errorf("parts %q, want %q", parts, want)
	}
}

func TestEveryHandshakeMessageIsExplained(t *testing.T) {
	for _, m := range []event.HandshakeType{
		event.HelloRequest, event.ClientHelloType, event.ServerHelloType, event.NewSessionTicketType, event.EndOfEarlyData,
		event.HelloRetryRequest, event.EncryptedExts, event.CertificateType, event.ServerKeyExchangeType, event.CertRequestType,
		event.ServerHelloDone, event.CertVerifyType, event.ClientKeyExchangeType, event.FinishedType, event.CertStatusType, event.KeyUpdateType,
	} {
		if _, ok := Lookup(m.String()); !ok {
			t.Errorf("no text for %s", m)
		}
	}
}

func TestLookupTakesAnySpelling(t *testing.T) {
	for _, spelling := range []string{"client_hello", "ClientHello", "client-hello", "CLIENT HELLO"} {
		if s, ok := Lookup(spelling); !ok || s.Name != "client_hello" {
			t.Errorf("Lookup(%q) = %q, %v", spelling, s.Name, ok)
		}
	}
	if s, _ := Lookup12("Finished"); s.Name != "finished-1.2" {
		t.Errorf("TLS 1.2 has a Finished of its own; got %q", s.Name)
	}
	if s, _ := Lookup12("server_key_exchange"); s.Name != "server_key_exchange" {
		t.Errorf("ServerKeyExchange is of TLS 1.2 alone; got %q", s.Name)
	}
	if _, ok := Lookup("syn-flood"); ok {
		t.Error("Lookup found a step that does not exist")
	}
}

func TestUnknownStepNamesCloseOnes(t *testing.T) {
	for _, c := range []struct{ asked, want string }{
		{"clint_hello", "client_hello"}, {"finish", "finished"}, {"synack", ""}, {"what an observer can read", ""}, {"timewait2", "time-wait"}, {"verify", "certificate_verify"},
	} {
		err := WriteStep(&bytes.Buffer{}, c.asked, 80)
		if c.want == "" {
			if err != nil {
				t.Errorf("%q is known by its title: %v", c.asked, err)
			}
			continue
		}
		var unknown *UnknownError
		if !errors.As(err, &unknown) || !slices.Contains(unknown.Close, c.want) {
			t.Errorf("%q: %v, want an error that names %s", c.asked, err, c.want)
		}
	}
	if err := WriteStep(&bytes.Buffer{}, "\x1b[2Jqqqqqqqq", 80); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("the error repeats the name raw or is missing: %q", err)
	}
}

func TestWriteStep(t *testing.T) {
	var b bytes.Buffer
	for _, name := range []string{"syn-ack", "certificate", "time-wait"} {
		if err := WriteStep(&b, name, 80); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "steps", b.Bytes())
}

func TestWriteList(t *testing.T) {
	var b bytes.Buffer
	if err := WriteList(&b, 100); err != nil {
		t.Fatal(err)
	}
	golden(t, "list", b.Bytes())
}

func TestNoLineIsWider(t *testing.T) {
	for _, width := range []int{0, 60, 80, 100} {
		var b bytes.Buffer
		if err := WriteList(&b, width); err != nil {
			t.Fatal(err)
		}
		for _, s := range Steps() {
			if err := WriteStep(&b, s.Name, width); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range strings.Split(b.String(), "\n") {
			if len(l) > max(width, 80) {
				t.Errorf("width %d: %d columns: %s", width, len(l), l)
			}
		}
	}
}

func TestDistance(t *testing.T) {
	if d := distance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten, sitting: %d, want 3", d)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.StringN(0, 12, 40).Draw(t, "a"), rapid.StringN(0, 12, 40).Draw(t, "b"), rapid.StringN(0, 12, 40).Draw(t, "c")
		if distance(a, a) != 0 || distance(a, b) != distance(b, a) || distance(a, c) > distance(a, b)+distance(b, c) {
			t.Fatalf("not a metric on %q, %q, %q", a, b, c)
		}
	})
}

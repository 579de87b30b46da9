package tlswire

import (
	"strings"
	"testing"

	"synscope/event"
)

// list reads hexadecimal values.
func list[T ~uint16](tb testing.TB, s string) (out []T) {
	tb.Helper()
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) {
		b := unhex(tb, f)
		out = append(out, T(b[0])<<8|T(b[1]))
	}
	return out
}

// The examples of github.com/salesforce/ja3.
func TestJA3(t *testing.T) {
	for _, test := range []struct {
		hello event.ClientHello
		want  string
	}{
		{event.ClientHello{
			LegacyVersion:   769,
			CipherSuites:    []event.CipherSuite{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
			Extensions:      []event.Extension{0, 10, 11},
			SupportedGroups: []event.Group{23, 24, 25},
			PointFormats:    []uint8{0},
		}, "ada70206e40642a3e4461f35503241d5"},
		{event.ClientHello{
			LegacyVersion: 769,
			CipherSuites:  []event.CipherSuite{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99},
		}, "de350869b8c85de67a350c8d186f11e6"},
	} {
		if got := ja3(&test.hello); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
		// GREASE anywhere changes nothing.
		h := test.hello
		h.CipherSuites = append([]event.CipherSuite{0x0a0a}, h.CipherSuites...)
		h.Extensions = append(h.Extensions, 0xfafa)
		h.SupportedGroups = append(h.SupportedGroups, 0x1a1a)
		if got := ja3(&h); got != test.want {
			t.Errorf("with GREASE: got %s, want %s", got, test.want)
		}
	}
}

func TestJA3S(t *testing.T) {
	h := event.ServerHello{LegacyVersion: 769, CipherSuite: 47, Extensions: []event.Extension{65281, 0, 11, 35, 5, 16}}
	if got, want := ja3s(&h), "836ce314215654b5b1f85f97c73e506f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Fingerprints published with their raw form: of Chrome by FoxIO's README and by
// huginn-net, of a Python client by shigshag.com.
func TestJA4(t *testing.T) {
	chrome := "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
	schemes := "0403,0804,0401,0503,0805,0501,0806,0601"
	for _, test := range []struct {
		suites, extensions, schemes string
		alpn                        []string
		want                        string
	}{
		{chrome, "0000,0010,0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01", schemes, []string{"h2", "http/1.1"},
			"t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"0a0a," + chrome, "dada,ff01,0033,002d,0000,0010,0005,000a,000b,000d,0012,0017,001b,0023,002b,44cd,fe0d,1a1a", "3a3a," + schemes, []string{"h2"},
			"t13d1516h2_8daaf6152771_d8a2da3f94cd"},
		{"1302,1303,1301,c02c,c030,c02b,c02f,cca9,cca8,00ff", "0000,000b,000a,0010,0017,000d,002b,002d,0033,0005,0023",
			"0503,0403,0807,0806,0805,0804,0601,0501,0401", []string{"h2"}, "t13d1011h2_61a7ad8aa9b6_3fcd1a44f3e3"},
	} {
		h := &event.ClientHello{
			LegacyVersion: 0x0303, SupportedVersions: []event.Version{0x2a2a, 0x0304, 0x0303},
			CipherSuites: list[event.CipherSuite](t, test.suites), Extensions: list[event.Extension](t, test.extensions),
			SignatureSchemes: list[event.SignatureScheme](t, test.schemes), ALPN: test.alpn,
		}
		if got := ja4(h); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	if got := ja4(&event.ClientHello{LegacyVersion: 0x0301}); got != "t10i000000_000000000000_000000000000" {
		t.Errorf("of a hello with nothing: %s", got)
	}
}

// The rule for protocols that are not alphanumeric, with FoxIO's examples.
func TestJA4ALPN(t *testing.T) {
	for protocol, want := range map[string]string{
		"h2": "h2", "http/1.1": "h1", "a": "aa", "\xab": "ab", "\xab\xcd": "ad", "\x30\xab": "3b", "\x30\x31\xab\xcd": "3d", "\x30\xab\xcd\x31": "01",
	} {
		if got := ja4ALPN([]string{protocol, "h2"}); got != want {
			t.Errorf("%q: got %q, want %q", protocol, got, want)
		}
	}
	if got := ja4ALPN(nil); got != "00" {
		t.Errorf("without ALPN: got %q, want 00", got)
	}
}

// The examples of FoxIO.
func TestJA4S(t *testing.T) {
	for want, h := range map[string]event.ServerHello{
		"t120400_c030_4e8089b08790": {Version: 0x0303, CipherSuite: 0xc030, Extensions: list[event.Extension](t, "0005,0017,ff01,0000")},
		"t130200_1301_a56c5b993250": {Version: 0x0304, CipherSuite: 0x1301, Extensions: list[event.Extension](t, "002b,0033")},
	} {
		if got := ja4s(&h); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

package tlsbridge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNobodyNeedsToWatch(t *testing.T) {
	var w watch
	w.start()
	w.secret("CLIENT_RANDOM", nil, nil, false)
	w.ok(stepHandshake, "")
	w.end(nil)
}

func TestQuotesAreBounded(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("x", maxDetail), strings.Repeat("ä", maxDetail), "a\xff", strings.Repeat("\xffx", 1000)} {
		got := bounded(s)
		if len(got) > maxDetail || !utf8.ValidString(got) {
			t.Errorf("%q became %q of %d bytes", s, got, len(got))
		}
		if len(s) > maxDetail && !strings.HasSuffix(got, "…") {
			t.Errorf("%q was cut without a sign", got)
		}
	}
}

func TestKeyLogLines(t *testing.T) {
	var got []string
	k := keyLog(func(label string, random, secret []byte) {
		got = append(got, fmt.Sprintf("%s %x %x", label, random, secret))
	})
	line := "CLIENT_RANDOM 0a0b 0c\n"
	if n, err := k.Write([]byte(line)); n != len(line) || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if want := []string{"CLIENT_RANDOM 0a0b 0c"}; !slices.Equal(got, want) {
		t.Errorf("secrets %q, want %q", got, want)
	}
	for _, bad := range []string{"", "CLIENT_RANDOM 00\n", "CLIENT_RANDOM 0 00\n", "CLIENT_RANDOM 00 zz\n"} {
		if _, err := k.Write([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

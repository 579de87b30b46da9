package typeset

import (
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestEscape(t *testing.T) {
	for _, c := range []struct {
		why, in, want string
		unicode       bool
	}{
		{"plain ASCII stays", "shop.example", "shop.example", false},
		{"a terminal sequence cannot be smuggled in", "a\x1b[31mred", `a\x1b[31mred`, true},
		{"a line feed does not break the ladder", "a\nb\tc\x00", `a\x0ab\x09c\x00`, true},
		{"text cannot be turned round", "gro.elpmaxe\u202e", `gro.elpmaxe\u202e`, true},
		{"nothing is invisible", "a\u200bb\ufeff", `a\u200bb\ufeff`, true},
		{"the single byte form of CSI is not text", "\x9b31m", `\x9b31m`, true},
		{"C1 controls in UTF-8 are not text", "\u009b31m", `\u009b31m`, true},
		{"a backslash cannot pretend to be an escape", `\x1b`, `\\x1b`, true},
		{"wide characters would break the columns", "\u4f8b", `\u4f8b`, true},
		{"so would combining ones", "e\u0301", `e\u0301`, true},
		{"beyond the basic plane", "\U0001f512", `\U0001f512`, true},
		{"Latin letters stay where Unicode is allowed", "Société Générale", "Société Générale", true},
		{"and are escaped where it is not", "é", `\u00e9`, false},
	} {
		if got := Escape(c.in, MaxText, c.unicode); got != c.want {
			t.Errorf("%s: Escape(%q) = %s, want %s", c.why, c.in, got, c.want)
		}
	}
	if got := Escape("aaaaaaaaaaaa", 8, false); got != "aaaaaa.." {
		t.Errorf("a long text is cut and says so: got %q", got)
	}
}

func TestEscapeIsBoundedAndPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "in")
		limit := rapid.IntRange(2, 60).Draw(t, "limit")
		uni := rapid.Bool().Draw(t, "unicode")
		got := Escape(in, limit, uni)
		if Columns(got) > limit {
			t.Fatalf("escape(%q, %d) has %d columns", in, limit, Columns(got))
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || !uni && r > 0x7e {
				t.Fatalf("escape(%q) = %q holds %U", in, got, r)
			}
		}
	})
}

func TestWrapKeepsTheTextAndTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[a-zA-Z_.,é]{1,30}`)).Draw(t, "words")
		width := rapid.IntRange(4, 40).Draw(t, "width")
		in, out := "", ""
		for _, w := range words {
			in += w
		}
		for _, l := range Wrap(join(words), width) {
			if Columns(l) > width {
				t.Fatalf("line %q is wider than %d", l, width)
			}
			for _, r := range l {
				if r != ' ' {
					out += string(r)
				}
			}
		}
		if in != out {
			t.Fatalf("wrapped %q to %q", in, out)
		}
	})
}

func join(words []string) string {
	s := ""
	for _, w := range words {
		s += w + " "
	}
	return s
}

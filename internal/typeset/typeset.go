package typeset

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxText bounds, in columns, a text that someone else chose: a name, an error,
// a reason.
const MaxText = 240

// Escape makes a text safe to print, one column a character: anything but
// printable ASCII (and, if unicode is set, the Latin letters of U+00C0 to
// U+024F) becomes \x.., \u.... or \U........, a backslash \\. A text longer than
// limit columns is cut, and says so.
func Escape(s string, limit int, unicode bool) string {
	var b strings.Builder
	columns := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		e := escapeRune(r, s[i:i+size], unicode)
		n := utf8.RuneCountInString(e)
		if columns+n > limit {
			return Cut(b.String(), limit-2) + ".."
		}
		b.WriteString(e)
		columns += n
		i += size
	}
	return b.String()
}

func escapeRune(r rune, raw string, unicode bool) string {
	switch {
	case r == '\\':
		return `\\`
	case r >= ' ' && r < 0x7f:
		return raw
	case r == utf8.RuneError && len(raw) == 1, r < 0x80:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case unicode && r >= 0xc0 && r <= 0x24f:
		return raw
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Cut returns at most n columns of an escaped text.
func Cut(s string, n int) string {
	if n = max(n, 0); Columns(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

// Columns is the width of an escaped text.
func Columns(s string) int { return utf8.RuneCountInString(s) }

// Wrap breaks an escaped text at spaces into lines of at most width columns; a
// longer word is broken, if possible after a "_", "." or "-". It returns at least one line.
func Wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && Columns(line)+1+Columns(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
		for Columns(line) > width {
			head := Cut(line, width)
			if i := strings.LastIndexAny(head, "_.-"); i > len(head)/2 {
				head = head[:i+1]
			}
			lines = append(lines, head)
			line = line[len(head):]
		}
	}
	return append(lines, line)
}

// Count is "1 segment" or "7 segments".
func Count[N ~int | ~uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Thousands(uint64(n)) + " " + noun + "s"
}

// Thousands writes a number with commas.
func Thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Stamp is a time in the time column: milliseconds, or seconds if it is long.
// It has at most 8 columns.
func Stamp(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms > -100 && ms < 9999:
		return fmt.Sprintf("%.3f", ms)
	case ms > 0 && ms < 9999e3:
		return fmt.Sprintf("%.1f s", ms/1e3)
	case ms > 0 && ms < 9999e3*3600:
		return fmt.Sprintf("%.0f h", ms/3600e3)
	}
	return "?"
}

// Duration is a length of time in running text.
func Duration(d time.Duration) string {
	switch {
	case d >= 10_000*time.Second:
		return fmt.Sprintf("%.0f h", d.Hours())
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.3f ms", float64(d)/1e6)
}

// PadLeft fills an escaped text with spaces at its left to n columns.
func PadLeft(s string, n int) string { return strings.Repeat(" ", max(n-Columns(s), 0)) + s }

// PadRight fills an escaped text with spaces at its right to n columns.
func PadRight(s string, n int) string { return s + strings.Repeat(" ", max(n-Columns(s), 0)) }

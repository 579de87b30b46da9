package ladder

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxText bounds, in columns, a text that someone else chose: a name, an error,
// a reason.
const maxText = 240

// escape makes a text safe to print, one column a character: anything but
// printable ASCII (and, if unicode is set, the Latin letters of U+00C0 to
// U+024F) becomes \x.., \u.... or \U........, a backslash \\. A text longer than
// limit columns is cut, and says so.
func escape(s string, limit int, unicode bool) string {
	var b strings.Builder
	columns := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		e := escapeRune(r, s[i:i+size], unicode)
		n := utf8.RuneCountInString(e)
		if columns+n > limit {
			return cut(b.String(), limit-2) + ".."
		}
		b.WriteString(e)
		columns += n
		i += size
	}
	return b.String()
}

// Escape makes a text that a peer chose safe for other output as well: at most
// limit columns of printable ASCII, and, if unicode is set, Latin letters.
func Escape(s string, limit int, unicode bool) string { return escape(s, limit, unicode) }

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

// cut returns at most n columns of an escaped text.
func cut(s string, n int) string {
	if n = max(n, 0); columns(s) <= n {
		return s
	}
	return string([]rune(s)[:n])
}

// columns is the width of an escaped text.
func columns(s string) int { return utf8.RuneCountInString(s) }

// wrap breaks an escaped text at spaces into lines of at most width columns; a
// longer word is broken, if possible after a "_", "." or "-". It returns at least one line.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && columns(line)+1+columns(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
		for columns(line) > width {
			head := cut(line, width)
			if i := strings.LastIndexAny(head, "_.-"); i > len(head)/2 {
				head = head[:i+1]
			}
			lines = append(lines, head)
			line = line[len(head):]
		}
	}
	return append(lines, line)
}

// maxListed bounds how many values of a list are written; a peer may send
// thousands.
const maxListed = 128

// joined lists with commas.
func joined[T fmt.Stringer](vs []T) string {
	ss := make([]string, 0, min(len(vs), maxListed)+1)
	for i, v := range vs {
		if i == maxListed {
			ss = append(ss, thousands(uint64(len(vs)-maxListed))+" more")
			break
		}
		ss = append(ss, v.String())
	}
	return strings.Join(ss, ", ")
}

// count is "1 segment" or "7 segments".
func count[N ~int | ~uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(uint64(n)) + " " + noun + "s"
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size is a number of bytes for a person, in decimal units.
func size(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return count(n, "byte")
}

// stamp is a time in the time column: milliseconds, or seconds if it is long.
// It has at most 8 columns.
func stamp(d time.Duration) string {
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

// duration is a length of time in running text.
func duration(d time.Duration) string {
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

package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"synscope/internal/ladder"
)

// defaultWidth is the width of the ladder where there is no terminal.
const defaultWidth = 100

// terminal returns the terminal that a reader or a writer is, or nil.
func terminal(stream any) *os.File {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// textWidth returns how many columns there are to write to w.
func textWidth(w io.Writer) int {
	if f := terminal(w); f != nil {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return min(width, 160)
		}
	}
	return defaultWidth
}

// ladderOptions says how to draw for w: with colour and line-drawing characters
// on a terminal that has them, in plain ASCII everywhere else.
func ladderOptions(w io.Writer, explain bool) ladder.Options {
	fancy := terminal(w) != nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return ladder.Options{
		Width:   textWidth(w),
		Color:   fancy,
		Unicode: fancy && utf8Locale(),
		Explain: explain,
	}
}

func utf8Locale() bool {
	for _, k := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(k); v != "" {
			v = strings.ToUpper(v)
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

package ladder

import "synscope/internal/typeset"

// A style is how a piece of text looks when colours are used.
type style uint8

const (
	plain    style = iota
	faint          // lifelines, labels, explanations
	strong         // headings, names of messages
	cliently       // what the client sent
	serverly       // what the server sent
	stateTCP       // a state of RFC 9293
	stateTLS       // a state of the TLS handshake
	warning        // what stands out: retransmissions, drops, faults, gaps
	failure        // the finding
	good           // an established session
)

// sgr are the parameters of the ANSI sequence "select graphic rendition".
var sgr = [...]string{
	faint: "2", strong: "1", cliently: "36", serverly: "35", stateTCP: "34", stateTLS: "33", warning: "31", failure: "1;31", good: "32",
}

// A span is escaped text of one style.
type span struct {
	text  string
	style style
}

// A line is what stands in one row, or a part of it.
type line []span

func (l line) columns() int {
	n := 0
	for _, s := range l {
		n += typeset.Columns(s.text)
	}
	return n
}

func text(s string) line                   { return line{{s, plain}} }
func styled(s string, st style) line       { return line{{s, st}} }
func (l line) add(s string, st style) line { return append(l, span{s, st}) }

// cut returns at most n columns of the line.
func (l line) cut(n int) line {
	var c line
	for _, s := range l {
		w := typeset.Columns(s.text)
		if w > n {
			return append(c, span{typeset.Cut(s.text, n), s.style})
		}
		c = append(c, s)
		n -= w
	}
	return c
}

// glyphs are the characters that lines and arrows are drawn with, each one
// column wide.
type glyphs struct {
	life        string // a lifeline
	fromClient  string // where an arrow leaves the client's lifeline
	fromServer  string
	dash, dot   string // shafts: of a segment, of a plain acknowledgement
	double      string // of folded segments
	right, left string // heads
	lost        string // a head that does not arrive
	bar         string // a column of the footer's bars
	ellipsis    string
	quote       string // before an explanation
}

var (
	asciiGlyphs   = glyphs{"|", "|", "|", "-", ".", "=", ">", "<", "X", "#", "..", ":"}
	unicodeGlyphs = glyphs{"│", "├", "┤", "─", "┄", "═", "▶", "◀", "✗", "█", "…", "┊"}
)

package event

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

//go:generate go run ../internal/jsongen

// Encoding an event is on the path of every packet, so it does without
// reflection. For each type that is encoded as an object, the _gen.go files have a
// method appendFields, made from the type's json tags; below is what the fields
// consist of. The result is what encoding/json gives, byte for byte.

// AppendJSON appends the event to b as MarshalJSON encodes it, and returns the
// extended buffer. It allocates nothing but what b has no room for, and a few
// bytes for code points that are not registered.
func (e *Event) AppendJSON(b []byte) []byte {
	h := header{e.Time, int64(e.T), e.Conn, e.N, e.Kind(), e.View, e.From.String()}
	start := len(b)
	b = e.Body.appendFields(h.appendFields(b))
	return closeObject(b, start)
}

// closeObject makes an object of the fields that were appended from start on,
// each with a comma before it.
func closeObject(b []byte, start int) []byte {
	if len(b) == start {
		return append(b, "{}"...)
	}
	b[start] = '{'
	return append(b, '}')
}

// appendObject appends the object that x points to.
func appendObject[T any, P interface {
	*T
	appendFields([]byte) []byte
}](b []byte, x P) []byte {
	return closeObject(x.appendFields(b), len(b))
}

// appendList appends a list, with one for each element.
func appendList[E any](b []byte, list []E, one func([]byte, *E) []byte) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &list[i])
	}
	return append(b, ']')
}

// appendTime appends a time as RFC 3339 writes it, or null where it has no way
// to: for a year of more than four digits, or an offset of a day.
func appendTime(b []byte, t time.Time) []byte {
	text, err := t.AppendText(append(b, '"'))
	if err != nil {
		return append(b, "null"...)
	}
	return append(text, '"')
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	if zone := a.Addr().Zone(); zone != "" { // any text
		text, _ := a.MarshalText() // it never fails
		return appendString(b, string(text))
	}
	b, _ = a.AppendText(append(b, '"'))
	return append(b, '"')
}

func (h Hex) appendJSON(b []byte) []byte {
	return append(hex.AppendEncode(append(b, '"'), h), '"')
}

func (c Codes) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, v := range c {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return append(b, ']')
}

func (f Flags) appendJSON(b []byte) []byte {
	b = append(b, '[')
	first := true
	for _, x := range flagNames {
		if f&x.f == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, x.name...)
		b = append(b, '"')
	}
	return append(b, ']')
}

// verbatim says which bytes stand for themselves in a string: as in
// encoding/json, not those that mean something to HTML.
var verbatim = func() (t [utf8.RuneSelf]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		switch c {
		case '"', '\\', '<', '>', '&':
		default:
			t[c] = true
		}
	}
	return t
}()

// appendString appends s as a string. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // of what is not yet appended
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			if verbatim[s[i]] {
				i++
				continue
			}
			b = appendEscape(append(b, s[start:i]...), s[i])
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // ends a line in JavaScript
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

const hexDigits = "0123456789abcdef"

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

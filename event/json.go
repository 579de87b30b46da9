package event

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
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
	b = append(b, '"')
	n := t.Nanosecond()
	last := lastSecond.Load()
	if last == nil || last.unix != t.Unix() || last.zone != t.Location() {
		text, err := t.Truncate(time.Second).AppendText(make([]byte, 0, timeLen+len("+00:00")))
		if err != nil {
			return append(b[:len(b)-1], "null"...)
		}
		if n == 0 { // of a certificate: the second is not that of the events
			return append(append(b, text...), '"')
		}
		last = &second{unix: t.Unix(), zone: t.Location(), date: string(text[:timeLen]), offset: string(text[timeLen:])}
		lastSecond.Store(last)
	}
	b = append(b, last.date...)
	if n != 0 {
		b = append(b, '.')
		for unit := 100_000_000; n > 0; unit /= 10 {
			b = append(b, byte('0'+n/unit))
			n %= unit
		}
	}
	b = append(b, last.offset...)
	return append(b, '"')
}

// A second is one that was written, for the many events that it has. It is not
// changed.
type second struct {
	unix         int64
	zone         *time.Location
	date, offset string // what is before the fraction, and after it
}

var lastSecond atomic.Pointer[second]

// timeLen is the length of a time of RFC 3339 without fraction and offset.
const timeLen = len("2006-01-02T15:04:05")

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
// encoding/json, not those that mean something to HTML, nor the bytes of
// characters beyond ASCII, which are to be looked at.
var verbatim = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

// appendName appends the text of a value that encodes itself as text, all of which
// stands for itself: it is a name of ours or of a registry, or a number.
func appendName(b []byte, name string) []byte {
	return append(append(append(b, '"'), name...), '"')
}

// appendString appends s as a string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	i := 0
	for i < len(s) && verbatim[s[i]] {
		i++
	}
	b = append(b, s[:i]...)
	if i < len(s) {
		b = appendEscaped(b, s[i:])
	}
	return append(b, '"')
}

// appendEscaped appends s with what cannot stand for itself escaped. Bytes that
// are not UTF-8 become U+FFFD.
func appendEscaped(b []byte, s string) []byte {
	for i, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if verbatim[r] {
				b = append(b, byte(r))
			} else {
				b = appendEscape(b, byte(r))
			}
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // ends a line in JavaScript
			b = append(append(b, `\u202`...), hexDigits[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
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

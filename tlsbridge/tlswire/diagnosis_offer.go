package tlswire

import (
	"fmt"
	"slices"
	"strings"

	"synscope/event"
)

// most bounds how many values of a list a sentence names.
const most = 4

// listed names the values of a list, a bounded number of them.
func listed[T fmt.Stringer](vs []T) string {
	var names []string
	for i, v := range vs {
		if i == most {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(vs)-most)
		}
		names = append(names, v.String())
	}
	return strings.Join(names, ", ")
}

// word is a text of a peer's, for a sentence.
type word string

func (w word) String() string {
	const longest = 64
	if len(w) > longest {
		return strings.ToValidUTF8(string(w[:longest]), "") + "…"
	}
	return string(w)
}

func words(ss []string) []word {
	ws := make([]word, len(ss))
	for i, s := range ss {
		ws[i] = word(s)
	}
	return ws
}

// offered says of what a side refused what its peer had offered: all of it where
// the side does not say what it missed.
func (e *evidence) offered(side event.Side, code event.CauseCode) string {
	if side == event.Client {
		return e.chosen(code)
	}
	c := e.hello
	if c == nil {
		return ""
	}
	switch code {
	case event.CauseNoCommonVersion:
		return " (" + versions(c) + ")"
	case event.CauseNoCommonSuite:
		return ", which offers " + listed(suites(c))
	case event.CauseNoCommonGroup:
		return ", which offers " + listed(without(nil, c.SupportedGroups))
	case event.CauseNoCommonSignature:
		return ", which offers " + listed(without(nil, c.SignatureSchemes))
	case event.CauseNoCommonALPN:
		return ", which offers " + listed(words(c.ALPN))
	case event.CauseUnrecognizedName:
		return ", " + word(c.ServerName).String()
	case event.CauseNeedlessFallback:
		return ", which offers " + versions(c) + " only"
	case event.CauseNoCommonParameters, event.CauseTooWeak:
		return ", which offers " + all(c)
	}
	return ""
}

// versions are those that a ClientHello offers.
func versions(c *event.ClientHello) string {
	if vs := without(nil, c.SupportedVersions); len(vs) > 0 {
		return listed(vs)
	}
	return c.LegacyVersion.String() + " and older"
}

// suites are the cipher suites that a ClientHello offers: not those values that
// only signal something (RFC 5746, section 3.3; RFC 7507, section 2).
func suites(c *event.ClientHello) []event.CipherSuite {
	const emptyRenegotiationInfo, fallback event.CipherSuite = 0x00ff, 0x5600
	return slices.DeleteFunc(without(nil, c.CipherSuites), func(s event.CipherSuite) bool {
		return s == emptyRenegotiationInfo || s == fallback
	})
}

// all is everything of a ClientHello that a server may find nothing in.
func all(c *event.ClientHello) string {
	parts := []string{
		versions(c), some(suites(c), "cipher suite"), some(without(nil, c.SupportedGroups), "group"),
		some(without(nil, c.SignatureSchemes), "signature scheme"),
	}
	if c.ServerName == "" {
		parts = append(parts, "no server name")
	}
	return strings.Join(parts, "; ")
}

// some names the values of a short list, and counts those of a long one.
func some[T fmt.Stringer](vs []T, noun string) string {
	switch len(vs) {
	case 0:
		return "no " + noun
	case 1:
		return noun + " " + vs[0].String()
	case 2:
		return noun + "s " + listed(vs)
	}
	return fmt.Sprintf("%d %ss", len(vs), noun)
}

// chosen says of what a client refused what the server had chosen.
func (e *evidence) chosen(code event.CauseCode) string {
	if e.answer == nil {
		return ""
	}
	switch code {
	case event.CauseNoCommonVersion:
		return " (it chose " + e.answer.Version.String() + ")"
	case event.CauseNoCommonParameters, event.CauseTooWeak:
		s := ", which chose " + e.answer.Version.String() + ", " + e.answer.CipherSuite.String()
		if e.answer.Group != 0 {
			s += ", " + e.answer.Group.String()
		}
		return s
	}
	return ""
}

package tlsbridge

import (
	"crypto/tls"
	"slices"
	"strings"

	"synscope/event"
)

// maxAccepts bounds how many values are told.
const maxAccepts = 6

// accepts says what would have been accepted where nothing that the client offers
// was, as tlswire.Endpoint has it: by the error of crypto/tls. It returns "" for
// other errors, and where the configuration leaves the choice to crypto/tls.
func (h *handshake) accepts(err error) string {
	if h.config == nil {
		return ""
	}
	c, text := h.config, err.Error()
	switch {
	case strings.Contains(text, "client offered only unsupported versions"):
		return versionsFrom(c.MinVersion, c.MaxVersion)
	case strings.Contains(text, "no key exchanges supported by both client and server"):
		return namesOf("groups", c.CurvePreferences, groupName)
	case strings.Contains(text, "no cipher suite supported by both client and server"):
		// Before TLS 1.3 that is also what a missing group is called.
		common := func(g tls.CurveID) bool { return slices.Contains(c.CurvePreferences, g) }
		if c.CurvePreferences != nil && h.hello.SupportedCurves != nil && !slices.ContainsFunc(h.hello.SupportedCurves, common) {
			return namesOf("groups", c.CurvePreferences, groupName)
		}
		return namesOf("cipher suites", c.CipherSuites, func(s uint16) string { return event.CipherSuite(s).String() })
	case strings.Contains(text, "client requested unsupported application protocols"):
		return namesOf("application protocols", c.NextProtos, func(s string) string { return s })
	}
	return ""
}

func versionsFrom(lowest, highest uint16) string {
	if lowest == highest {
		return "versions " + tls.VersionName(lowest)
	}
	return "versions " + tls.VersionName(lowest) + " to " + tls.VersionName(highest)
}

func groupName(g tls.CurveID) string { return event.Group(g).String() }

// namesOf lists values behind a noun, "" if there are none.
func namesOf[T any](noun string, vs []T, name func(T) string) string {
	if len(vs) == 0 {
		return ""
	}
	var names []string
	for _, v := range vs[:min(len(vs), maxAccepts)] {
		names = append(names, name(v))
	}
	if len(vs) > maxAccepts {
		names = append(names, "and others")
	}
	return noun + " " + strings.Join(names, ", ")
}

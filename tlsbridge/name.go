package tlsbridge

import (
	"fmt"
	"net/netip"
	"strings"
)

const (
	maxName  = 253 // characters of a host name: 255 octets on the wire (RFC 1035, section 2.3.4)
	maxLabel = 63
)

// A NameError says why there can be no certificate for a name.
type NameError struct {
	Name   string
	Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%q is not a host name: %s", bounded(e.Name), e.Reason)
}

// parseName takes a host name or IP address from a client or a user. It returns
// the address, or the zero Addr for a host name, and the canonical text.
func parseName(name string) (netip.Addr, string, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr.Zone() != "" {
			return netip.Addr{}, "", &NameError{name, "an address with a zone is known on one machine only"}
		}
		addr = addr.Unmap()
		return addr, addr.String(), nil
	}
	if reason := checkHostName(name); reason != "" {
		return netip.Addr{}, "", &NameError{name, reason}
	}
	return netip.Addr{}, strings.ToLower(name), nil
}

// checkHostName returns what is wrong with a name by the rules of RFC 1123,
// section 2.1, or "". Underscores are allowed, as resolvers and clients do.
func checkHostName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > maxName:
		return fmt.Sprintf("%d characters, more than %d", len(name), maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "a label is empty"
		case len(label) > maxLabel:
			return fmt.Sprintf("a label of %d characters, more than %d", len(label), maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return "a label begins or ends with a hyphen"
		}
		if i := strings.IndexFunc(label, notHostChar); i >= 0 {
			return fmt.Sprintf("character %q", []rune(label[i:])[0])
		}
	}
	return ""
}

func notHostChar(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_':
		return false
	}
	return true
}

package tlswire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"synscope/event"
)

// A flaw is something wrong with a certificate that everybody can see.
type flaw struct {
	code event.CauseCode
	what string // after "the certificate"
}

// flaws returns those of the chain that a side sent, at a time.
func (e *evidence) flaws(side event.Side, at time.Time) []flaw {
	name := ""
	if side == event.Server && e.hello != nil && e.hello.ECH == "" {
		name = e.hello.ServerName
	}
	return flaws(e.chain[side], name, at)
}

// Doubt says, of a client that has sent nothing since the handshake, what is
// visibly wrong with the certificate that it accepted in it, to go on "which"; ""
// if nothing is. Some clients judge it only then.
func (d *Decoder) Doubt() string {
	if !d.established || d.half(event.Client).app.Records > 0 {
		return ""
	}
	return sentence(d.seen.flaws(event.Server, d.end.Time))
}

// flaws judges a chain that is to be for a name; "" is one that is not known. It
// says nothing of what could not be parsed.
func flaws(chain []event.X509, name string, at time.Time) []flaw {
	if len(chain) == 0 || chain[0].Malformed != "" {
		return nil
	}
	var fs []flaw
	for i := range chain {
		if f, ok := outOfDate(&chain[i], i, at); ok {
			fs = append(fs, f)
		}
	}
	leaf := &chain[0]
	if names := mismatch(leaf, name); names != "" {
		fs = append(fs, flaw{event.CauseWrongName, fmt.Sprintf("is for %s, and the client asked for %s", names, word(name))})
	}
	if leaf.SelfSigned {
		fs = append(fs, flaw{event.CauseSelfSigned, "is self-signed"})
	} else if len(chain) > 1 && !slices.ContainsFunc(chain[1:], func(x event.X509) bool { return x.Malformed != "" || x.Subject == leaf.Issuer }) {
		fs = append(fs, flaw{event.CauseIncompleteChain, fmt.Sprintf("was sent without that of its issuer, %s", word(leaf.Issuer))})
	}
	for i := range chain {
		if f, ok := weak(&chain[i]); ok {
			fs = append(fs, f)
			break
		}
	}
	return fs
}

// outOfDate judges the validity of the certificate at place i of a chain.
func outOfDate(x *event.X509, i int, at time.Time) (flaw, bool) {
	which := ""
	if i > 0 {
		which = fmt.Sprintf("comes with one of %s, which ", word(x.Subject))
	}
	const minute = "2006-01-02 15:04 UTC"
	switch {
	case x.Malformed != "" || at.IsZero():
	case at.After(x.NotAfter):
		return flaw{event.CauseExpired, which + "expired on " + x.NotAfter.UTC().Format(minute)}, true
	case at.Before(x.NotBefore):
		return flaw{event.CauseNotYetValid, which + "is not valid before " + x.NotBefore.UTC().Format(minute)}, true
	}
	return flaw{}, false
}

// mismatch returns the names of a certificate if none is the name asked for.
func mismatch(leaf *event.X509, name string) string {
	if name == "" || len(leaf.Names) > maxNames { // not all of them are known
		return ""
	}
	for _, n := range leaf.Names {
		if matches(n, name) {
			return ""
		}
	}
	if len(leaf.Names) == 0 {
		return "no name (its subject is not looked at)"
	}
	return listed(words(leaf.Names))
}

// matches compares a name of a certificate with the one asked for, as RFC 9525,
// section 6.3, does: a wildcard stands for one label, the first.
func matches(pattern, name string) bool {
	name = strings.TrimSuffix(name, ".")
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		_, parent, found := strings.Cut(name, ".")
		return found && strings.EqualFold(rest, parent)
	}
	return strings.EqualFold(strings.TrimSuffix(pattern, "."), name)
}

// weak judges key and signature by what clients commonly refuse. The signature of
// a root is not looked at by anybody.
func weak(x *event.X509) (flaw, bool) {
	length, rsa := strings.CutPrefix(x.PublicKey, "RSA ")
	if bits, err := strconv.Atoi(length); rsa && err == nil && bits < 2048 {
		return flaw{event.CauseWeakCertificate, "has a key of " + x.PublicKey + " bits"}, true
	}
	if !x.SelfSigned && (strings.Contains(x.Signature, "SHA1") || strings.Contains(x.Signature, "MD5")) {
		return flaw{event.CauseWeakCertificate, "is signed with " + x.Signature}, true
	}
	return flaw{}, false
}

// sentence joins flaws.
func sentence(fs []flaw) string {
	var ss []string
	for _, f := range fs {
		ss = append(ss, f.what)
	}
	return strings.Join(ss, ", and ")
}

// refused says why a side refused its peer's certificate, as far as the alert and
// the certificate tell. Many clients send one alert for everything.
func (e *evidence) refused(end ending, code event.CauseCode) (event.CauseCode, string) {
	chain := e.chain[end.side.Peer()]
	all := e.flaws(end.side.Peer(), end.at)
	fs := slices.Clone(all)
	if only := explains[code]; only != nil {
		fs = slices.DeleteFunc(fs, func(f flaw) bool { return !slices.Contains(only, f.code) })
	}
	switch {
	case len(fs) == 1, len(fs) > 1 && explains[code] != nil:
		return fs[0].code, ", which " + sentence(fs)
	case len(fs) > 1:
		return code, ", which " + sentence(fs)
	case len(chain) == 0 || chain[0].Malformed != "":
		return code, ""
	}
	last := &chain[len(chain)-1]
	switch code {
	case event.CauseUntrustedAuthority:
		return code, untrusted(chain)
	case event.CauseExpired:
		return code, fmt.Sprintf(", which is valid from %s to %s: its clock is wrong, or another certificate of its chain is meant",
			last.NotBefore.UTC().Format(time.DateOnly), last.NotAfter.UTC().Format(time.DateOnly))
	case event.CauseUnsupportedCert:
		return code, fmt.Sprintf(" (%s, signed with %s)", chain[0].PublicKey, chain[0].Signature)
	case event.CauseCertificateRefused:
		return code, fmt.Sprintf(", in which nothing visible is wrong: it does not trust the issuer, %s, or has a reason of its own", word(last.Issuer))
	}
	return code, ""
}

// explains are the flaws that an alert is for; nil: any.
var explains = map[event.CauseCode][]event.CauseCode{
	event.CauseUntrustedAuthority: {event.CauseSelfSigned, event.CauseIncompleteChain},
	event.CauseExpired:            {event.CauseExpired, event.CauseNotYetValid},
	event.CauseUnsupportedCert:    {event.CauseWeakCertificate},
	event.CauseRevoked:            {},
	event.CauseBadOCSP:            {},
	event.CauseAccessDenied:       {},
}

// untrusted says whom an authority that is not trusted may be.
func untrusted(chain []event.X509) string {
	last := &chain[len(chain)-1]
	issuer := word(last.Issuer)
	switch {
	case last.SelfSigned && len(chain) > 1:
		return fmt.Sprintf(", whose root, %s, it does not trust", issuer)
	case len(chain) == 1:
		return fmt.Sprintf(": it does not trust the issuer, %s, or misses an intermediate certificate, which was not sent", issuer)
	}
	return fmt.Sprintf(", whose chain ends with the issuer %s, which it does not trust", issuer)
}

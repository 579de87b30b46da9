package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"synscope/event"
)

// maxNamed bounds how many values a sentence names.
const maxNamed = 4

// servers says if the connections were not to the same server.
func servers(a, b party) []string {
	if a.Server == b.Server && a.TLS.ServerName == b.TLS.ServerName {
		return nil
	}
	who := func(p party) string {
		name := cmp.Or(p.TLS.ServerName, "no name")
		if p.Server.IsValid() {
			name += " (" + p.Server.String() + ")"
		}
		return name
	}
	return []string{fmt.Sprintf("%s asked for %s, %s for %s", a.as, who(a), b.as, who(b))}
}

// missing reports whether the client of bad does not offer what good agreed on
// under a name, and returns that and what it offers.
func missing(r *Report, good, bad party, name string) (chosen string, offered []string, is bool) {
	f := r.field("agreed", name)
	values := f.A
	if good.as == "B" {
		values = f.B
	}
	h := bad.hello
	if h == nil || len(values) == 0 {
		return "", nil, false
	}
	switch name {
	case "version":
		if len(h.SupportedVersions) == 0 && good.serverHello.Version <= h.LegacyVersion {
			return "", nil, false
		}
		offered = bad.versions()
	case "cipher_suite":
		offered = names(h.CipherSuites)
	case "group":
		offered = names(h.SupportedGroups)
	case "signature_scheme":
		offered = names(h.SignatureSchemes)
	case "alpn":
		offered = texts(h.ALPN)
	default:
		return "", nil, false
	}
	return values[0], offered, !slices.Contains(offered, values[0])
}

// lacks says that bad does not offer what good agreed on, as the end of a
// sentence that names it.
func lacks(r *Report, good, bad party, name string) string {
	if chosen, _, is := missing(r, good, bad, name); is {
		return fmt.Sprintf("; %s does not offer %s", bad.as, chosen)
	}
	return ""
}

// parameters are what a server chooses of what a client offers.
var parameters = []string{"version", "cipher_suite", "group", "signature_scheme"}

// notOffered says what bad does not offer of what good agreed on.
func notOffered(r *Report, good, bad party, names ...string) []string {
	var evidence []string
	for _, name := range names {
		if chosen, offered, is := missing(r, good, bad, name); is {
			evidence = append(evidence, fmt.Sprintf("with %s the server chose %s %s, which %s does not offer; it offers %s",
				good.as, label(name), chosen, bad.as, several(offered)))
		}
	}
	return evidence
}

// serverCertificates says whether both clients got the same certificate.
func serverCertificates(r *Report, good, bad party) []string {
	g, b := good.leaf(event.Server), bad.leaf(event.Server)
	switch {
	case b == nil:
		return nil
	case g == nil && good.resumed():
		return []string{fmt.Sprintf("%s resumed a session, and so got no certificate", good.as)}
	case g == nil:
		return nil
	case len(g.SHA256) > 0 && slices.Equal(g.SHA256, b.SHA256) && !r.field("certificate", "server_chain").Differs():
		return []string{fmt.Sprintf("both got the same certificate, of %s, issued by %s, and the client of %s went on with it: "+
			"what differs is what the two clients accept", subject(b), b.Issuer, good.as)}
	}
	var evidence []string
	for _, name := range []string{"subject", "names", "issuer", "not_before", "not_after", "public_key", "signature", "chain"} {
		if f := r.field("certificate", "server_"+name); f.Differs() {
			evidence = append(evidence, fmt.Sprintf("their certificates differ, %s: %s in A, %s in B", label(name), orNone(f.A), orNone(f.B)))
		}
	}
	if evidence == nil {
		return []string{"they got different certificates that say the same"}
	}
	return evidence
}

func subject(x *event.X509) string {
	if len(x.Names) > 0 {
		return x.Names[0]
	}
	return x.Subject
}

// clientCertificates says which of the clients gave one, if they were asked.
func clientCertificates(good, bad party) []string {
	g, b := good.leaf(event.Client), bad.leaf(event.Client)
	switch {
	case good.request == nil && bad.request == nil:
		return nil
	case g != nil && b == nil:
		return []string{fmt.Sprintf("the client of %s gave a certificate, that of %s none", good.as, bad.as)}
	case g != nil && b != nil:
		return []string{fmt.Sprintf("the client of %s gave the certificate of %s, issued by %s; that of %s the one of %s, issued by %s",
			good.as, subject(g), g.Issuer, bad.as, subject(b), b.Issuer)}
	}
	return nil
}

// helloLists says how lists of the ClientHello differ.
func helloLists(r *Report, good string, lists ...string) []string {
	var evidence []string
	for _, name := range lists {
		f := r.field("client_hello", name)
		for _, only := range []struct {
			as     string
			values []string
		}{{"A", f.OnlyA}, {"B", f.OnlyB}} {
			if len(only.values) > 0 {
				evidence = append(evidence, fmt.Sprintf("%s that only %s offers: %s", label(name), only.as, several(only.values)))
			}
		}
		if f.Reordered && len(evidence) == 0 {
			evidence = append(evidence, label(name)+" are the same, in another order")
		}
	}
	if good == "B" {
		slices.Reverse(evidence)
	}
	return evidence
}

// several names some values, and counts the rest.
func several(vs []string) string {
	if len(vs) <= maxNamed {
		return orNone(vs)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(vs[:maxNamed], ", "), len(vs)-maxNamed)
}

func orNone(vs []string) string {
	if len(vs) == 0 {
		return "none"
	}
	return strings.Join(vs, ", ")
}

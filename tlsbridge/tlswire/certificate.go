package tlswire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/crypto/cryptobyte"

	"synscope/event"
)

const (
	maxCertificates = 32   // parsed of a chain; further ones have a length only
	maxNames        = 64   // of a certificate, and authorities of a request
	maxName         = 1024 // bytes of one of those
	maxDER          = 4096 // bytes of a distinguished name that is spelled: that takes the square of them
)

// parseCertificate parses RFC 8446, section 4.4.2, and RFC 5246, section 7.4.2.
func (c messageContext) parseCertificate(s *cryptobyte.String) (*event.Certificate, error) {
	m := &event.Certificate{Chain: []event.X509{}}
	var context, list cryptobyte.String
	if c.is13() {
		if !s.ReadUint8LengthPrefixed(&context) {
			return nil, truncated("certificate_request_context")
		}
		m.Context = bytes.Clone(context)
	}
	if !s.ReadUint24LengthPrefixed(&list) {
		return nil, truncated("certificate_list")
	}
	for !list.Empty() {
		var der cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) {
			return nil, truncated("certificate")
		}
		x := event.X509{Len: len(der), Malformed: fmt.Sprintf("not parsed: only the first %d certificates are", maxCertificates)}
		if len(m.Chain) < maxCertificates {
			x = summarize(der)
		}
		if c.is13() {
			var err error
			if x.OCSP, err = readEntryExtensions(&list); err != nil {
				return nil, err
			}
		}
		m.Chain = append(m.Chain, x)
	}
	return m, nil
}

// readEntryExtensions reads the extensions of a CertificateEntry and returns
// the length of the stapled OCSP response.
func readEntryExtensions(s *cryptobyte.String) (ocsp int, err error) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return 0, truncated("certificate extensions")
	}
	_, err = readExtensions(list, func(id event.Extension, s *cryptobyte.String) bool {
		if id != extStatusRequest {
			return skip(s)
		}
		status, err := parseCertificateStatus(s)
		if err != nil {
			return false
		}
		ocsp = status.Len
		return s.Empty()
	})
	return ocsp, err
}

// summaries are those of certificates met before: a server shows the same ones
// again and again, and parsing them is a good part of decoding a handshake.
var summaries = summaryCache{entries: make(map[[sha256.Size]byte]event.X509)}

// A summaryCache keeps summaries by the hash of the certificate. It is safe for
// concurrent use.
type summaryCache struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]event.X509
}

// The bounds of a summaryCache, 16 MB in all. A longer certificate is parsed
// each time.
const (
	maxSummaries  = 1024
	maxSummarized = 4 << 10 // bytes of a certificate; those of its summary are not many more
)

func (c *summaryCache) get(hash [sha256.Size]byte) (event.X509, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, ok := c.entries[hash]
	return x, ok
}

// put keeps a summary, in the place of any other where there are too many.
func (c *summaryCache) put(hash [sha256.Size]byte, x event.X509) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= maxSummaries {
		for other := range c.entries {
			delete(c.entries, other)
			break
		}
	}
	c.entries[hash] = x
}

// summarize tells what a person wants to know of a certificate.
func summarize(der []byte) event.X509 {
	hash := sha256.Sum256(der)
	x, ok := summaries.get(hash)
	if !ok {
		x = parseSummary(der)
		x.SHA256 = hash[:]
		if len(der) <= maxSummarized {
			summaries.put(hash, x)
		}
	}
	return x
}

// parseSummary is summarize without the hash.
func parseSummary(der []byte) event.X509 {
	x := event.X509{Len: len(der)}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		x.Malformed = clip(err.Error())
		return x
	}
	x.Subject, x.Issuer = spell(cert.RawSubject, &cert.Subject), spell(cert.RawIssuer, &cert.Issuer)
	x.NotBefore, x.NotAfter = cert.NotBefore, cert.NotAfter
	x.PublicKey = publicKey(cert)
	x.Signature = cert.SignatureAlgorithm.String()
	x.CA = cert.BasicConstraintsValid && cert.IsCA
	x.SelfSigned = bytes.Equal(cert.RawSubject, cert.RawIssuer)
	for _, n := range cert.DNSNames {
		x.Names = append(x.Names, clip(n))
	}
	for _, ip := range cert.IPAddresses {
		x.Names = append(x.Names, ip.String())
	}
	x.Names = clipList(x.Names)
	return x
}

func publicKey(cert *x509.Certificate) string {
	switch k := cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	if cert.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		return cert.PublicKeyAlgorithm.String()
	}
	return "unknown"
}

// clip bounds a name, and shows where it was cut.
func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "") + "…"
}

// clipList bounds a list of names, and says how many more there are.
func clipList(names []string) []string {
	if n := len(names) - maxNames; n > 0 {
		return append(names[:maxNames:maxNames], fmt.Sprintf("and %d more", n))
	}
	return names
}

// parseCertificateRequest parses RFC 8446, section 4.3.2, and RFC 5246, section
// 7.4.4.
func (c messageContext) parseCertificateRequest(s *cryptobyte.String) (*event.CertificateRequest, error) {
	r := new(event.CertificateRequest)
	if c.is13() {
		return r, parseCertificateRequest13(r, s)
	}
	var types, authorities cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&types) {
		return nil, truncated("certificate_types")
	}
	r.Types = bytes.Clone(types)
	if c.version >= event.VersionTLS12 {
		var list cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&list) || !readUint16s(list, &r.SignatureSchemes) {
			return nil, truncated("supported_signature_algorithms")
		}
	}
	if !s.ReadUint16LengthPrefixed(&authorities) || !readAuthorities(authorities, &r.Authorities) {
		return nil, truncated("certificate_authorities")
	}
	return r, nil
}

func parseCertificateRequest13(r *event.CertificateRequest, s *cryptobyte.String) (err error) {
	var context, list cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&context) || !s.ReadUint16LengthPrefixed(&list) {
		return truncated("extensions")
	}
	r.Context = bytes.Clone(context)
	r.Extensions, err = readExtensions(list, func(id event.Extension, s *cryptobyte.String) bool {
		switch id {
		case extSignatureAlgorithms:
			return readList16(s, &r.SignatureSchemes)
		case extAuthorities:
			var names cryptobyte.String
			return s.ReadUint16LengthPrefixed(&names) && readAuthorities(names, &r.Authorities) && s.Empty()
		}
		return skip(s)
	})
	return err
}

// readAuthorities reads distinguished names. One that is no name is told as such.
func readAuthorities(list cryptobyte.String, out *[]string) bool {
	for !list.Empty() {
		var der cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&der) {
			return false
		}
		if len(*out) >= maxNames { // counted by clipList
			*out = append(*out, "")
			continue
		}
		*out = append(*out, distinguishedName(der))
	}
	*out = clipList(*out)
	return true
}

func distinguishedName(der []byte) string {
	var name pkix.Name
	if len(der) <= maxDER {
		var sequence pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
			return fmt.Sprintf("malformed name of %d bytes", len(der))
		}
		name.FillFromRDNSequence(&sequence)
	}
	return spell(der, &name)
}

// spell returns a distinguished name as text, if it is not too long.
func spell(der []byte, name *pkix.Name) string {
	if len(der) > maxDER {
		return fmt.Sprintf("name of %d bytes", len(der))
	}
	return clip(name.String())
}

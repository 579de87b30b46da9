package tlsbridge

import (
	"container/list"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// A KeyType is the type of the key in a minted certificate.
type KeyType uint8

const (
	ECDSA KeyType = iota // on the curve P-256
	RSA                  // of 2048 bits
)

func (k KeyType) String() string {
	switch k {
	case ECDSA:
		return "ECDSA P-256"
	case RSA:
		return "RSA 2048"
	}
	return strconv.Itoa(int(k))
}

const (
	// maxLeaves bounds the certificates kept: about 2 MB. Above it, the one
	// unused for longest is forgotten, and minted again (80 µs) when needed.
	maxLeaves = 1024

	leafLifetime = 30 * 24 * time.Hour
	// leafMargin is how long before its end a kept certificate is minted anew.
	leafMargin = 24 * time.Hour

	// maxCommonName is ub-common-name of RFC 5280, appendix A.1.
	maxCommonName = 64
)

// Leaf returns a certificate for name, which is a host name or an IP address,
// minted now or earlier. All certificates of a key type share one key, made
// for this process. The certificate must not be changed.
//
// An error of a name that no certificate can be for is a [NameError].
func (a *Authority) Leaf(name string, key KeyType) (*tls.Certificate, error) {
	addr, canonical, err := parseName(name)
	if err != nil {
		return nil, err
	}
	id := leafID{name: canonical, key: key}
	now := a.now()
	if cert := a.leaves.get(id); cert != nil && now.Before(cert.Leaf.NotAfter.Add(-leafMargin)) {
		return cert, nil
	}
	cert, err := a.mint(addr, canonical, key, now)
	if err != nil {
		return nil, fmt.Errorf("tlsbridge: minting a certificate for %s: %w", canonical, err)
	}
	a.leaves.put(id, cert)
	return cert, nil
}

func (a *Authority) mint(addr netip.Addr, name string, kind KeyType, now time.Time) (*tls.Certificate, error) {
	key, err := a.keys.of(kind)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{Organization: []string{"synscope"}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if kind == RSA {
		template.KeyUsage |= x509.KeyUsageKeyEncipherment // RSA key exchange
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if len(name) <= maxCommonName {
		template.Subject.CommonName = name
	}
	if addr.IsValid() {
		template.IPAddresses = []net.IP{addr.AsSlice()}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// leafKeys are the keys that all leaf certificates of a type share.
type leafKeys struct {
	ecdsa    *ecdsa.PrivateKey
	stranger *ecdsa.PrivateKey               // of an authority that nobody trusts
	rsa      func() (*rsa.PrivateKey, error) // made when first needed: it takes about 0.1 s
}

func newLeafKeys() (*leafKeys, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the leaf certificates: %w", err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of no authority: %w", err)
	}
	return &leafKeys{ecdsa: key, stranger: stranger, rsa: sync.OnceValues(func() (*rsa.PrivateKey, error) {
		return rsa.GenerateKey(rand.Reader, 2048)
	})}, nil
}

func (k *leafKeys) of(kind KeyType) (crypto.Signer, error) {
	switch kind {
	case ECDSA:
		return k.ecdsa, nil
	case RSA:
		return k.rsa()
	}
	return nil, fmt.Errorf("unknown key type %d", kind)
}

// A leafID is what a certificate was minted for: a name, or the likeness of a
// real certificate.
type leafID struct {
	name string
	key  KeyType

	real   [sha256.Size]byte // of the real certificate
	judged judgement
	sent   int // how many certificates came with it, and it
}

// A leafCache holds the certificates used last.
type leafCache struct {
	max int

	mu   sync.Mutex
	uses *list.List // of *leafUse, the latest first
	byID map[leafID]*list.Element
}

type leafUse struct {
	id   leafID
	cert *tls.Certificate
}

func newLeafCache(max int) *leafCache {
	return &leafCache{max: max, uses: list.New(), byID: make(map[leafID]*list.Element)}
}

func (c *leafCache) get(id leafID) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil
	}
	c.uses.MoveToFront(e)
	return e.Value.(*leafUse).cert
}

func (c *leafCache) put(id leafID, cert *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		e.Value.(*leafUse).cert = cert
		c.uses.MoveToFront(e)
		return
	}
	c.byID[id] = c.uses.PushFront(&leafUse{id, cert})
	if c.uses.Len() > c.max {
		oldest := c.uses.Remove(c.uses.Back()).(*leafUse)
		delete(c.byID, oldest.id)
	}
}

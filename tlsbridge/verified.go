package tlsbridge

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// maxVerified bounds the chains that are remembered. Above it all are forgotten,
// and verified again (some 100 µs) when needed.
const maxVerified = 1024

// A verifiedChains remembers the chains of destinations that led to a root, up to
// when they do: a client asks the same few destinations again and again. The zero
// value is ready to use.
type verifiedChains struct {
	mu    sync.Mutex
	until map[chainID]time.Time
}

// A chainID is a chain, as it was sent, and the roots that it was verified by.
type chainID struct {
	sent  [sha256.Size]byte
	roots *x509.CertPool
}

// verify verifies the first certificate of a chain by the roots, nil for those of
// the system, at the time now. Its name is not looked at.
func (v *verifiedChains) verify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	id := chainID{sent: sumOf(chain), roots: roots}
	if v.knows(id, now) {
		return nil
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	paths, err := chain[0].Verify(opts)
	if err != nil {
		return err
	}
	v.add(id, firstEnd(paths[0]))
	return nil
}

func (v *verifiedChains) knows(id chainID, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !now.After(v.until[id])
}

func (v *verifiedChains) add(id chainID, until time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.until == nil || len(v.until) >= maxVerified {
		v.until = make(map[chainID]time.Time)
	}
	v.until[id] = until
}

// sumOf is the hash of certificates one after the other. Each says itself how
// long it is.
func sumOf(chain []*x509.Certificate) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range chain {
		h.Write(c.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

// firstEnd returns when the first of the certificates expires.
func firstEnd(certs []*x509.Certificate) time.Time {
	first := certs[0].NotAfter
	for _, c := range certs[1:] {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

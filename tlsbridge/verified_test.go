package tlsbridge

import (
	"crypto/x509"
	"testing"
	"time"
)

// A chain that was found good is good until the first of its certificates
// expires, that of the root included, and by no other roots.
func TestVerifiedChains(t *testing.T) {
	now := time.Now()
	root := issue(t, nil, asAuthority)
	short := issue(t, root, func(c *x509.Certificate) { asAuthority(c); c.NotAfter = now.Add(10 * time.Minute) })
	leaf := issue(t, short, func(*x509.Certificate) {})
	chain := []*x509.Certificate{leaf.Certificate, short.Certificate}
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root.Certificate)

	var v verifiedChains
	for _, step := range []struct {
		what  string
		chain []*x509.Certificate
		roots *x509.CertPool
		after time.Duration
		good  bool
		known int // chains, afterwards
	}{
		{"without its intermediate", chain[:1], roots, 0, false, 0},
		{"the whole chain", chain, roots, 0, true, 1},
		{"again", chain, roots, 0, true, 1},
		{"before the first expiry", chain, roots, 9 * time.Minute, true, 1},
		{"after it", chain, roots, 11 * time.Minute, false, 1},
		{"again in time", chain, roots, time.Minute, true, 1},
		{"by other roots", chain, others, 0, false, 1},
		{"without its intermediate, again", chain[:1], roots, 0, false, 1},
	} {
		err := v.verify(step.chain, step.roots, now.Add(step.after))
		if (err == nil) != step.good || len(v.until) != step.known {
			t.Errorf("%s: %v, %d known; want good: %v, %d", step.what, err, len(v.until), step.good, step.known)
		}
	}
}

// What is remembered is what need not be verified again, and it is bounded.
func TestVerifiedChainsRemember(t *testing.T) {
	leaf := issue(t, nil, func(*x509.Certificate) {})
	var v verifiedChains
	id := chainID{sent: sumOf([]*x509.Certificate{leaf.Certificate})}
	v.add(id, time.Now().Add(time.Minute))
	if err := v.verify([]*x509.Certificate{leaf.Certificate}, nil, time.Now()); err != nil {
		t.Errorf("what is known is verified again: %v", err)
	}
	for i := range 3 * maxVerified {
		v.add(chainID{sent: [32]byte{byte(i), byte(i >> 8)}}, time.Now())
		if len(v.until) > maxVerified {
			t.Fatalf("%d chains are remembered", len(v.until))
		}
	}
}

package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLeafIsValidForItsName(t *testing.T) {
	for _, name := range []string{
		"example.org", "a_b.example", "localhost", strings.Repeat("x", 63) + "." + strings.Repeat("y", 63) + ".example",
		"198.18.3.4", "2001:2::1", "::ffff:198.18.3.4",
	} {
		for _, key := range []KeyType{ECDSA, RSA} {
			cert, err := authority().Leaf(name, key)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimPrefix(name, "::ffff:")
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: want, Roots: roots()}); err != nil {
				t.Errorf("%s, %v: %v", name, key, err)
			}
			if got := keyName(cert.Leaf.PublicKey); !strings.HasPrefix(got, key.String()[:4]) {
				t.Errorf("%s: the key is %s, want %v", name, got, key)
			}
		}
	}
}

func TestLeafIsKept(t *testing.T) {
	a, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	mint := func(name string) *tls.Certificate {
		t.Helper()
		c, err := a.Leaf(name, ECDSA)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := mint("example.org")
	if mint("EXAMPLE.org") != first {
		t.Error("minted twice")
	}
	now := time.Now()
	a.now = func() time.Time { return now.Add(leafLifetime - leafMargin + time.Minute) }
	renewed := mint("example.org")
	if renewed == first || !renewed.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("not renewed before its end")
	}
	if mint("example.org") != renewed {
		t.Error("minted again after the renewal")
	}
	a.now = func() time.Time { return now.Add(rootLifetime - time.Hour) }
	if c := mint("late.example"); c.Leaf.NotAfter.After(a.cert.NotAfter) {
		t.Error("the leaf outlives its issuer")
	}
	if _, err := a.Leaf("example.org", 9); err == nil {
		t.Error("minted for an unknown type of key")
	}
}

func TestLeafCacheForgetsTheOldest(t *testing.T) {
	c := newLeafCache(3)
	name := func(i int) leafID { return leafID{name: fmt.Sprint(i)} }
	for i := range 3 {
		c.put(name(i), new(tls.Certificate))
	}
	c.get(name(0)) // now 1 is the one unused for longest
	c.put(name(3), new(tls.Certificate))
	for i, kept := range []bool{true, false, true, true} {
		if (c.get(name(i)) != nil) != kept {
			t.Errorf("%d is kept: %v, want %v", i, !kept, kept)
		}
	}
	for i := range 10 * maxLeaves {
		c.put(name(i), new(tls.Certificate))
	}
	if len(c.byID) != 3 || c.uses.Len() != 3 {
		t.Errorf("%d and %d kept, want 3", len(c.byID), c.uses.Len())
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("abcdefghi.", 25) + "abc" // 253 characters
	for name, reason := range map[string]string{
		"":                              "it is empty",
		".":                             "a label is empty",
		"example.org.":                  "a label is empty",
		"a..b":                          "a label is empty",
		"-a.example":                    "hyphen",
		"a-.example":                    "hyphen",
		strings.Repeat("x", 64) + ".ab": "a label of 64 characters",
		long:                            "",
		long + "d":                      "254 characters",
		"*.example":                     "character '*'",
		"exämple.org":                   "character 'ä'",
		"a\x00.example":                 `character '\x00'`,
		"\xff\xfe":                      "character",
		"a b":                           "character ' '",
		"[::1]":                         "character '['",
		"fe80::1%eth0":                  "zone",
		"xn--exmple-cua.org":            "",
		"1.2.3":                         "",
	} {
		_, _, err := parseName(name)
		var bad *NameError
		if reason == "" && err != nil || reason != "" && (!errors.As(err, &bad) || !strings.Contains(bad.Reason, reason)) {
			t.Errorf("%q: %v, want %q", name, err, reason)
		}
	}
}

// Whatever the name, a certificate that is minted for it verifies for it.
func FuzzName(f *testing.F) {
	for _, s := range []string{"example.org", "a_b", "198.18.0.1", "::ffff:1.2.3.4", "-", "x.-", "1e2", "0x7f.1", "EXAMPLE", "%", "fe80::1%x"} {
		f.Add(s)
	}
	a, pool := authority(), roots()
	f.Fuzz(func(t *testing.T, name string) {
		addr, canonical, err := parseName(name)
		if err != nil {
			if len(err.Error()) > 8*maxDetail {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if _, again, err := parseName(canonical); err != nil || again != canonical {
			t.Errorf("%q is %q, which is %q, %v", name, canonical, again, err)
		}
		cert, err := a.mint(addr, canonical, ECDSA, time.Now())
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: canonical, Roots: pool}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	})
}

package tlswire

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"testing"
)

// HKDF-Expand-Label is what crypto/hkdf makes of the same label, for both hashes of
// TLS 1.3.
func TestExpandLabel(t *testing.T) {
	for label, n := range map[string]int{"key": 16, "iv": nonceLen, "traffic upd": 32} {
		info := append([]byte{0, byte(n), byte(len("tls13 ") + len(label))}, "tls13 "+label...)
		info = append(info, 0) // no context
		for _, size := range []int{sha256.Size, sha512.Size384} {
			secret := bytes.Repeat([]byte{0xa5, 0x01, 0xff, 0x36}, size/4)
			want, err := hkdf.Expand(sha256.New, secret, string(info), n)
			if size == sha512.Size384 {
				want, err = hkdf.Expand(sha512.New384, secret, string(info), n)
			}
			got := make([]byte, n)
			expandLabel(got, secret, label)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q, a secret of %d bytes: %x, want %x, %v", label, size, got, want, err)
			}
		}
	}
}

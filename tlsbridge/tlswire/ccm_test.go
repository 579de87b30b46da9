package tlswire

import (
	"bytes"
	"crypto/aes"
	"testing"
)

// What node, on OpenSSL, seals with the key 00 01 … 0f and the
// nonce a0 a1 … ab.
func TestCCM(t *testing.T) {
	count := func(from byte, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = from + byte(i)
		}
		return b
	}
	block, err := aes.NewCipher(count(0, 16))
	if err != nil {
		t.Fatal(err)
	}
	nonce := count(0xa0, nonceLen)
	for _, test := range []struct {
		content, additional, tag int // lengths; content counts from 40, additional data from 20
		sealed                   string
	}{
		{0, 5, 16, "38fc11125382184b0d4a4dd57bf9f63d"},
		{1, 5, 8, "eee7d07a1f8919ee05"},
		{16, 13, 16, "eef22a92e17a8cc69a8f4ab6d67d97ac45741bdc3a0cad9245b724291a5d77d5"},
		{37, 0, 16, "eef22a92e17a8cc69a8f4ab6d67d97ac1ba67d9ae5de8c57d78e6a57f971b69a4c8e0a52c13a8ed80b556e12e3fb75d05f06b74f1e"},
	} {
		c := &ccm{block, test.tag}
		sealed, additional, want := unhex(t, test.sealed), count(0x20, test.additional), count(0x40, test.content)
		got, err := c.Open(make([]byte, 0, len(sealed)), nonce, sealed, additional)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, tag of %d: got %x, %v", test.content, test.tag, got, err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := c.Open(nil, nonce, sealed, additional); err != errAuth {
			t.Errorf("%d bytes, tag of %d, damaged: %v", test.content, test.tag, err)
		}
	}
	if _, err := (&ccm{block, 8}).Open(nil, nonce, make([]byte, 7), nil); err != errShort {
		t.Errorf("shorter than its tag: %v", err)
	}
}

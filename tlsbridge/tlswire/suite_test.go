package tlswire

import (
	"crypto/tls"
	"strings"
	"testing"

	"synscope/event"
)

func TestSuiteFromItsName(t *testing.T) {
	for _, test := range []struct {
		suite               event.CipherSuite
		kx, auth            string
		bulk                bulk
		keyLen, mac, hash   int // sizes
		certificate, params bool
	}{
		{0x1301, "", "", bulkGCM, 16, 0, 32, false, false},
		{0x1302, "", "", bulkGCM, 32, 0, 48, false, false},
		{0x1303, "", "", bulkChaCha20, 32, 0, 32, false, false},
		{0x1304, "", "", bulkCCM, 16, 0, 32, false, false},
		{0x1305, "", "", bulkCCM8, 16, 0, 32, false, false},
		{0xc02b, "ECDHE", "ECDSA", bulkGCM, 16, 0, 32, true, true},    // AES_128_GCM_SHA256
		{0xc030, "ECDHE", "RSA", bulkGCM, 32, 0, 48, true, true},      // AES_256_GCM_SHA384
		{0xcca8, "ECDHE", "RSA", bulkChaCha20, 32, 0, 32, true, true}, // CHACHA20_POLY1305_SHA256
		{0x002f, "RSA", "RSA", bulkAES, 16, 20, 32, true, false},      // AES_128_CBC_SHA
		{0xc028, "ECDHE", "RSA", bulkAES, 32, 48, 48, true, true},     // AES_256_CBC_SHA384
		{0x000a, "RSA", "RSA", bulk3DES, 24, 20, 32, true, false},     // 3DES_EDE_CBC_SHA
		{0x0009, "RSA", "RSA", bulkDES, 8, 20, 32, true, false},       // DES_CBC_SHA
		{0x0004, "RSA", "RSA", bulkRC4, 16, 16, 32, true, false},      // RC4_128_MD5
		{0x003b, "RSA", "RSA", bulkNull, 0, 32, 32, true, false},      // NULL_SHA256
		{0x0033, "DHE", "RSA", bulkAES, 16, 20, 32, true, true},       // AES_128_CBC_SHA
		{0x0034, "DH", "anon", bulkAES, 16, 20, 32, false, true},      // AES_128_CBC_SHA
		{0xc004, "ECDH", "ECDSA", bulkAES, 16, 20, 32, true, false},   // static
		{0x00a8, "PSK", "PSK", bulkGCM, 16, 0, 32, false, false},      // AES_128_GCM_SHA256
		{0x00ac, "RSA", "PSK", bulkGCM, 16, 0, 32, true, false},       // AES_128_GCM_SHA256
		{0xd001, "ECDHE", "PSK", bulkGCM, 16, 0, 32, false, true},     // AES_128_GCM_SHA256
		{0xc01d, "SRP", "SRP", bulkAES, 16, 20, 32, false, true},      // SRP_SHA
		{0xc01e, "SRP", "RSA", bulkAES, 16, 20, 32, true, true},       // SRP_SHA_RSA
		{0xc0ac, "ECDHE", "ECDSA", bulkCCM, 16, 0, 32, true, true},    // AES_128_CCM
		{0xd005, "ECDHE", "PSK", bulkCCM, 16, 0, 32, false, true},     // AES_128_CCM_SHA256
		{0x0003, "RSA", "RSA", bulkUnknown, 0, 0, 32, true, false},    // EXPORT RC4_40_MD5
		{0x0041, "RSA", "RSA", bulkUnknown, 0, 0, 32, true, false},    // CAMELLIA_128_CBC_SHA
		{0xc0ab, "DHE", "PSK", bulkCCM8, 32, 0, 32, false, true},      // PSK_DHE: AES_256_CCM_8
	} {
		t.Run(test.suite.String(), func(t *testing.T) {
			s := suiteOf(test.suite)
			var mac int
			if s.mac != nil {
				mac = s.mac().Size()
			}
			if s.kx != test.kx || s.auth != test.auth || s.bulk != test.bulk || s.keyLen != test.keyLen ||
				mac != test.mac || s.hash().Size() != test.hash {
				t.Errorf("got %s %s, bulk %d with a key of %d, MAC of %d, hash of %d", s.kx, s.auth, s.bulk, s.keyLen, mac, s.hash().Size())
			}
			if s.serverCertificate() != test.certificate || s.serverKeyExchange() != test.params {
				t.Errorf("server sends Certificate %t, ServerKeyExchange %t", s.serverCertificate(), s.serverKeyExchange())
			}
		})
	}
	for _, none := range []event.CipherSuite{0x00ff, 0x5600, 0x0a0a, 0xfefe} { // SCSVs, GREASE, not registered
		if s := suiteOf(none); s.bulk != bulkUnknown || s.kx != "" {
			t.Errorf("%v: got %+v, want nothing", none, s)
		}
	}
}

// Every suite that crypto/tls speaks is known here.
func TestSuitesOfCryptoTLS(t *testing.T) {
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		cs := event.CipherSuite(c.ID)
		if s := suiteOf(cs); s.bulk == bulkUnknown {
			t.Errorf("%v: the cipher is not known", cs)
		} else if (s.mac == nil) != (strings.Contains(c.Name, "GCM") || strings.Contains(c.Name, "CHACHA20")) {
			t.Errorf("%v: MAC %t", cs, s.mac != nil)
		}
	}
}

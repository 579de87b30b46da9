package tlswire

import (
	"encoding/hex"
	"strings"
	"testing"

	"synscope/event"
)

// The records of RFC 8448, section 4: a session resumed with early data, which
// crypto/tls cannot do.
var rfc8448 = struct {
	clientHello, early, serverHello, serverFlight, endOfEarly, clientFinished string
	clientData, serverData, clientClose, serverClose                          string
}{
	clientHello: `1603010200
		010001fc03031bc3ceb6bbe39cff938355b5a50adb6db21b7a6af649d7b4bc419d7876487d95000006130113031302010001cd
		0000000b0009000006736572766572ff01000100000a00140012001d00170018001901000101010201030104003300260024001d
		0020e4ffb68ac05f8d96c99da26698346c6be16482badddafe051a66b4f18d668f0b002a0000002b0003020304000d0020001e04
		0305030603020308040805080604010501060102010402050206020202002d00020101001c0002400100150057` + strings.Repeat("00", 0x57) + `
		002900dd00b800b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c
		09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6d
		a4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646f
		ac5c03272e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d357fad6aacb
		0021203add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d`,
	early: `1703030017ab1df420e75c457a7cc5d2844f76d5aee4b4edbf049be0`,
	serverHello: `1603030060
		0200005c03033ccfd2dec890222763472ae8136777c9d7358777bb66e91ea5122495f559ea2d00130100003400290002000000
		330024001d0020121761ee42c333e1b9e77b60dd57c2053cd94512ab47f115e86eff50942cea31002b00020304`,
	serverFlight: `1703030061
		dc48237b4b879f50d0d4d262ea8b4716eb40ddc1eb957e11126e8a7149c2d012d37a7115957e64ce30008b9e0323f2c05a9c1c
		77b4f37849a695ab255060a33fee770ca95cb8486bfd0843b87024865ca35cc41c4e515c64dcb1369f98635bc7a5`,
	endOfEarly: `1703030015aca6fc944841298df99593725f9bf9754429b12f09`,
	clientFinished: `1703030035
		00f8b467d14cf22a4b3f0b6ae0d8e6cc8d08e0db3515ef5c2bdf1922eafbb70009964716d834fb70c3d2a56c5b1f5f6bdba6c333cf`,
	clientData: `1703030043
		b1cebce242aa201be9ae5e1cb2a9aa4b33d4e866af1edb068919237741aa031d7a74d491c99b9d4e232b74206bc6fbaa04fe78
		be44a9b4f54320a17eb76992afac3103`,
	serverData: `1703030043
		275e9f20acff57bc000657d3867df039cccf79047884cf75771746f740b5a83f462a0954c3581393a203a25a7dd14141ef1a37
		900cdb62ff62dee1ba39ab2590cbf194`,
	clientClose: `17030300130facce3246bdfc6369838d6a82ae6de5d422dc`,
	serverClose: `17030300135b18af444e8e1eec7158fb62d8f2577d37ba5d`,
}

var rfc8448Secrets = map[string]string{
	labelEarly:           "3fbbe6a60deb66c30a32795aba0eff7eaa10105586e7be5c09678d63b6caab62",
	labelServerHandshake: "fe927ae271312e8bf0275b581c54eef020450dc4ecffaa05a1a35d27518e7803",
	labelClientHandshake: "2faac08f851d35fea3604fcb4de82dc62c9b164a70974d0462e27f1ab278700f",
	labelClientTraffic:   "2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1",
	labelServerTraffic:   "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691",
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// rfc8448Recording is the trace, without the secrets of the labels named.
func rfc8448Recording(tb testing.TB, without ...string) *recording {
	r, v := new(recording), rfc8448
	hello := unhex(tb, v.clientHello)
	for label, secret := range rfc8448Secrets {
		if len(without) == 0 || label != without[0] {
			r.add(op{secret: &Secret{Label: label, ClientRandom: hello[11:43], Secret: unhex(tb, secret)}})
		}
	}
	c, s := event.Client, event.Server
	for _, step := range []struct {
		from event.Side
		hex  string
	}{
		{c, v.clientHello}, {c, v.early}, {s, v.serverHello}, {s, v.serverFlight}, {c, v.endOfEarly}, {c, v.clientFinished},
		{c, v.clientData}, {s, v.serverData}, {c, v.clientClose}, {s, v.serverClose},
	} {
		r.add(op{from: step.from, bytes: unhex(tb, step.hex)})
	}
	return r
}

const (
	earlyServer = `
		s server_hello
		server RECVD_CH > NEGOTIATED
		client WAIT_SH > WAIT_EE
		s {encrypted_extensions}
		client WAIT_EE > WAIT_FINISHED
		s {finished}
		server NEGOTIATED > WAIT_EOED`
	earlyEnd = `
		server WAIT_EOED > WAIT_FLIGHT2
		server WAIT_FLIGHT2 > WAIT_FINISHED` + finished13 + `
		established TLS 1.3 TLS_AES_128_GCM_SHA256 x25519 resumed=true auth=none rtt=0
		c [application_data]` + serverData + `
		c [alert warning close_notify]
		client CONNECTED > CLOSED
		s [alert warning close_notify]
		server CONNECTED > CLOSED`
	serverData = "\n\t\ts [application_data]"
)

func TestRFC8448EarlyData(t *testing.T) {
	tr := decode(rfc8448Recording(t))
	tr.want(t, `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		c (application_data)`+earlyServer+`
		c (end_of_early_data)`+earlyEnd)
	if app := tr.decoder.Application(event.Client); app != (Application{Records: 2, Bytes: 0x17 + 0x43}) {
		t.Errorf("application data of the client: %+v", app)
	}
}

// Without the early secret, EndOfEarlyData cannot be read either; but the client
// could not have used its handshake key before it.
func TestRFC8448EarlyDataWithoutItsSecret(t *testing.T) {
	decode(rfc8448Recording(t, labelEarly), expecting).want(t, `
		c client_hello
		client START > WAIT_SH
		server START > RECVD_CH
		c undecoded skipped early data: 1 records, 23 bytes`+earlyServer+earlyEnd)
}

// The messages of RFC 8448, section 4, field by field.
func TestRFC8448Fields(t *testing.T) {
	tr := decode(rfc8448Recording(t))
	c := tr.message(event.ClientHelloType).ClientHello
	if c.ServerName != "server" || !c.EarlyData || c.PSKIdentities != 1 || c.RecordSizeLimit != 0x4001 ||
		len(c.SupportedGroups) != 9 || len(c.KeyShares) != 1 || len(c.SignatureSchemes) != 15 {
		t.Errorf("ClientHello: %+v", c)
	}
	s := tr.message(event.ServerHelloType).ServerHello
	if s.PSK == nil || *s.PSK != 0 || s.Version != event.VersionTLS13 || s.LegacyVersion != event.VersionTLS12 {
		t.Errorf("ServerHello: %+v", s)
	}
	if e := tr.message(event.EncryptedExts).EncryptedExtensions; !e.EarlyData {
		t.Errorf("EncryptedExtensions: %+v", e)
	}
	if f := tr.message(event.FinishedType).Finished; f.VerifyData.String() != "48d3e0e1b3d907c6acff145e16090388c77b05c050b634ab1a88bbd0dd1a34b2" {
		t.Errorf("the server's Finished: %v", f.VerifyData)
	}
}

package tlswire

import (
	"os"
	"strings"
	"testing"
	"time"

	"synscope/event"
)

// openssl reads testdata/openssl/NAME.txt: what passed between openssl s_client
// and s_server, with the commands that made it, the server's key log, and a line
// for each read of a proxy in between: "c" or "s", and the bytes or "fin".
func openssl(tb testing.TB, name string) *recording {
	tb.Helper()
	b, err := os.ReadFile("testdata/openssl/" + name + ".txt")
	if err != nil {
		tb.Fatal(err)
	}
	r := &recording{start: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} // the certificates are of the day before
	for l := range strings.Lines(string(b)) {
		who, data, _ := strings.Cut(strings.TrimSpace(l), " ")
		from := map[string]event.Side{"c": event.Client, "s": event.Server}[who]
		switch {
		case from == event.NoSide:
			s, ok, err := ParseKeyLogLine(strings.TrimRight(l, "\n"))
			if err != nil {
				tb.Fatal(err)
			}
			if ok {
				r.add(op{secret: &s})
			}
		case data == "fin":
			r.add(op{from: from, end: data})
		default:
			r.add(op{from: from, bytes: unhex(tb, data)})
		}
	}
	return r
}

// What s_client does when its input ends: it closes the transport, and the
// server calls that an error.
const uncleanEnd12 = `
	c <application_data>
	client CONNECTED > CLOSED
	s <alert fatal decode_error>
	server CONNECTED > FAILED`

// ticketed puts the server's ticket before its ChangeCipherSpec.
func ticketed(story, ticket string) string {
	return strings.Replace(story, "s ccs", ticket+"\ns ccs", 1)
}

// encrypted12 is a story as it is told inside of another session.
func encrypted12(story string) string {
	for _, m := range []string{
		"client_hello", "server_hello", "certificate", "server_key_exchange", "server_hello_done", "client_key_exchange",
	} {
		for _, who := range []string{"c ", "s "} {
			story = strings.Replace(story, who+m+"\n", who+"<"+m+">\n", 1)
		}
	}
	return strings.Replace(story, "START", "CONNECTED", 2)
}

func TestOpenSSL(t *testing.T) {
	const ticket = "s new_session_ticket"
	full12 := func(keyExchange string) string { return hello12 + keyExchange + done12 + ticketed(finished12, ticket) }
	// Without certificates the client goes past WAIT_CERT.
	anonymous12 := func(rest string) string {
		return strings.TrimSuffix(strings.TrimSpace(hello12), "WAIT_CERT\n\t\ts certificate") + rest + done12 + ticketed(finished12, ticket)
	}
	rsa := "\nclient WAIT_CERT > WAIT_SHD"
	stories := map[string]string{
		"etm-tls12": full12(rsa) + "\nestablished TLS 1.2 TLS_RSA_WITH_AES_128_CBC_SHA256 0x0000 resumed=false auth=none rtt=2" + uncleanEnd12,
		"etm-tls10": full12(rsa) + "\nestablished TLS 1.0 TLS_RSA_WITH_AES_128_CBC_SHA 0x0000 resumed=false auth=none rtt=2" + uncleanEnd12,
		"dhe-tls12": full12(ephemeral12) + "\nestablished TLS 1.2 TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 0x0000 resumed=false auth=none rtt=2" + uncleanEnd12,
		"anon-tls12": anonymous12(`WAIT_SKE
			s server_key_exchange
			client WAIT_SKE > WAIT_SHD`) + "\nestablished TLS 1.2 TLS_DH_anon_WITH_AES_128_CBC_SHA256 0x0000 resumed=false auth=none rtt=2" + uncleanEnd12,
		"psk-tls12": anonymous12("WAIT_SHD") + "\nestablished TLS 1.2 TLS_PSK_WITH_AES_128_GCM_SHA256 0x0000 resumed=false auth=none rtt=2" + uncleanEnd12,
		"session-id-tls12": strings.Replace(ticket12, ticket, "", 1) +
			strings.Replace(abbreviated12, "ECDSA_WITH_AES_128_GCM_SHA256", "RSA_WITH_AES_256_GCM_SHA384", 1) + uncleanEnd12,
		"renegotiation-tls12": full12(ephemeral12) + `
			established TLS 1.2 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 x25519 resumed=false auth=none rtt=2
			c <application_data>` + encrypted12(hello12+ephemeral12+done12) + ticketed(finished12, "s <new_session_ticket>") + `
			c <alert warning close_notify>
			client CONNECTED > CLOSED
			s <alert warning close_notify>
			server CONNECTED > CLOSED`,
		"unknown-ca-tls13": hello13 + serverCCS + certificate13 + `
			c alert fatal unknown_ca
			client WAIT_FINISHED > FAILED
			server WAIT_FINISHED > FAILED
			failed, self_signed: client refused the server's certificate, which is self-signed: alert unknown_ca after certificate`,
		"ccm-tls13": hello13 + serverCCS + certificate13 + clientCCS + finished13 + `
			established TLS 1.3 TLS_AES_128_CCM_SHA256 x25519 resumed=false auth=none rtt=1
			s [new_session_ticket]
			s [new_session_ticket]
			c [application_data]
			client CONNECTED > CLOSED
			s [alert fatal decode_error]
			server CONNECTED > FAILED`,
		"early-tls13": `
			c client_hello
			client START > WAIT_SH
			server START > RECVD_CH
			c ccs dummy
			c (application_data)` + strings.Replace(earlyServer, "WAIT_EE", "WAIT_EE"+serverCCS, 1) + `
			c (end_of_early_data)` + strings.NewReplacer("AES_128_GCM_SHA256", "AES_256_GCM_SHA384",
			"c [app", "s [new_session_ticket]\nc [app", serverData, "").Replace(earlyEnd),
		"early-rejected-tls13": strings.NewReplacer("\n\t\ts hello_retry", "\nc ccs dummy\nc undecoded skipped early data: 1 records, 28 bytes\ns hello_retry",
			clientCCS, "", "\n\t\tc ccs dummy", "").Replace(retry13) + hello13 + certificate13 + finished13 + `
			established TLS 1.3 TLS_AES_256_GCM_SHA384 secp256r1 resumed=false auth=none rtt=2
			s [new_session_ticket]
			s [new_session_ticket]` + strings.Replace(session13, serverData, "", 1),
		"post-handshake-tls13": hello13 + serverCCS + requested13 + clientCCS + `
			c {certificate}
			server WAIT_CERT > WAIT_CV
			c {certificate_verify}
			server WAIT_CV > WAIT_FINISHED` + finished13 + `
			established TLS 1.3 TLS_AES_256_GCM_SHA384 x25519 resumed=false auth=given rtt=1
			s [new_session_ticket]
			s [new_session_ticket]
			c [application_data]
			s [certificate_request]
			c [certificate]
			c [certificate_verify]
			c [finished]
			s [new_session_ticket]
			s [new_session_ticket]
			s [key_update]
			c [key_update]
			c [alert warning close_notify]
			client CONNECTED > CLOSED
			s [alert warning close_notify]
			server CONNECTED > CLOSED`,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			tr := decode(openssl(t, name))
			var lines []string // the stories are put together with empty lines
			for l := range strings.Lines(story) {
				if l = strings.TrimSpace(l); l != "" {
					lines = append(lines, l)
				}
			}
			tr.want(t, strings.Join(lines, "\n"))
		})
	}
}

func TestOpenSSLFields(t *testing.T) {
	dhe := decode(openssl(t, "dhe-tls12"))
	if k := dhe.message(event.ServerKeyExchangeType).ServerKeyExchange; k.DHBits != 2048 || k.SignatureScheme.String() != "rsa_pss_rsae_sha256" {
		t.Errorf("ServerKeyExchange: %+v", k)
	}
	if k := dhe.message(event.ClientKeyExchangeType).ClientKeyExchange; k.Exchange != "DHE" || k.Len != 256 {
		t.Errorf("ClientKeyExchange: %+v", k)
	}
	x := dhe.message(event.CertificateType).Certificate.Chain[0]
	if x.Subject != "CN=shop.test" || !x.SelfSigned || !x.CA || x.PublicKey != "RSA 2048" || x.Signature != "SHA256-RSA" || len(x.Names) != 1 {
		t.Errorf("certificate: %+v", x)
	}
	auth := decode(openssl(t, "post-handshake-tls13"))
	if r := auth.message(event.CertRequestType).CertificateRequest; len(r.SignatureSchemes) == 0 || len(r.Extensions) == 0 {
		t.Errorf("CertificateRequest: %+v", r)
	}
	if n := auth.message(event.NewSessionTicketType).NewSessionTicket; n.Lifetime != 7200 || n.Len == 0 {
		t.Errorf("NewSessionTicket: %+v", n)
	}
}

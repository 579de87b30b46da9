package diff

import (
	"testing"

	"synscope/event"

	"github.com/google/go-cmp/cmp"
)

const (
	client = event.Client
	server = event.Server
)

// A said body is one that a side sent.
type said struct {
	from event.Side
	body event.Body
}

func connection(what ...said) Subject {
	s := Subject{Name: "made"}
	for i, w := range what {
		s.Events = append(s.Events, &event.Event{Conn: 1, N: uint64(i + 1), From: w.from, View: event.Wire, Body: w.body})
	}
	return s
}

func hello(change func(*event.ClientHello)) said {
	h := &event.ClientHello{
		LegacyVersion: event.VersionTLS12, SupportedVersions: []event.Version{event.VersionTLS13, event.VersionTLS12},
		CipherSuites: []event.CipherSuite{0x1301, 0xc02f}, SupportedGroups: []event.Group{29}, SignatureSchemes: []event.SignatureScheme{0x0403},
		ServerName: "shop.example", ALPN: []string{"h2"}, Extensions: []event.Extension{0, 10, 13},
	}
	m := &event.Message{Type: event.ClientHelloType, Len: 200, Frames: []uint64{4}, ClientHello: h}
	if change != nil {
		change(h)
	}
	return said{client, m}
}

func alert(from event.Side, code event.AlertDescription) said {
	return said{from, &event.Alert{Level: "fatal", Description: code, Code: uint8(code)}}
}

func failed(by event.Side, cause string) said {
	return said{event.NoSide, &event.Failed{Side: by, Cause: cause, Hint: "do something"}}
}

var (
	serverHello = said{server, &event.Message{Type: event.ServerHelloType, ServerHello: &event.ServerHello{
		Version: event.VersionTLS13, CipherSuite: 0x1301, Group: 29, Extensions: []event.Extension{43, 51}}}}
	encryptedExtensions = said{server, &event.Message{Type: event.EncryptedExts, EncryptedExtensions: &event.EncryptedExtensions{ALPN: []string{"h2"}}}}
	certificateVerify   = said{server, &event.Message{Type: event.CertVerifyType, CertificateVerify: &event.CertificateVerify{SignatureScheme: 0x0403}}}
	certificateRequest  = said{server, &event.Message{Type: event.CertRequestType, CertificateRequest: &event.CertificateRequest{}}}
	established         = said{event.NoSide, &event.Established{Version: event.VersionTLS13, CipherSuite: 0x1301, ALPN: "h2", ServerName: "shop.example"}}
)

func certificate(from event.Side, name, issuer string) said {
	return said{from, &event.Message{Type: event.CertificateType, Certificate: &event.Certificate{Chain: []event.X509{
		{Names: []string{name}, Issuer: issuer, SHA256: event.Hex(name + issuer)}}}}}
}

func TestVerdicts(t *testing.T) {
	works := connection(hello(nil), serverHello, encryptedExtensions, certificate(server, "shop.example", "CN=one"), certificateVerify, established)
	fails := func(evidence ...string) Verdict {
		return Verdict{Summary: "A completed its handshake, B did not: they fell out.", Evidence: evidence, Hint: "do something"}
	}
	for _, c := range []struct {
		why  string
		a, b Subject
		want Verdict
	}{
		{
			"the version", works,
			connection(hello(func(h *event.ClientHello) { h.SupportedVersions = nil }), alert(server, 70), failed(server, "they fell out")),
			fails("with A the server chose version TLS 1.3, which B does not offer; it offers up to TLS 1.2"),
		},
		{
			"an older hello offers all versions below its own", connection(hello(nil), said{server, &event.Message{Type: event.ServerHelloType,
				ServerHello: &event.ServerHello{Version: event.VersionTLS12}}}, established),
			connection(hello(func(h *event.ClientHello) { h.SupportedVersions = nil }), alert(server, 70), failed(server, "they fell out")),
			fails(),
		},
		{
			"suite and group", works,
			connection(hello(func(h *event.ClientHello) { h.CipherSuites, h.SupportedGroups = []event.CipherSuite{0x1302}, nil }),
				alert(server, 40), failed(server, "they fell out")),
			fails("with A the server chose cipher suite TLS_AES_128_GCM_SHA256, which B does not offer; it offers TLS_AES_256_GCM_SHA384",
				"with A the server chose group x25519, which B does not offer; it offers none"),
		},
		{
			"nothing that the lists explain", works, connection(hello(nil), alert(server, 40), failed(server, "they fell out")),
			fails("B offers all that A and its server agreed on"),
		},
		{
			"the protocol", works,
			connection(hello(func(h *event.ClientHello) { h.ALPN = []string{"imap"} }), alert(server, 120), failed(server, "they fell out")),
			fails("with A the server chose ALPN h2, which B does not offer; it offers imap",
				"ALPN that only A offers: h2", "ALPN that only B offers: imap"),
		},
		{
			"the same certificate is judged differently", works,
			connection(hello(nil), serverHello, certificate(server, "shop.example", "CN=one"), alert(client, 48), failed(client, "they fell out")),
			fails("both got the same certificate, of shop.example, issued by CN=one, and the client of A went on with it: " +
				"what differs is what the two clients accept"),
		},
		{
			"another certificate", works,
			connection(hello(nil), serverHello, certificate(server, "old.example", "CN=one"), alert(client, 42), failed(client, "they fell out")),
			fails("their certificates differ, names: shop.example in A, old.example in B"),
		},
		{
			"no client certificate",
			connection(hello(nil), serverHello, certificateRequest, certificate(client, "me.example", "CN=two"), established),
			connection(hello(nil), serverHello, certificateRequest, alert(server, 116), failed(server, "they fell out")),
			fails("the client of A gave a certificate, that of B none"),
		},
		{
			"a reset after the hello, which has another name and extension",
			works,
			connection(hello(func(h *event.ClientHello) { h.ServerName = ""; h.Extensions = append(h.Extensions, 17) }), failed(server, "they fell out")),
			fails("A asked for shop.example, B for no name",
				"extensions that only B offers: status_request_v2"),
		},
		{
			"something is missing", works, connection(hello(nil), said{event.NoSide, &event.Gap{Lost: 3}}, alert(server, 70), failed(server, "they fell out")),
			fails("of B something is missing (trace.gap): what only A has may not be a difference"),
		},
		{
			"refused after all", works, connection(append(spoken(works), alert(server, 42), failed(server, "they fell out"))...),
			fails(),
		},
		{
			"both complete, with different groups", works,
			connection(hello(func(h *event.ClientHello) { h.SupportedGroups = []event.Group{23, 29} }), said{server, &event.Message{Type: event.ServerHelloType, ServerHello: &event.ServerHello{Version: event.VersionTLS13, CipherSuite: 0x1301, Group: 23}}},
				encryptedExtensions, certificate(server, "shop.example", "CN=one"), certificateVerify, established),
			Verdict{Summary: "Both completed their handshakes, in the same steps.",
				Evidence: []string{"group: x25519 in A, secp256r1 in B; A does not offer secp256r1"}},
		},
		{
			"no TLS", connection(said{client, &event.Segment{Flags: event.SYN}}), connection(said{event.NoSide, &event.Close{How: "refused"}}),
			Verdict{Summary: "Neither began a TLS handshake. A: TCP handshake not completed. B: TCP refused: the SYN was answered with RST."},
		},
		{
			"both fail alike", connection(hello(nil), failed(server, "they fell out")),
			connection(hello(nil), said{client, &event.Segment{Flags: event.FIN}}, failed(server, "they fell out")),
			Verdict{Summary: "Neither completed its handshake, for the same reason: they fell out.", Hint: "do something"},
		},
	} {
		if d := cmp.Diff(c.want, Compare(c.a, c.b).Verdict); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, d)
		}
	}
}

// spoken takes a connection apart again.
func spoken(s Subject) []said {
	var what []said
	for _, e := range s.Events {
		what = append(what, said{e.From, e.Body})
	}
	return what
}

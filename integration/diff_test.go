package integration

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// curl works and Java does not, on the same server. The comparison of the two
// connections says which of what the server agreed on with curl Java does not
// offer, and nothing else of what the two hellos differ in.
func TestDiffWhyJavaFails(t *testing.T) {
	for _, c := range []struct {
		name     string
		flags    []string // of the daemon
		java     string   // what is set for Java
		cause    string
		evidence []string // in this order, each the beginning of a sentence
	}{
		{
			name: "version", flags: []string{"--tls-min", "1.3"}, java: "jdk.tls.client.protocols=TLSv1.2",
			cause: "server does not speak a version that the client offers",
			evidence: []string{
				"the server's TLS library said: tls: client offered only unsupported versions",
				"with A the server chose version TLS 1.3, which B does not offer; it offers TLS 1.2",
			},
		},
		{
			name: "group", flags: []string{"--groups", "x25519"}, java: "jdk.tls.namedGroups=secp256r1",
			cause: "server shares no key exchange group with the client, which offers secp256r1",
			evidence: []string{
				"the server's TLS library said: tls: ",
				"with A the server chose group x25519, which B does not offer; it offers secp256r1",
			},
		},
		{
			name: "cipher suite", java: "jdk.tls.client.cipherSuites=TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
			cause: "server shares no cipher suite with the client, which offers TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
			evidence: []string{
				"the server's TLS library said: tls: no cipher suite supported by both client and server",
				"with A the server chose version TLS 1.3, which B does not offer; it offers TLS 1.2", // Java leaves out what it has no suite for
				"with A the server chose cipher suite TLS_AES_128_GCM_SHA256, which B does not offer; it offers TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
				"with A the server chose group x25519, which B does not offer; it offers ffdhe2048, ",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newNamespace(t)
			l.serve(c.flags...)
			if r := l.curl("https://" + hostname + "/"); r.code != 0 {
				t.Fatalf("curl: exit %d\n%s", r.code, r.out)
			}
			if r := l.run(nil, "keytool", "-J-D"+c.java, "-printcert", "-sslserver", server4+":443"); r.code == 0 {
				t.Fatalf("keytool: exit 0\n%s", r.out)
			}
			l.stop()

			v := l.verdict("1", "2")
			if want := "A completed its handshake, B did not: " + c.cause; !strings.HasPrefix(v.Summary, want) {
				t.Errorf("the summary is %q, want %q", v.Summary, want)
			}
			// They differ in the server name too: keytool sends none.
			evidence := slices.DeleteFunc(v.Evidence, func(s string) bool { return strings.HasPrefix(s, "A asked for ") })
			if !slices.EqualFunc(evidence, c.evidence, strings.HasPrefix) {
				t.Errorf("the evidence is\n%s\nwant\n%s", strings.Join(evidence, "\n"), strings.Join(c.evidence, "\n"))
			}
		})
	}
}

// The same client with another trust store: nothing that was sent differs up to
// the certificate, and that is said.
func TestDiffSameCertificate(t *testing.T) {
	t.Parallel()
	l := newNamespace(t)
	l.serve()
	page := "https://" + hostname + "/"
	if r := l.curl(page); r.code != 0 {
		t.Fatalf("curl: exit %d\n%s", r.code, r.out)
	}
	if r := l.curl("--cacert", "/etc/ssl/certs/ca-certificates.crt", page); r.code != 60 {
		t.Fatalf("curl without the authority: exit %d, want 60\n%s", r.code, r.out)
	}
	l.stop()
	v := l.verdict("1", "2")
	if len(v.Evidence) != 1 || !strings.HasPrefix(v.Evidence[0], "both got the same certificate, of "+hostname) {
		t.Errorf("the evidence is\n%s", strings.Join(v.Evidence, "\n"))
	}

	out := l.diff(l.path("events.jsonl"))
	for _, want := range []string{"! here they part", "Alert unknown_ca", "! verdict  A completed its handshake, B did not: client refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\nClientHello ") {
		t.Errorf("the hellos of the same client differ:\n%s", out)
	}
}

// A verdict is that of synscope diff --format json.
type verdict struct {
	Summary  string
	Evidence []string
}

// verdict compares two connections of the lab's log.
func (l *lab) verdict(a, b string) verdict {
	l.t.Helper()
	var report struct{ Verdict verdict }
	out := l.diff("--format", "json", l.path("events.jsonl")+"#"+a, l.path("events.jsonl")+"#"+b)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
	return report.Verdict
}

// diff runs synscope diff.
func (l *lab) diff(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(binary, append([]string{"diff"}, args...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("synscope diff %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

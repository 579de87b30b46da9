package tlsbridge

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool returns the path of a client that the test machine must have.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: install %s to run this test", err, name)
	}
	return path
}

// rootFile returns a file with the root certificate.
func rootFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, authority().PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCurl(t *testing.T) {
	curl, ca := tool(t, "curl"), rootFile(t)
	f := start(t, withStory(storyteller{}))
	port := f.addr[strings.LastIndexByte(f.addr, ':')+1:]
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--http2", "https://" + f.addr}, "2 200 0 the ladder of"},
		{[]string{"--http1.1", "https://" + f.addr}, "1.1 200 0 the ladder of"},
		{[]string{"--tls-max", "1.2", "https://" + f.addr}, "2 200 0 the ladder of"},
		{[]string{"--resolve", "shop.example:" + port + ":127.0.0.1", "https://shop.example:" + port}, "2 200 0 the ladder of"},
		{[]string{"http://" + f.addr}, "1.1 200 0 the ladder of"},
		{[]string{"--http2-prior-knowledge", "http://" + f.addr}, "2 200 0 the ladder of"},
		{[]string{"-H", "Accept: application/json", "https://" + f.addr}, `2 200 0 ["127.0.0.1:`},
		{[]string{"-d", "some=form", "https://" + f.addr}, "2 200 0 the ladder of"},
	} {
		args := append([]string{"-sS", "--max-time", "20", "--noproxy", "*", "--cacert", ca, "-o", "-",
			"-w", "%{stderr}%{http_version} %{http_code} %{ssl_verify_result} "}, test.args...)
		cmd := exec.Command(curl, args...)
		var info, text strings.Builder
		cmd.Stderr, cmd.Stdout = &info, &text
		if err := cmd.Run(); err != nil || !strings.HasPrefix(info.String()+text.String(), test.want) {
			t.Errorf("curl %q: %v, %s%s, want %s", test.args, err, &info, &text, test.want)
		}
	}
	out, err := exec.Command(curl, "-sS", "--max-time", "20", "--noproxy", "*", "https://"+f.addr).CombinedOutput()
	if err == nil {
		t.Errorf("curl trusts us without our root certificate: %s", out)
	}
}

func TestOpenSSL(t *testing.T) {
	openssl, ca := tool(t, "openssl"), rootFile(t)
	f := start(t, service(Echo(), everything()))
	for _, test := range []struct{ args, want string }{
		{"-tls1_3", "New, TLSv1.3"},
		{"-tls1_2", "New, TLSv1.2"},
		{"-tls1_1 -cipher ALL@SECLEVEL=0", "TLSv1.1"},
		{"-tls1 -cipher ALL@SECLEVEL=0", "Cipher is ECDHE-ECDSA-AES"},
		{"-tls1_2 -cipher AES128-SHA", "Cipher is AES128-SHA"}, // RSA key exchange, CBC
		{"-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", "Peer signature type: RSA"},
	} {
		session := filepath.Join(t.TempDir(), "session")
		args := append([]string{"s_client", "-connect", f.addr, "-CAfile", ca, "-verify_return_error", "-sess_out", session}, strings.Fields(test.args)...)
		cmd := exec.Command(openssl, args...)
		cmd.Stdin = strings.NewReader("hello from openssl\n")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), test.want) || !strings.Contains(string(out), "Verify return code: 0 (ok)") {
			t.Errorf("openssl %s: %v, want %q\n%s", test.args, err, test.want, out)
		}
	}
}

package synscope

import "testing"

func TestHostsByDNS(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "\nhosts: files dns\n",
		"passwd: files\n hosts: files mdns4": "passwd: files\nhosts: files dns\n",
		"hosts: resolve\npasswd: files\n":    "passwd: files\nhosts: files dns\n",
	} {
		if got := string(hostsByDNS([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

package sandbox

import (
	"os"
	"strings"
	"testing"
)

// The hint names what forbids namespaces, the first of several, and what the
// profile for AppArmor is.
func TestHint(t *testing.T) {
	for _, tt := range []struct {
		sysctls  map[string]string
		filtered bool
		want     string
	}{
		{map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1", "kernel/unprivileged_userns_clone": "1"}, true, "apparmor_parser -r /etc/apparmor.d/synscope"},
		{map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "0", "kernel/unprivileged_userns_clone": "0"}, true, "sysctl kernel.unprivileged_userns_clone=1"},
		{map[string]string{"user/max_user_namespaces": "0"}, true, "sysctl user.max_user_namespaces=10000"},
		{nil, true, "--security-opt seccomp=unconfined"},
		{nil, false, "user_namespaces(7)"},
	} {
		got := hint(func(name string) string { return tt.sysctls[name] }, func() bool { return tt.filtered })
		if !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("with %v, %v: %s\nwant %s", tt.sysctls, tt.filtered, got, tt.want)
		}
	}
	profile, err := os.ReadFile("../../contrib/apparmor/synscope")
	if err != nil || !strings.Contains(string(profile), "\nprofile synscope /usr/{,local/}bin/synscope flags=(unconfined) {\n  userns,\n") {
		t.Errorf("the profile is %q, %v", profile, err)
	}
}

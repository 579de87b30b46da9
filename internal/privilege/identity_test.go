package privilege

import (
	"os/user"
	"strconv"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	// The name of a user and its number are the same user.
	daemon, err := user.Lookup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	byName, err := Resolve("daemon")
	if err != nil {
		t.Fatal(err)
	}
	if byName.Name != "daemon" || itoa(byName.UID) != daemon.Uid || itoa(byName.GID) != daemon.Gid {
		t.Errorf("daemon is %v", byName)
	}
	if byNumber, err := Resolve(daemon.Uid); err != nil || byNumber != byName {
		t.Errorf("%s is %v (%v), want %v", daemon.Uid, byNumber, err, byName)
	}
	if got, want := byName.String(), "daemon (uid "+daemon.Uid+", gid "+daemon.Gid+")"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	// A number need not be known.
	if id, err := Resolve("54321"); err != nil || id != (Identity{"54321", 54321, 54321}) {
		t.Errorf("54321 is %v (%v)", id, err)
	}

	// Without a name, root becomes somebody.
	if id, err := Resolve(""); err != nil || id.UID == 0 || id.GID == 0 {
		t.Errorf("the default is %v (%v)", id, err)
	}
}

func TestResolveErrors(t *testing.T) {
	for name, want := range map[string]string{
		"no-such-user": `there is no user "no-such-user": create it (useradd --system no-such-user), or name another`,
		"root":         "user root (uid 0, gid 0) is root or of the group root: name an unprivileged user",
		"0":            "user root (uid 0, gid 0) is root or of the group root: name an unprivileged user",
		"-1":           `there is no user "-1"`,
		"4294967295":   `there is no user "4294967295"`, // (uid_t)-1: leave as is
	} {
		if id, err := Resolve(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s is %v (%v), want the error %q", name, id, err, want)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

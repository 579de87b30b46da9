package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Before the first packet is read the daemon has given up all its privileges,
// on every thread; and what holds secrets is its owner's alone.
func TestPrivileges(t *testing.T) {
	l := newLab(t)
	if r := l.curl("https://" + hostname + "/"); r.code != 0 {
		t.Fatalf("curl: exit %d\n%s", r.code, r.out)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", l.pid()))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads of the daemon: %v", err)
	}
	for _, path := range threads {
		status := l.status(path)
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if got := status[set]; got != "0000000000000000" {
				t.Errorf("%s: %s is %s, want none", path, set, got)
			}
		}
		if status["NoNewPrivs"] != "1" {
			t.Errorf("%s: NoNewPrivs is %s, want 1", path, status["NoNewPrivs"])
		}
		for _, id := range []string{"Uid", "Gid"} {
			for n := range strings.FieldsSeq(status[id]) {
				if n == "0" {
					t.Errorf("%s: %s is %s, want no 0", path, id, status[id])
				}
			}
		}
		if status["Groups"] != "" {
			t.Errorf("%s: supplementary groups %s, want none", path, status["Groups"])
		}
	}
	l.wantCloseOnExec("/dev/net/tun")
	for _, file := range []string{l.path("keys"), filepath.Join(l.state, "ca-key.pem"), filepath.Join(l.state, "ticket-keys")} {
		st, err := os.Stat(file)
		if err != nil {
			t.Error(err)
		} else if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", file, st.Mode().Perm())
		}
	}
	l.stop()
}

// pid is the process id of the daemon.
func (l *lab) pid() int { return l.daemon.cmd.Process.Pid }

// status reads a status file of /proc.
func (l *lab) status(path string) map[string]string {
	l.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}

// wantCloseOnExec checks that no program that the daemon might start inherits
// the file.
func (l *lab) wantCloseOnExec(target string) {
	l.t.Helper()
	found := false
	for _, fd := range l.descriptors() {
		if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", l.pid(), fd)); link != target {
			continue
		}
		found = true
		info := l.status(fmt.Sprintf("/proc/%d/fdinfo/%s", l.pid(), fd))
		flags, err := strconv.ParseUint(info["flags"], 8, 32)
		if err != nil || flags&unix.O_CLOEXEC == 0 {
			l.t.Errorf("descriptor %s of %s has the flags %s, without O_CLOEXEC", fd, target, info["flags"])
		}
	}
	if !found {
		l.t.Errorf("the daemon has no descriptor of %s", target)
	}
}

// descriptors lists the open files of the daemon.
func (l *lab) descriptors() []string {
	l.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.pid()))
	if err != nil {
		l.t.Fatal(err)
	}
	var fds []string
	for _, e := range entries {
		fds = append(fds, e.Name())
	}
	return fds
}

// rss is the memory of the daemon that is resident, in MB.
func (l *lab) rss() int {
	l.t.Helper()
	kb, err := strconv.Atoi(strings.TrimSuffix(l.status(fmt.Sprintf("/proc/%d/status", l.pid()))["VmRSS"], " kB"))
	if err != nil {
		l.t.Fatal(err)
	}
	return kb / 1024
}

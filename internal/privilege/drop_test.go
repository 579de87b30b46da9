package privilege

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// A user and a group that no passwd file needs to know.
const (
	plainUID = 54321
	plainGID = 54322
)

// noCapabilities is an empty set as /proc shows it.
const noCapabilities = "0000000000000000"

// newTask returns a task with a plan, and the files that the probes need, which
// belong to a user.
func newTask(t *testing.T, role, user string, uid, gid int) task {
	t.Helper()
	do := task{
		Role:      role,
		Plan:      Plan{User: user},
		Allowed:   openDir(t, 0o700),
		Forbidden: openDir(t, 0o777),
		SetUID:    copySelf(t, 0o4755),
	}
	if err := os.Chown(do.Allowed, uid, gid); err != nil {
		t.Fatal(err)
	}
	readable := filepath.Join(openDir(t, 0o755), "synscope.yaml")
	if err := os.WriteFile(readable, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	do.Plan.ReadPaths = []string{readable}
	do.Plan.WritePaths = []string{do.Allowed}
	removable := openDir(t, 0o777)
	for i := range removableFiles {
		if err := os.WriteFile(filepath.Join(removable, itoa(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do.Plan.RemoveIn = []string{removable}
	return do
}

// wantLandlock fails the test where the kernel has no Landlock.
func wantLandlock(t *testing.T, r Report) {
	t.Helper()
	if r.Landlock < 1 {
		t.Fatal("the kernel does not have Landlock (CONFIG_SECURITY_LANDLOCK, lsm=landlock): what these tests assert of files cannot hold")
	}
}

// dropped waits until the child has dropped, and returns its report.
func (c *child) dropped() (r Report) {
	c.t.Helper()
	before, told := c.await("dropped ")
	if len(before) > 0 {
		c.t.Fatalf("before the drop, as root, everything should work: %q", before)
	}
	if err := json.Unmarshal([]byte(told), &r); err != nil {
		c.t.Fatal(err)
	}
	wantLandlock(c.t, r)
	return r
}

// failed waits until the child's Drop failed, and returns the error.
func (c *child) failed() string {
	c.t.Helper()
	_, err := c.await("failed ")
	return err
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the child (-want +got):\n%s", diff)
	}
}

const whoNobody = `who: euid 65534, egid 65534, capabilities "="`

// nobody makes Resolve("") of a child the same on every machine.
const nobody = "65534"

// Root with every capability keeps nothing.
func TestDropFromRoot(t *testing.T) {
	do := newTask(t, "drop", nobody, 65534, 65534)
	// Supplementary groups are those of the child at its start.
	c := start(t, "", &syscall.Credential{Groups: []uint32{0, 4, 27}}, do)
	r := c.dropped()

	c.wantStatus(map[string]string{
		"Uid": four(65534), "Gid": four(65534), "Groups": "", "NoNewPrivs": "1",
		"CapInh": noCapabilities, "CapPrm": noCapabilities, "CapEff": noCapabilities, "CapBnd": noCapabilities, "CapAmb": noCapabilities,
	})
	limits, err := os.ReadFile(filepath.Join("/proc", itoa(c.cmd.Process.Pid), "limits"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Join(strings.Fields(rest), " ") != "0 0 bytes" {
			t.Errorf("limit of core files: %s", rest)
		}
	}
	// Not dumpable: its files in /proc belong to root, not to its user.
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join("/proc", itoa(c.cmd.Process.Pid), "mem"), &stat); err != nil || stat.Uid != 0 {
		t.Errorf("the memory of the child belongs to uid %d (%v): it is dumpable", stat.Uid, err)
	}

	wantLines(t, c.end(), whoNobody)
	want := Report{Identity: Identity{r.Identity.Name, 65534, 65534}, SecurebitsLocked: true, Landlock: r.Landlock}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

// A container has root without many capabilities.
func TestDropInContainer(t *testing.T) {
	do := newTask(t, "drop", nobody, 65534, 65534)
	do.Bounding = []string{
		"cap_chown", "cap_dac_override", "cap_fowner", "cap_fsetid", "cap_kill", "cap_setgid", "cap_setuid", "cap_setpcap",
		"cap_net_bind_service", "cap_net_raw", "cap_sys_chroot", "cap_mknod", "cap_audit_write", "cap_setfcap", "cap_net_admin",
	}
	c := start(t, "", nil, do)
	c.dropped()
	c.wantStatus(map[string]string{
		"Uid": four(65534), "Gid": four(65534), "Groups": "", "NoNewPrivs": "1",
		"CapInh": noCapabilities, "CapPrm": noCapabilities, "CapEff": noCapabilities, "CapBnd": noCapabilities, "CapAmb": noCapabilities,
	})
	wantLines(t, c.end(), whoNobody)
}

// Without CAP_SETPCAP the bounding set stays, and gives nothing.
func TestDropWithoutSetPCap(t *testing.T) {
	do := newTask(t, "drop", nobody, 65534, 65534)
	do.Bounding = bounding(cap.SETPCAP)
	c := start(t, "", nil, do)
	if r := c.dropped(); !r.BoundingKept || r.SecurebitsLocked {
		t.Errorf("report %+v, want the bounding set kept and no securebits", r)
	}
	c.wantStatus(map[string]string{
		"Uid": four(65534), "NoNewPrivs": "1", "CapBnd": bits(do.Bounding),
		"CapInh": noCapabilities, "CapPrm": noCapabilities, "CapEff": noCapabilities, "CapAmb": noCapabilities,
	})
	wantLines(t, c.end(), whoNobody)
}

// Root that cannot stop to be root is an error, and nothing is changed.
func TestDropWithoutSetUID(t *testing.T) {
	do := newTask(t, "drop", nobody, 65534, 65534)
	do.Bounding = bounding(cap.SETUID)
	c := start(t, "", nil, do)
	want := "dropping privileges: becoming 65534 (uid 65534, gid 65534) takes CAP_SETUID and CAP_SETGID: " +
		"give them to the container, or start as that user with CAP_NET_ADMIN as a file capability; nothing was changed"
	got := strings.Replace(c.failed(), "nobody (uid", "65534 (uid", 1)
	if got != want {
		t.Errorf("error %q\nwant  %q", got, want)
	}
	c.wantStatus(map[string]string{"Uid": four(0), "NoNewPrivs": "0", "CapEff": bits(do.Bounding)})
	c.end()
}

func TestDropToUnknownUser(t *testing.T) {
	do := newTask(t, "drop", "no-such-user", 65534, 65534)
	c := start(t, "", nil, do)
	want := `dropping privileges: there is no user "no-such-user": create it (useradd --system no-such-user), or name another; nothing was changed`
	if got := c.failed(); got != want {
		t.Errorf("error %q\nwant  %q", got, want)
	}
	c.end()
}

// A plain user who was given CAP_NET_ADMIN by the file stays that user.
func TestDropFromFileCapability(t *testing.T) {
	for _, text := range []string{"cap_net_admin=ep", "cap_net_admin=p"} {
		t.Run(text, func(t *testing.T) {
			do := newTask(t, "drop", "", plainUID, plainGID)
			binary := copySelf(t, 0o755)
			set, err := cap.FromText(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := set.SetFile(binary); err != nil {
				t.Fatal(err)
			}
			c := start(t, binary, &syscall.Credential{Uid: plainUID, Gid: plainGID, Groups: []uint32{54323}}, do)
			before, told := c.await("dropped ")
			if len(before) == 0 {
				t.Error("a plain user could do all that root can")
			}
			var r Report
			if err := json.Unmarshal([]byte(told), &r); err != nil {
				t.Fatal(err)
			}
			want := Report{
				Identity: Identity{itoa(plainUID), plainUID, plainGID}, GroupsKept: true, BoundingKept: true, Landlock: r.Landlock,
			}
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			c.wantStatus(map[string]string{
				"Uid": four(plainUID), "Gid": four(plainGID), "Groups": "54323", "NoNewPrivs": "1", "CapBnd": bits(bounding()),
				"CapInh": noCapabilities, "CapPrm": noCapabilities, "CapEff": noCapabilities, "CapAmb": noCapabilities,
			})
			wantLines(t, c.end(), `who: euid 54321, egid 54322, capabilities "="`)
		})
	}
}

// A plain user cannot become another.
func TestDropFromPlainUserToAnother(t *testing.T) {
	do := newTask(t, "drop", nobody, plainUID, plainGID)
	c := start(t, copySelf(t, 0o755), &syscall.Credential{Uid: plainUID, Gid: plainGID}, do)
	if got := c.failed(); !strings.Contains(got, "takes CAP_SETUID and CAP_SETGID") || !strings.HasSuffix(got, "nothing was changed") {
		t.Errorf("error %q", got)
	}
	c.end()
}

// Paths that cannot be used are told, and are no error.
func TestDropTellsUnusablePaths(t *testing.T) {
	do := newTask(t, "drop", nobody, 65534, 65534)
	hidden := openDir(t, 0o700) // of root
	missing := filepath.Join(hidden, "missing.yaml")
	do.Plan.ReadPaths = append(do.Plan.ReadPaths, missing, hidden)
	readOnly := do.Plan.ReadPaths[0]
	do.Plan.WritePaths = append(do.Plan.WritePaths, readOnly)
	c := start(t, "", nil, do)
	r := c.dropped()
	if diff := cmp.Diff([]string{missing, hidden, readOnly}, r.Unusable); diff != "" {
		t.Errorf("unusable paths (-want +got):\n%s", diff)
	}
	wantLines(t, c.end(), whoNobody)
}

// A set-user-ID program of root gives nothing, also where Landlock would let it
// run.
func TestExecGivesNothing(t *testing.T) {
	plain := &syscall.Credential{Uid: 65534, Gid: 65534}
	setUID := copySelf(t, 0o4755)
	before := start(t, setUID, plain, task{Role: "who"}).end()
	if len(before) != 1 || !strings.HasPrefix(before[0], `who: euid 0, egid 65534, capabilities "=ep`) {
		t.Fatalf("%s is no set-user-ID program where it is (nosuid?), the test would show nothing: %q", setUID, before)
	}

	do := newTask(t, "exec", nobody, 65534, 65534)
	wantLines(t, start(t, "", nil, do).end(), whoNobody)
	do.Bounding = bounding(cap.SETPCAP)
	wantLines(t, start(t, "", nil, do).end(), whoNobody)
}

func TestReportString(t *testing.T) {
	for _, test := range []struct {
		report Report
		want   string
	}{
		{Report{Identity: Identity{"synscope", 990, 991}, SecurebitsLocked: true, Landlock: 5},
			"now synscope (uid 990, gid 991), no capabilities, no_new_privs, no core dumps, securebits locked, files restricted by Landlock ABI 5"},
		{Report{Identity: Identity{"eve", 1000, 1000}, GroupsKept: true, BoundingKept: true, Unusable: []string{"/root/s.yaml"}},
			"now eve (uid 1000, gid 1000), no capabilities, no_new_privs, no core dumps, supplementary groups kept (no CAP_SETGID), " +
				`bounding set kept (no CAP_SETPCAP), files not restricted (the kernel has no Landlock), without access to ["/root/s.yaml"]`},
	} {
		if got := test.report.String(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

package privilege

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// A Plan says what a process keeps.
type Plan struct {
	// User is the user to become, as [Resolve] takes it.
	User string
	// ReadPaths are the files and directories that can be read, with
	// everything below them. A file is known by its inode: to read one that is
	// replaced by a rename, as editors do, name its directory.
	ReadPaths []string
	// WritePaths are the files and directories that can also be written, with
	// everything below them. In a directory files can be made, renamed and
	// removed. No path can be executed.
	WritePaths []string
	// RemoveIn are directories in which files can be removed, with everything
	// below them, and nothing else.
	RemoveIn []string
}

// A Report says what [Drop] did.
type Report struct {
	Identity Identity // who the process is now
	// GroupsKept says that supplementary groups could not be given up: the
	// process was started by a plain user, and they are of that user.
	GroupsKept bool
	// BoundingKept says that the bounding set could not be emptied, for want
	// of CAP_SETPCAP. It gives nothing to a process with no_new_privs.
	BoundingKept bool
	// SecurebitsLocked says that user 0 is no longer special, for good.
	SecurebitsLocked bool
	// Landlock is the version of the Landlock ABI whose file system rights
	// are enforced; 0 if the kernel has none.
	Landlock int
	// Unusable are the paths of the plan that do not exist or that the
	// identity cannot read, or write, by the permissions of the files.
	Unusable []string
}

// String returns the report as one line for the log.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "now %s, no capabilities, no_new_privs, no core dumps", r.Identity)
	for _, part := range []struct {
		in   bool
		text string
	}{
		{r.GroupsKept, "supplementary groups kept (no CAP_SETGID)"},
		{r.BoundingKept, "bounding set kept (no CAP_SETPCAP)"},
		{r.SecurebitsLocked, "securebits locked"},
		{r.Landlock > 0, fmt.Sprintf("files restricted by Landlock ABI %d", r.Landlock)},
		{r.Landlock == 0, "files not restricted (the kernel has no Landlock)"},
		{len(r.Unusable) > 0, fmt.Sprintf("without access to %q", r.Unusable)},
	} {
		if part.in {
			b.WriteString(", " + part.text)
		}
	}
	return b.String()
}

// Drop gives up everything that the plan does not keep, on all threads, and
// verifies it. It is called once, from any goroutine.
//
// An error that says "nothing was changed" came before the first step. After any
// other the process is to exit: it may have lost what it needs and still have what
// it should not.
func Drop(p Plan) (Report, error) {
	id, err := Resolve(p.User)
	if err != nil {
		return Report{}, fmt.Errorf("dropping privileges: %w; nothing was changed", err)
	}
	held, err := heldCapabilities(id)
	if err != nil {
		return Report{}, fmt.Errorf("dropping privileges: %w; nothing was changed", err)
	}
	r, err := dropCredentials(id, held)
	if err == nil {
		r.Landlock, r.Unusable, err = restrictFiles(p)
	}
	if err != nil {
		return r, fmt.Errorf("dropping privileges: %w", err)
	}
	return r, nil
}

// capabilities says which of the capabilities that dropping others takes are
// held.
type capabilities struct{ setUID, setGID, setPCap bool }

// heldCapabilities looks what is held, and whether it is enough to become id.
func heldCapabilities(id Identity) (capabilities, error) {
	set := cap.GetProc()
	var errs []error
	has := func(v cap.Value) bool {
		ok, err := set.GetFlag(cap.Permitted, v)
		errs = append(errs, err)
		return ok
	}
	held := capabilities{setUID: has(cap.SETUID), setGID: has(cap.SETGID), setPCap: has(cap.SETPCAP)}
	if err := errors.Join(errs...); err != nil {
		return held, fmt.Errorf("reading capabilities: %w", err)
	}
	if id != current() && !(held.setUID && held.setGID) {
		return held, fmt.Errorf("becoming %s takes CAP_SETUID and CAP_SETGID: "+
			"give them to the container, or start as that user with CAP_NET_ADMIN as a file capability", id)
	}
	return held, nil
}

// dropCredentials gives up everything but access to files, and verifies it.
//
// The order matters. Emptying the bounding set and setting securebits takes
// CAP_SETPCAP, changing identity CAP_SETGID and CAP_SETUID, so the capabilities
// themselves go last. Once the securebits are set, leaving user 0 does not clear
// them as a side effect.
func dropCredentials(id Identity, held capabilities) (Report, error) {
	r := Report{Identity: id, GroupsKept: !held.setGID, BoundingKept: !held.setPCap}

	// Read now what the standard library reads at first use.
	_, _ = time.Now().Zone()

	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"forbidding new privileges", forbidNewPrivileges},
		{"making held capabilities effective", raiseEffective},
		{"clearing ambient capabilities", cap.ResetAmbient},
		{"emptying the bounding set", func() error { return emptyBounding(held) }},
		{"locking securebits", func() (err error) { r.SecurebitsLocked, err = lockSecurebits(held); return err }},
		{"changing identity", func() error { return become(id, held) }},
		{"clearing capabilities", func() error { return cap.NewSet().SetProc() }},
		// Changing credentials resets what the kernel thinks of dumping.
		{"forbidding core dumps", forbidDumps},
		{"verifying", func() error { return verifyThreads(id, held) }},
	} {
		if err := step.do(); err != nil {
			return r, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return r, nil
}

func forbidNewPrivileges() error {
	_, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1)
	return err
}

// raiseEffective makes every permitted capability effective: a file capability
// may be permitted only.
func raiseEffective() error {
	set := cap.GetProc()
	if err := set.Fill(cap.Effective, cap.Permitted); err != nil {
		return err
	}
	return set.SetProc()
}

func emptyBounding(held capabilities) error {
	if !held.setPCap {
		return nil
	}
	for v := range cap.MaxBits() { // those of the kernel, also if newer than the library
		bound, err := cap.GetBound(v)
		if err != nil {
			return fmt.Errorf("%v: %w", v, err)
		}
		if bound {
			if err := cap.DropBound(v); err != nil {
				return fmt.Errorf("%v: %w", v, err)
			}
		}
	}
	return nil
}

// securebits make user 0 a user like all others, and keep capabilities from being
// kept or made ambient. All are locked.
const securebits = cap.SecbitNoRoot | cap.SecbitNoRootLocked |
	cap.SecbitNoSetUIDFixup | cap.SecbitNoSetUIDFixupLocked |
	cap.SecbitKeepCapsLocked |
	cap.SecbitNoCapAmbientRaise | cap.SecbitNoCapAmbientRaiseLocked

// lockSecurebits reports whether it could: it cannot without CAP_SETPCAP, or if
// whoever started the process locked other bits, which then hold.
func lockSecurebits(held capabilities) (bool, error) {
	if !held.setPCap {
		return false, nil
	}
	err := securebits.Set()
	if errors.Is(err, unix.EPERM) {
		return false, nil
	}
	return err == nil, err
}

// become changes to an identity. The system calls of the syscall package are
// those of all threads.
func become(id Identity, held capabilities) error {
	if held.setGID {
		if err := syscall.Setgroups(nil); err != nil {
			return fmt.Errorf("setgroups: %w", err)
		}
	}
	if err := syscall.Setresgid(id.GID, id.GID, id.GID); err != nil {
		return fmt.Errorf("setresgid %d: %w", id.GID, err)
	}
	if err := syscall.Setresuid(id.UID, id.UID, id.UID); err != nil {
		return fmt.Errorf("setresuid %d: %w", id.UID, err)
	}
	return nil
}

// forbidDumps forbids core dumps and tracing by others of the same user. Files
// below /proc/self then belong to root; the process itself can still read them.
func forbidDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err == nil && dumpable != 0 {
		err = errors.New("the process is still dumpable")
	}
	return err
}

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// An Error says what of the sandbox could not be made and, where it is known,
// what to do about it.
type Error struct {
	Op   string // what was tried: "make the namespaces", "mount over /etc/resolv.conf", …
	Err  error
	Hint string // what to do about it, or empty
}

func (e *Error) Error() string { return "sandbox: " + e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// An ExecError says why the command's program could not be executed.
type ExecError struct {
	Path string
	Err  error
}

func (e *ExecError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *ExecError) Unwrap() error { return e.Err }

// tellable is err for the other process.
func tellable(op string, err error) *failed {
	f := &failed{Op: op, Text: err.Error()}
	var errno unix.Errno
	if errors.As(err, &errno) {
		f.Errno = errno
	}
	var e *Error
	if errors.As(err, &e) {
		f.Op, f.Text, f.Hint = e.Op, e.Err.Error(), e.Hint
	}
	const maxText = 1024
	f.Text = f.Text[:min(len(f.Text), maxText)]
	return f
}

// A told error is one of the other process: its text, and its errno to ask for.
type told struct {
	text  string
	errno unix.Errno
}

func (e told) Error() string { return e.text }

func (e told) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

func (f *failed) error() error {
	err := told{f.Text, f.Errno}
	if f.Exec {
		return &ExecError{f.Op, err}
	}
	e := &Error{f.Op, err, f.Hint}
	if e.Hint == "" && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		e.Hint = obstacle()
	}
	return e
}

// obstacle looks what on this system keeps a user from having namespaces, and
// says what to do about it.
func obstacle() string { return hint(sysctl, filtered) }

func hint(sysctl func(name string) string, filtered func() bool) string {
	switch {
	case sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor forbids unprivileged user namespaces: have it load synscope's profile, contrib/apparmor/synscope of the source, with: " +
			"apparmor_parser -r /etc/apparmor.d/synscope; or run as root, or allow them to all with: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case sysctl("kernel/unprivileged_userns_clone") == "0":
		return "this system forbids unprivileged user namespaces: run as root, or allow them with: sysctl kernel.unprivileged_userns_clone=1"
	case sysctl("user/max_user_namespaces") == "0":
		return "this system allows no user namespaces: run as root, or allow them with: sysctl user.max_user_namespaces=10000"
	case filtered():
		return "a seccomp filter, as containers have, forbids namespaces: in Docker, run with: --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt apparmor=unconfined, or with --security-opt seccomp=unconfined"
	}
	return "run as root, or let this user make namespaces (user_namespaces(7))"
}

func sysctl(name string) string {
	b, _ := os.ReadFile("/proc/sys/" + name) // a system without it does not forbid it so
	return strings.TrimSpace(string(b))
}

// filtered reports whether a seccomp filter holds for this process.
func filtered() bool {
	b, _ := os.ReadFile("/proc/self/status")
	return strings.Contains(string(b), "\nSeccomp:\t2\n")
}

// cloneError is the Error for what kept the helper from being started.
func cloneError(err error, userNamespace bool) error {
	e := &Error{Op: "make the namespaces", Err: err}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Hint = obstacle()
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		e.Err = fmt.Errorf("too many namespaces, or nested too deep: %w", err)
		e.Hint = "raise the limits: sysctl user.max_user_namespaces user.max_net_namespaces user.max_mnt_namespaces"
	case errors.Is(err, unix.EINVAL) && userNamespace:
		e.Hint = "the kernel has no user namespaces (CONFIG_USER_NS): run as root"
	}
	return e
}

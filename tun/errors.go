package tun

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

var (
	// ErrGone is wrapped by the error of Read and Write when the interface no
	// longer exists although nobody closed the device.
	ErrGone = errors.New("the interface was deleted")

	// ErrDown is wrapped by the error of Write when the interface is not up.
	// The device can be used again when it is.
	ErrDown = errors.New("the interface is down")

	// ErrPacket is wrapped by the error of Read and Write when one packet could
	// not be passed on. The device can still be used.
	ErrPacket = errors.New("unusable packet")
)

// An Error says what failed on which interface and, where it is known, what to
// do about it.
type Error struct {
	Op   string // what was tried: "configure", "create", "add address 198.18.0.1/15", "read", …
	Name string // of the interface; as configured if it was not created
	Err  error
	Hint string // what to do about it: one or more sentences, or empty
}

func (e *Error) Error() string {
	return "tun: " + e.Op + ": interface " + e.Name + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

const (
	hintCapability = "run as root, or with CAP_NET_ADMIN in the user namespace that owns the network namespace"
	hintNoDevice   = "load the module with: modprobe tun; in a container, pass the device in with: --device /dev/net/tun"
	hintDenied     = "run as root, or let this user open /dev/net/tun; in a container, allow it with: --device /dev/net/tun"
	hintNotDevice  = "make it the TUN device again with: mknod /dev/net/tun c 10 200"
	hintTaken      = "choose another name: an interface that is already there is never taken over or removed"
	hintNoIPv6     = "enable it with: sysctl net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0, or serve IPv4 addresses only"
)

// createError returns the Error for what kept the interface from being made.
func createError(name string, err error) error {
	e := &Error{Op: "create", Name: name, Err: err}
	var path *fs.PathError // opening /dev/net/tun failed; else one of its ioctls
	opening := errors.As(err, &path)
	switch {
	case opening && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)):
		e.Hint = hintNoDevice
	case opening && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)):
		e.Hint = hintDenied
	case errors.Is(err, unix.EPERM):
		e.Hint = hintCapability
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		e.Err = fmt.Errorf("an interface of this name exists: %w", err)
		e.Hint = hintTaken
	case errors.Is(err, unix.ENOTTY):
		e.Hint = hintNotDevice
	}
	return e
}

// setUpError returns the Error for a step of setting the interface up.
func setUpError(op, name string, err error) error {
	e := &Error{Op: op, Name: name, Err: err}
	switch {
	case errors.Is(err, unix.EPERM):
		e.Hint = hintCapability
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		// The first if IPv6 is disabled by sysctl, the others if the kernel has
		// none. Nothing else that is done here gives these.
		e.Err = fmt.Errorf("IPv6 is disabled: %w", err)
		e.Hint = hintNoIPv6
	}
	return e
}

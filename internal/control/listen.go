package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxPath is the length of the longest path of a Unix socket, in bytes: that of
// sun_path less the final zero (unix(7)).
const MaxPath = 107

func checkPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err == nil && len(abs) > MaxPath {
		err = &Error{fmt.Errorf("control socket %s: the path has %d bytes, and a socket's can have %d", abs, len(abs), MaxPath), "give a shorter one with --control"}
	}
	return abs, err
}

// A Listener is the open control socket.
type Listener struct {
	*net.UnixListener
	path string
	uids []int // of those who may connect
	log  *slog.Logger
}

// Listen opens the socket at path for root, for the user who calls it and for the
// user uid, whose it is then, with mode 0600. It makes the socket's directory, and
// gives it to that user too, who is to remove the socket. A socket that a daemon
// left which was killed is replaced. Log is told of that, and of peers that are
// refused.
func Listen(path string, uid, gid int, log *slog.Logger) (*Listener, error) {
	path, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	l, err := listen(path, uid, gid, log)
	var known *Error
	if err != nil && !errors.As(err, &known) {
		err = &Error{fmt.Errorf("control socket %s: %w", path, reason(err)), "give a path in a directory that you can write to with --control, or none for no socket"}
	}
	if err != nil {
		return nil, err
	}
	return &Listener{UnixListener: l, path: path, uids: []int{0, os.Getuid(), uid}, log: log}, nil
}

func listen(path string, uid, gid int, log *slog.Logger) (*net.UnixListener, error) {
	dir, err := openDir(filepath.Dir(path), uid, gid)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// Of two daemons that find the same leftover, one would remove the other's socket.
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, &Error{fmt.Errorf("control socket %s: another process holds the lock of its directory: %w", path, err), "another daemon is starting there: try again"}
	}
	replaced, err := removeLeftover(path)
	if err != nil {
		return nil, err
	}
	// The mode of a socket before bind is that of its file.
	mode := func(_, _ string, c syscall.RawConn) error {
		var errMode error
		err := c.Control(func(fd uintptr) { errMode = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, errMode)
	}
	lc := net.ListenConfig{Control: mode}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	l := ln.(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	if err := os.Lchown(path, uid, gid); err != nil {
		os.Remove(path)
		l.Close()
		return nil, err
	}
	if replaced {
		log.Info("the control socket of a daemon that did not end in order is replaced", "path", path)
	}
	return l, nil
}

// openDir opens a directory, and makes it for a user if it is not there.
func openDir(path string, uid, gid int) (*os.File, error) {
	err := os.Mkdir(path, 0o755)
	if err == nil {
		err = os.Lchown(path, uid, gid)
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// removeLeftover removes a socket that nobody listens on, and reports whether
// there was one. Anything else at its path is an error.
func removeLeftover(path string) (bool, error) {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if st.Mode().Type() != fs.ModeSocket {
		return false, &Error{fmt.Errorf("control socket %s: there is something else, with mode %v", path, st.Mode()), "remove it, or give another path with --control"}
	}
	conn, err := net.Dial("unix", path)
	if errors.Is(err, unix.ECONNREFUSED) {
		return true, os.Remove(path)
	}
	if err != nil {
		return false, err
	}
	defer conn.Close()
	who := ""
	if peer, err := credentials(conn.(*net.UnixConn)); err == nil && peer.Pid > 0 {
		who = fmt.Sprintf(", process %d", peer.Pid)
	}
	return false, &Error{fmt.Errorf("control socket %s: another daemon%s, serves it", path, who), "give each daemon its own with --control, or none for no socket"}
}

// credentials returns those of a peer: of a client when it connected, of a
// server when it began to listen.
func credentials(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var errCred error
	if err := raw.Control(func(fd uintptr) {
		cred, errCred = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, errCred
}

// Accept returns the next connection of a peer who may ask. Others are closed
// before anything is read of them.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := credentials(c)
		if err == nil && slices.Contains(l.uids, int(peer.Uid)) {
			return c, nil
		}
		c.Close()
		if err != nil {
			l.log.Warn("control socket: peer without credentials refused", "error", err)
		} else {
			l.log.Warn("control socket: peer refused", "uid", peer.Uid, "pid", peer.Pid)
		}
	}
}

// Dir is the socket's directory, in which Close removes a file.
func (l *Listener) Dir() string { return filepath.Dir(l.path) }

// Close removes the socket and closes it: in this order, so that no daemon that
// starts meanwhile takes it for a leftover.
func (l *Listener) Close() error {
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Warn("the control socket is left, and the next start replaces it", "path", l.path, "error", reason(err))
	}
	return l.UnixListener.Close()
}

// reason strips from an error what the messages here say themselves.
func reason(err error) error {
	var pe *fs.PathError
	var oe *net.OpError
	var se *os.SyscallError
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &se):
		return se.Err
	case errors.As(err, &oe):
		return oe.Err
	}
	return err
}

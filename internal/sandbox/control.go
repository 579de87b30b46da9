package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A control is one end of the socket between the two processes. It keeps the
// boundaries of messages.
type control struct{ fd int }

// A message is one from the helper. One of its fields is set.
type message struct {
	Ready  *ready  `json:",omitempty"` // comes with the queue of the interface
	Failed *failed `json:",omitempty"`
}

type ready struct {
	Name  string
	MTU   int
	IPv6  bool
	NetNS string // as networkOf has it
}

// failed is an error on its way to the other process.
type failed struct {
	Op    string
	Errno unix.Errno `json:",omitempty"`
	Text  string     // of the error
	Hint  string     `json:",omitempty"`
	Exec  bool       `json:",omitempty"` // the program could not be executed
}

func controlPair() (ours, theirs control, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ours, theirs, os.NewSyscallError("socketpair", err)
	}
	return control{fds[0]}, control{fds[1]}, nil
}

func (c control) close() { unix.Close(c.fd) }

// maxMessage bounds a message, in bytes.
const maxMessage = 4096

// noFile is the descriptor where no file goes with a message.
const noFile = -1

// send sends a message, with a file unless that is noFile.
func (c control) send(b []byte, fd int) error {
	var rights []byte
	if fd != noFile {
		rights = unix.UnixRights(fd)
	}
	err := retry(func() error { return unix.Sendmsg(c.fd, b, rights, nil, unix.MSG_NOSIGNAL) })
	return os.NewSyscallError("sendmsg", err)
}

// receive waits for a message, and returns the file that came with it, or
// noFile. The error is io.EOF if the other process has gone.
func (c control) receive() (b []byte, fd int, err error) {
	b, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	err = retry(func() (err error) {
		n, oobn, _, _, err = unix.Recvmsg(c.fd, b, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	switch {
	case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
		return nil, noFile, io.EOF
	case err != nil:
		return nil, noFile, os.NewSyscallError("recvmsg", err)
	}
	return b[:n], fileOf(oob[:oobn]), nil
}

func fileOf(oob []byte) int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return noFile
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return noFile
	}
	return fds[0]
}

// tell sends a message of the helper's.
func (c control) tell(m message, fd int) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.send(b, fd)
}

// hear receives a message of the helper's. An error that it tells is returned.
func (c control) hear() (*ready, int, error) {
	b, fd, err := c.receive()
	if err != nil {
		return nil, noFile, err
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, noFile, fmt.Errorf("message of the helper: %w", err)
	}
	if m.Failed != nil {
		return nil, noFile, m.Failed.error()
	}
	return m.Ready, fd, nil
}

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

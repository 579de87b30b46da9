package sandbox

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// A Spec says what the helper makes and becomes.
type Spec struct {
	// Path is the program, Args are its arguments from its name on, and Env
	// is its environment.
	Path string
	Args []string
	Env  []string

	// Addresses are those of the command's interface, each with its prefix.
	// Those of IPv6 are left out if the kernel has none. All of both families
	// is routed to the interface.
	Addresses []netip.Prefix

	// Files replace others, or are there besides. See FilesDir.
	Files []File
	// Empty are directories that are seen empty, if they exist.
	Empty []string
}

// FilesDir is the directory in which the command sees the files of its Spec,
// and in which it can write nothing. It is a mount point that procfs always has
// and that no one else uses but an NFS server; outside it stays as it is.
const FilesDir = "/proc/fs/nfsd"

// A File is seen by the command in FilesDir by its name, and instead of each
// existing file in Over. Symbolic links in Over are followed.
type File struct {
	Name string
	Data []byte
	Over []string
}

// An order is what the helper is sent.
type order struct {
	Spec
	Parent int // the process that it must not outlive
}

// pack writes an order into memory that can be handed over as a file.
func pack(o order) (*os.File, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(o); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("synscope-spec", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "spec")
	if _, err := f.Write(b.Bytes()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unpack reads what pack wrote, and closes the file.
func unpack(f *os.File) (order, error) {
	defer f.Close()
	var o order
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return o, err
	}
	if err := gob.NewDecoder(f).Decode(&o); err != nil {
		return o, fmt.Errorf("reading the spec: %w", err)
	}
	return o, nil
}

package sandbox

import (
	"encoding/json"
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

// An order is what the helper is sent: this as JSON, after its length in a line,
// and then what the files hold, one after the other. That is most of it, and is
// not to be copied more than once.
type order struct {
	Path      []byte // bytes, as JSON has only text
	Args, Env [][]byte
	Addresses []netip.Prefix
	Files     []packedFile
	Empty     []string
	Parent    int // the process that it must not outlive
}

type packedFile struct {
	Name string
	Size int64
	Over []string
}

func orderOf(s Spec) order {
	o := order{Path: []byte(s.Path), Args: byteSlices(s.Args), Env: byteSlices(s.Env), Addresses: s.Addresses, Empty: s.Empty, Parent: os.Getpid()}
	for _, f := range s.Files {
		o.Files = append(o.Files, packedFile{f.Name, int64(len(f.Data)), f.Over})
	}
	return o
}

func byteSlices(ss []string) [][]byte {
	bs := make([][]byte, len(ss))
	for i, s := range ss {
		bs[i] = []byte(s)
	}
	return bs
}

func texts(bs [][]byte) []string {
	ss := make([]string, len(bs))
	for i, b := range bs {
		ss[i] = string(b)
	}
	return ss
}

// pack writes an order into memory that can be handed over as a file.
func pack(s Spec) (*os.File, error) {
	head, err := json.Marshal(orderOf(s))
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("synscope-spec", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "spec")
	_, err = fmt.Fprintf(f, "%d\n%s", len(head), head)
	for _, file := range s.Files {
		if err == nil {
			_, err = f.Write(file.Data)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unpack reads an order from what pack wrote. The file is left where what the
// first of the order's files holds begins.
func unpack(f *os.File) (order, error) {
	var o order
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return o, err
	}
	var size int
	if _, err := fmt.Fscanf(f, "%d\n", &size); err != nil { // reads a byte at a time
		return o, fmt.Errorf("reading the spec: %w", err)
	}
	head := make([]byte, size)
	_, err := io.ReadFull(f, head)
	if err == nil {
		err = json.Unmarshal(head, &o)
	}
	if err != nil {
		return o, fmt.Errorf("reading the spec: %w", err)
	}
	return o, nil
}

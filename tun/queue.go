package tun

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A queue reads and writes packets on a file that keeps their boundaries, with
// the virtio-net header in front of each if vnet, and an Ethernet header then if
// ether. It waits in the runtime's poller, so that a waiting goroutine costs no
// thread and close ends the wait.
type queue struct {
	name  string // of the interface, for errors
	vnet  bool
	ether bool
	file  *os.File // kept: a file that is collected is closed, and the interface goes
	conn  syscall.RawConn

	in  transfer  // owned by the one goroutine that reads
	out sync.Pool // of *transfer, one for each goroutine that writes
}

// newQueue returns a queue on file, which it owns if it succeeds.
func newQueue(name string, file *os.File, vnet bool) (*queue, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	q := &queue{name: name, vnet: vnet, file: file, conn: conn}
	q.in.call = q.in.readv
	q.out.New = func() any {
		t := new(transfer)
		t.call, t.callOnce = t.writev, func(fd uintptr) { t.writev(fd) }
		return t
	}
	return q, nil
}

// read is Device.Read.
func (q *queue) read(bufs [][]byte) (int, Offload, error) {
	for {
		n, off, err := q.readFrame(bufs)
		if err != nil || !q.ether || q.in.ether.isIP() {
			return n, off, err
		}
	}
}

// readFrame reads a packet, or an Ethernet frame of whatever type.
func (q *queue) readFrame(bufs [][]byte) (int, Offload, error) {
	t := &q.in
	defer t.reset()
	head := q.addHeaders(t)
	for _, b := range bufs {
		t.add(b)
	}
	// One byte more than there is room: the kernel cuts what is too long and
	// does not say so, but then this byte is filled.
	size := t.size
	t.add(t.spill[:])

	if err := q.conn.Read(t.call); err != nil {
		return 0, Offload{}, q.waitError("read", err)
	}
	if t.errno != 0 {
		return 0, Offload{}, q.errnoError("read", t.errno)
	}
	n := t.n - head
	switch {
	case t.n > size:
		return 0, Offload{}, q.packetError("read", io.ErrShortBuffer)
	case n <= 0:
		return 0, Offload{}, q.packetError("read", io.ErrUnexpectedEOF)
	case !q.vnet:
		return n, Offload{}, nil
	}
	off, err := t.header.decode(t.n - vnetHeaderLen)
	if err == nil && q.ether {
		err = off.shift(-etherHeaderLen)
	}
	if err != nil {
		return 0, Offload{}, q.packetError("read", err)
	}
	return n, off, nil
}

// addHeaders begins a vector with the headers that the queue has, and returns
// their length.
func (q *queue) addHeaders(t *transfer) int {
	if q.vnet {
		t.add(t.header[:])
	}
	if q.ether {
		t.add(t.ether[:])
	}
	return t.size
}

// write is Device.Write.
func (q *queue) write(bufs [][]byte, off Offload) error {
	t := q.out.Get().(*transfer)
	defer q.out.Put(t)
	defer t.reset()
	head := q.addHeaders(t)
	for _, b := range bufs {
		t.add(b)
	}
	n := t.size - head
	switch {
	case n == 0 || n > MaxPacketSize:
		return q.packetError("write", fmt.Errorf("length %d is not within 1 to %d", n, MaxPacketSize))
	case q.vnet:
		if err := q.encode(t, off, n); err != nil {
			return q.packetError("write", err)
		}
	case off.NeedsChecksum || off.GSO != GSONone:
		return q.packetError("write", errors.New("the interface has no offloads"))
	}

	// Control takes no lock, where Write lets one writer in at a time. Only who
	// finds no room goes there, to wait for it.
	err := q.conn.Control(t.callOnce)
	if err == nil && t.errno == unix.EAGAIN {
		err = q.conn.Write(t.call)
	}
	switch {
	case err != nil:
		return q.waitError("write", err)
	case t.errno != 0:
		return q.errnoError("write", t.errno)
	case t.n != t.size:
		return q.packetError("write", io.ErrShortWrite)
	}
	return nil
}

// encode sets the headers of a packet of n bytes, which is in the vector.
func (q *queue) encode(t *transfer, off Offload, n int) error {
	if q.ether {
		t.ether.address(t.firstByte())
		n += etherHeaderLen
		if err := off.shift(etherHeaderLen); err != nil {
			return err
		}
	}
	return t.header.encode(off, n)
}

// close closes the file, and with it the interface. It returns when nobody uses
// the file any more, so the interface is gone then. It is called once.
func (q *queue) close() error {
	if err := q.file.Close(); err != nil {
		return &Error{Op: "close", Name: q.name, Err: err}
	}
	return nil
}

// waitError is the error for what the poller says: no deadline is ever set, so
// that the file was closed. The poller's own error does not wrap os.ErrClosed.
func (q *queue) waitError(op string, err error) error {
	return &Error{Op: op, Name: q.name, Err: fmt.Errorf("%w: %w", os.ErrClosed, err)}
}

// packetError is the error for a packet that was not passed on.
func (q *queue) packetError(op string, err error) error {
	return &Error{Op: op, Name: q.name, Err: fmt.Errorf("%w: %w", ErrPacket, err)}
}

// errnoError is the error for what the kernel said to a read or write.
func (q *queue) errnoError(op string, errno syscall.Errno) error {
	e := &Error{Op: op, Name: q.name, Err: errno}
	switch {
	case errno == unix.EBADFD, errno == unix.EIO && op == "read":
		e.Err = fmt.Errorf("%w: %w", ErrGone, errno)
		e.Hint = "something else on this host removed the interface; open it again"
	case errno == unix.ENETDOWN && op == "read":
		e.Err = fmt.Errorf("%w: %w", ErrGone, errno)
	case errno == unix.EIO, errno == unix.ENETDOWN:
		e.Err = fmt.Errorf("%w: %w", ErrDown, errno)
		e.Hint = "bring it up with: ip link set " + q.name + " up"
	case errno == unix.EINVAL, errno == unix.ENOBUFS, errno == unix.ENOMEM:
		e.Err = fmt.Errorf("%w: %w", ErrPacket, errno)
	}
	return e
}

// A transfer is one readv or writev: its vector, and its outcome. It is used
// again and again, with the functions for the poller made once, so that a
// packet costs no allocation.
type transfer struct {
	header vnetHeader
	ether  etherHeader
	spill  [1]byte
	vector []unix.Iovec
	size   int // bytes in the vector

	n     int // outcome
	errno syscall.Errno

	call     func(fd uintptr) (done bool) // readv or writev
	callOnce func(fd uintptr)             // the same, for who does not wait
}

// add appends b to the vector.
func (t *transfer) add(b []byte) {
	if len(b) == 0 {
		return
	}
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	t.vector = append(t.vector, v)
	t.size += len(b)
}

// firstByte returns the first byte of the packet, which follows the headers.
func (t *transfer) firstByte() byte {
	return *t.vector[2].Base // both headers are there, and the packet is not empty
}

// reset forgets the caller's buffers.
func (t *transfer) reset() {
	clear(t.vector)
	t.vector, t.size = t.vector[:0], 0
}

// readv reports false if there is nothing to read. The file does not block, so
// the scheduler need not hear of the call.
func (t *transfer) readv(fd uintptr) bool {
	n, _, errno := unix.RawSyscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(&t.vector[0])), uintptr(len(t.vector)))
	t.n, t.errno = int(n), errno
	return errno != unix.EAGAIN
}

// writev reports false if there is no room. The kernel carries the packet all
// the way to its receiver in the call, so the scheduler does hear of it.
func (t *transfer) writev(fd uintptr) bool {
	n, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&t.vector[0])), uintptr(len(t.vector)))
	t.n, t.errno = int(n), errno
	return errno != unix.EAGAIN
}

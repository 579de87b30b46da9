package tun

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// clonePath is the device that makes TUN interfaces. water opens it too.
const clonePath = "/dev/net/tun"

// offloads is what we tell the kernel it may leave to us: partial checksums,
// and TCP super-packets of either family.
const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6

// openQueue makes the interface and returns its queue. If offload is asked for
// and refused, whatever the reason, the queue is one of packet at a time and
// refused tells why.
func openQueue(name string, offload bool) (q *queue, refused, err error) {
	if offload {
		q, refused = create(name, true)
		if refused == nil {
			return q, nil, nil
		}
	}
	q, err = create(name, false)
	if err != nil {
		return nil, nil, createError(name, err)
	}
	return q, refused, nil
}

// create makes the interface through water, with the virtio-net header if vnet.
//
// water cannot ask for IFF_VNET_HDR, nor can a queue be given it later. But the
// flags belong to the interface, and a further queue of a multi-queue interface
// gets those that it has. So a primer queue makes the interface, water attaches
// to it, and then the primer goes. The primer also makes up for two things that
// water lacks: it refuses to attach to what exists (IFF_TUN_EXCL), where water
// would take over a foreign interface and clear its persistence, and when the
// kernel says no, there is nothing that leaks (water leaves its file open).
func create(name string, vnet bool) (*queue, error) {
	primer, err := unix.Open(clonePath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: clonePath, Err: err}
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE | unix.IFF_TUN_EXCL)
	if vnet {
		flags |= unix.IFF_VNET_HDR
	}
	file, err := attach(primer, name, flags)
	unix.Close(primer)
	if err != nil {
		return nil, err
	}
	if vnet {
		err = control(file, setOffload)
	}
	var q *queue
	if err == nil {
		q, err = newQueue(name, file, vnet)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return q, nil
}

// attach makes the interface with the primer and returns water's queue of it.
// Whoever forks meanwhile must not pass on water's file, which is opened
// without O_CLOEXEC.
func attach(primer int, name string, flags uint16) (*os.File, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(primer, unix.TUNSETIFF, request); err != nil {
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}

	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	ifc, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, MultiQueue: true},
	})
	if err != nil {
		return nil, fmt.Errorf("attach queue: %w", err)
	}
	file, ok := ifc.ReadWriteCloser.(*os.File)
	if !ok {
		ifc.Close()
		return nil, fmt.Errorf("attach queue: water returned a %T, not a file", ifc.ReadWriteCloser)
	}
	if err := control(file, closeOnExec); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func closeOnExec(fd int) error {
	syscall.CloseOnExec(fd)
	return nil
}

// setOffload tells the kernel what it may leave to us, and checks that packets
// have a virtio-net header.
func setOffload(fd int) error {
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		return os.NewSyscallError("TUNSETOFFLOAD", err)
	}
	request := new(unix.Ifreq)
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, request); err != nil {
		return os.NewSyscallError("TUNGETIFF", err)
	}
	if request.Uint16()&unix.IFF_VNET_HDR == 0 {
		return errors.New("the queue has no virtio-net header")
	}
	return nil
}

// control calls f with the descriptor of file and returns its error.
func control(file *os.File, f func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := conn.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

package tun

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// File returns the queue of the interface, to be handed to another process. The
// interface lasts as long as somebody has it open. Whoever reads must be alone.
func (i *Interface) File() *os.File { return i.queue.file }

// An adopted queue is that of an interface that another process made.
type adopted struct {
	*queue
	mtu int
}

// Adopt returns a Device on the queue that another process opened and handed
// over ([Interface.File]), of the interface with that name and MTU. The device
// owns file if there is no error, which is an *Error.
func Adopt(file *os.File, name string, mtu int) (Device, error) {
	vnet, ether, err := describe(file)
	var q *queue
	if err == nil {
		q, err = newQueue(name, file, vnet)
	}
	if err != nil {
		return nil, &Error{Op: "adopt", Name: name, Err: err}
	}
	q.ether = ether
	return adopted{q, mtu}, nil
}

// describe tells what headers the packets of a queue have.
func describe(file *os.File) (vnet, ether bool, err error) {
	err = control(file, func(fd int) error {
		request := new(unix.Ifreq)
		tunErr := unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
		if tunErr == nil {
			vnet = request.Uint16()&unix.IFF_VNET_HDR != 0
			return nil
		}
		header, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR)
		switch {
		case err != nil:
			return fmt.Errorf("neither a TUN (%w) nor a packet socket (%w)", tunErr, err)
		case header == 0:
			return errors.New("the packet socket has no virtio-net header")
		}
		vnet, ether = true, true
		return nil
	})
	return vnet, ether, err
}

func (a adopted) Name() string   { return a.name }
func (a adopted) MTU() int       { return a.mtu }
func (a adopted) Offloads() bool { return a.vnet }

func (a adopted) Read(bufs [][]byte) (int, Offload, error) { return a.read(bufs) }
func (a adopted) Write(bufs [][]byte, off Offload) error   { return a.write(bufs, off) }
func (a adopted) Close() error {
	if err := a.close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

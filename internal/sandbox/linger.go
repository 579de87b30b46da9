package sandbox

import (
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"synscope/tun"
)

// closerName is the name by which this program knows that it is a closer.
const closerName = "synscope: closer"

// A lingering device is one whose queue is a packet socket. Closing the last
// descriptor of one takes some 10 ms, as the kernel waits until no processor
// looks at it any more (packet_release, synchronize_rcu). That is left to another
// process, the closer, which has the descriptor last and ends then.
type lingering struct {
	tun.Device
	queue  *os.File
	closer *atomic.Int64 // its process, once there is one
}

// isSocket reports whether a file is a socket.
func isSocket(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil
}

// Close implements tun.Device.
func (l lingering) Close() error {
	var end [2]int // the closer reads from it until it is closed here
	if unix.Pipe2(end[:], unix.O_CLOEXEC) != nil {
		return l.Device.Close() // which takes its time
	}
	defer unix.Close(end[1]) // after the device
	defer unix.Close(end[0])
	if conn, err := l.queue.SyscallConn(); err == nil { // else it is closed
		conn.Control(func(fd uintptr) {
			// Not in our session: nobody is to wait for it, or to signal it.
			pid, _, err := syscall.StartProcess("/proc/self/exe", []string{closerName}, &syscall.ProcAttr{
				Dir: "/", Files: []uintptr{uintptr(end[0]), fd, fd}, Sys: &syscall.SysProcAttr{Setsid: true},
			})
			if err == nil {
				l.closer.Store(int64(pid))
			}
		})
	}
	return l.Device.Close()
}

// runCloser is the closer. It does not return.
func runCloser() {
	io.Copy(io.Discard, os.Stdin) // until the other process has closed its own
	os.Exit(0)
}

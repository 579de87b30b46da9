package tun

import (
	"errors"
	"sync"
)

// An Interface is a TUN interface of the kernel. It is a Device.
type Interface struct {
	name     string
	mtu      int
	queue    *queue
	links    *links
	watch    *watcher
	refused  error
	overlaps []Overlap

	closing  sync.Once
	closeErr error
}

var _ Device = (*Interface)(nil)

// Open makes the interface, brings it up and starts to watch it. If anything
// fails there is no interface, and the error is an *Error. The interface is in
// the network namespace of the calling thread.
func Open(c Config) (*Interface, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	links, err := openLinks()
	if err != nil {
		return nil, &Error{Op: "open netlink", Name: c.Name, Err: err}
	}
	i, err := open(c, links)
	if err != nil {
		links.close()
		return nil, err
	}
	return i, nil
}

// open does the work of Open. It owns links once it succeeded.
func open(c Config, links *links) (*Interface, error) {
	if err := links.checkAddresses(c); err != nil {
		return nil, err
	}
	overlaps, err := links.overlaps(c)
	if err != nil {
		return nil, err
	}
	queue, refused, err := makeQueue(c, links)
	if err != nil {
		return nil, err
	}
	index, err := links.setUp(c)
	if err != nil {
		queue.close()
		return nil, err
	}
	watch, err := startWatcher(links, c.Name, index)
	if err != nil {
		queue.close()
		return nil, err
	}
	return &Interface{
		name: c.Name, mtu: c.MTU,
		queue: queue, links: links, watch: watch,
		refused: refused, overlaps: overlaps,
	}, nil
}

// makeQueue makes the interface and returns its queue.
func makeQueue(c Config, links *links) (q *queue, refused, err error) {
	if c.Kind == Veth {
		q, err = links.openVeth(c)
		return q, nil, err
	}
	return openQueue(c.Name, !c.NoOffload)
}

// Name is the name of the interface.
func (i *Interface) Name() string { return i.name }

// MTU is the MTU that the interface was opened with, in bytes.
func (i *Interface) MTU() int { return i.mtu }

// Offloads reports whether the interface carries super-packets.
func (i *Interface) Offloads() bool { return i.queue.vnet }

// OffloadError says what the kernel refused if the interface does not carry
// super-packets although its Config allows them. Else it is nil.
func (i *Interface) OffloadError() error { return i.refused }

// Overlaps returns the routes of other interfaces that were found to share
// addresses with the served prefixes when the interface was opened.
func (i *Interface) Overlaps() []Overlap { return i.overlaps }

// Changes returns the channel that tells what somebody else does to the
// interface, in order and at once. It is closed after Deleted, by Close, and if
// the kernel's notices can no longer be read. It need not be read; when it is
// read very late, a change that was undone since may be left out.
func (i *Interface) Changes() <-chan Change { return i.watch.changes }

// Read implements Device. It allocates nothing.
func (i *Interface) Read(bufs [][]byte) (n int, off Offload, err error) { return i.queue.read(bufs) }

// Write implements Device. It allocates nothing. Out of memory, the kernel
// refuses a packet with ENOBUFS or ENOMEM: it is lost, as on any network.
func (i *Interface) Write(bufs [][]byte, off Offload) error { return i.queue.write(bufs, off) }

// Close removes the interface with its addresses and routes. Read and Write
// return, and Changes is closed. To remove a Veth takes CAP_NET_ADMIN.
func (i *Interface) Close() error {
	i.closing.Do(func() {
		i.watch.close() // first, so that our own removal is not told as Deleted
		i.closeErr = i.queue.close()
		if i.queue.ether {
			i.closeErr = errors.Join(i.closeErr, i.links.remove(i.watch.index, i.name))
		}
		i.links.close()
	})
	return i.closeErr
}

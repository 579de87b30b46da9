package tun

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A Change is something that somebody else did to the interface.
type Change uint8

const (
	Up      Change = iota + 1 // it was brought up again; the kernel has dropped its IPv6 addresses
	Down                      // it was brought down: no packets pass
	Deleted                   // it is gone, or in another network namespace
)

func (c Change) String() string {
	switch c {
	case Up:
		return "up"
	case Down:
		return "down"
	case Deleted:
		return "deleted"
	}
	return fmt.Sprintf("Change(%d)", uint8(c))
}

// A watcher turns the kernel's notices on one interface into changes.
type watcher struct {
	links   *links // to ask for the state, where notices were lost
	index   int
	socket  *nl.NetlinkSocket // subscribed to the notices
	changes chan Change

	// Owned by run.
	up   bool // as last told
	lost bool // notices were lost: those that still come may be older than what was told

	closing chan struct{} // closed by close
	done    chan struct{} // closed by run when it returns
}

// startWatcher starts to watch an interface that was just brought up. It needs
// no privileges, then or later.
func startWatcher(links *links, name string, index int) (*watcher, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, &Error{Op: "watch", Name: name, Err: err}
	}
	w := &watcher{
		links: links, index: index, socket: socket, up: true, // as it was made
		changes: make(chan Change),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	// What happened before the subscription was not noticed, so ask.
	up, err := w.isUp()
	if err != nil {
		socket.Close()
		return nil, &Error{Op: "watch", Name: name, Err: err}
	}
	go w.run(up)
	return w, nil
}

// run tells changes until the interface is deleted or the watcher is closed.
// While a change waits to be received, the notices wait in the socket. At the
// start the interface is up or not.
func (w *watcher) run(up bool) {
	defer close(w.done)
	defer close(w.changes)
	for more := w.tellUp(up); more; {
		messages, from, err := w.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // the socket was full
			w.lost = true
			more = w.ask()
		case err != nil:
			return // closed
		case from.Pid != nl.PidKernel:
		default:
			more = w.notice(messages)
		}
	}
}

// notice tells what the kernel's notices say. Like tell, it reports whether to
// go on.
func (w *watcher) notice(messages []syscall.NetlinkMessage) bool {
	for _, m := range messages {
		if len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		info := nl.DeserializeIfInfomsg(m.Data)
		if int(info.Index) != w.index || info.Family != unix.AF_UNSPEC {
			continue
		}
		more := false
		switch {
		case m.Header.Type == unix.RTM_DELLINK:
			more = w.tellDeleted()
		case m.Header.Type != unix.RTM_NEWLINK:
			continue
		case w.lost:
			more = w.ask()
		default:
			more = w.tellUp(info.Flags&unix.IFF_UP != 0)
		}
		if !more {
			return false
		}
	}
	return true
}

// ask tells what has changed by asking for the state.
func (w *watcher) ask() bool {
	up, err := w.isUp()
	switch {
	case errors.Is(err, ErrGone):
		return w.tellDeleted()
	case err != nil:
		return false
	}
	return w.tellUp(up)
}

// isUp asks whether the interface is up. It may be ErrGone.
func (w *watcher) isUp() (bool, error) {
	link, err := w.links.handle.LinkByIndex(w.index)
	var notFound netlink.LinkNotFoundError
	if errors.As(err, &notFound) {
		return false, ErrGone
	}
	if err != nil {
		return false, err
	}
	return link.Attrs().RawFlags&unix.IFF_UP != 0, nil
}

func (w *watcher) tellUp(up bool) bool {
	if up == w.up {
		return true
	}
	w.up = up
	if up {
		return w.tell(Up)
	}
	return w.tell(Down)
}

func (w *watcher) tellDeleted() bool {
	w.tell(Deleted)
	return false
}

// tell waits until the change is received or the watcher closed.
func (w *watcher) tell(c Change) bool {
	select {
	case w.changes <- c:
		return true
	case <-w.closing:
		return false
	}
}

// close ends the watching. It is called once. Links stay open.
func (w *watcher) close() {
	close(w.closing)
	w.socket.Close()
	<-w.done
}

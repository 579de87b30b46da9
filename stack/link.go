package stack

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"synscope/event"
	"synscope/tun"
)

// viewSizes are those of the views that a packet is read into, with room for the
// longest IP packet; only super-packets need more than the first. They are even,
// for checksumOK. Netstack zeroes each view that replaces one given away: a
// super-packet of half the length costs half of that.
var viewSizes = [...]int{firstView, 32 << 10, 32 << 10}

const (
	// firstView holds a packet of an ordinary MTU whole.
	firstView = 2048
	// gsoMaxSize is the longest payload that netstack puts into one
	// super-packet: with its headers it must stay within 16 bits.
	gsoMaxSize = 65536 - header.IPv6MinimumSize - header.TCPHeaderMaximumSize - 1
)

// A link is netstack's link endpoint on a device. Its read loop is the one
// goroutine it owns; it runs from the first Attach until the device is closed.
type link struct {
	stack *Stack
	dev   tun.Device

	mu         sync.RWMutex
	dispatcher gstack.NetworkDispatcher
	mtu        uint32

	loop      sync.WaitGroup // the read loop
	readErr   error          // why the read loop ended; read after loop.Wait
	writeErrs atomic.Uint64
}

var (
	_ gstack.LinkEndpoint = (*link)(nil)
	_ gstack.GSOEndpoint  = (*link)(nil)
)

// MTU implements stack.LinkEndpoint.
func (l *link) MTU() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mtu
}

// SetMTU implements stack.LinkEndpoint.
func (l *link) SetMTU(mtu uint32) {
	l.mu.Lock()
	l.mtu = mtu
	l.mu.Unlock()
}

// Capabilities implements stack.LinkEndpoint. Netstack is told that checksums
// are verified, because the link does: a bad one is then told, not only dropped.
//
// And it is told that this is a loopback, on which all addresses of a prefix are
// ours (see configure), and checksums are not made: WritePackets makes them.
func (l *link) Capabilities() gstack.LinkEndpointCapabilities {
	return gstack.CapabilityRXChecksumOffload | gstack.CapabilityLoopback
}

// SupportedGSO implements stack.GSOEndpoint.
func (l *link) SupportedGSO() gstack.SupportedGSO {
	if l.dev.Offloads() {
		return gstack.HostGSOSupported
	}
	return gstack.GSONotSupported
}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return gsoMaxSize }

// Attach implements stack.LinkEndpoint. A nil dispatcher closes the device,
// which is what ends the read loop.
func (l *link) Attach(d gstack.NetworkDispatcher) {
	l.mu.Lock()
	started := l.dispatcher != nil
	l.dispatcher = d
	l.mu.Unlock()
	switch {
	case d == nil:
		l.dev.Close()
	case !started:
		l.loop.Add(1) // for readLoop
		go l.readLoop()
	}
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}

// stop closes the device and waits for the read loop.
func (l *link) stop() {
	l.dev.Close()
	l.loop.Wait()
}

// Wait implements stack.LinkEndpoint.
func (l *link) Wait() { l.loop.Wait() }

// The rest of stack.LinkEndpoint: IP packets have no link-layer header.

func (*link) MaxHeaderLength() uint16                 { return 0 }
func (*link) LinkAddress() tcpip.LinkAddress          { return "" }
func (*link) SetLinkAddress(tcpip.LinkAddress)        {}
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*link) AddHeader(*gstack.PacketBuffer)          {}
func (*link) ParseHeader(*gstack.PacketBuffer) bool   { return true }
func (*link) Close()                                  {}
func (*link) SetOnCloseAction(func())                 {}

func (l *link) readLoop() {
	defer l.loop.Done()
	defer close(l.stack.linkDone)
	var views inViews
	defer views.release()
	var in inbound
	for {
		n, off, err := l.dev.Read(views.slices())
		if errors.Is(err, tun.ErrPacket) {
			l.stack.obs.Unreachable(time.Now(), &event.Unreachable{Reason: err.Error()})
			continue
		}
		if err != nil {
			l.readErr = err
			return
		}
		if n == 0 {
			continue
		}
		in.Packet = event.Packet{Time: time.Now(), From: event.Client, Len: n, SegmentSize: segmentSize(off), PartialChecksum: off.NeedsChecksum}
		in.verified = off.NeedsChecksum || off.DataValid
		in.Views = views.packet(in.views[:0], n)
		var pkt *gstack.PacketBuffer
		if n > firstView { // it is worth holding
			pkt = views.give(n)
			in.Memory = (*memory)(pkt)
		}
		switch {
		case l.stack.receive(&in):
			if pkt == nil {
				pkt = views.give(n)
			}
			l.deliver(in.pkt.Dst.Addr().Is4(), pkt)
		case pkt != nil:
			pkt.DecRef()
		}
	}
}

// inViews are the views that the next packet is read into. Those that no packet
// was given are used again.
type inViews struct {
	views [len(viewSizes)]*buffer.View // nil: given away
	bufs  [len(viewSizes)][]byte
}

// slices returns all that there is to read into.
func (v *inViews) slices() [][]byte {
	for i, size := range viewSizes {
		if v.views[i] == nil {
			v.views[i] = buffer.NewViewSize(size)
			v.bufs[i] = v.views[i].AsSlice()
		}
	}
	return v.bufs[:]
}

// packet appends the slices that hold the n bytes that were read.
func (v *inViews) packet(to [][]byte, n int) [][]byte {
	for i := 0; n > 0; i++ {
		b := v.bufs[i][:min(n, viewSizes[i])]
		to = append(to, b)
		n -= len(b)
	}
	return to
}

// give makes a packet of the n bytes that were read.
func (v *inViews) give(n int) *gstack.PacketBuffer {
	var buf buffer.Buffer
	for i := 0; n > 0; i++ {
		v.views[i].CapLength(n)
		n -= v.views[i].Size()
		buf.Append(v.views[i])
		v.views[i] = nil
	}
	return gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buf})
}

func (v *inViews) release() {
	for _, view := range v.views {
		if view != nil {
			view.Release()
		}
	}
}

// deliver hands a packet to netstack, and takes over the caller's reference. Where
// the observer holds the packet, netstack gets a clone: it cuts and gives back
// views of what it is given.
func (l *link) deliver(v4 bool, pkt *gstack.PacketBuffer) {
	if pkt.ReadRefs() > 1 {
		held := pkt
		pkt = held.Clone()
		held.DecRef()
	}
	defer pkt.DecRef()
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d == nil {
		return
	}
	if v4 {
		d.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
	} else {
		d.DeliverNetworkPacket(header.IPv6ProtocolNumber, pkt)
	}
}

// WritePackets implements stack.LinkWriter. Netstack calls it under the lock of
// the endpoint that sends, so that the state read here is the state at sending.
func (l *link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		off := offloadOf(pkt)
		if !off.NeedsChecksum {
			setChecksum(pkt)
		}
		views := pkt.AsSlices()
		out := event.Packet{
			Time: time.Now(), From: event.Server, Views: views, Memory: (*memory)(pkt), Len: pkt.Size(),
			SegmentSize: segmentSize(off), PartialChecksum: off.NeedsChecksum,
		}
		frame, send := l.stack.sending(pkt, &out)
		if send {
			if err := l.dev.Write(views, off); err != nil {
				l.writeErrs.Add(1)
				l.stack.notSent(pkt, frame, err)
				return n, writeError(err)
			}
		}
		n++
	}
	return n, nil
}

// setChecksum sets the checksum of a TCP segment (RFC 9293, section 3.1).
func setChecksum(pkt *gstack.PacketBuffer) {
	th := header.TCP(pkt.TransportHeader().Slice())
	if pkt.TransportProtocolNumber != header.TCPProtocolNumber || len(th) < header.TCPMinimumSize {
		return
	}
	net := pkt.Network()
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, net.SourceAddress(), net.DestinationAddress(), uint16(len(th)+pkt.Data().Size()))
	sum = checksum.Combine(sum, pkt.Data().Checksum())
	th.SetChecksum(0)
	th.SetChecksum(^th.CalculateChecksum(sum))
}

// writeError says to netstack what an error of the device means. A segment that
// was not sent is retransmitted, unless there is no device any more.
func writeError(err error) tcpip.Error {
	if errors.Is(err, tun.ErrGone) || errors.Is(err, os.ErrClosed) {
		return &tcpip.ErrAborted{}
	}
	return &tcpip.ErrNoBufferSpace{}
}

// write sends a packet that the link made itself.
func (l *link) write(b []byte) {
	views := [][]byte{b}
	l.stack.obs.Packet(&event.Packet{Time: time.Now(), From: event.Server, Views: views, Len: len(b)})
	if err := l.dev.Write(views, tun.Offload{}); err != nil {
		l.writeErrs.Add(1)
	}
}

func segmentSize(off tun.Offload) int {
	if off.GSO == tun.GSONone {
		return 0
	}
	return int(off.SegmentSize)
}

// offloadOf translates netstack's segmentation offload into the device's.
func offloadOf(pkt *gstack.PacketBuffer) tun.Offload {
	g := pkt.GSOOptions
	if g.Type == gstack.GSONone {
		return tun.Offload{}
	}
	var off tun.Offload
	if g.NeedsCsum {
		off.NeedsChecksum = true
		off.ChecksumStart = g.L3HdrLen
		off.ChecksumOffset = g.CsumOffset
	}
	if pkt.Data().Size() <= int(g.MSS) {
		return off
	}
	switch g.Type {
	case gstack.GSOTCPv4:
		off.GSO = tun.GSOTCPv4
	case gstack.GSOTCPv6:
		off.GSO = tun.GSOTCPv6
	}
	off.SegmentSize = g.MSS
	off.HeaderLen = uint16(pkt.HeaderSize())
	return off
}

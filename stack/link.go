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

const (
	// firstView holds a packet of an ordinary MTU whole; only super-packets
	// need the second view.
	firstView = 2048
	// secondView is room for the longest IP packet.
	secondView = 65536
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
	var first, second *buffer.View
	bufs := make([][]byte, 2)
	var in inbound
	for {
		if first == nil {
			first = buffer.NewViewSize(firstView)
		}
		if second == nil {
			second = buffer.NewViewSize(secondView)
		}
		bufs[0], bufs[1] = first.AsSlice(), second.AsSlice()
		n, off, err := l.dev.Read(bufs)
		if errors.Is(err, tun.ErrPacket) {
			l.stack.obs.Unreachable(time.Now(), &event.Unreachable{Reason: err.Error()})
			continue
		}
		if err != nil {
			first.Release()
			second.Release()
			l.readErr = err
			return
		}
		if n == 0 {
			continue
		}
		in.Packet = event.Packet{Time: time.Now(), From: event.Client, Len: n, SegmentSize: segmentSize(off), PartialChecksum: off.NeedsChecksum}
		in.verified = off.NeedsChecksum || off.DataValid
		in.Views = append(in.views[:0], bufs[0][:min(n, firstView)])
		if n > firstView {
			in.Views = append(in.Views, bufs[1][:n-firstView])
		}
		if !l.stack.receive(&in) {
			continue // the views were not given away
		}
		var buf buffer.Buffer
		first.CapLength(min(n, firstView))
		buf.Append(first)
		first = nil
		if n > firstView {
			second.CapLength(n - firstView)
			buf.Append(second)
			second = nil
		}
		l.deliver(in.pkt.Dst.Addr().Is4(), buf)
	}
}

// deliver hands a packet to netstack. It takes over buf.
func (l *link) deliver(v4 bool, buf buffer.Buffer) {
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buf})
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
			Time: time.Now(), From: event.Server, Views: views, Len: pkt.Size(),
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

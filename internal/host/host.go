// Package host is a host with a netstack of its own, to be put at the other end
// of a cable to an endpoint: a client whose TCP is real, without privileges and
// without a kernel. It is for tests of ours and of users (package synscopetest).
package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"synscope/tun"
)

const nicID tcpip.NICID = 1

// A Host is a host with one interface, through which it reaches every address.
// Its methods may be called by several goroutines.
type Host struct {
	dev     tun.Device
	stack   *gstack.Stack
	reading sync.WaitGroup // link.read
	closing sync.Once
}

// New starts a host with the given addresses on a device, which it owns from
// then on. The device must not have offloads.
func New(dev tun.Device, addrs ...netip.Addr) (*Host, error) {
	h := &Host{dev: dev, stack: gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocolCUBIC, udp.NewProtocol},
	})}
	h.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}, {Destination: header.IPv6EmptySubnet, NIC: nicID}})
	recovery := tcpip.TCPRecovery(0) // it would probe for nothing, as in package stack
	err := h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &recovery)
	if err == nil {
		err = h.stack.CreateNIC(nicID, &link{h})
	}
	for _, a := range addrs {
		if err == nil {
			err = h.stack.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
				Protocol: protocolOf(a), AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix(),
			}, gstack.AddressProperties{})
		}
	}
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("host: %s", err)
	}
	return h, nil
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// DialContext connects to a TCP port at an address, as net.Dialer does. Of a port
// that is refused the error is, as a kernel's, syscall.ECONNREFUSED.
func (h *Host) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	conn, err := gonet.DialContextTCP(ctx, h.stack, fullAddress(to), protocolOf(to.Addr()))
	if err != nil {
		return nil, asKernel(err) // not a nil *TCPConn in an interface
	}
	return conn, nil
}

// DialUDP returns a connected UDP socket. When it has heard by ICMP that the port
// is refused, the error of the next Write is syscall.ECONNREFUSED; a Read is not
// woken by that.
func (h *Host) DialUDP(to netip.AddrPort) (net.Conn, error) {
	addr := fullAddress(to)
	conn, err := gonet.DialUDP(h.stack, nil, &addr, protocolOf(to.Addr()))
	if err != nil {
		return nil, err
	}
	return udpConn{conn}, nil
}

type udpConn struct{ *gonet.UDPConn }

func (c udpConn) Write(b []byte) (int, error) {
	n, err := c.UDPConn.Write(b)
	return n, asKernel(err)
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

// asKernel has an error of netstack's that says that a port is refused be that
// of a kernel.
func asKernel(err error) error {
	var failed *net.OpError
	if errors.As(err, &failed) && failed.Err.Error() == (&tcpip.ErrConnectionRefused{}).String() {
		failed.Err = syscall.ECONNREFUSED
	}
	return err
}

// Close takes the host from the network, with what is open. It is idempotent.
func (h *Host) Close() {
	h.closing.Do(func() {
		h.dev.Close()
		h.reading.Wait() // Destroy would wait for it under a lock that it needs
		h.stack.Destroy()
	})
}

// A link is the interface of a host as netstack sees it.
type link struct{ host *Host }

// Attach starts and, with nil, ends the reading.
func (l *link) Attach(d gstack.NetworkDispatcher) {
	if d == nil {
		l.host.dev.Close()
		return
	}
	l.host.reading.Go(func() { l.read(d) })
}

// read hands packets on until the device is closed.
func (l *link) read(d gstack.NetworkDispatcher) {
	b := make([]byte, tun.MaxPacketSize)
	for {
		n, _, err := l.host.dev.Read([][]byte{b})
		if err != nil {
			return
		}
		proto := header.IPv6ProtocolNumber
		if header.IPVersion(b) == header.IPv4Version {
			proto = header.IPv4ProtocolNumber
		}
		pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b[:n])})
		d.DeliverNetworkPacket(proto, pkt)
		pkt.DecRef()
	}
}

// WritePackets waits until there is room for them, so that none is lost.
func (l *link) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := l.host.dev.Write(pkt.AsSlices(), tun.Offload{}); err != nil {
			return i, &tcpip.ErrNoBufferSpace{}
		}
	}
	return pkts.Len(), nil
}

func (l *link) MTU() uint32                                 { return uint32(l.host.dev.MTU()) }
func (l *link) Wait()                                       { l.host.reading.Wait() }
func (*link) SetMTU(uint32)                                 {}
func (*link) IsAttached() bool                              { return true }
func (*link) Capabilities() gstack.LinkEndpointCapabilities { return 0 }
func (*link) MaxHeaderLength() uint16                       { return 0 }
func (*link) LinkAddress() tcpip.LinkAddress                { return "" }
func (*link) SetLinkAddress(tcpip.LinkAddress)              {}
func (*link) ARPHardwareType() header.ARPHardwareType       { return header.ARPHardwareNone }
func (*link) AddHeader(*gstack.PacketBuffer)                {}
func (*link) ParseHeader(*gstack.PacketBuffer) bool         { return true }
func (*link) Close()                                        {}
func (*link) SetOnCloseAction(func())                       {}

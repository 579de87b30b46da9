package synscope_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"synscope/tun"
)

var clientAddr = netip.MustParseAddr("198.18.0.1")

// A client is a host with a netstack of its own at the other end of the device.
type client struct {
	stack *gstack.Stack
}

// newClient starts a client on a device. It ends with the test, after what was
// registered later.
func newClient(t *testing.T, dev tun.Device) *client {
	t.Helper()
	const nic = 1
	s := gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocol},
	})
	link := channel.New(256, uint32(dev.MTU()), "")
	addr := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFrom4(clientAddr.As4()).WithPrefix()}
	recovery := tcpip.TCPRecovery(0) // no needless probes
	for _, err := range []tcpip.Error{
		s.CreateNIC(nic, link),
		s.AddProtocolAddress(nic, addr, gstack.AddressProperties{}),
		s.SetTransportProtocolOption(tcp.ProtocolNumber, &recovery),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})

	var copying sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	copying.Go(func() { // from the device
		b := make([]byte, dev.MTU())
		for {
			n, _, err := dev.Read([][]byte{b})
			if err != nil {
				return
			}
			pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b[:n])})
			link.InjectInbound(ipv4.ProtocolNumber, pkt)
			pkt.DecRef()
		}
	})
	copying.Go(func() { // to the device
		for pkt := link.ReadContext(ctx); pkt != nil; pkt = link.ReadContext(ctx) {
			dev.Write(pkt.AsSlices(), tun.Offload{})
			pkt.DecRef()
		}
	})
	t.Cleanup(func() {
		dev.Close()
		cancel()
		copying.Wait()
		s.Destroy()
	})
	return &client{s}
}

// DialContext connects to an address, as net.Dialer does.
func (c *client) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	to := tcpip.FullAddress{Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
	conn, err := gonet.DialContextTCP(ctx, c.stack, to, ipv4.ProtocolNumber)
	if err != nil {
		return nil, err // not a nil *TCPConn in an interface
	}
	return conn, nil
}

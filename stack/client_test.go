package stack

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"synscope/event"
	"synscope/tun"
	"synscope/tun/tuntest"
)

// A network is a Stack and a host with a netstack of its own, at the two ends of
// a cable.
type network struct {
	t      testing.TB
	stack  *Stack
	server *tuntest.Device // the Stack's end
	rec    *recorder       // nil in a benchmark
	*client
}

// newNetwork starts both.
func newNetwork(t *testing.T, offload bool, cfg Config) *network {
	t.Helper()
	rec := newRecorder(t)
	cfg.Observer = rec
	n := startNetwork(t, offload, cfg)
	n.rec = rec
	return n
}

func startNetwork(t testing.TB, offload bool, cfg Config) *network {
	t.Helper()
	a, b := tuntest.Pipe(1500, offload)
	n := &network{t: t, server: a, client: startClient(t, b)}
	cfg.Device, cfg.Prefixes = a, served
	var err error
	if n.stack, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.client.stop)
	t.Cleanup(func() { n.stack.Close() })
	return n
}

// A client is a host with a netstack.
type client struct {
	t     testing.TB
	dev   *tuntest.Device
	stack *gstack.Stack
	loop  sync.WaitGroup // readLoop
}

func startClient(t testing.TB, dev *tuntest.Device) *client {
	t.Helper()
	c := &client{t: t, dev: dev}
	c.stack = gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocolCUBIC},
	})
	recovery := tcpip.TCPRecovery(0)
	c.must(c.stack.SetTransportProtocolOption(tcp.ProtocolNumber, &recovery))
	c.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}, {Destination: header.IPv6EmptySubnet, NIC: nicID}})
	c.must(c.stack.CreateNIC(nicID, c))
	c.must(c.stack.SetPromiscuousMode(nicID, true))
	c.must(c.stack.SetSpoofing(nicID, true))
	return c
}

func (c *client) must(err tcpip.Error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// stop resets what is open. The Stack sees its interface gone.
func (c *client) stop() {
	c.dev.Close()
	c.loop.Wait() // Destroy would wait for it under a lock that it needs
	c.stack.Destroy()
}

// A netConn is a client's connection that can also be reset.
type netConn struct {
	*gonet.TCPConn
	ep   tcpip.Endpoint
	flow event.Flow
}

// reset closes the connection with a RST.
func (c *netConn) reset() { c.ep.(*tcp.Endpoint).Abort() }

// dial connects from the client's own address.
func (c *client) dial(server netip.AddrPort) *netConn {
	c.t.Helper()
	conn, err := c.dialFrom(netip.AddrPortFrom(hostOf(server), 0), server)
	if err != nil {
		c.t.Fatalf("dial %v: %v", server, err)
	}
	return conn
}

// hostOf returns the client's own address of the family of a server.
func hostOf(server netip.AddrPort) netip.Addr {
	if server.Addr().Is4() {
		return client4.Addr()
	}
	return client6.Addr()
}

// dialFrom connects from any address. Port 0 is a free one.
func (c *client) dialFrom(from, server netip.AddrPort) (*netConn, error) {
	proto := ipv6.ProtocolNumber
	if server.Addr().Is4() {
		proto = ipv4.ProtocolNumber
	}
	var wq waiter.Queue
	ep, terr := c.stack.NewEndpoint(tcp.ProtocolNumber, proto, &wq)
	if terr != nil {
		return nil, &tcpError{terr}
	}
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	if terr = ep.Bind(tcpip.FullAddress{NIC: nicID, Addr: addressed(from.Addr()), Port: from.Port()}); terr == nil {
		terr = ep.Connect(tcpip.FullAddress{NIC: nicID, Addr: addressed(server.Addr()), Port: server.Port()})
	}
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		select {
		case <-connected:
			terr = ep.LastError()
		case <-ctx.Done():
			terr = &tcpip.ErrTimeout{}
		}
	}
	if terr != nil {
		ep.Close()
		return nil, &tcpError{terr}
	}
	local, terr := ep.GetLocalAddress()
	if terr != nil {
		ep.Close()
		return nil, &tcpError{terr}
	}
	conn := &netConn{TCPConn: gonet.NewTCPConn(&wq, ep), ep: ep}
	conn.flow = event.Flow{Client: netip.AddrPortFrom(from.Addr(), local.Port), Server: server}
	conn.SetDeadline(time.Now().Add(patience))
	return conn, nil
}

type tcpError struct{ err tcpip.Error }

func (e *tcpError) Error() string { return e.err.String() }

// The client is its own link endpoint.

func (c *client) Attach(d gstack.NetworkDispatcher) {
	if d == nil {
		c.dev.Close()
		return
	}
	c.loop.Go(func() { c.readLoop(d) })
}

func (c *client) readLoop(d gstack.NetworkDispatcher) {
	b := make([]byte, tun.MaxPacketSize)
	for {
		n, _, err := c.dev.Read([][]byte{b})
		if err != nil {
			return
		}
		pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(b[:n])})
		proto := header.IPv6ProtocolNumber
		if header.IPVersion(b) == header.IPv4Version {
			proto = header.IPv4ProtocolNumber
		}
		d.DeliverNetworkPacket(proto, pkt)
		pkt.DecRef()
	}
}

func (c *client) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		if err := c.dev.Write(pkt.AsSlices(), offloadOf(pkt)); err != nil {
			return i, &tcpip.ErrNoBufferSpace{}
		}
	}
	return pkts.Len(), nil
}

// Capabilities has netstack verify checksums, unless they may be partial.
func (c *client) Capabilities() gstack.LinkEndpointCapabilities {
	if c.dev.Offloads() {
		return gstack.CapabilityRXChecksumOffload
	}
	return 0
}

func (c *client) SupportedGSO() gstack.SupportedGSO {
	if c.dev.Offloads() {
		return gstack.HostGSOSupported
	}
	return gstack.GSONotSupported
}

func (c *client) GSOMaxSize() uint32                    { return 60_000 }
func (c *client) MTU() uint32                           { return uint32(c.dev.MTU()) }
func (c *client) SetMTU(uint32)                         {}
func (c *client) IsAttached() bool                      { return true }
func (c *client) Wait()                                 { c.loop.Wait() }
func (*client) MaxHeaderLength() uint16                 { return 0 }
func (*client) LinkAddress() tcpip.LinkAddress          { return "" }
func (*client) SetLinkAddress(tcpip.LinkAddress)        {}
func (*client) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*client) AddHeader(*gstack.PacketBuffer)          {}
func (*client) ParseHeader(*gstack.PacketBuffer) bool   { return true }
func (*client) Close()                                  {}
func (*client) SetOnCloseAction(func())                 {}

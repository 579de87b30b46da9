package synscope

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"synscope/event"
	"synscope/internal/nameserver"
	"synscope/internal/outside"
	"synscope/internal/relay"
	"synscope/internal/sandbox"
	"synscope/internal/trust"
	"synscope/stack"
	"synscope/tlsbridge"
)

// The network of a command that runs in a sandbox:
//
//	198.18.0.2/15, 2001:2::2/48   the command
//	198.18.0.1                    the name server
//	198.18.0.3, 2001:2::3         the loopback of the host, where that is wanted
//
// To the mirror all of it answers, and names lead to addresses of the prefixes.
var (
	commandAddresses = []netip.Prefix{netip.MustParsePrefix("198.18.0.2/15"), netip.MustParsePrefix("2001:2::2/48")}
	nameServer       = netip.MustParseAddr("198.18.0.1")
	hostAddresses    = [2]netip.Addr{netip.MustParseAddr("198.18.0.3"), netip.MustParseAddr("2001:2::3")}
	everything       = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

// hostName leads to the loopback of the host, where that is wanted.
const hostName = "host.internal"

// The ports of DNS, over UDP and TCP, and over TLS (RFC 7858).
const (
	portDNS = 53
	portDoT = 853
)

// idleTimeout ends connections on which nothing comes: a person may have stopped
// the command.
const idleTimeout = 5 * time.Minute

// A place is what the command of Run meets.
type place struct {
	cfg        RunConfig
	authority  *tlsbridge.Authority
	names      *nameserver.Server
	datagrams  *stack.Datagrams // that are forwarded, nil: none
	serving    sync.WaitGroup   // serveNames
	forwarding sync.WaitGroup   // forward
}

func newPlace(cfg RunConfig) (*place, error) {
	authority, err := tlsbridge.NewAuthority()
	if err != nil {
		return nil, err
	}
	p := &place{cfg: cfg, authority: authority, names: &nameserver.Server{Names: nameserver.NewNames(commandAddresses[0], commandAddresses[1])}}
	if cfg.Mirror {
		return p, nil
	}
	if p.names.Forward, err = nameserver.NewForwarder(resolvConf); err != nil {
		return nil, err
	}
	p.names.Forward.StripECH = !cfg.Watch
	p.names.AskedOf = askedOf
	if cfg.HostLoopback {
		p.names.Hosts = map[string][2]netip.Addr{hostName: hostAddresses}
	}
	return p, nil
}

// askedOf returns the name server that a datagram is for, if it is not ours.
func askedOf(sender net.Addr) string {
	if flow, ok := sender.(stack.UDPFlow); ok && flow.Server.Addr() != nameServer {
		return flow.Server.String()
	}
	return ""
}

// spec returns what the sandbox is to have so that a command finds itself here.
func (p *place) spec(env []string) sandbox.Spec {
	t := trust.New(p.authority.Certificate(), env, sandbox.FilesDir)
	for _, store := range t.Unreadable {
		p.cfg.Log.Warn("trust store not read: what uses it will not trust our root", "file", store)
	}
	spec := sandbox.Spec{
		Env:       t.Env,
		Addresses: commandAddresses,
		Files:     p.nameFiles(),
		// Name services whose sockets reach into other network namespaces.
		Empty: []string{"/run/nscd", "/var/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon"},
	}
	if !p.cfg.Mirror && !reachesIPv6() {
		spec.Addresses = commandAddresses[:1]
	}
	for _, f := range t.Files {
		spec.Files = append(spec.Files, sandbox.File(f))
	}
	return spec
}

// reachesIPv6 reports whether this host has a way to IPv6 addresses of the world.
// Without, clients are not to prefer them. No packet is sent.
func reachesIPv6() bool {
	conn, err := net.Dial("udp6", "[2000::1]:53") // of the range of all global addresses (RFC 4291, section 2.4)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// nameFiles returns the files by which the resolvers of libc and of Go come to
// our name server, and to nothing else but /etc/hosts.
func (p *place) nameFiles() []sandbox.File {
	data := []byte("nameserver " + nameServer.String() + "\n")
	if !p.cfg.Mirror {
		old, _ := os.ReadFile(resolvConf) // without it there is nothing to keep
		data = append(data, withoutServers(old)...)
	}
	files := []sandbox.File{{Name: "resolv.conf", Data: data, Over: []string{resolvConf}}}
	const switchFile = "/etc/nsswitch.conf"
	if data, err := os.ReadFile(switchFile); err == nil { // without it libc asks DNS
		files = append(files, sandbox.File{Name: "nsswitch.conf", Data: hostsByDNS(data), Over: []string{switchFile}})
	}
	return files
}

const resolvConf = "/etc/resolv.conf"

// withoutServers is what resolv.conf(5) says besides the servers: where to search
// for names, and how.
func withoutServers(data []byte) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "nameserver" {
			b.WriteString(line)
		}
	}
	return b.Bytes()
}

// hostsByDNS changes nsswitch.conf(5) so that names of hosts are looked up in
// /etc/hosts and by DNS only.
func hostsByDNS(data []byte) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "hosts:") {
			b.WriteString(line)
		}
	}
	return append(bytes.TrimRight(b.Bytes(), "\n"), "\nhosts: files dns\n"...)
}

// config returns the endpoint that answers on the interface of the sandbox.
func (p *place) config(link sandbox.Link) Config {
	p.names.IPv6 = link.IPv6
	c := Config{
		Name:  p.names.Names.Name,
		Stack: stack.Config{Device: link.Device, Prefixes: everything},
		TLS:   tlsbridge.Config{Authority: p.authority, Select: p.choose, IdleTimeout: idleTimeout},
	}
	if !p.cfg.Mirror {
		c.Name = p.name
		c.Stack.NoEcho = true
		c.World = &World{Ours: isOurs, Loopback: p.hostLoopback(), Roots: p.cfg.Roots}
		if !p.cfg.Watch {
			c.World.Open = p.opens
		}
	}
	return c
}

// opens reports whether TLS with a server of that name is opened.
func (p *place) opens(serverName string) bool {
	return p.cfg.WatchName == nil || !p.cfg.WatchName(serverName)
}

// isOurs reports whether a connection to the world is one to the name server.
func isOurs(flow event.Flow) bool {
	port := flow.Server.Port()
	return flow.Server.Addr() == nameServer && (port == portDNS || port == portDoT)
}

// name returns the name that an address was given for.
func (p *place) name(a netip.Addr) string {
	if p.cfg.HostLoopback && (a == hostAddresses[0] || a == hostAddresses[1]) {
		return hostName
	}
	return p.names.Forward.Name(a)
}

// choose has the ports of DNS answered by the name server, and all others by the
// mirror.
func (p *place) choose(flow event.Flow, _ string) tlsbridge.Endpoint {
	switch flow.Server.Port() {
	case portDNS, portDoT:
		return tlsbridge.Endpoint{Service: dnsService{p.names}}
	}
	return tlsbridge.Endpoint{}
}

// serve answers and forwards datagrams.
func (p *place) serve(s *Scope) error { return errors.Join(p.serveNames(s), p.forward(s)) }

// serveNames answers DNS over UDP until the scope is closed; wait waits for that.
func (p *place) serveNames(s *Scope) error {
	conn, err := s.ListenUDP(portDNS)
	if err != nil {
		return err
	}
	p.serving.Go(func() { p.names.ServePacket(conn) }) // ends with the scope
	return nil
}

// forward forwards all other datagrams, until endForwarding.
func (p *place) forward(s *Scope) error {
	if p.cfg.Mirror || p.cfg.BlockUDP {
		return nil
	}
	var err error
	if p.datagrams, err = s.ListenUDP(0); err != nil {
		return err
	}
	r := &relay.Relay{Conn: p.datagrams, Observer: s, Name: p.name, To: p.destination}
	p.forwarding.Go(func() { r.Serve() }) // ends without an error when what it reads is closed
	return nil
}

// destination returns where datagrams to an address are forwarded.
func (p *place) destination(server netip.AddrPort) (netip.AddrPort, error) {
	return outside.Destination(server, p.hostLoopback())
}

// endForwarding has the end of all flows be told.
func (p *place) endForwarding() {
	if p.datagrams != nil {
		p.datagrams.Close()
	}
	p.forwarding.Wait()
}

// hostLoopback returns what addresses lead to the loopback of this host.
func (p *place) hostLoopback() map[netip.Addr]netip.Addr {
	if !p.cfg.HostLoopback {
		return nil
	}
	return map[netip.Addr]netip.Addr{hostAddresses[0]: netip.AddrFrom4([4]byte{127, 0, 0, 1}), hostAddresses[1]: netip.IPv6Loopback()}
}

func (p *place) wait() { p.serving.Wait() }

// A dnsService is the name server as a service of tlsbridge.
type dnsService struct{ *nameserver.Server }

// ALPN names DNS over TLS.
func (dnsService) ALPN() []string { return []string{"dot"} }

// Serve implements tlsbridge.Service.
func (s dnsService) Serve(ctx context.Context, session *tlsbridge.Session) error {
	return s.ServeConn(ctx, session)
}

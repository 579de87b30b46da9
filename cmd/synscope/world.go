package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"synscope"
	"synscope/event"
	"synscope/internal/config"
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

// hostName leads to the loopback of the host, with --host-loopback.
const hostName = "host.internal"

// The ports of DNS, over UDP and TCP, and over TLS (RFC 7858).
const (
	portDNS = 53
	portDoT = 853
)

// The values of --to and --tls.
const (
	toWorld  = "world"
	toMirror = "mirror"
	tlsOpen  = "open"
	tlsWatch = "watch"
)

// A place is where the traffic of a command goes, as the flags say.
type place struct {
	to       string
	tls      string
	watch    []string // names whose TLS is not opened
	loopback bool
	blockUDP bool

	watched []config.ServerName // watch, when it is checked
}

// check checks the values of the flags.
func (p *place) check() error {
	for _, text := range p.watch {
		var name config.ServerName
		if name.UnmarshalText([]byte(text)) != nil {
			return hinted{fmt.Errorf("--watch: %q is not the name of a server", text), "give a DNS name, or *. and a DNS name"}
		}
		p.watched = append(p.watched, name)
	}
	switch {
	case p.to != toWorld && p.to != toMirror:
		return hinted{fmt.Errorf("--to: unknown destination %q", p.to), "it is one of world and mirror"}
	case p.tls != tlsOpen && p.tls != tlsWatch:
		return hinted{fmt.Errorf("--tls: unknown treatment %q", p.tls), "it is one of open and watch"}
	case p.to == toMirror && (p.tls != tlsOpen || len(p.watch) > 0 || p.loopback || p.blockUDP):
		return hinted{errors.New("--tls, --watch, --host-loopback and --block-udp are about the world"), "leave them out, or --to mirror"}
	}
	return nil
}

// opens reports whether TLS with a server of that name is opened, where any is.
func (p place) opens(serverName string) bool {
	return !slices.ContainsFunc(p.watched, func(n config.ServerName) bool { return n.Matches(serverName) })
}

// A world is what a command in a sandbox meets.
type world struct {
	place
	authority *tlsbridge.Authority
	names     *nameserver.Server
	untouched []string // trust stores that could not be read

	datagrams *stack.Datagrams // that are forwarded, nil: none

	serving    sync.WaitGroup // serveNames
	forwarding sync.WaitGroup // forward
}

func newWorld(p place) (*world, error) {
	authority, err := tlsbridge.NewAuthority()
	if err != nil {
		return nil, err
	}
	w := &world{place: p, authority: authority, names: &nameserver.Server{Names: nameserver.NewNames(commandAddresses[0], commandAddresses[1])}}
	if p.to == toMirror {
		return w, nil
	}
	if w.names.Forward, err = nameserver.NewForwarder(resolvConf); err != nil {
		return nil, err
	}
	w.names.Forward.StripECH = p.tls == tlsOpen
	w.names.AskedOf = askedOf
	if p.loopback {
		w.names.Hosts = map[string][2]netip.Addr{hostName: hostAddresses}
	}
	return w, nil
}

// askedOf returns the name server that a datagram is for, if it is not ours.
func askedOf(sender net.Addr) string {
	if flow, ok := sender.(stack.UDPFlow); ok && flow.Server.Addr() != nameServer {
		return flow.Server.String()
	}
	return ""
}

// spec returns what the sandbox is to have so that a command finds this world.
func (w *world) spec(env []string) sandbox.Spec {
	t := trust.New(w.authority.Certificate(), env, sandbox.FilesDir)
	w.untouched = t.Unreadable
	spec := sandbox.Spec{
		Env:       t.Env,
		Addresses: commandAddresses,
		Files:     w.nameFiles(),
		// Name services whose sockets reach into other network namespaces.
		Empty: []string{"/run/nscd", "/var/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon"},
	}
	if w.to == toWorld && !reachesIPv6() {
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
func (w *world) nameFiles() []sandbox.File {
	data := []byte("nameserver " + nameServer.String() + "\n")
	if w.to == toWorld {
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
func (w *world) config(link sandbox.Link) synscope.Config {
	w.names.IPv6 = link.IPv6
	d := config.Default()
	c := synscope.Config{
		Name: w.names.Names.Name,
		Stack: stack.Config{
			Device: link.Device, Prefixes: everything,
			HalfOpenTimeout: d.Timeouts.HalfOpen, TimeWait: d.Timeouts.TimeWait,
		},
		TLS: tlsbridge.Config{
			Authority: w.authority, Select: w.choose,
			HandshakeTimeout: d.Timeouts.Handshake, IdleTimeout: d.Timeouts.Idle,
		},
	}
	if w.to == toWorld {
		c.Name = w.name
		c.Stack.NoEcho = true
		c.World = &synscope.World{Ours: isOurs, Loopback: w.hostLoopback()}
		if w.tls == tlsOpen {
			c.World.Open = w.opens
		}
	}
	return c
}

// isOurs reports whether a connection to the world is one to the name server.
func isOurs(flow event.Flow) bool {
	port := flow.Server.Port()
	return flow.Server.Addr() == nameServer && (port == portDNS || port == portDoT)
}

// name returns the name that an address was given for.
func (w *world) name(a netip.Addr) string {
	if w.loopback && (a == hostAddresses[0] || a == hostAddresses[1]) {
		return hostName
	}
	return w.names.Forward.Name(a)
}

// choose has the ports of DNS answered by the name server, and all others by the
// mirror.
func (w *world) choose(flow event.Flow, _ string) tlsbridge.Endpoint {
	switch flow.Server.Port() {
	case portDNS, portDoT:
		return tlsbridge.Endpoint{Service: dnsService{w.names}}
	}
	return tlsbridge.Endpoint{}
}

// serveNames answers DNS over UDP until the scope is closed; wait waits for that.
func (w *world) serveNames(s *synscope.Scope) error {
	conn, err := s.ListenUDP(portDNS)
	if err != nil {
		return err
	}
	w.serving.Add(1) // for ServePacket
	go func() {
		defer w.serving.Done()
		w.names.ServePacket(conn) // ends with the scope
	}()
	return nil
}

// forward forwards all other datagrams, until endForwarding.
func (w *world) forward(s *synscope.Scope) error {
	if w.to == toMirror || w.blockUDP {
		return nil
	}
	var err error
	if w.datagrams, err = s.ListenUDP(0); err != nil {
		return err
	}
	r := &relay.Relay{Conn: w.datagrams, Observer: s, Name: w.name, To: w.destination}
	w.forwarding.Go(func() { r.Serve() }) // ends without an error when what it reads is closed
	return nil
}

// destination returns where datagrams to an address are forwarded.
func (w *world) destination(server netip.AddrPort) (netip.AddrPort, error) {
	return outside.Destination(server, w.hostLoopback())
}

// endForwarding has the end of all flows be told.
func (w *world) endForwarding() {
	if w.datagrams != nil {
		w.datagrams.Close()
	}
	w.forwarding.Wait()
}

// hostLoopback returns what addresses lead to the loopback of this host.
func (w *world) hostLoopback() map[netip.Addr]netip.Addr {
	if !w.loopback {
		return nil
	}
	return map[netip.Addr]netip.Addr{hostAddresses[0]: netip.AddrFrom4([4]byte{127, 0, 0, 1}), hostAddresses[1]: netip.IPv6Loopback()}
}

func (w *world) wait() { w.serving.Wait() }

// A dnsService is the name server as a service of tlsbridge.
type dnsService struct{ *nameserver.Server }

// ALPN names DNS over TLS.
func (dnsService) ALPN() []string { return []string{"dot"} }

// Serve implements tlsbridge.Service.
func (s dnsService) Serve(ctx context.Context, session *tlsbridge.Session) error {
	return s.ServeConn(ctx, session)
}

package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"

	"synscope"
	"synscope/event"
	"synscope/internal/config"
	"synscope/internal/nameserver"
	"synscope/internal/sandbox"
	"synscope/internal/trust"
	"synscope/stack"
	"synscope/tlsbridge"
)

// The network of a command that runs in a sandbox. All of it answers:
//
//	198.18.0.2/15, 2001:2::2/48   the command
//	198.18.0.1                    the name server
//	198.18.0.0/15, 2001:2::/48    what names lead to
//	everything else               where addresses are given without a name
var (
	commandAddresses = []netip.Prefix{netip.MustParsePrefix("198.18.0.2/15"), netip.MustParsePrefix("2001:2::2/48")}
	nameServer       = netip.MustParseAddr("198.18.0.1")
	everything       = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

// The ports of DNS, over UDP and TCP, and over TLS (RFC 7858).
const (
	portDNS = 53
	portDoT = 853
)

// A world is what a command in a sandbox meets.
type world struct {
	authority *tlsbridge.Authority
	names     *nameserver.Server
	untouched []string // trust stores that could not be read

	serving sync.WaitGroup // serveNames
}

func newWorld() (*world, error) {
	authority, err := tlsbridge.NewAuthority()
	if err != nil {
		return nil, err
	}
	names := nameserver.NewNames(commandAddresses[0], commandAddresses[1])
	return &world{authority: authority, names: &nameserver.Server{Names: names}}, nil
}

// spec returns what the sandbox is to have so that a command finds this world.
func (w *world) spec(env []string) sandbox.Spec {
	t := trust.New(w.authority.Certificate(), env, sandbox.FilesDir)
	w.untouched = t.Unreadable
	spec := sandbox.Spec{
		Env:       t.Env,
		Addresses: commandAddresses,
		Files:     nameFiles(),
		// Name services whose sockets reach into other network namespaces.
		Empty: []string{"/run/nscd", "/var/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon"},
	}
	for _, f := range t.Files {
		spec.Files = append(spec.Files, sandbox.File(f))
	}
	return spec
}

// nameFiles returns the files by which the resolvers of libc and of Go come to
// our name server, and to nothing else but /etc/hosts.
func nameFiles() []sandbox.File {
	files := []sandbox.File{{
		Name: "resolv.conf",
		Data: []byte("nameserver " + nameServer.String() + "\n"),
		Over: []string{"/etc/resolv.conf"},
	}}
	const switchFile = "/etc/nsswitch.conf"
	if data, err := os.ReadFile(switchFile); err == nil { // without it libc asks DNS
		files = append(files, sandbox.File{Name: "nsswitch.conf", Data: hostsByDNS(data), Over: []string{switchFile}})
	}
	return files
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
	return synscope.Config{
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

func (w *world) wait() { w.serving.Wait() }

// A dnsService is the name server as a service of tlsbridge.
type dnsService struct{ *nameserver.Server }

// ALPN names DNS over TLS.
func (dnsService) ALPN() []string { return []string{"dot"} }

// Serve implements tlsbridge.Service.
func (s dnsService) Serve(_ context.Context, session *tlsbridge.Session) error {
	return s.ServeConn(session)
}

package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"synscope"
	"synscope/internal/config"
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

func (p *place) flags(f *pflag.FlagSet) {
	f.StringVar(&p.to, "to", toWorld, "where the traffic goes: world (the real destinations) or mirror (our own endpoint answers everything)")
	f.StringVar(&p.tls, "tls", tlsOpen, "what is done with TLS to the world: open (to see inside) or watch (it passes untouched)")
	f.StringArrayVar(&p.watch, "watch", nil, "have TLS with this server name pass untouched; *.NAME for all below it (repeatable)")
	f.BoolVar(&p.loopback, "host-loopback", false, "have the name host.internal lead to the loopback of the host")
	f.BoolVar(&p.blockUDP, "block-udp", false, "refuse datagrams but those of DNS, so that clients of QUIC take TCP")
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

// config returns what a command is to meet.
func (p *place) config() synscope.RunConfig {
	c := synscope.RunConfig{
		Mirror: p.to == toMirror, Watch: p.tls == tlsWatch, HostLoopback: p.loopback, BlockUDP: p.blockUDP,
	}
	if len(p.watched) > 0 {
		c.WatchName = func(serverName string) bool {
			return slices.ContainsFunc(p.watched, func(n config.ServerName) bool { return n.Matches(serverName) })
		}
	}
	return c
}

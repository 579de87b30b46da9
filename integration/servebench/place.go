package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	serverNet       = "198.18.3" // a /24 that each server answers on
	serverAddresses = 250        // of it that the client uses
	startTimeout    = 15 * time.Second
	stopTimeout     = 15 * time.Second
)

// A place is where a contestant is measured: network namespaces with nothing
// else in them. The client is in one of its own when the server is the kernel's,
// so that packets cross one link in both cases.
//
//	+------------------- synb-PID-NAME ------------------+
//	| client --- 198.18.0.1 --- syn0 === synscope serve  |
//	+----------------------------------------------------+
//
//	+------- synb-PID-NAME -------+    +-- synb-PID-NAME-s --+
//	| client --- 198.18.0.1/30 veth0 === veth0 --- server    |
//	+-----------------------------+    +---------------------+
//
// Both links have an MTU of 1500 and pass super-packets whole. On the loopback
// interface, where the client and the kernel's server can be as well, the MTU is
// 65536, and no link is crossed.
type place struct{ client, server string }

// newPlace makes the namespaces of a contestant, of which remove removes what
// there is.
func newPlace(name string, link link) (*place, error) {
	p := &place{client: fmt.Sprintf("synb-%d-%s", os.Getpid(), name)}
	p.server = p.client
	if link == linkVeth {
		p.server += "-s"
	}
	return p, p.make(link)
}

func (p *place) make(link link) error {
	// Ports for tens of thousands of connections that are in TIME-WAIT.
	const sysctls = "echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range; echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse"
	commands := []string{
		"ip netns add " + p.client,
		"ip -n " + p.client + " link set lo up",
	}
	switch link {
	case linkVeth:
		commands = append(commands,
			"ip netns add "+p.server,
			"ip -n "+p.server+" link set lo up",
			"ip -n "+p.client+" link add veth0 type veth peer name veth0 netns "+p.server,
			"ip -n "+p.client+" address add 198.18.0.1/30 dev veth0",
			"ip -n "+p.client+" link set veth0 up",
			"ip -n "+p.server+" address add 198.18.0.2/30 dev veth0",
			"ip -n "+p.server+" link set veth0 up",
			"ip -n "+p.client+" route add "+serverNet+".0/24 via 198.18.0.2",
			"ip -n "+p.server+" route add local "+serverNet+".0/24 dev lo",
			"ip -n "+p.server+" route add default via 198.18.0.1", // for answers to the flood
		)
	case linkLoopback:
		commands = append(commands, "ip -n "+p.client+" route add local "+serverNet+".0/24 dev lo")
	}
	for _, c := range commands {
		if err := run(strings.Fields(c)...); err != nil {
			return err
		}
	}
	return run("ip", "netns", "exec", p.client, "sh", "-ec", sysctls)
}

func (p *place) remove() {
	exec.Command("ip", "netns", "del", p.client).Run()
	if p.server != p.client {
		exec.Command("ip", "netns", "del", p.server).Run()
	}
}

// A link is what is between a client and a server.
type link int

const (
	linkTUN      link = iota // the server makes it
	linkVeth                 // a pair of interfaces between two namespaces
	linkLoopback             // none: both are in one namespace
)

// in is the command that runs another in a namespace.
func in(namespace string, args ...string) []string {
	return append([]string{"ip", "netns", "exec", namespace}, args...)
}

func run(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

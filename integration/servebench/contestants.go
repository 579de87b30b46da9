package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// A contestant is a server that is measured.
type contestant struct {
	name, what string
	order      int    // among all
	tun        bool   // it makes the interface that the client's packets go into
	roots      string // the authority of its certificate, below its folder; "": the one of the bench
	control    bool   // it tells its goroutines at a control socket
	others     bool   // it has no services: it takes part where measure.others is set
	bridge     bool   // it is between the client and the kernel's server: it takes part where measure.bridged is set
	port       int    // of TLS; 0: as the services are
	resets     bool   // it may end a connection by RST, once the client has ended its side

	// command writes what the server needs into a folder that is there for one
	// run of it, and returns its command line.
	command func(b *bench, dir string) ([]string, error)
	// run returns the start of a command line that runs the client. Nil: nothing
	// is before the client's own.
	run func(b *bench, dir string) []string
	// version says which program it is, "" if it is not installed.
	version func(b *bench) string
}

const kernelName = "kernel" // of the contestant that the others are compared with

// contestants returns all there are, the kernel's first.
func contestants() []*contestant {
	cs := []*contestant{
		{
			name: kernelName, what: "the kernel's TCP and crypto/tls: net.Listen and tls.NewListener, with their defaults",
			control: true,
			command: kernel,
			version: func(*bench) string { return runtime.Version() },
		},
		synscope("off", "synscope serve that traces nothing: --events none --control none", false, func(string) []string {
			return []string{"--events", "none", "--control", "none"}
		}),
		synscope("json", "synscope serve that tells events as JSON lines, to a file, and keeps them for its control socket", true, jsonFlags),
		synscope("pcap", "as json, and it captures all packets: --pcap, to a ring of four files of 64 MB", true, func(dir string) []string {
			return append(jsonFlags(dir), "--pcap", filepath.Join(dir, "capture.pcapng"), "--pcap-size", "67108864", "--pcap-files", "4")
		}),
		{
			name: "nginx", what: "nginx, a worker a core, no access log", others: true,
			command: nginx, version: versionOf("nginx", "-v"),
		},
		{
			name: "haproxy", what: "haproxy, a thread a core, no log", others: true,
			command: haproxy, version: versionOf("haproxy", "-v"),
		},
		{
			name: "openssl", what: "openssl s_server, which answers one connection at a time", others: true,
			command: func(b *bench, _ string) ([]string, error) {
				return []string{"openssl", "s_server", "-accept", fmt.Sprint(portTLSEcho), "-cert", b.pki.cert, "-key", b.pki.key, "-www", "-quiet"}, nil
			},
			version: versionOf("openssl", "version"),
		},
		{
			name: "run", what: "the client below synscope run --to world --tls open, which tells events as JSON lines, to a file", bridge: true,
			command: kernel, run: synscopeRun,
			version: func(b *bench) string { return revision(b.synscope) },
		},
		{
			name: "sslsplit", what: "sslsplit before the server, no log; it resumes its sessions with the server", bridge: true, port: portBridge, resets: true,
			command: func(b *bench, dir string) ([]string, error) {
				return before(b, dir, "sslsplit", "-c", b.pki.authority, "-k", b.pki.authority, "-K", b.pki.key, "-u", "root",
					"ssl", "0.0.0.0", fmt.Sprint(portBridge), bridged, fmt.Sprint(portTLSEcho)), nil
			},
			version: versionOf("sslsplit", "-V"),
		},
		{
			name: "mitmdump", what: "mitmdump before the server, no log", bridge: true, port: portBridge,
			command: mitmdump, version: versionOf("mitmdump", "--version"),
		},
	}
	for i, c := range cs {
		c.order = i
	}
	return cs
}

// synscope returns a contestant that runs the binary with its defaults, and
// flags for its outputs. All clients have one address, so that its limit of
// connections from one is raised.
func synscope(name, what string, control bool, flags func(dir string) []string) *contestant {
	return &contestant{
		name: name, what: what, tun: true, control: control, roots: filepath.Join("state", "ca.pem"),
		command: func(b *bench, dir string) ([]string, error) {
			config := filepath.Join(dir, "services.yaml")
			text := fmt.Sprintf("services:\n"+
				"  - {port: [%d, %d], service: echo}\n"+
				"  - {port: [%d, %d], service: discard}\n"+
				"  - {port: [%d, %d], service: chargen}\n",
				portEcho, portTLSEcho, portDiscard, portTLSDiscard, portChargen, portTLSChargen)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				return nil, err
			}
			return append([]string{b.synscope, "serve", "--config", config, "--state-dir", filepath.Join(dir, "state"),
				"--format", "json", "--drain-timeout", "1s", "--max-connections", "20000", "--max-connections-per-source", "20000"},
				flags(dir)...), nil
		},
		version: func(b *bench) string { return revision(b.synscope) },
	}
}

// Files in a server's folder.
const (
	eventsFile    = "events.jsonl"
	controlSocket = "control.sock"
)

func jsonFlags(dir string) []string {
	return []string{"--events", filepath.Join(dir, eventsFile), "--control", filepath.Join(dir, controlSocket)}
}

func nginx(b *bench, dir string) ([]string, error) {
	config := filepath.Join(dir, "nginx.conf")
	return []string{"nginx", "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config}, os.WriteFile(config, fmt.Appendf(nil, `
daemon off;
pid %[1]s/pid;
worker_processes %[2]d;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
	access_log off;
	server {
		listen %[3]d ssl backlog=4096;
		ssl_certificate %[4]s;
		ssl_certificate_key %[5]s;
		ssl_protocols TLSv1.2 TLSv1.3;
		return 200 "ok\n";
	}
}
`, dir, runtime.NumCPU(), portTLSEcho, b.pki.cert, b.pki.key), 0o644)
}

func haproxy(b *bench, dir string) ([]string, error) {
	config := filepath.Join(dir, "haproxy.cfg")
	return []string{"haproxy", "-db", "-q", "-f", config}, os.WriteFile(config, fmt.Appendf(nil, `
global
	maxconn 8192
	nbthread %d
defaults
	mode http
	timeout client 30s
	timeout connect 30s
	timeout server 30s
frontend tls
	bind :%d ssl crt %s
	http-request return status 200
`, runtime.NumCPU(), portTLSEcho, b.pki.both), 0o644)
}

// versionOf returns a function that has a program tell its version.
func versionOf(program, flag string) func(*bench) string {
	return func(*bench) string {
		out, err := exec.Command(program, flag).CombinedOutput()
		if err != nil {
			return ""
		}
		line, _, _ := strings.Cut(string(out), "\n")
		for _, prefix := range []string{"nginx version: ", "HAProxy version ", "OpenSSL ", "SSLsplit ", "Mitmproxy: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		line, _, _ = strings.Cut(line, " ")
		return strings.TrimPrefix(line, program+"/")
	}
}

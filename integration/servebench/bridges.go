package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// bridged is the server's address that bridges beside it go to.
const bridged = serverNet + ".1"

// kernel is the command of the kernel's server.
func kernel(b *bench, dir string) ([]string, error) { return before(b, dir), nil }

// before is the command of the kernel's server with a bridge before it.
func before(b *bench, dir string, bridge ...string) []string {
	return append([]string{b.self, roleServer, b.pki.cert, b.pki.key, filepath.Join(dir, controlSocket)}, bridge...)
}

// synscopeRun has the client be the command of synscope run. Each start adds to
// the events.
func synscopeRun(b *bench, dir string) []string {
	return []string{"env", "SSL_CERT_FILE=" + b.pki.ca, b.synscope, "run", "--to", "world", "--tls", "open",
		"--format", "json", "--events", filepath.Join(dir, eventsFile), "--"}
}

// mitmdump finds its authority in its folder. It does not verify the server: it
// would go by the address.
func mitmdump(b *bench, dir string) ([]string, error) {
	authority, err := os.ReadFile(b.pki.authority)
	if err != nil {
		return nil, err
	}
	return before(b, dir, "mitmdump", "--quiet", "--set", "confdir="+dir, "--ssl-insecure", "--listen-port", fmt.Sprint(portBridge),
		"--mode", fmt.Sprintf("reverse:https://%s:%d", bridged, portTLSEcho)), os.WriteFile(filepath.Join(dir, "mitmproxy-ca.pem"), authority, 0o600)
}
